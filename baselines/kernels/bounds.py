"""Lower bounds on the makespan."""

from __future__ import annotations

import numpy as np

from deepsched.baselines.kernels.structures import jit


@jit
def earliest_start(topo, cost, release, preds):
    """Return (n,) when each task starts that waits only for its release and its parents' ends."""
    start, finish = np.empty(cost.size), np.empty(cost.size)
    for i in topo:
        begin = release[i]
        for e in range(preds.ptr[i], preds.ptr[i + 1]):
            begin = max(begin, finish[preds.task[e]])
        start[i], finish[i] = begin, begin + cost[i]
    return start


@jit
def machine_sums(etc):
    """Return (p,) the sum and the number of the finite costs on each machine."""
    n, p = etc.shape
    total, count = np.zeros(p), np.zeros(p, np.int64)
    for i in range(n):
        for q in range(p):
            if etc[i, q] != np.inf:
                total[q] += etc[i, q]
                count[q] += 1
    return total, count


@jit
def area_bound(etc, weights, rounds, enough, proc, least=0.0):
    """Return the greatest Σ_i min_q λ_q etc[i, q] met in `rounds` steps of ascent, and its λ (p,).

    It ends before where the value is `enough`, or can be no greater than `least`. `proc` (n,) is
    filled with the minima's machines of the step that loads none of them as much as others do;
    (0,): nobody wants them.
    """
    n, p = etc.shape
    weights = weights.copy()
    load, chosen = np.empty(p), np.empty(proc.size, np.int64)
    best, lightest, greatest = 0.0, np.inf, weights.copy()
    for step in range(rounds):
        load[:] = 0.0
        total = 0.0
        for i in range(n):
            least, machine = np.inf, 0
            for q in range(p):
                value = weights[q] * etc[i, q]
                if value < least:
                    least, machine = value, q
            total += least
            load[machine] += etc[i, machine]
            if chosen.size > 0:
                chosen[i] = machine
        if total > best:
            best = total
            greatest[:] = weights
        if chosen.size > 0 and load.max() < lightest:
            lightest = load.max()
            proc[:] = chosen
        mean = load.mean()
        # No λ gives more than an assignment's greatest load.
        if mean == 0.0 or best >= enough or load.max() <= least:
            break
        # The load of the greedy assignment is a supergradient: raise the price of loaded machines.
        scale = 1.0 / (p * (1.0 + step) ** 0.75)
        norm = 0.0
        for q in range(p):
            weights[q] *= np.exp(min(scale * (load[q] / mean - 1.0), 1.0))
            norm += weights[q]
        for q in range(p):
            weights[q] /= norm
    return best, greatest


@jit
def shares(etc, shut, weights):
    """Return (n,) min_q λ_q etc[i, q]: what each task adds to the area bound of any set of tasks.

    `shut` (n, p) marks machines that are not looked at; a task that has no other gets inf.
    """
    n, p = etc.shape
    found = np.full(n, np.inf)
    for i in range(n):
        for q in range(p):
            if not shut[i, q]:
                found[i] = min(found[i], weights[q] * etc[i, q])
    return found


@jit
def best_set(heads, tails, shares, lengths):
    """Return the greatest a + Σ shares + b over tasks of heads ≥ a and tails ≥ b, and a and b.

    `lengths` are the b that are tried.
    """
    order = np.argsort(-heads)
    best, from_head, from_tail = 0.0, 0.0, 0.0
    for b in lengths:
        area = 0.0
        for i in order:
            if tails[i] >= b:
                area += shares[i]
                if heads[i] + area + b > best:
                    best, from_head, from_tail = heads[i] + area + b, heads[i], b
    return best, from_head, from_tail
