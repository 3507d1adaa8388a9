"""Another's schedule replayed, compiled: the choices that were there at each of its steps."""

from __future__ import annotations

import numpy as np

from deepsched.baselines.kernels.placement import (
    FIRST_GAP_CAPACITY,
    data_ready,
    doubled,
    find_gap,
    note_inputs,
    occupy,
    placement_bias,
)
from deepsched.baselines.kernels.structures import jit


@jit
def replay(order, proc, ast, aft, etc, arrival, preds, links, terms):
    """Return each task's EFT (n, p) and the three terms (n, 3, p), by another's schedule.

    Tasks come in `order`, which is that of their starts; each sees those before it where the
    schedule has them. Where a machine cannot hold a task its EFT is inf and its terms are 0.
    """
    n, p = etc.shape
    eft, each = np.full((n, p), np.inf), np.zeros((n, 3, p))
    capacity = FIRST_GAP_CAPACITY
    gap_start, gap_end = np.empty((p, capacity)), np.empty((p, capacity))
    n_gaps, longest_gap, tail = np.zeros(p, np.int64), np.zeros(p), np.zeros(p)
    host, largest, ready = np.full(n, -1), np.zeros(n), np.empty(p)
    ahead = terms.through.shape[0] > 0
    nothing = np.zeros(p, np.float32)
    for i in order:
        data_ready(i, arrival, preds, links, proc, aft, ready)
        duration = etc[i]
        through = terms.through[i] if ahead else nothing
        # Each term by itself: its weight 1, the others 0.
        if ahead:
            placement_bias(i, 1.0, 0.0, 0.0, through, duration, terms, host, each[i, 0])
        placement_bias(i, 0.0, 1.0, 0.0, through, duration, terms, host, each[i, 1])
        placement_bias(i, 0.0, 0.0, 1.0, through, duration, terms, host, each[i, 2])
        for q in range(p):
            length = duration[q]
            if length == np.inf:
                each[i, :, q] = 0.0
                continue
            gap, start = find_gap(
                gap_start[q], gap_end[q], n_gaps[q], ready[q], length, 0.0, np.inf, False
            )
            eft[i, q] = (start if gap >= 0 else max(tail[q], ready[q])) + length
        own = proc[i]
        # In the order of their starts all tasks are appended.
        occupy(gap_start, gap_end, n_gaps, longest_gap, tail, own, -1, ast[i], aft[i])
        if n_gaps[own] == capacity:
            gap_start, gap_end = doubled(gap_start), doubled(gap_end)
            capacity *= 2
        note_inputs(i, own, terms, host, largest)
    return eft, each
