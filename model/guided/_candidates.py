"""Compiled list scheduling that looks at a few machines a task; see `baselines._kernels`."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from baselines._kernels import (
    FIRST_GAP_CAPACITY,
    ROUNDING,
    _cut_gap,
    _doubled,
    _note_inputs,
    jit,
)

if TYPE_CHECKING:
    from baselines.arrays import IntArray


class Few(NamedTuple):
    """The machines that a task may choose from."""

    cheap: IntArray  # (n, k) where it costs least, -1 where fewer can hold it
    group: IntArray  # (p,) the group of each machine, groups counted from 0
    members: IntArray  # (p,) the machines by group, ascending in each
    group_ptr: IntArray  # (groups + 1,) group k is `members[group_ptr[k]:group_ptr[k + 1]]`
    wide: bool  # more than `cheap`: see `candidate_schedule`


@jit
def cheapest_machines(etc, found, weights, codes):
    """Fill `found` (n, k) with the machines of each task's least costs, -1 where fewer can hold it.

    What a `Guide` makes of codes is added to the costs. Of equal ones the lower machine index comes
    first.
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
            for c in range(codes.shape[0]):
                cost += weights[i, 3 + c] * codes[c, q]
            if cost < worst:
                at = k - 1
                while at > 0 and cost < least[at - 1]:
                    least[at], own[at] = least[at - 1], own[at - 1]
                    at -= 1
                least[at], own[at] = cost, q
                worst = least[k - 1]


@jit
def candidate_schedule(order, etc, arrival, preds, links, guide, few):
    """Place tasks as `insertion_schedule` does with a guide, but look at few machines.

    Those are the task's own in `cheap`, and if `wide` also those of its parents, those where its
    children's largest inputs lie, and of each group of machines the one whose last task ends first
    among those that can hold the task. There is no optimistic cost in the rule.
    """
    n, p = etc.shape
    cheap, group, wide = few.cheap, few.group, few.wide
    proc = np.empty(n, np.int64)
    ast, aft = np.empty(n), np.empty(n)
    capacity = FIRST_GAP_CAPACITY
    gap_start, gap_end = np.empty((p, capacity)), np.empty((p, capacity))
    n_gaps = np.zeros(p, np.int64)
    longest_gap, tail = np.zeros(p), np.zeros(p)
    host, largest = np.full(n, -1), np.zeros(n)
    members, group_ptr = few.members, few.group_ptr
    n_groups = group_ptr.size - 1 if wide else 0
    idle = members[group_ptr[:-1]]
    seen, tried = np.full(p, -1), np.empty(p, np.int64)
    ready_at, leans = np.empty(p), np.empty(p)
    succs = guide.succs
    most = 1
    for i in range(n):
        most = max(most, preds.ptr[i + 1] - preds.ptr[i], succs.ptr[i + 1] - succs.ptr[i])
    pull, pulls = np.empty(most, np.int64), np.empty(most)
    home, done_at, there_at = np.empty(most, np.int64), np.empty(most), np.empty(most)
    for i in order:
        duration = etc[i]
        # With equal links an input arrives everywhere else at the same time.
        first, last = preds.ptr[i], preds.ptr[i + 1]
        soonest = arrival[i]
        for e in range(first, last):
            j = preds.task[e]
            home[e - first], done_at[e - first] = proc[j], aft[j]
            soonest = max(soonest, aft[j])
            if links.uniform:
                there_at[e - first] = aft[j] + (
                    links.latency[0, p - 1] + preds.data[e] / links.bandwidth[0, p - 1]
                )
        least = guide.least_cost[i]
        weights, codes = guide.weights[i], guide.codes
        w_cost, w_affinity = weights[1], weights[2]
        drawn = 0
        for e in range(succs.ptr[i], succs.ptr[i + 1]):
            q = host[succs.task[e]]
            if q >= 0:
                pull[drawn], pulls[drawn] = q, w_affinity * guide.mean_comm[e]
                drawn += 1
        count = 0
        for q in cheap[i]:
            if q >= 0:
                seen[q] = i
                tried[count] = q
                count += 1
        if wide:
            for e in range(last - first):
                q = home[e]
                if seen[q] != i:
                    seen[q] = i
                    tried[count] = q
                    count += 1
            for e in range(drawn):
                q = pull[e]
                if seen[q] != i:
                    seen[q] = i
                    tried[count] = q
                    count += 1
            for k in range(n_groups):
                q = idle[k]
                if duration[q] == np.inf:
                    # The first idle machine of the group that can hold the task, if one can.
                    for at in range(group_ptr[k], group_ptr[k + 1]):
                        r = members[at]
                        if duration[r] != np.inf and (duration[q] == np.inf or tail[r] < tail[q]):
                            q = r
                if seen[q] != i:
                    seen[q] = i
                    tried[count] = q
                    count += 1
        # Appending first: its best value rules out most machines before their gaps are looked at,
        # many even before it is known when their inputs are there.
        best, machine, gap, begin = np.inf, -1, -1, 0.0
        open_gaps = 0
        for k in range(count):
            q = tried[k]
            length = duration[q]
            if length == np.inf:
                continue
            lean = w_cost * (length - least)
            for c in range(codes.shape[0]):
                lean += weights[3 + c] * codes[c, q]
            for e in range(drawn):
                if pull[e] == q:
                    lean -= pulls[e]
            if soonest + length + lean > best:
                continue
            ready = arrival[i]
            for e in range(last - first):
                r, there = home[e], done_at[e]
                if r != q:
                    if links.uniform:
                        there = there_at[e]
                    else:
                        there += links.latency[r, q] + preds.data[first + e] / links.bandwidth[r, q]
                ready = there if there > ready else ready
            if ready + length + lean > best:
                continue
            start = tail[q] if tail[q] > ready else ready
            value = start + length + lean
            if value < best or (value == best and q < machine):
                best, machine, begin = value, q, start
            if length <= longest_gap[q] and ready < tail[q]:
                tried[open_gaps], ready_at[open_gaps], leans[open_gaps] = q, ready, lean
                open_gaps += 1
        for k in range(open_gaps):
            q, ready, lean = tried[k], ready_at[k], leans[k]
            length = duration[q]
            starts, ends = gap_start[q], gap_end[q]
            done = ready + length
            if done + lean > best:
                continue
            low, high = 0, n_gaps[q]
            while low < high:
                middle = (low + high) // 2
                if ends[middle] < done:
                    low = middle + 1
                else:
                    high = middle
            for g in range(low, n_gaps[q]):
                start = starts[g] if starts[g] > ready else ready
                value = start + length + lean
                if value > best or (value == best and q > machine):
                    break
                if start + length <= ends[g]:
                    best, machine, gap, begin = value, q, g, start
                    break
        finish = begin + duration[machine]
        proc[i], ast[i], aft[i] = machine, begin, finish
        _note_inputs(i, machine, guide, host, largest)
        if gap >= 0:
            _cut_gap(gap_start[machine], gap_end[machine], n_gaps, machine, gap, begin, finish)
        else:
            if begin > tail[machine]:
                k = n_gaps[machine]
                gap_start[machine, k], gap_end[machine, k] = tail[machine], begin
                length = (begin - tail[machine]) + ROUNDING * begin
                longest_gap[machine] = max(longest_gap[machine], length)
                n_gaps[machine] = k + 1
            tail[machine] = finish
            if wide and idle[group[machine]] == machine:
                own = group[machine]
                for k in range(group_ptr[own], group_ptr[own + 1]):
                    q = members[k]
                    if tail[q] < tail[idle[own]]:
                        idle[own] = q
        if n_gaps[machine] == capacity:
            gap_start, gap_end = _doubled(gap_start), _doubled(gap_end)
            capacity *= 2
    return proc, ast, aft
