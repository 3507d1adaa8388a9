"""Compiled layers of the network `deepsched`."""

from __future__ import annotations

import numpy as np

from deepsched.baselines.kernels.structures import jit

EPSILON = np.float32(1e-5)  # of torch's LayerNorm


@jit
def add_and_cut(values, bias):
    """Add the bias and cut what is below 0, in place."""
    for i in range(values.shape[0]):
        for c in range(bias.size):
            values[i, c] = max(values[i, c] + bias[c], np.float32(0))


@jit
def add_cut_and_add(state, change, bias):
    """Add to the state what the change and its bias have above 0, in place."""
    for i in range(state.shape[0]):
        for c in range(bias.size):
            state[i, c] += max(change[i, c] + bias[c], np.float32(0))


@jit
def normed(state, weight, bias, found):
    """Fill `found` with the layer norm of each row; return (w,) its sum over the rows."""
    n, width = state.shape
    total = np.zeros(width)
    for i in range(n):
        centre = np.float32(0)
        for c in range(width):
            centre += state[i, c]
        centre /= np.float32(width)
        spread = np.float32(0)
        for c in range(width):
            spread += (state[i, c] - centre) ** 2
        scale = np.float32(1) / np.sqrt(spread / np.float32(width) + EPSILON)
        for c in range(width):
            found[i, c] = (state[i, c] - centre) * scale * weight[c] + bias[c]
            total[c] += found[i, c]
    return total


@jit
def hear_children(both, ptr, children, weight, edge, heard):
    """Fill the left half of `heard` (n, 2 w) with what each task hears of its children.

    `both` (n, 2 w) holds what each task says to its parents, and to its children.
    """
    n, width = both.shape[0], edge.size
    zero = np.float32(0)
    for i in range(n):
        total = heard[i]
        total[:width] = zero
        for e in range(ptr[i], ptr[i + 1]):
            said, far = both[children[e]], weight[e]
            for c in range(width):
                word = said[c] + far * edge[c]
                total[c] += word if word > zero else zero
        for c in range(width):
            total[c] /= np.sqrt(np.float32(1) + total[c])


@jit
def hear_parents(both, ptr, children, weight, edge, heard):
    """Fill the right half with what each task hears of its parents."""
    n, width = both.shape[0], edge.size
    zero = np.float32(0)
    heard[:, width:] = zero
    for i in range(n):
        said = both[i, width:]
        for e in range(ptr[i], ptr[i + 1]):
            total, far = heard[children[e], width:], weight[e]
            for c in range(width):
                word = said[c] + far * edge[c]
                total[c] += word if word > zero else zero
    for i in range(n):
        total = heard[i, width:]
        for c in range(width):
            total[c] /= np.sqrt(np.float32(1) + total[c])
