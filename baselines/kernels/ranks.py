"""Ranks along the edges, PEFT's table, and the order of ready tasks."""

from __future__ import annotations

import numpy as np

from deepsched.baselines.kernels.structures import jit


@jit
def upward_rank(topo, mean_etc, succs, mean_comm):
    """Return (n,) longest mean-cost path to an exit, own cost included."""
    rank = np.empty(mean_etc.size)
    for k in range(topo.size - 1, -1, -1):
        i = topo[k]
        longest = 0.0
        for e in range(succs.ptr[i], succs.ptr[i + 1]):
            longest = max(longest, mean_comm[e] + rank[succs.task[e]])
        rank[i] = mean_etc[i] + longest
    return rank


@jit
def downward_rank(topo, mean_etc, preds, mean_comm):
    """Return (n,) longest mean-cost path from an entry, own cost excluded."""
    rank = np.empty(mean_etc.size)
    for i in topo:
        longest = 0.0
        for e in range(preds.ptr[i], preds.ptr[i + 1]):
            j = preds.task[e]
            longest = max(longest, rank[j] + mean_etc[j] + mean_comm[e])
        rank[i] = longest
    return rank


@jit
def release(topo, arrival, preds):
    """Return (n,) latest arrival of a task and of all that it waits for, directly or not."""
    latest = arrival.copy()
    for i in topo:
        for e in range(preds.ptr[i], preds.ptr[i + 1]):
            latest[i] = max(latest[i], latest[preds.task[e]])
    return latest


@jit
def optimistic_cost(topo, etc, succs, mean_comm, links):
    """Return PEFT's (n, p) table: the least cost still to come after task i on machine q.

    Within a node nothing is transferred.
    """
    n, p = etc.shape
    nearest = np.empty(p)
    table = np.zeros((n, p))
    for k in range(n - 1, -1, -1):
        i = topo[k]
        for e in range(succs.ptr[i], succs.ptr[i + 1]):
            j, comm = succs.task[e], mean_comm[e]
            elsewhere = np.inf
            for q in range(p):
                elsewhere = min(elsewhere, table[j, q] + etc[j, q])
            elsewhere += comm
            if links.grouped:
                nearest[:] = np.inf
                for q in range(p):
                    a = links.node[q]
                    nearest[a] = min(nearest[a], table[j, q] + etc[j, q])
                for q in range(p):
                    table[i, q] = max(table[i, q], min(elsewhere, nearest[links.node[q]]))
                continue
            for q in range(p):
                table[i, q] = max(table[i, q], min(elsewhere, table[j, q] + etc[j, q]))
    return table


@jit
def ready_order(priority, tie, succs, pred_ptr):
    """List tasks by taking, again and again, the ready one of highest priority, then lowest tie.

    Returns fewer than n tasks when the edges close a cycle.
    """
    n = priority.size
    missing = np.empty(n, np.int64)
    # The priorities lie in the heap too: it is walked far more often than it changes.
    heap, high, size = np.empty(n, np.int64), np.empty(n), 0
    order, done = np.empty(n, np.int64), 0
    for i in range(n):
        missing[i] = pred_ptr[i + 1] - pred_ptr[i]
        if missing[i] == 0:
            size = _push(heap, high, size, i, priority[i], tie)
    while size > 0:
        i = heap[0]
        size = _pop(heap, high, size, tie)
        order[done] = i
        done += 1
        for e in range(succs.ptr[i], succs.ptr[i + 1]):
            j = succs.task[e]
            missing[j] -= 1
            if missing[j] == 0:
                size = _push(heap, high, size, j, priority[j], tie)
    return order[:done]


@jit
def _push(heap, high, size, i, priority, tie):
    at = size
    while at > 0:
        up = (at - 1) // 2
        if high[up] > priority or (high[up] == priority and tie[heap[up]] < tie[i]):
            break
        heap[at], high[at] = heap[up], high[up]
        at = up
    heap[at], high[at] = i, priority
    return size + 1


@jit
def _pop(heap, high, size, tie):
    size -= 1
    last, priority = heap[size], high[size]
    at = 0
    while True:
        child = 2 * at + 1
        if child >= size:
            break
        other = child + 1
        if other < size and (
            high[other] > high[child]
            or (high[other] == high[child] and tie[heap[other]] < tie[heap[child]])
        ):
            child = other
        if priority > high[child] or (priority == high[child] and tie[last] < tie[heap[child]]):
            break
        heap[at], high[at] = heap[child], high[child]
        at = child
    heap[at], high[at] = last, priority
    return size
