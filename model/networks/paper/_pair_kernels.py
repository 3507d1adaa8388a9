"""Compiled layers over all task-machine pairs of a batch, and their gradients.

Axes: P pair, T task, M machine, D width. A pair has three features; a problem's pairs lie row after
row. `tasks` and `machines` are how many of them each problem has. No sum runs along the axis that
is vectorised, so that the results do not depend on how wide a processor's vectors are.
"""

from __future__ import annotations

import numpy as np

from deepsched.baselines.kernels.structures import jit

ZERO = np.float32(0)
FLUSH = 16  # tasks whose gradients are summed in float32, before float64 takes them


@jit
def score(tasks, machines, pair, fits, row, column, burst, weight, found):
    """Fill `found` (P,) with weight · relu(row + column + burst · pair); -inf: it does not fit.

    `row` (T, D), `column` (M, D), `burst` (3, D), `weight` (D,).
    """
    width, widest = weight.size, machines.max()
    turned = np.empty((width, widest), np.float32)
    first, second = np.empty(widest, np.float32), np.empty(widest, np.float32)
    third, total = np.empty(widest, np.float32), np.empty(widest, np.float32)
    task, above, p = 0, 0, 0
    for b in range(tasks.size):
        n = machines[b]
        for m in range(n):
            for d in range(width):
                turned[d, m] = column[above + m, d]
        for t in range(task, task + tasks[b]):
            for m in range(n):
                first[m], second[m], third[m] = pair[p + m, 0], pair[p + m, 1], pair[p + m, 2]
                total[m] = ZERO
            for d in range(width):
                own, w = row[t, d], weight[d]
                b0, b1, b2 = burst[0, d], burst[1, d], burst[2, d]
                for m in range(n):
                    hidden = own + turned[d, m] + b0 * first[m] + b1 * second[m] + b2 * third[m]
                    total[m] += (ZERO if hidden < ZERO else hidden) * w
            for m in range(n):
                found[p + m] = total[m] if fits[p + m] else -np.inf
            p += n
        task += tasks[b]
        above += n


@jit
def score_gradient(
    tasks, machines, pair, fits, row, column, burst, weight, of_found, of_row, of_column
):
    """Fill the gradients of `row` and `column`; return those of `burst` (3, D) and `weight` (D,).

    `of_found` is the gradient of what `score` found; `of_column` is of float64 and begins as zeros.
    """
    width, widest = weight.size, machines.max()
    of_burst, of_weight = np.zeros((3, width)), np.zeros(width)
    part_column = np.zeros((widest, width), np.float32)
    part_burst, part_weight = np.zeros((3, width), np.float32), np.zeros(width, np.float32)
    task, above, p = 0, 0, 0
    for b in range(tasks.size):
        n, end = machines[b], task + tasks[b]
        for t in range(task, end):
            of_row[t] = ZERO
            for m in range(n):
                if fits[p + m]:
                    given = of_found[p + m]
                    p0, p1, p2 = pair[p + m, 0], pair[p + m, 1], pair[p + m, 2]
                    for d in range(width):
                        hidden = (
                            row[t, d]
                            + column[above + m, d]
                            + burst[0, d] * p0
                            + burst[1, d] * p1
                            + burst[2, d] * p2
                        )
                        part_weight[d] += given * (ZERO if hidden < ZERO else hidden)
                        of_hidden = ZERO if hidden <= ZERO else given * weight[d]
                        of_row[t, d] += of_hidden
                        part_column[m, d] += of_hidden
                        part_burst[0, d] += of_hidden * p0
                        part_burst[1, d] += of_hidden * p1
                        part_burst[2, d] += of_hidden * p2
            p += n
            if (t - task) % FLUSH == FLUSH - 1 or t == end - 1:
                _add_up(part_column, of_column[above : above + n])
                _add_up(part_burst, of_burst)
                for d in range(width):
                    of_weight[d] += part_weight[d]
                    part_weight[d] = ZERO
        task = end
        above += n
    return of_burst, of_weight


@jit
def summary(tasks, machines, pair, fits, column, burst, found):
    """Fill `found` (T, D) with the mean of relu(column + burst · pair) over machines that fit.

    `column` (M, D), `burst` (3, D).
    """
    width = column.shape[1]
    task, above, p = 0, 0, 0
    for b in range(tasks.size):
        n = machines[b]
        for t in range(task, task + tasks[b]):
            count = ZERO
            found[t] = ZERO
            for m in range(n):
                if fits[p + m]:
                    count += np.float32(1)
                    p0, p1, p2 = pair[p + m, 0], pair[p + m, 1], pair[p + m, 2]
                    for d in range(width):
                        hidden = (
                            column[above + m, d]
                            + burst[0, d] * p0
                            + burst[1, d] * p1
                            + burst[2, d] * p2
                        )
                        found[t, d] += ZERO if hidden < ZERO else hidden
            for d in range(width):
                found[t, d] /= count
            p += n
        task += tasks[b]
        above += n


@jit
def summary_gradient(tasks, machines, pair, fits, column, burst, of_found, of_column):
    """Fill the gradient of `column`; return that of `burst` (3, D).

    `of_found` is the gradient of what `summary` found; `of_column` is of float64 and begins as
    zeros.
    """
    width, widest = column.shape[1], machines.max()
    of_burst = np.zeros((3, width))
    part_column = np.zeros((widest, width), np.float32)
    part_burst = np.zeros((3, width), np.float32)
    given = np.empty(width, np.float32)
    task, above, p = 0, 0, 0
    for b in range(tasks.size):
        n, end = machines[b], task + tasks[b]
        for t in range(task, end):
            count = ZERO
            for m in range(n):
                if fits[p + m]:
                    count += np.float32(1)
            for d in range(width):
                given[d] = of_found[t, d] / count
            for m in range(n):
                if fits[p + m]:
                    p0, p1, p2 = pair[p + m, 0], pair[p + m, 1], pair[p + m, 2]
                    for d in range(width):
                        hidden = (
                            column[above + m, d]
                            + burst[0, d] * p0
                            + burst[1, d] * p1
                            + burst[2, d] * p2
                        )
                        of_hidden = ZERO if hidden <= ZERO else given[d]
                        part_column[m, d] += of_hidden
                        part_burst[0, d] += of_hidden * p0
                        part_burst[1, d] += of_hidden * p1
                        part_burst[2, d] += of_hidden * p2
            p += n
            if (t - task) % FLUSH == FLUSH - 1 or t == end - 1:
                _add_up(part_column, of_column[above : above + n])
                _add_up(part_burst, of_burst)
        task = end
        above += n
    return of_burst


@jit
def _add_up(part, total):
    """Add the rows of a part to the total, and begin the part anew."""
    for i in range(total.shape[0]):
        for d in range(total.shape[1]):
            total[i, d] += part[i, d]
            part[i, d] = ZERO
