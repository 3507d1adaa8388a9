"""When each task can start at the earliest on each machine, and what follows within a limit.

A task's *end* on a machine is the earliest time at which it can be done there. The same loop over
the reversed problem gives its *rest*: the least time from its start to the end of the schedule.
"""

from __future__ import annotations

import numpy as np

from deepsched.baselines.kernels.lanes import LANES, least_of
from deepsched.baselines.kernels.structures import inlined, jit


@jit
def earliest_ends(topo, etc, shut, release, preds, links, exact, fewest, again, ends):
    """Fill `ends` (n, p) with when each task can be done on each machine; inf: it cannot run there.

    Returns (n,) the earliest of each. `shut` (n, p) marks machines that tasks may not take, (0, 0):
    none. With `again`, `ends` is there and only rises.

    A task waits for its release and for every parent's data, which come from its own node or, with
    the transfer, from the machine where the parent is done first. Where links differ that is found
    in edges x machines², with `exact`; else transfers take what they would over the best link into
    the machine, or over the best one out of the parent's, if that takes longer.

    Parents that have to share a machine are looked for where at least `fewest` of them meet.
    """
    n, p = etc.shape
    soonest, lanes, closed = np.empty(n), np.empty(LANES), shut.size > 0
    row, near, least, inward = np.empty(p), np.empty(p), np.empty(p), np.empty(p)
    latency, bandwidth = links.latency[0, links.far], links.bandwidth[0, links.far]
    best = np.empty((4, 0)) if links.uniform else _best_links(links)
    widest = 0
    for i in range(n):
        widest = max(widest, preds.ptr[i + 1] - preds.ptr[i])
    late, order = np.empty(widest), np.empty(widest, np.int64)
    for i in topo:
        row[:] = release[i]
        first, last = preds.ptr[i], preds.ptr[i + 1]
        for e in range(first, last):
            j, data = preds.task[e], preds.data[e]
            local = ends[j]
            if links.grouped:
                _nearest(ends[j], links.node, least, near)
                local = near
            if links.uniform:
                there = soonest[j] + (latency + data / bandwidth)
                for q in range(p):
                    ahead = local[q] if local[q] < there else there
                    row[q] = ahead if ahead > row[q] else row[q]
                late[e - first] = there
                continue
            if exact:
                _inward(ends[j], data, links, inward)
            else:
                there = np.inf
                for r in range(p):
                    there = min(there, ends[j, r] + (best[2, r] + data / best[3, r]))
                for q in range(p):
                    inward[q] = max(there, soonest[j] + (best[0, q] + data / best[1, q]))
            for q in range(p):
                row[q] = max(row[q], min(local[q], inward[q]))
            late[e - first] = inward.min()
        if last - first >= fewest and not links.grouped:
            _one_after_another(first, last, preds.task, late, etc, ends, order, row)
        own, end = etc[i], ends[i]
        if again:
            for q in range(p):
                value = row[q] + own[q]
                end[q] = value if value > end[q] else end[q]
        else:
            for q in range(p):
                end[q] = row[q] + own[q]
        if closed:
            barred = shut[i]
            for q in range(p):
                end[q] = np.inf if barred[q] else end[q]
        soonest[i] = least_of(end, lanes)
    return soonest


@jit
def heads(etc, ends):
    """Return (n,) the earliest start of each task that these ends (n, p) mean; inf: it has none."""
    n, p = etc.shape
    found, starts, lanes = np.empty(n), np.empty(p), np.empty(LANES)
    for i in range(n):
        end, own = ends[i], etc[i]
        for q in range(p):
            starts[q] = end[q] - own[q] if end[q] < np.inf else np.inf
        found[i] = least_of(starts, lanes)
    return found


@jit
def _one_after_another(first, last, parent, late, etc, ends, order, row):
    """Raise a task's starts `row` (p,) where parents have to run on its machine, one by one.

    `late` has, for each parent, when its data can be there from elsewhere. Whichever parents run
    elsewhere, the task waits for the latest of them, and for the sum of the others: the best choice
    keeps those that would be latest from elsewhere.

    References
    ----------
    Jung, Kirousis, Spirakis (1993), doi:10.1006/inco.1993.1041, without duplication.
    """
    count = last - first
    # Shell's sort: insertion where parents are few, and it compiles seconds faster than argsort.
    gap = 1
    while gap < count // 3:
        gap = 3 * gap + 1
    for k in range(count):
        order[k] = k
    while gap > 0:
        for k in range(gap, count):
            one, at = order[k], k
            while at >= gap and late[order[at - gap]] < late[one]:
                order[at] = order[at - gap]
                at -= gap
            order[at] = one
        gap //= 3
    # One that has to stay is no conflict.
    second = late[order[1]]
    for q in range(row.size):
        if second <= row[q]:
            continue
        j = parent[first + order[0]]
        begin, total, done = ends[j, q] - etc[j, q], etc[j, q], row[q]
        for k in range(1, count):
            there = late[order[k]]
            if there <= done:
                break
            j = parent[first + order[k]]
            begin = min(begin, ends[j, q] - etc[j, q])
            total += etc[j, q]
            if begin + total >= there:
                done = there
                break
            done = max(done, begin + total)
        row[q] = done


@jit
def _inward(end, data, links, found):
    """Fill `found` (p,) with when a parent's data can be on each machine, from another node."""
    found[:] = np.inf
    for r in range(end.size):
        latency, bandwidth, node = links.latency[r], links.bandwidth[r], links.node[r]
        for q in range(end.size):
            if links.node[q] != node:
                found[q] = min(found[q], end[r] + (latency[q] + data / bandwidth[q]))


@inlined
def _nearest(local, node, least, found):
    """Fill `found` (p,) with the least entry of `local` over the machines of each one's node."""
    least[:] = np.inf
    for q in range(local.size):
        least[node[q]] = min(least[node[q]], local[q])
    for q in range(local.size):
        found[q] = least[node[q]]


@jit
def _best_links(links):
    """Return (4, p) least latency and greatest bandwidth into each machine, and out of it."""
    p = links.node.size
    found = np.zeros((4, p))
    found[0], found[2] = np.inf, np.inf
    for r in range(p):
        for q in range(p):
            if links.node[r] != links.node[q]:
                latency, bandwidth = links.latency[r, q], links.bandwidth[r, q]
                found[0, q], found[1, q] = min(found[0, q], latency), max(found[1, q], bandwidth)
                found[2, r], found[3, r] = min(found[2, r], latency), max(found[3, r], bandwidth)
    return found


@jit
def least_transfers(data, links):
    """Return (m,) the least time each transfer takes between machines on different nodes, s.

    It is inf where there is one node only.
    """
    best = _best_links(links)
    latency, bandwidth = best[0].min(), best[1].max()
    found = np.full(data.size, np.inf)
    if bandwidth > 0:
        for e in range(data.size):
            found[e] = latency + data[e] / bandwidth
    return found


@jit
def narrowed(etc, ends, rests, limit, shut):
    """Shut machines to tasks that would make the schedule longer than `limit` there.

    Returns how many were shut, or -1 if a task is left without a machine.
    """
    n, p = etc.shape
    count = 0
    for i in range(n):
        left = False
        for q in range(p):
            if shut[i, q]:
                continue
            if ends[i, q] + (rests[i, q] - etc[i, q]) > limit:
                shut[i, q] = True
                count += 1
            else:
                left = True
        if not left:
            return -1
    return count


@jit
def sharing(shut, ends, rests, preds, transfer, links, limit):
    """Return (n,) for each task the first of those that have to share its machine, itself or not.

    Two share one if no other is left to either, or if a transfer between them would make the
    schedule longer than `limit`; `transfer` (m,) are the least times of transfers, s.
    """
    n, p = shut.shape
    leader, only = np.arange(n), np.full(p, -1)
    for i in range(n):
        host, count = -1, 0
        for q in range(p):
            if not shut[i, q]:
                host = q
                count += 1
        if count == 1:
            if only[host] < 0:
                only[host] = i
            _join(leader, i, only[host])
    if limit < np.inf and not links.grouped:
        before, after = _two_least(ends), _two_least(rests)
        for i in range(n):
            for e in range(preds.ptr[i], preds.ptr[i + 1]):
                j = preds.task[e]
                least = before[j, 1] + after[i, 1]
                if before[j, 0] == after[i, 0]:
                    least = min(before[j, 1] + after[i, 2], before[j, 2] + after[i, 1])
                if least + transfer[e] > limit:
                    _join(leader, i, j)
    for i in range(n):
        leader[i] = _leader(leader, i)
    return leader


@jit
def _two_least(table):
    """Return (n, 3): the column of the least entry of each row, that entry, and the next one."""
    n, p = table.shape
    found = np.empty((n, 3))
    for i in range(n):
        at, least, second = 0, np.inf, np.inf
        for q in range(p):
            value = table[i, q]
            if value < least:
                at, least, second = q, value, least
            else:
                second = min(second, value)
        found[i, 0], found[i, 1], found[i, 2] = at, least, second
    return found


@jit
def _leader(leader, i):
    while leader[i] != i:
        leader[i] = leader[leader[i]]
        i = leader[i]
    return i


@jit
def _join(leader, i, j):
    a, b = _leader(leader, i), _leader(leader, j)
    leader[max(a, b)] = min(a, b)
