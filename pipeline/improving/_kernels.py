"""Compiled loops of imitation; see `baselines._kernels` for the conventions."""

from __future__ import annotations

import numpy as np

from baselines._kernels import _note_inputs, data_ready, jit


@jit
def replay(order, proc, ast, aft, etc, arrival, preds, links, guide):
    """Return each task's EFT (n, p) and a guide's three terms (n, 3, p), by another's schedule.

    Tasks come in `order`, which is that of their starts; each sees those before it where the
    schedule has them. Where a machine cannot hold a task its EFT is inf and its terms are 0.
    """
    n, p = etc.shape
    eft, terms = np.full((n, p), np.inf), np.zeros((n, 3, p))
    most = np.bincount(proc, minlength=p).max()
    starts, ends, count = np.empty((p, most)), np.empty((p, most)), np.zeros(p, np.int64)
    host, largest, ready = np.full(n, -1), np.zeros(n), np.empty(p)
    ahead = guide.through.shape[0] > 0
    succs = guide.succs
    for i in order:
        data_ready(i, arrival, preds, links, proc, aft, ready)
        for q in range(p):
            length = etc[i, q]
            if length == np.inf:
                continue
            low, high = 0, count[q]
            while low < high:
                middle = (low + high) // 2
                if ends[q, middle] < ready[q]:
                    low = middle + 1
                else:
                    high = middle
            free = ends[q, low - 1] if low > 0 else 0.0
            for k in range(low, count[q]):
                if starts[q, k] > free and max(free, ready[q]) + length <= starts[q, k]:
                    break
                free = ends[q, k]
            eft[i, q] = max(free, ready[q]) + length
            if ahead:
                left = guide.unit * guide.through[i, q] - length
                terms[i, 0, q] = left - guide.least_optimistic[i]
            terms[i, 1, q] = length - guide.least_cost[i]
        for e in range(succs.ptr[i], succs.ptr[i + 1]):
            q = host[succs.task[e]]
            if q >= 0 and etc[i, q] != np.inf:
                terms[i, 2, q] -= guide.mean_comm[e]
        own = proc[i]
        starts[own, count[own]], ends[own, count[own]] = ast[i], aft[i]
        count[own] += 1
        _note_inputs(i, own, guide, host, largest)
    return eft, terms
