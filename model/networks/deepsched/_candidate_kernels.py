"""Compiled list scheduling that looks at few machines closely: the decodings `topk`, `argmax`."""

from __future__ import annotations

import numpy as np

from deepsched.baselines.kernels.lanes import LANES
from deepsched.baselines.kernels.placement import (
    FIRST_GAP_CAPACITY,
    data_ready,
    doubled,
    find_gap,
    first_least,
    note_inputs,
    occupy,
)
from deepsched.baselines.kernels.structures import inlined, jit

FEW = 12  # machines, up to which all are looked at


@jit
def candidate_schedule(order, etc, arrival, preds, links, terms, candidates):
    """Place tasks as `insertion_schedule` does with terms, but look at few machines closely.

    Those are the machines of the task's parents, those where its children's largest inputs lie, and
    by the rule without affinity the best one behind its last task, and the best one if its idle
    gaps held the task as soon as the inputs are there; where there are few, all. Or only the task's
    own in `candidates` (n,), where that is not -1. There is no optimistic cost in the rule.
    """
    n, p = etc.shape
    proc = np.empty(n, np.int64)
    ast, aft = np.empty(n), np.empty(n)
    capacity = FIRST_GAP_CAPACITY
    gap_start, gap_end = np.empty((p, capacity)), np.empty((p, capacity))
    n_gaps = np.zeros(p, np.int64)
    longest_gap, tail, ready = np.zeros(p), np.zeros(p), np.empty(p)
    host, largest = np.full(n, -1), np.zeros(n)
    behind, within, lanes = np.empty(p), np.empty(p), np.empty(LANES)
    listed, tried, biases = np.full(p, -1), np.empty(p, np.int64), np.empty(p)
    succs = terms.succs
    most = 1
    for i in range(n):
        most = max(most, succs.ptr[i + 1] - succs.ptr[i])
    pull, pulls = np.empty(most, np.int64), np.empty(most)
    for i in order:
        duration = etc[i]
        data_ready(i, arrival, preds, links, proc, aft, ready)
        least, w_cost, w_affinity = terms.least_cost[i], terms.weights[i, 1], terms.weights[i, 2]
        n_pulls = 0
        for e in range(succs.ptr[i], succs.ptr[i + 1]):
            q = host[succs.task[e]]
            if q >= 0:
                pull[n_pulls], pulls[n_pulls] = q, w_affinity * terms.mean_comm[e]
                n_pulls += 1
        count = 0
        if candidates[i] >= 0:
            count = _list(i, candidates[i], listed, tried, count)
        elif p <= FEW:
            for q in range(p):
                count = _list(i, q, listed, tried, count)
        else:
            for e in range(n_pulls):
                count = _list(i, pull[e], listed, tried, count)
            for e in range(preds.ptr[i], preds.ptr[i + 1]):
                count = _list(i, proc[preds.task[e]], listed, tried, count)
            # The rule without affinity, for all machines at once.
            for q in range(p):
                bias = w_cost * (duration[q] - least) if duration[q] != np.inf else np.inf
                earliest = ready[q] + duration[q] + bias
                start = tail[q] if tail[q] > ready[q] else ready[q]
                behind[q] = start + duration[q] + bias
                gap_may_fit = duration[q] <= longest_gap[q] and ready[q] < tail[q]
                within[q] = earliest if gap_may_fit else np.inf
            count = _list(i, first_least(behind, lanes), listed, tried, count)
            q = first_least(within, lanes)
            if within[q] != np.inf:
                count = _list(i, q, listed, tried, count)
        # Appending first: its best value rules out most machines before their gaps are looked at.
        best, machine, gap, begin = np.inf, -1, -1, 0.0
        open_gaps = 0
        for k in range(count):
            q = tried[k]
            length = duration[q]
            if length == np.inf:
                continue
            # The rule of `placement_bias` without its first term, for one machine.
            bias = w_cost * (length - least)
            for e in range(n_pulls):
                if pull[e] == q:
                    bias -= pulls[e]
            start = tail[q] if tail[q] > ready[q] else ready[q]
            value = start + length + bias
            # The first counts whatever its value: sums of large outputs may be no number.
            if machine < 0 or value < best or (value == best and q < machine):
                best, machine, begin = value, q, start
            if length <= longest_gap[q] and ready[q] < tail[q]:
                tried[open_gaps], biases[open_gaps] = q, bias
                open_gaps += 1
        for k in range(open_gaps):
            q, bias = tried[k], biases[k]
            length = duration[q]
            if ready[q] + length + bias > best:
                continue
            g, start = find_gap(
                gap_start[q], gap_end[q], n_gaps[q], ready[q], length, bias, best, q > machine
            )
            if g >= 0:
                best, machine, gap, begin = start + length + bias, q, g, start
        finish = begin + duration[machine]
        proc[i], ast[i], aft[i] = machine, begin, finish
        note_inputs(i, machine, terms, host, largest)
        occupy(gap_start, gap_end, n_gaps, longest_gap, tail, machine, gap, begin, finish)
        if n_gaps[machine] == capacity:
            gap_start, gap_end = doubled(gap_start), doubled(gap_end)
            capacity *= 2
    return proc, ast, aft


@inlined
def _list(i, q, listed, tried, count):
    """Put machine q on the list of task i if it is not there; return how many are."""
    if listed[q] == i:
        return count
    listed[q] = i
    tried[count] = q
    return count + 1
