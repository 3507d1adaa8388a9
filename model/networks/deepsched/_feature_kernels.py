"""Compiled loops over costs and edges, for the features and the decoder's tables."""

from __future__ import annotations

import numpy as np

from deepsched.baselines.kernels.costs import finite_mean
from deepsched.baselines.kernels.structures import jit

LANES = 16
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
