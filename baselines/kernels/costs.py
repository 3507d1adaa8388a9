"""Execution times, and what describes a row of them."""

from __future__ import annotations

import numpy as np

from deepsched.baselines.kernels.structures import jit


@jit
def execution_times(work, speed, noise, memory, limit):
    """Return (n, p) work / speed · noise, inf where a task needs more memory than a machine has.

    `noise` is (n, p), or (0, 0) for none.
    """
    n, p = work.size, speed.size
    etc = np.empty((n, p))
    noisy = noise.size > 0
    for i in range(n):
        row = etc[i]
        for q in range(p):
            row[q] = work[i] / speed[q]
        if noisy:
            factors = noise[i]
            for q in range(p):
                row[q] *= factors[q]
        need = memory[i]
        for q in range(p):
            if need > limit[q]:
                row[q] = np.inf
    return etc


@jit
def cost_range(etc):
    """Return the first row without a finite entry, or -1, and the largest finite entry."""
    n, p = etc.shape
    stuck, longest = -1, 0.0
    for i in range(n - 1, -1, -1):
        row = etc[i]
        greatest = -1.0
        for q in range(p):
            cost = row[q]
            if cost != np.inf and cost > greatest:
                greatest = cost
        if greatest < 0:
            stuck = i
        elif greatest > longest:
            longest = greatest
    return stuck, longest


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
