"""Lower bounds on the makespan."""

from __future__ import annotations

import numpy as np

from deepsched.baselines.kernels.structures import jit


@jit
def longest_path(topo, cost, release, preds):
    """Return the latest finish when every task starts as soon as released and its parents done."""
    finish = np.empty(cost.size)
    latest = 0.0
    for i in topo:
        start = release[i]
        for e in range(preds.ptr[i], preds.ptr[i + 1]):
            start = max(start, finish[preds.task[e]])
        finish[i] = start + cost[i]
        latest = max(latest, finish[i])
    return latest


@jit
def area_bound(etc, weights, rounds):
    """Return the greatest Σ_i min_q λ_q etc[i, q] met in `rounds` steps of ascent over λ."""
    n, p = etc.shape
    weights = weights.copy()
    load = np.empty(p)
    best = 0.0
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
        best = max(best, total)
        mean = load.mean()
        if mean == 0.0:
            break
        # The load of the greedy assignment is a supergradient: raise the price of loaded machines.
        scale = 1.0 / (p * (1.0 + step) ** 0.75)
        norm = 0.0
        for q in range(p):
            weights[q] *= np.exp(min(scale * (load[q] / mean - 1.0), 1.0))
            norm += weights[q]
        for q in range(p):
            weights[q] /= norm
    return best
