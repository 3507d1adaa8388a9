"""Tasks that have to share a machine: how long it is busy with them, at the least."""

from __future__ import annotations

import heapq

import numpy as np

from deepsched.baselines.kernels.structures import jit


@jit
def preemptive(heads, costs, tails):
    """Return when tasks on one machine are over at the earliest, their tails included, s.

    Each starts at its head or later, and can be interrupted, which makes it a lower bound where
    none can: of the tasks that are there the one of greatest tail runs.

    References
    ----------
    Jackson's preemptive schedule: Carlier (1982), doi:10.1016/S0377-2217(82)80007-6.
    """
    size = heads.size
    order, by_tail = np.argsort(heads), np.argsort(-tails)
    place = np.empty(size, np.int64)
    for k in range(size):
        place[by_tail[k]] = k
    left = costs.copy()
    waiting = [0]
    waiting.pop()
    now, over, k = 0.0, 0.0, 0
    while k < size or len(waiting) > 0:
        if len(waiting) == 0:
            now = max(now, heads[order[k]])
        while k < size and heads[order[k]] <= now:
            heapq.heappush(waiting, place[order[k]])
            k += 1
        i = by_tail[waiting[0]]
        done = now + left[i]
        if k < size and heads[order[k]] < done:
            left[i] = done - heads[order[k]]
            now = heads[order[k]]
            continue
        now = done
        over = max(over, done + tails[i])
        heapq.heappop(waiting)
    return over


@jit
def busiest(leader, etc, ends, rests, limit, shut):
    """Return the greatest bound, s, of all groups of tasks that share a machine, each on its best.

    `leader` (n,) names the first task of each one's group. Machines on which a group takes longer
    than `limit` are shut to its tasks. Returns also how many were; the bound is inf where a group
    is left without a machine.
    """
    n, p = etc.shape
    size = np.zeros(n, np.int64)
    for i in range(n):
        size[leader[i]] += 1
    begin = np.zeros(n, np.int64)
    begin[1:] = np.cumsum(size)[:-1]
    members, filled = np.empty(n, np.int64), begin.copy()
    for i in range(n):
        members[filled[leader[i]]] = i
        filled[leader[i]] += 1
    most, count = 0.0, 0
    for first in range(n):
        if size[first] == 0:
            continue
        if size[first] == 1:  # as nearly all are without a limit
            least = np.inf
            for q in range(p):
                if not shut[first, q]:
                    least = min(least, ends[first, q] + (rests[first, q] - etc[first, q]))
            most = max(most, least)
            continue
        group = members[begin[first] : begin[first] + size[first]]
        heads, costs, tails = np.empty(group.size), np.empty(group.size), np.empty(group.size)
        least = np.inf
        for q in range(p):
            fits = True
            for i in group:
                fits = fits and not shut[i, q]
            over = np.inf
            if fits:
                for k in range(group.size):
                    i = group[k]
                    costs[k] = etc[i, q]
                    heads[k], tails[k] = ends[i, q] - costs[k], rests[i, q] - costs[k]
                over = heads.min() + costs.sum() + tails.min()
                if over <= limit:
                    over = preemptive(heads, costs, tails)
            if over > limit:
                for i in group:
                    count += not shut[i, q]
                    shut[i, q] = True
            least = min(least, over)
        most = max(most, least)
    return most, count
