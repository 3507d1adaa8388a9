"""Execution times, and what describes a row of them."""

from __future__ import annotations

import numpy as np

from deepsched.baselines.kernels.lanes import LANES, greatest_of
from deepsched.baselines.kernels.structures import inlined, jit


@jit
def execution_times(work, speed, noise, memory, limit, etc):
    """Write work / speed · noise, inf where a task needs more memory than a machine has.

    Return what `cost_range` says of them, while they are at hand. `noise` is (n, p), or (0, 0) for
    none; `etc` is (n, p).
    """
    n, p = etc.shape
    noisy = noise.size > 0
    least, lanes = limit.min(), np.empty(LANES)
    stuck, longest = -1, 0.0
    for i in range(n):
        row = etc[i]
        for q in range(p):
            row[q] = work[i] / speed[q]
        if noisy:
            factors = noise[i]
            for q in range(p):
                row[q] *= factors[q]
        need = memory[i]
        if need > least:
            for q in range(p):
                if need > limit[q]:
                    row[q] = np.inf
        greatest = _greatest_finite(row, lanes)
        if greatest < 0 and stuck < 0:
            stuck = i
        longest = max(longest, greatest)
    return stuck, longest


@jit
def cost_range(etc):
    """Return the first row without a finite entry, or -1, and the largest finite entry."""
    stuck, longest, lanes = -1, 0.0, np.empty(LANES)
    for i in range(etc.shape[0]):
        greatest = _greatest_finite(etc[i], lanes)
        if greatest < 0 and stuck < 0:
            stuck = i
        longest = max(longest, greatest)
    return stuck, longest


@inlined
def _greatest_finite(row, lanes):
    """Return the largest finite entry of a row without negative ones, or -1."""
    greatest = greatest_of(row, lanes)
    if greatest == np.inf:
        greatest = -1.0
        for cost in row:
            if cost != np.inf and cost > greatest:
                greatest = cost
    return greatest


@jit
def mean_over_finite(etc):
    """Return (n,) mean of each row over its finite entries."""
    mean = np.empty(etc.shape[0])
    for i in range(etc.shape[0]):
        mean[i] = finite_mean(etc[i])
    return mean


@jit
def finite_mean(row):
    """Return the mean of the finite entries.

    The sum runs over four interleaved partial sums, a fixed order that the processor can overlap.
    """
    p = row.size
    a, b, c, d = 0.0, 0.0, 0.0, 0.0
    for q in range(0, p - 3, 4):
        a += row[q]
        b += row[q + 1]
        c += row[q + 2]
        d += row[q + 3]
    for q in range(p - p % 4, p):
        a += row[q]
    total = (a + b) + (c + d)
    count = p
    if total == np.inf:
        total, count = 0.0, 0
        for cost in row:
            if cost != np.inf:
                total += cost
                count += 1
    return total / count
