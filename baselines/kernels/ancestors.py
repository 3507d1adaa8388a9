"""Ancestors that have to share a task's machine, since from elsewhere they would come too late."""

from __future__ import annotations

import numpy as np

from deepsched.baselines.kernels.structures import jit

NEVER = 1e300  # s, later than anything: no problem's times add up to more
FIRST_CAPACITY = 1024  # late ancestors kept on one machine before the lists grow


@jit
def one_after_another(topo, etc, preds, transfer, soonest, work, ends):
    """Raise `ends` (n, p), earliest ends, where ancestors have to run on one machine, one by one.

    `transfer` (m,) is the least time that each edge takes between nodes, s, and `soonest` (n,) the
    earliest end of each task on any machine. Each machine is its own node. It ends early when it
    has looked at `work` ancestors. Returns whether it did not, and any end rose.

    Let w be an ancestor of i, and i on machine q. If w runs elsewhere, i starts no earlier than
    late(w, i): for a parent u this is its earliest end with the transfer; further up either u comes
    from elsewhere, or it runs on q, late(w, u) or later. Whichever ancestors run elsewhere, i waits
    for the latest of them and for the sum of the others: the best choice keeps those on q that
    would be latest. Whoever is not late for i is not late for its children by way of it either.

    References
    ----------
    Jung, Kirousis, Spirakis (1993), doi:10.1006/inco.1993.1041, for machines that differ.
    """
    n, p = etc.shape
    ptr = np.zeros(n + 1, np.int64)  # late ancestors of the k-th task, all by place in `topo`
    who, late = np.empty(FIRST_CAPACITY, np.int64), np.empty(FIRST_CAPACITY)
    place, begin = np.empty(n, np.int64), np.empty(n)
    latest, met = np.full(n, -1.0), np.empty(n, np.int64)
    for k in range(n):
        place[topo[k]] = k
    rose, seen = False, 0
    for q in range(p):
        for k in range(n):
            i = topo[k]
            known, cost, count = ends[i, q], etc[i, q], 0
            start = known - cost if known < np.inf else 0.0
            for e in range(preds.ptr[i], preds.ptr[i + 1]):
                u = preds.task[e]
                at, there, own = place[u], soonest[u] + transfer[e], min(etc[u, q], NEVER)
                start = max(start, min(ends[u, q], there))
                for entry in range(ptr[at], ptr[at + 1] + 1):
                    # Behind its own late ancestors comes the parent itself.
                    w, value = at, there
                    if entry < ptr[at + 1]:
                        w, value = who[entry], min(late[entry] + own, there)
                    if latest[w] < 0:
                        met[count] = w
                        count += 1
                    latest[w] = max(latest[w], value)
                seen += 1 + ptr[at + 1] - ptr[at]
            kept = 0
            for c in range(count):
                if latest[met[c]] > start:
                    met[kept], kept = met[c], kept + 1
                else:
                    latest[met[c]] = -1.0
            if kept > 1 and known < np.inf:
                start = _waited(met[:kept], latest, topo, etc[:, q], begin, start)
            begin[k] = start
            if ptr[k] + kept > who.size:
                who, late = _grown(who, kept), _grown(late, kept)
            free = ptr[k]
            for c in range(kept):
                if latest[met[c]] > start:
                    who[free], late[free] = met[c], latest[met[c]]
                    free += 1
                latest[met[c]] = -1.0
            ptr[k + 1] = free
            if known < np.inf and start + cost > known:
                ends[i, q] = start + cost
                rose = True
            if seen > work:
                return False
    return rose


@jit
def _waited(those, late, topo, cost, begin, start):
    """Return when a task starts that has these ancestors either on its machine, or late."""
    first, total = np.inf, 0.0
    for w in those:
        first, total = min(first, begin[w]), total + cost[topo[w]]
    if first + total <= start:
        return start
    first, total = np.inf, 0.0
    for k in np.argsort(-late[those]):
        w = those[k]
        if late[w] <= start:
            break
        first, total = min(first, begin[w]), total + cost[topo[w]]
        if first + total >= late[w]:
            return late[w]
        start = max(start, first + total)
    return start


@jit
def _grown(values, more):
    """Return a longer copy, at least by `more`."""
    found = np.empty(2 * values.size + more, values.dtype)
    found[: values.size] = values
    return found


@jit
def after_all(topo, preds, heads, shares):
    """Return (n,) when each task's ancestors can all be done, by the capacity of the machines.

    Those with `heads` (n,) at a or later keep all machines busy for the sum of their `shares` (n,)
    of the area bound, from a on.
    """
    n, found = topo.size, heads.copy()
    before = np.zeros((n, n), np.bool_)
    order = np.argsort(-heads)
    for i in topo:
        first, last = preds.ptr[i], preds.ptr[i + 1]
        above = before[i]
        for e in range(first, last):
            j = preds.task[e]
            further = before[j]
            for w in range(n):
                above[w] |= further[w]
            above[j] = True
        if last - first < 2:  # it waits for what its parent waits for
            continue
        area, start = 0.0, found[i]
        for w in order:
            if above[w]:
                area += shares[w]
                start = max(start, heads[w] + area)
        found[i] = start
    return found


@jit
def raised(starts, etc, ends):
    """Raise `ends` (n, p) to those of these earliest starts (n,); return whether any rose."""
    n, p = etc.shape
    rose = False
    for i in range(n):
        for q in range(p):
            if starts[i] + etc[i, q] > ends[i, q]:
                ends[i, q] = starts[i] + etc[i, q]
                rose = True
    return rose
