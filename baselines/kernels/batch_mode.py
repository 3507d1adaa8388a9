"""Compiled loops of the batch-mode heuristics."""

from __future__ import annotations

import numpy as np

from deepsched.baselines.kernels.placement import data_ready
from deepsched.baselines.kernels.structures import jit

MIN_MIN, MAX_MIN, SUFFERAGE = 0, 1, 2


@jit
def batch_mode(
    rule,
    topo_index,
    etc,
    arrival,
    succs,
    preds,
    links,
):
    """Assign one ready task a step by `rule`, appending it where it completes first.

    Each ready task keeps its two least completion times and their machines. An assignment moves
    one machine's tail later, so only the tasks that named this machine are weighed again.
    """
    n, p = etc.shape
    proc = np.empty(n, np.int64)
    ast, aft = np.empty(n), np.empty(n)
    tail = np.zeros(p)
    missing = np.empty(n, np.int64)
    listed, size = np.empty(n, np.int64), 0
    # One row a ready task: it is filled when the task becomes ready and reused afterwards.
    ready = np.empty((n, p))
    least, second = np.empty(n), np.empty(n)
    first_machine, second_machine = np.empty(n, np.int64), np.empty(n, np.int64)
    fresh, n_fresh = np.empty(n, np.int64), 0
    for i in range(n):
        missing[i] = preds.ptr[i + 1] - preds.ptr[i]
        if missing[i] == 0:
            fresh[n_fresh] = i
            n_fresh += 1
    for _ in range(n):
        for k in range(n_fresh):
            i = fresh[k]
            data_ready(i, arrival, preds, links, proc, aft, ready[i])
            _weigh(i, etc, ready, tail, least, second, first_machine, second_machine)
            listed[size] = i
            size += 1
        n_fresh = 0
        chosen = 0
        for k in range(1, size):
            if _wins(rule, listed[k], listed[chosen], least, second, topo_index):
                chosen = k
        i = listed[chosen]
        size -= 1
        listed[chosen] = listed[size]
        machine = first_machine[i]
        start = max(ready[i, machine], tail[machine])
        proc[i], ast[i], aft[i] = machine, start, start + etc[i, machine]
        tail[machine] = aft[i]
        for k in range(size):
            j = listed[k]
            if first_machine[j] == machine or second_machine[j] == machine:
                _weigh(j, etc, ready, tail, least, second, first_machine, second_machine)
        for e in range(succs.ptr[i], succs.ptr[i + 1]):
            j = succs.task[e]
            missing[j] -= 1
            if missing[j] == 0:
                fresh[n_fresh] = j
                n_fresh += 1
    return proc, ast, aft


@jit
def _weigh(i, etc, ready, tail, least, second, first_machine, second_machine):
    """Find the two least completion times of a task; equal ones by lower machine index."""
    best, next_best, best_machine, next_machine = np.inf, np.inf, -1, -1
    for q in range(tail.size):
        done = max(ready[i, q], tail[q]) + etc[i, q]
        if done < best:
            next_best, next_machine = best, best_machine
            best, best_machine = done, q
        elif done < next_best:
            next_best, next_machine = done, q
    least[i], second[i] = best, next_best
    first_machine[i], second_machine[i] = best_machine, next_machine


@jit
def _wins(rule, i, j, least, second, topo_index):
    """Tell whether task i goes before task j."""
    if rule == MIN_MIN:
        a, b = -least[i], -least[j]
    elif rule == MAX_MIN:
        a, b = least[i], least[j]
    else:
        a, b = second[i] - least[i], second[j] - least[j]
    return a > b or (a == b and topo_index[i] < topo_index[j])


@jit
def minimum_completion_time(order, etc, arrival, preds, links):
    """Append each task, in `order`, to the machine on which it completes first."""
    n, p = etc.shape
    proc = np.empty(n, np.int64)
    ast, aft = np.empty(n), np.empty(n)
    tail, ready = np.zeros(p), np.empty(p)
    for i in order:
        data_ready(i, arrival, preds, links, proc, aft, ready)
        best, machine = np.inf, -1
        for q in range(p):
            done = max(ready[q], tail[q]) + etc[i, q]
            if done < best:
                best, machine = done, q
        proc[i], ast[i], aft[i] = machine, max(ready[machine], tail[machine]), best
        tail[machine] = best
    return proc, ast, aft
