"""Compiled list scheduling that looks at some machines a task only: the decoding `topk`."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from deepsched.baselines.kernels.placement import (
    FIRST_GAP_CAPACITY,
    doubled,
    find_gap,
    note_inputs,
    occupy,
)
from deepsched.baselines.kernels.structures import inlined, jit

if TYPE_CHECKING:
    from deepsched.baselines.arrays import IntArray


class CandidateMachines(NamedTuple):
    """The machines that a task may choose from."""

    cheap: IntArray  # (n, k) where it costs least, -1 where fewer can hold it
    group: IntArray  # (p,) the group of each machine, groups counted from 0
    members: IntArray  # (p,) the machines by group, ascending in each
    group_ptr: IntArray  # (groups + 1,) group k is `members[group_ptr[k]:group_ptr[k + 1]]`
    wide: bool  # more than `cheap`: see `candidate_schedule`


@jit
def cheapest_machines(etc, found):
    """Fill `found` (n, k) with the machines of each task's least costs, -1 where fewer can hold it.

    Of equal ones the lower machine index comes first.
    """
    n, p = etc.shape
    k = found.shape[1]
    least = np.empty(k)
    for i in range(n):
        row, own = etc[i], found[i]
        least[:] = np.inf
        own[:] = -1
        worst = np.inf
        for q in range(p):
            cost = row[q]
            if cost < worst:
                at = k - 1
                while at > 0 and cost < least[at - 1]:
                    least[at], own[at] = least[at - 1], own[at - 1]
                    at -= 1
                least[at], own[at] = cost, q
                worst = least[k - 1]


@jit
def candidate_schedule(order, etc, arrival, preds, links, terms, candidates):
    """Place tasks as `insertion_schedule` does with terms, but look at their candidates only.

    Those are the task's own in `cheap`, and if `wide` also those of its parents, those where its
    children's largest inputs lie, and of each group of machines the one whose last task ends first
    among those that can hold the task. There is no optimistic cost in the rule.
    """
    n, p = etc.shape
    group, wide = candidates.group, candidates.wide
    proc = np.empty(n, np.int64)
    ast, aft = np.empty(n), np.empty(n)
    capacity = FIRST_GAP_CAPACITY
    gap_start, gap_end = np.empty((p, capacity)), np.empty((p, capacity))
    n_gaps = np.zeros(p, np.int64)
    longest_gap, tail = np.zeros(p), np.zeros(p)
    host, largest = np.full(n, -1), np.zeros(n)
    members, group_ptr = candidates.members, candidates.group_ptr
    idle = members[group_ptr[:-1]]
    listed, tried = np.full(p, -1), np.empty(p, np.int64)
    ready_at, biases = np.empty(p), np.empty(p)
    succs = terms.succs
    most = 1
    for i in range(n):
        most = max(most, preds.ptr[i + 1] - preds.ptr[i], succs.ptr[i + 1] - succs.ptr[i])
    pull, pulls = np.empty(most, np.int64), np.empty(most)
    home, done_at, there_at = np.empty(most, np.int64), np.empty(most), np.empty(most)
    for i in order:
        duration = etc[i]
        first, n_inputs = preds.ptr[i], preds.ptr[i + 1] - preds.ptr[i]
        soonest = _inputs(i, arrival, preds, links, proc, aft, home, done_at, there_at)
        least, w_cost, w_affinity = terms.least_cost[i], terms.weights[i, 1], terms.weights[i, 2]
        n_pulls = 0
        for e in range(succs.ptr[i], succs.ptr[i + 1]):
            q = host[succs.task[e]]
            if q >= 0:
                pull[n_pulls], pulls[n_pulls] = q, w_affinity * terms.mean_comm[e]
                n_pulls += 1
        count = 0
        for q in candidates.cheap[i]:
            if q >= 0:
                listed[q] = i
                tried[count] = q
                count += 1
        if wide:
            for e in range(n_inputs):
                count = _list(i, home[e], listed, tried, count)
            for e in range(n_pulls):
                count = _list(i, pull[e], listed, tried, count)
            for k in range(idle.size):
                q = _first_idle(k, idle, members, group_ptr, duration, tail)
                count = _list(i, q, listed, tried, count)
        # Appending first: its best value rules out most machines before their gaps are looked at,
        # many even before it is known when their inputs are there.
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
            if soonest + length + bias > best:
                continue
            ready = arrival[i]
            for e in range(n_inputs):
                r, there = home[e], done_at[e]
                if links.node[r] != links.node[q]:
                    if links.uniform:
                        there = there_at[e]
                    else:
                        there += links.latency[r, q] + preds.data[first + e] / links.bandwidth[r, q]
                ready = there if there > ready else ready
            if ready + length + bias > best:
                continue
            start = tail[q] if tail[q] > ready else ready
            value = start + length + bias
            if value < best or (value == best and q < machine):
                best, machine, begin = value, q, start
            if length <= longest_gap[q] and ready < tail[q]:
                tried[open_gaps], ready_at[open_gaps], biases[open_gaps] = q, ready, bias
                open_gaps += 1
        for k in range(open_gaps):
            q, ready, bias = tried[k], ready_at[k], biases[k]
            length = duration[q]
            if ready + length + bias > best:
                continue
            g, start = find_gap(
                gap_start[q], gap_end[q], n_gaps[q], ready, length, bias, best, q > machine
            )
            if g >= 0:
                best, machine, gap, begin = start + length + bias, q, g, start
        finish = begin + duration[machine]
        proc[i], ast[i], aft[i] = machine, begin, finish
        note_inputs(i, machine, terms, host, largest)
        occupy(gap_start, gap_end, n_gaps, longest_gap, tail, machine, gap, begin, finish)
        if wide and gap < 0 and idle[group[machine]] == machine:
            _renew_idle(group[machine], idle, members, group_ptr, tail)
        if n_gaps[machine] == capacity:
            gap_start, gap_end = doubled(gap_start), doubled(gap_end)
            capacity *= 2
    return proc, ast, aft


@inlined
def _inputs(i, arrival, preds, links, proc, aft, home, done_at, there_at):
    """Note where and when each input of task i is made; return the time of the last, or arrival.

    With equal links an input arrives on all other nodes at the same time, `there_at`.
    """
    first, last = preds.ptr[i], preds.ptr[i + 1]
    soonest = arrival[i]
    for e in range(first, last):
        j = preds.task[e]
        home[e - first], done_at[e - first] = proc[j], aft[j]
        soonest = max(soonest, aft[j])
        if links.uniform:
            there_at[e - first] = aft[j] + (
                links.latency[0, links.far] + preds.data[e] / links.bandwidth[0, links.far]
            )
    return soonest


@inlined
def _list(i, q, listed, tried, count):
    """Put machine q on the list of task i if it is not there; return how many are."""
    if listed[q] == i:
        return count
    listed[q] = i
    tried[count] = q
    return count + 1


@inlined
def _first_idle(k, idle, members, group_ptr, duration, tail):
    """Return the first idle machine of group k that can hold the task, if one can."""
    q = idle[k]
    if duration[q] == np.inf:
        for at in range(group_ptr[k], group_ptr[k + 1]):
            r = members[at]
            if duration[r] != np.inf and (duration[q] == np.inf or tail[r] < tail[q]):
                q = r
    return q


@inlined
def _renew_idle(k, idle, members, group_ptr, tail):
    """Find the machine of group k whose last task ends first."""
    for at in range(group_ptr[k], group_ptr[k + 1]):
        q = members[at]
        if tail[q] < tail[idle[k]]:
            idle[k] = q
