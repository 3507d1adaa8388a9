"""Compiled loops over costs and edges, for the features and the decoder's tables."""

from __future__ import annotations

import numpy as np

from deepsched.baselines.kernels.costs import finite_mean
from deepsched.baselines.kernels.structures import inlined, jit

LIMIT = 8.0  # features are clipped to ±LIMIT
LARGEST = np.finfo(np.float64).max
TINY = 1e-12
SMALLEST = 1e-300  # s, below which times count as this long where they divide


@jit
def cost_statistics(etc, found, slow, held):
    """Describe each row's finite costs.

    Fills `found` (n, 4) with their mean, least, standard deviation and number, and adds to `slow`
    and `held` (p,) each machine's costs against the tasks' means, and how many it can hold.
    """
    n, p = etc.shape
    for i in range(n):
        row = etc[i]
        centre = finite_mean(row)
        inverse = 1.0 / centre if centre > SMALLEST else 0.0
        # Four sums and minima side by side, which do not wait for each other.
        a, b, c, d = 0.0, 0.0, 0.0, 0.0
        low_a, low_b, low_c, low_d = np.inf, np.inf, np.inf, np.inf
        for q in range(0, p - 3, 4):
            a += (row[q] - centre) ** 2
            b += (row[q + 1] - centre) ** 2
            c += (row[q + 2] - centre) ** 2
            d += (row[q + 3] - centre) ** 2
            low_a = row[q] if row[q] < low_a else low_a
            low_b = row[q + 1] if row[q + 1] < low_b else low_b
            low_c = row[q + 2] if row[q + 2] < low_c else low_c
            low_d = row[q + 3] if row[q + 3] < low_d else low_d
        for q in range(p - p % 4, p):
            a += (row[q] - centre) ** 2
            low_a = row[q] if row[q] < low_a else low_a
        squares, count = (a + b) + (c + d), p
        if squares == np.inf:
            squares, count = 0.0, 0
            for q in range(p):
                if row[q] != np.inf:
                    squares += (row[q] - centre) ** 2
                    count += 1
        if count == p:
            for q in range(p):
                slow[q] += row[q] * inverse
                held[q] += 1.0
        else:
            for q in range(p):
                fits = row[q] != np.inf
                slow[q] += row[q] * inverse if fits else 0.0
                held[q] += 1.0 if fits else 0.0
        found[i, 0], found[i, 1] = centre, min(min(low_a, low_b), min(low_c, low_d))
        found[i, 2], found[i, 3] = np.sqrt(squares / count), count


@jit
def downward(topo, mean, succs, comm):
    """Return the downward rank from edges by parent."""
    rank = np.zeros(mean.size)
    for i in topo:
        done = rank[i] + mean[i]
        for e in range(succs.ptr[i], succs.ptr[i + 1]):
            child = succs.task[e]
            rank[child] = max(rank[child], done + comm[e])
    return rank


@jit
def optimistic(topo, etc, eligible, succs, comm, unit, table, links):
    """Fill a table with PEFT's optimistic costs + execution times, / unit; two numbers a task, s.

    These are the least optimistic cost, and the mean of what the others are above it, both over the
    machines that can hold it, of which there are `eligible` (n,). Within a node nothing is
    transferred. The table is (n, p) float32, half the memory to move; `unit`, s, keeps it from
    overflowing. With the sums in it an edge costs one pass over p.
    """
    n, p = etc.shape
    zero = np.float32(0)
    row, nearest = np.empty(p, np.float32), np.empty(p, np.float32)
    least, regret, cheapest = np.empty(n), np.empty(n), np.empty(n, np.float32)
    inverse = 1.0 / unit
    for k in range(n - 1, -1, -1):
        i = topo[k]
        own, through = etc[i], table[i]
        row[:] = zero
        for e in range(succs.ptr[i], succs.ptr[i + 1]):
            j = succs.task[e]
            child, elsewhere = table[j], cheapest[j] + np.float32(comm[e] * inverse)
            if links.grouped:
                _nearest(child, links.node, nearest)
                child = nearest
            for q in range(p):
                ahead = child[q] if child[q] < elsewhere else elsewhere
                row[q] = ahead if ahead > row[q] else row[q]
        for q in range(p):
            through[q] = row[q] + np.float32(own[q] * inverse)
        if eligible[i] == p:
            low, cheapest[i], total = _described(row, through)
        else:
            low, cheapest[i], total = _described_where_it_fits(row, through, own)
        least[i] = low * unit
        # Never below 0, as rounded sums can be.
        regret[i] = max(total / eligible[i] - low, 0.0) * unit
    return least, regret


@inlined
def _described(row, through):
    """Return the least of `row`, the least of `through`, and the sum of `row`, all (p,)."""
    zero, infinite = np.float32(0), np.float32(np.inf)
    p = row.size
    # Four of each side by side, which do not wait for each other.
    a, b, c, d = zero, zero, zero, zero
    low_a, low_b, low_c, low_d = infinite, infinite, infinite, infinite
    all_a, all_b, all_c, all_d = infinite, infinite, infinite, infinite
    for q in range(0, p - 3, 4):
        a += row[q]
        b += row[q + 1]
        c += row[q + 2]
        d += row[q + 3]
        low_a = row[q] if row[q] < low_a else low_a
        low_b = row[q + 1] if row[q + 1] < low_b else low_b
        low_c = row[q + 2] if row[q + 2] < low_c else low_c
        low_d = row[q + 3] if row[q + 3] < low_d else low_d
        all_a = through[q] if through[q] < all_a else all_a
        all_b = through[q + 1] if through[q + 1] < all_b else all_b
        all_c = through[q + 2] if through[q + 2] < all_c else all_c
        all_d = through[q + 3] if through[q + 3] < all_d else all_d
    for q in range(p - p % 4, p):
        a += row[q]
        low_a = row[q] if row[q] < low_a else low_a
        all_a = through[q] if through[q] < all_a else all_a
    low = min(min(low_a, low_b), min(low_c, low_d))
    return low, min(min(all_a, all_b), min(all_c, all_d)), (a + b) + (c + d)


@inlined
def _described_where_it_fits(row, through, own):
    """Return the same over the machines on which the execution times `own` (p,) are finite."""
    low, cheapest, total = np.float32(np.inf), np.float32(np.inf), np.float32(0)
    for q in range(row.size):
        if own[q] != np.inf:
            low = min(low, row[q])
            cheapest = min(cheapest, through[q])
            total += row[q]
    return low, cheapest, total


@jit
def _nearest(child, node, found):
    """Fill `found` (p,) with the least entry of a row over the machines of each one's node."""
    least = np.full(found.size, np.float32(np.inf))
    for q in range(found.size):
        least[node[q]] = min(least[node[q]], child[q])
    for q in range(found.size):
        found[q] = least[node[q]]


@jit
def edge_statistics(succs, comm):
    """Return (n, 6): parents, children, mean transfer times in and out, the largest of each, s."""
    n = succs.ptr.size - 1
    found = np.zeros((n, 6))
    for i in range(n):
        for e in range(succs.ptr[i], succs.ptr[i + 1]):
            j = succs.task[e]
            found[j, 0] += 1.0
            found[i, 1] += 1.0
            found[j, 2] += comm[e]
            found[i, 3] += comm[e]
            found[j, 4] = max(found[j, 4], comm[e])
            found[i, 5] = max(found[i, 5], comm[e])
    return found


@jit
def task_features(
    up, down, costs, graph, crowding, arrival, path, unit, machines, of_problem, found
):
    """Fill `found` (n, features), in the order of `TASK_FEATURES`, but for the regret."""
    n, last = up.size, found.shape[1]
    for i in range(n):
        mean, least, spread, fits = costs[i]
        row = found[i]
        row[0] = _cut(up[i] / path)
        row[1] = _cut(down[i] / path)
        row[2] = _cut(1.0 - (up[i] + down[i]) / path)
        row[3] = _cut(np.log((mean + TINY) / (unit + TINY)))
        row[4] = _cut(np.log((least + TINY) / (mean + TINY)))
        row[5] = _cut(spread / (mean + TINY))
        row[6] = _cut(np.log1p(graph[i, 0]))
        row[7] = _cut(np.log1p(graph[i, 1]))
        for k in range(4):
            row[8 + k] = _cut(np.log1p(graph[i, 2 + k] / unit))
        row[12] = _cut(np.log(crowding[i] / machines))
        row[13] = _cut(arrival[i] / path)
        row[14] = fits / machines
        for k in range(16, last):
            row[k] = _cut(of_problem[k - 16])


@jit
def regret_feature(regret, unit, found):
    """Fill the column of the regret."""
    for i in range(regret.size):
        found[i, 15] = _cut(np.log1p(regret[i] / unit))


@jit
def edge_features(comm, unit):
    """Return (m,) the logarithm of one more than each mean transfer time / `unit`."""
    found = np.empty(comm.size, np.float32)
    for e in range(comm.size):
        found[e] = np.log1p(min(comm[e] / unit, LARGEST))
    return found


@jit
def _cut(value):
    return min(max(value, -LIMIT), LIMIT)
