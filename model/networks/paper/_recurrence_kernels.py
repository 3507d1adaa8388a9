"""A GRU's recurrence compiled, and its gradient, with the weights' layout of torch.

Axes: T step (of all sequences), N hidden channel. A row of gates has those of reset and update and
the new state, N each. `lengths` are of the sequences, which lie end to end.
"""

from __future__ import annotations

import math

import numpy as np

from deepsched.baselines.kernels.structures import jit

ZERO, ONE = np.float32(0), np.float32(1)


@jit
def recur(gates, recurrent, bias, lengths, backwards, found):
    """Fill `found` (T, N) with the states; the gates (T, 3 N) get the bounded values they take.

    Before, `gates` hold what the inputs give. `recurrent` (N, 3 N) and `bias` (3 N,) map a state to
    gates; `backwards`: each sequence is read from its end.
    """
    n = recurrent.shape[0]
    from_state, state = np.empty(3 * n, np.float32), np.empty(n, np.float32)
    begin = 0
    for length in lengths:
        state[:] = ZERO
        for k in range(length):
            t = begin + length - 1 - k if backwards else begin + k
            from_state[:] = bias
            for i in range(n):
                value = state[i]
                for j in range(3 * n):
                    from_state[j] += value * recurrent[i, j]
            for j in range(2 * n):
                gates[t, j] = ONE / (ONE + math.exp(-(gates[t, j] + from_state[j])))
            for j in range(n):
                new = math.tanh(gates[t, 2 * n + j] + gates[t, j] * from_state[2 * n + j])
                gates[t, 2 * n + j] = new
                state[j] = new + gates[t, n + j] * (state[j] - new)
                found[t, j] = state[j]
        begin += length


@jit
def recur_gradient(
    gates, from_state, before, recurrent, lengths, backwards, window, of_found, found
):
    """Fill `found` (T, 4 N): the gradients of reset, update, new state, and its part of the state.

    Parameters
    ----------
    gates : as `recur` left them.
    from_state : (T, N) what the state before gave the new one, not yet reset.
    before : (T, N) the states before.
    recurrent : (3 N, N), turned against that of `recur`.
    window : steps, counted as the sequence is read, that a gradient does not leave.
    of_found : (T, N) the gradient of the states.
    """
    n = before.shape[1]
    carry = np.empty(n, np.float32)
    begin = 0
    for length in lengths:
        carry[:] = ZERO
        for k in range(length - 1, -1, -1):
            t = begin + length - 1 - k if backwards else begin + k
            for j in range(n):
                reset, update, new = gates[t, j], gates[t, n + j], gates[t, 2 * n + j]
                of_state = of_found[t, j] + carry[j]
                of_new = of_state * (ONE - update) * (ONE - new * new)
                found[t, j] = of_new * from_state[t, j] * reset * (ONE - reset)
                found[t, n + j] = of_state * (before[t, j] - new) * update * (ONE - update)
                found[t, 2 * n + j] = of_new
                found[t, 3 * n + j] = of_new * reset
                carry[j] = of_state * update
            if k % window == 0:
                carry[:] = ZERO
                continue
            for i in range(3 * n):
                value = found[t, i] if i < 2 * n else found[t, n + i]
                for j in range(n):
                    carry[j] += value * recurrent[i, j]
        begin += length
