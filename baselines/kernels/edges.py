"""Edges in the order of one of their ends."""

from __future__ import annotations

import numpy as np

from deepsched.baselines.kernels.structures import jit


@jit
def in_order(end, n, order):
    """Return the edges of `order` by the task at one end, those of one task as they stood.

    Parameters
    ----------
    end : (m,) the task of each edge, below `n`.

    Returns
    -------
    (n + 1,) where those of each task begin, and (m,) edges.
    """
    begins = np.zeros(n + 1, np.int64)
    for task in end:
        begins[task + 1] += 1
    for task in range(n):
        begins[task + 1] += begins[task]
    free, found = begins.copy(), np.empty_like(order)
    for edge in order:
        task = end[edge]
        found[free[task]] = edge
        free[task] += 1
    return begins, found
