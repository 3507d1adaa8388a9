"""Compiled loops over costs and edges, for the features and the decoder's tables."""

from __future__ import annotations

import numpy as np

from deepsched.baselines.kernels.costs import finite_mean
from deepsched.baselines.kernels.structures import jit

LANES = 16
LIMIT = 8.0  # features are clipped to ±LIMIT
LARGEST = np.finfo(np.float64).max
TINY = 1e-12
SMALLEST = 1e-300  # s, below which times count as this long where they divide


@jit
def cost_statistics(etc, found, slow, held):
    """Describe each row's finite costs in one pass over the table.

    Fills `found` (n, 4) with their mean, least, standard deviation and number, and adds to `slow`
    and `held` (p,) each machine's costs against the tasks' means, and how many it can hold.
    """
    n, p = etc.shape
    for i in range(n):
        row = etc[i]
        centre = finite_mean(row)
        inverse = 1.0 / centre if centre > SMALLEST else 0.0
        squares, low, count = 0.0, np.inf, 0
        for q in range(p):
            cost = row[q]
            fits = cost != np.inf
            off = cost - centre if fits else 0.0
            squares += off * off
            low = min(low, cost)
            count += fits
            slow[q] += cost * inverse if fits else 0.0
            held[q] += fits
        found[i, 0], found[i, 1] = centre, low
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
def optimistic(topo, etc, succs, comm, unit, table, links):
    """Fill a table with PEFT's optimistic costs + execution times, / unit; two numbers a task, s.

    These are the least optimistic cost, and the mean of what the others are above it, both over the
    machines that can hold it. Within a node nothing is transferred. The table is (n, p) float32,
    half the memory to move; `unit`, s, keeps it from overflowing. With the sums in it an edge costs
    one pass over p.
    """
    n, p = etc.shape
    zero, one, infinite = np.float32(0), np.float32(1), np.float32(np.inf)
    row, nearest = np.empty(p, np.float32), np.empty(p, np.float32)
    # Reductions run in lanes side by side, which the processor can do at once.
    lows, cheaps = np.empty(LANES, np.float32), np.empty(LANES, np.float32)
    sums, counts = np.empty(LANES, np.float32), np.empty(LANES, np.float32)
    least, regret, cheapest = np.empty(n), np.empty(n), np.empty(n, np.float32)
    inverse = 1.0 / unit
    whole = p - p % LANES
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
        lows[:] = infinite
        cheaps[:] = infinite
        sums[:] = zero
        counts[:] = zero
        for first in range(0, p, LANES):
            for c in range(LANES if first < whole else p - whole):
                value, ahead = through[first + c], row[first + c]
                fits = own[first + c] != np.inf
                low = ahead if fits else infinite
                lows[c] = low if low < lows[c] else lows[c]
                cheaps[c] = value if value < cheaps[c] else cheaps[c]
                sums[c] += ahead if fits else zero
                counts[c] += one if fits else zero
        total, count = 0.0, 0.0
        for c in range(LANES):
            total += sums[c]
            count += counts[c]
        low = lows.min()
        least[i], cheapest[i] = low * unit, cheaps.min()
        # Never below 0, as rounded sums can be.
        regret[i] = max(total / count - low, 0.0) * unit
    return least, regret


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
    up, down, costs, graph, crowding, arrival, regret, path, unit, machines, of_problem, found
):
    """Fill `found` (n, features), in the order of `TASK_FEATURES`."""
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
        row[15] = _cut(np.log1p(regret[i] / unit))
        for k in range(16, last):
            row[k] = _cut(of_problem[k - 16])


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
