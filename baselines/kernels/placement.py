"""Placing tasks: when inputs are there, idle gaps, and the rule that picks a machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from deepsched.baselines.kernels.lanes import LANES, least_of
from deepsched.baselines.kernels.structures import EdgeRows, inlined, jit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from deepsched.baselines.arrays import FloatArray


class PlacementTerms(NamedTuple):
    """What biases the choice of a machine away from the least EFT, three weights a task.

    Machine q of task i is taken by the least of
    EFT + w0 (optimistic cost[i, q] - least) + w1 (etc[i, q] - least) - w2 · affinity,
    where affinity is the mean transfer time, s, to those children whose largest input so far lies
    on q. All weights 0: HEFT's rule.
    """

    weights: FloatArray  # (n, 3)
    through: NDArray[np.float32]  # (n, p), PEFT's optimistic costs + the execution times / unit
    unit: float  # s
    least_optimistic: FloatArray  # (n,) s, its least entry over the machines that can hold the task
    least_cost: FloatArray  # (n,) s, the same of the execution times
    succs: EdgeRows
    mean_comm: FloatArray  # (m,) s, mean transfer time of the edges by parent


class Limit(NamedTuple):
    """A makespan above which a schedule is of no interest, and what tells early that it will be.

    Nothing ends before `through` says after it begins, where transfers take no less than their
    means: where links are alike.
    """

    most: float  # s
    through: NDArray[np.float32]  # (n, p), as of the terms
    unit: float  # s, so much less than theirs as the table may be rounded up


ROUNDING = 4e-16  # relative error of one float64 operation, rounded up
FIRST_GAP_CAPACITY = 32  # idle gaps kept per machine before the table grows


@jit
def data_ready(i, arrival, preds, links, proc, aft, ready):
    """Fill `ready` (p,) with the time at which task i has arrived and all its inputs are there."""
    ready[:] = arrival[i]
    first, last = preds.ptr[i], preds.ptr[i + 1]
    if first == last:
        return
    if links.uniform:
        _uniform_data_ready(first, last, preds, links, proc, aft, ready)
        return
    for e in range(first, last):
        j = preds.task[e]
        done, data = aft[j], preds.data[e]
        bandwidth, latency = links.bandwidth[proc[j]], links.latency[proc[j]]
        if links.zero_latency:
            for q in range(ready.size):
                there = done + data / bandwidth[q]
                ready[q] = there if there > ready[q] else ready[q]
        else:
            for q in range(ready.size):
                there = done + (latency[q] + data / bandwidth[q])
                ready[q] = there if there > ready[q] else ready[q]


@jit
def _uniform_data_ready(first, last, preds, links, proc, aft, ready):
    """Do as the general loop, bit for bit, in time edges + machines instead of their product.

    With equal links a machine is ready when the latest transfer is through, except for the
    machines of the node that this latest input comes from.
    """
    node = links.node
    latency, bandwidth = links.latency[0, links.far], links.bandwidth[0, links.far]
    latest, second, host = -1.0, -1.0, -1
    for e in range(first, last):
        j = preds.task[e]
        there = aft[j] + (latency + preds.data[e] / bandwidth)
        if node[proc[j]] == host:
            latest = max(latest, there)
        elif there > latest:
            second, latest, host = latest, there, node[proc[j]]
        else:
            second = max(second, there)
    local = second
    for e in range(first, last):
        j = preds.task[e]
        if node[proc[j]] == host:
            local = max(local, aft[j])
    start = ready[0]
    ready[:] = max(start, latest)
    local = max(start, local)
    if not links.grouped:
        ready[host] = local
        return
    for q in range(ready.size):
        if node[q] == host:
            ready[q] = local


@inlined
def ready_on(machine, i, arrival, preds, links, proc, aft):
    """Return the time at which task i has arrived and all its inputs are on one machine."""
    ready = arrival[i]
    for e in range(preds.ptr[i], preds.ptr[i + 1]):
        source = proc[preds.task[e]]
        there = aft[preds.task[e]]
        if links.node[source] != links.node[machine]:
            # One sum after the other, as in `data_ready`.
            latency, bandwidth = links.latency[source, machine], links.bandwidth[source, machine]
            there += latency + preds.data[e] / bandwidth
        ready = there if there > ready else ready
    return ready


@jit
def insertion_schedule(
    order, etc, arrival, preds, links, bias=None, pinned=None, terms=None, limit=None
):
    """Place tasks in `order`, each on the machine of least EFT, in the earliest idle gap that fits.

    `bias` (n, p), or what `PlacementTerms` make of the state, is added to each EFT before machines
    are compared. `pinned` (n,) names a task's machine, -1 leaves it free; not with terms or limit.
    Ties go to the lower machine index. Where the makespan must come out above `limit`, it ends at
    once: each AFT is inf.

    Idle gaps are kept sorted per machine. The first gap that can hold a task is found by binary
    search on the gaps' ends, and the walk from there stops as soon as the machine cannot win.
    """
    n, p = etc.shape
    proc = np.empty(n, np.int64)
    ast, aft = np.empty(n), np.empty(n)
    capacity = FIRST_GAP_CAPACITY
    gap_start, gap_end = np.empty((p, capacity)), np.empty((p, capacity))
    n_gaps = np.zeros(p, np.int64)
    longest_gap = np.zeros(p)
    tail, ready = np.zeros(p), np.empty(p)
    earliest, appended, extra = np.empty(p), np.empty(p), np.zeros(p)
    lanes = np.empty(LANES)
    host, largest = np.empty(0, np.int64), np.empty(0)
    if terms is not None:
        host, largest = np.full(n, -1), np.zeros(n)
    for i in order:
        if pinned is not None and pinned[i] >= 0:
            machine = pinned[i]
            length = etc[i, machine]
            there = ready_on(machine, i, arrival, preds, links, proc, aft)
            gap, begin = -1, max(tail[machine], there)
            if length <= longest_gap[machine] and there < tail[machine]:
                starts, ends, count = gap_start[machine], gap_end[machine], n_gaps[machine]
                g, start = find_gap(starts, ends, count, there, length, 0.0, begin + length, False)
                if g >= 0:
                    gap, begin = g, start
            proc[i], ast[i], aft[i] = machine, begin, begin + length
            occupy(gap_start, gap_end, n_gaps, longest_gap, tail, machine, gap, begin, aft[i])
            if n_gaps[machine] == capacity:
                gap_start, gap_end = doubled(gap_start), doubled(gap_end)
                capacity *= 2
            continue
        data_ready(i, arrival, preds, links, proc, aft, ready)
        duration = etc[i]
        # Per machine: the value of starting as soon as the inputs are there, which no gap beats,
        # and of appending behind the last task, which is always possible.
        for q in range(p):
            start = tail[q] if tail[q] > ready[q] else ready[q]
            earliest[q] = ready[q] + duration[q]
            appended[q] = start + duration[q]
        if bias is not None:
            extra[:] = bias[i]
        if terms is not None:
            w = terms.weights[i]
            placement_bias(i, w[0], w[1], w[2], terms.through[i], duration, terms, host, extra)
        if bias is not None or terms is not None:
            for q in range(p):
                earliest[q] += extra[q]
                appended[q] += extra[q]
        machine, gap = first_least(appended, lanes), -1
        best, begin = appended[machine], max(tail[machine], ready[machine])
        for q in range(p):
            if earliest[q] > best:
                continue
            if duration[q] > longest_gap[q] or ready[q] >= tail[q]:
                continue
            if earliest[q] == best and q > machine:
                continue
            g, start = find_gap(
                gap_start[q],
                gap_end[q],
                n_gaps[q],
                ready[q],
                duration[q],
                extra[q],
                best,
                q > machine,
            )
            if g >= 0:
                best, machine, gap, begin = start + duration[q] + extra[q], q, g, start
        if limit is not None and begin + limit.unit * limit.through[i, machine] > limit.most:
            aft[:] = np.inf
            break
        finish = begin + duration[machine]
        proc[i], ast[i], aft[i] = machine, begin, finish
        if terms is not None:
            note_inputs(i, machine, terms, host, largest)
        occupy(gap_start, gap_end, n_gaps, longest_gap, tail, machine, gap, begin, finish)
        if n_gaps[machine] == capacity:
            gap_start, gap_end = doubled(gap_start), doubled(gap_end)
            capacity *= 2
    return proc, ast, aft


@inlined
def first_least(values, lanes):
    """Return the first index of the least value; `lanes` (LANES,) is room."""
    p = values.size
    if p < 2 * LANES:
        low, at = values[0], 0
        for q in range(1, p):
            if values[q] < low:
                low, at = values[q], q
        return at
    low = least_of(values, lanes)
    at = 0
    while values[at] != low:
        at += 1
    return at


@inlined
def placement_bias(i, w_ahead, w_cost, w_affinity, through, duration, terms, host, extra):
    """Fill `extra` (p,) with what weights of the three terms add to the EFTs of task i.

    `through` and `duration` (p,) are the task's rows of the table and of the ETC matrix. A machine
    that cannot hold the task stays at an infinite EFT, whatever the weights.
    """
    # The same sum with one product a table.
    w_through = w_ahead * terms.unit
    w_duration = w_cost - w_ahead
    shift = -(w_ahead * terms.least_optimistic[i] + w_cost * terms.least_cost[i])
    for q in range(extra.size):
        added = w_through * through[q] + w_duration * duration[q] + shift
        extra[q] = added if duration[q] != np.inf else 0.0
    for e in range(terms.succs.ptr[i], terms.succs.ptr[i + 1]):
        q = host[terms.succs.task[e]]
        if q >= 0:
            extra[q] -= w_affinity * terms.mean_comm[e]


@inlined
def note_inputs(i, machine, terms, host, largest):
    """Remember for each child of task i where its largest input so far lies."""
    for e in range(terms.succs.ptr[i], terms.succs.ptr[i + 1]):
        child = terms.succs.task[e]
        if host[child] < 0 or terms.mean_comm[e] > largest[child]:
            host[child], largest[child] = machine, terms.mean_comm[e]


@inlined
def find_gap(starts, ends, count, ready, duration, extra, best, loses_ties):
    """Return the first of `count` sorted idle gaps that can hold a task, and its start there.

    The gap is -1 where none can, or where EFT + `extra` would exceed `best` (or reach it, for a
    machine that `loses_ties`): later gaps are later still.
    """
    done = ready + duration
    low, high = 0, count
    while low < high:
        middle = (low + high) // 2
        if ends[middle] < done:
            low = middle + 1
        else:
            high = middle
    for g in range(low, count):
        start = starts[g] if starts[g] > ready else ready
        done = start + duration
        value = done + extra
        if value > best or (value == best and loses_ties):
            break
        if done <= ends[g]:
            return g, start
    return -1, 0.0


@inlined
def occupy(gap_start, gap_end, n_gaps, longest_gap, tail, machine, gap, begin, finish):
    """Give [begin, finish] on a machine to a task: in its idle gap `gap`, or -1: behind the last.

    The table of gaps must have room for one more; see `doubled`.
    """
    if gap >= 0:
        _cut_gap(gap_start[machine], gap_end[machine], n_gaps, machine, gap, begin, finish)
        return
    if begin > tail[machine]:
        k = n_gaps[machine]
        gap_start[machine, k], gap_end[machine, k] = tail[machine], begin
        # An upper bound: gaps only shrink. What a rounded sum may gain at the gap's end is added,
        # so that the bound never rules out a fit.
        length = (begin - tail[machine]) + ROUNDING * begin
        longest_gap[machine] = max(longest_gap[machine], length)
        n_gaps[machine] = k + 1
    tail[machine] = finish


@inlined
def _cut_gap(starts, ends, n_gaps, machine, gap, begin, finish):
    """Take [begin, finish] out of one gap; what remains of it are two gaps, one or none."""
    count = n_gaps[machine]
    before, after = begin > starts[gap], finish < ends[gap]
    if before and after:
        for g in range(count, gap + 1, -1):
            starts[g], ends[g] = starts[g - 1], ends[g - 1]
        starts[gap + 1], ends[gap + 1] = finish, ends[gap]
        ends[gap] = begin
        n_gaps[machine] = count + 1
    elif before:
        ends[gap] = begin
    elif after:
        starts[gap] = finish
    else:
        for g in range(gap, count - 1):
            starts[g], ends[g] = starts[g + 1], ends[g + 1]
        n_gaps[machine] = count - 1


@jit
def doubled(table):
    """Return a table of gaps with room for twice as many a machine."""
    p, capacity = table.shape
    wide = np.empty((p, 2 * capacity))
    wide[:, :capacity] = table
    return wide


@jit
def append_schedule(order, proc, etc, arrival, preds, links):
    """Run tasks in `order` on their given machines, each behind the last one there."""
    n, p = etc.shape
    ast, aft, tail = np.empty(n), np.empty(n), np.zeros(p)
    for i in order:
        q = proc[i]
        ast[i] = max(tail[q], ready_on(q, i, arrival, preds, links, proc, aft))
        aft[i] = ast[i] + etc[i, q]
        tail[q] = aft[i]
    return ast, aft
