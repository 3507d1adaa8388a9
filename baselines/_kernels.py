"""Compiled loops over flat arrays: no checks, no objects.

Axes: n tasks, p machines, m edges. No fast-math anywhere: the order of the floating-point
operations decides labels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numba import njit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from baselines.arrays import FloatArray, IntArray

# error_model: a check for division by zero in every iteration would keep loops from vectorising.
jit = njit(cache=True, nogil=True, error_model="numpy")


class EdgeRows(NamedTuple):
    """Edges grouped by one end: those of task i lie in `ptr[i]:ptr[i + 1]`."""

    ptr: IntArray  # (n + 1,)
    task: IntArray  # (m,) the other end
    data: FloatArray  # (m,) bytes


class Links(NamedTuple):
    """Transfer costs, (p, p) from row to column.

    On the diagonals latency is 0 and bandwidth inf, so that a transfer within a machine costs
    exactly nothing without a branch.
    """

    latency: FloatArray
    bandwidth: FloatArray
    uniform: bool  # all pairs of different machines are linked alike
    zero_latency: bool


class Guide(NamedTuple):
    """What bends the choice of a machine away from the least EFT, a few numbers a task.

    Machine q of task i is taken by the least of
    EFT + w0 (optimistic cost[i, q] - least) + w1 (etc[i, q] - least) - w2 · affinity
    + Σ_k w_(3+k) codes[k, q],
    where affinity is the mean transfer time, s, to those children whose largest input so far lies
    on q. All weights 0: HEFT's rule.
    """

    weights: FloatArray  # (n, 3 + c), those of the codes in s
    codes: FloatArray  # (c, p) what is said of machines; c may be 0
    through: NDArray[np.float32]  # (n, p), PEFT's optimistic costs + the execution times / unit
    unit: float  # s
    least_optimistic: FloatArray  # (n,) s, its least entry over the machines that can hold the task
    least_cost: FloatArray  # (n,) s, the same of the execution times
    succs: EdgeRows
    mean_comm: FloatArray  # (m,) s, mean transfer time of the edges by parent


ROUNDING = 4e-16  # relative error of one float64 operation, rounded up
FIRST_GAP_CAPACITY = 32  # idle gaps kept per machine before the table grows


@jit
def execution_times(work, speed, noise, memory, limit):
    """Return (n, p) work / speed · noise, inf where a task needs more memory than a machine has.

    `noise` is (n, p), or (0, 0) for none.
    """
    n, p = work.size, speed.size
    etc = np.empty((n, p))
    noisy = noise.size > 0
    for i in range(n):
        row = etc[i]
        for q in range(p):
            row[q] = work[i] / speed[q]
        if noisy:
            factors = noise[i]
            for q in range(p):
                row[q] *= factors[q]
        need = memory[i]
        for q in range(p):
            if need > limit[q]:
                row[q] = np.inf
    return etc


@jit
def cost_range(etc):
    """Return the first row without a finite entry, or -1, and the largest finite entry."""
    n, p = etc.shape
    stuck, longest = -1, 0.0
    for i in range(n - 1, -1, -1):
        row = etc[i]
        greatest = -1.0
        for q in range(p):
            cost = row[q]
            if cost != np.inf and cost > greatest:
                greatest = cost
        if greatest < 0:
            stuck = i
        elif greatest > longest:
            longest = greatest
    return stuck, longest


@jit
def mean_over_finite(etc):
    """Return (n,) mean of each row over its finite entries."""
    mean = np.empty(etc.shape[0])
    for i in range(etc.shape[0]):
        mean[i] = finite_mean(etc[i])
    return mean


@jit
def finite_mean(row):
    """Return the mean of the finite entries.

    The sum runs over four interleaved partial sums, a fixed order that the processor can overlap.
    """
    p = row.size
    a, b, c, d = 0.0, 0.0, 0.0, 0.0
    for q in range(0, p - 3, 4):
        a += row[q]
        b += row[q + 1]
        c += row[q + 2]
        d += row[q + 3]
    for q in range(p - p % 4, p):
        a += row[q]
    total = (a + b) + (c + d)
    count = p
    if total == np.inf:
        total, count = 0.0, 0
        for cost in row:
            if cost != np.inf:
                total += cost
                count += 1
    return total / count


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
def optimistic_cost(topo, etc, succs, mean_comm):
    """Return PEFT's (n, p) table: the least cost still to come after task i on machine q."""
    n, p = etc.shape
    table = np.zeros((n, p))
    for k in range(n - 1, -1, -1):
        i = topo[k]
        for e in range(succs.ptr[i], succs.ptr[i + 1]):
            j, comm = succs.task[e], mean_comm[e]
            elsewhere = np.inf
            for q in range(p):
                elsewhere = min(elsewhere, table[j, q] + etc[j, q])
            elsewhere += comm
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

    With equal links a machine is ready when the latest transfer is through, except for the machine
    that this latest input comes from.
    """
    p = ready.size
    latency, bandwidth = links.latency[0, p - 1], links.bandwidth[0, p - 1]
    latest, second, host = -1.0, -1.0, -1
    for e in range(first, last):
        j = preds.task[e]
        there = aft[j] + (latency + preds.data[e] / bandwidth)
        if proc[j] == host:
            latest = max(latest, there)
        elif there > latest:
            second, latest, host = latest, there, proc[j]
        else:
            second = max(second, there)
    local = second
    for e in range(first, last):
        j = preds.task[e]
        if proc[j] == host:
            local = max(local, aft[j])
    start = ready[0]
    ready[:] = max(start, latest)
    ready[host] = max(start, local)


@jit
def insertion_schedule(order, etc, arrival, preds, links, bias=None, pinned=None, guide=None):
    """Place tasks in `order`, each on the machine of least EFT, in the earliest idle gap that fits.

    `bias` (n, p), or what a `Guide` makes of the state, is added to each EFT before machines are
    compared. `pinned` (n,) names a task's machine, -1 leaves it free. Ties go to the lower machine
    index.

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
    host, largest = np.empty(0, np.int64), np.empty(0)
    if guide is not None:
        host, largest = np.full(n, -1), np.zeros(n)
    for i in order:
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
        if guide is not None:
            _lean(i, duration, guide, host, extra)
        for q in range(p):
            earliest[q] += extra[q]
            appended[q] += extra[q]
        if pinned is not None and pinned[i] >= 0:
            only = pinned[i]
            for q in range(p):
                if q != only:
                    earliest[q] = appended[q] = np.inf
        best, machine, gap = np.inf, -1, -1
        for q in range(p):
            if appended[q] < best:
                best, machine = appended[q], q
        begin = max(tail[machine], ready[machine])
        for q in range(p):
            if earliest[q] > best:
                continue
            if duration[q] > longest_gap[q] or ready[q] >= tail[q]:
                continue
            if earliest[q] == best and q > machine:
                continue
            starts, ends = gap_start[q], gap_end[q]
            done = ready[q] + duration[q]
            low, high = 0, n_gaps[q]
            while low < high:
                middle = (low + high) // 2
                if ends[middle] < done:
                    low = middle + 1
                else:
                    high = middle
            for g in range(low, n_gaps[q]):
                start = starts[g] if starts[g] > ready[q] else ready[q]
                done = start + duration[q]
                value = done + extra[q]
                if value > best or (value == best and q > machine):
                    break
                if done <= ends[g]:
                    best, machine, gap, begin = value, q, g, start
                    break
        finish = begin + duration[machine]
        proc[i], ast[i], aft[i] = machine, begin, finish
        if guide is not None:
            _note_inputs(i, machine, guide, host, largest)
        if gap >= 0:
            _cut_gap(gap_start[machine], gap_end[machine], n_gaps, machine, gap, begin, finish)
        else:
            if begin > tail[machine]:
                k = n_gaps[machine]
                gap_start[machine, k], gap_end[machine, k] = tail[machine], begin
                # An upper bound: gaps only shrink. What a rounded sum may gain at the gap's end is
                # added, so that the bound never rules out a fit.
                length = (begin - tail[machine]) + ROUNDING * begin
                longest_gap[machine] = max(longest_gap[machine], length)
                n_gaps[machine] = k + 1
            tail[machine] = finish
        if n_gaps[machine] == capacity:
            gap_start, gap_end = _doubled(gap_start), _doubled(gap_end)
            capacity *= 2
    return proc, ast, aft


@jit
def _lean(i, duration, guide, host, extra):
    """Fill `extra` (p,) with what the guide adds to the EFTs of task i."""
    through, least_ahead = guide.through[i], guide.least_optimistic[i]
    least = guide.least_cost[i]
    weights, codes = guide.weights[i], guide.codes
    w_ahead, w_cost, w_affinity = weights[0], weights[1], weights[2]
    # The same sum with one product a table.
    w_through = w_ahead * guide.unit
    w_duration, shift = w_cost - w_ahead, -(w_ahead * least_ahead + w_cost * least)
    for q in range(extra.size):
        lean = w_through * through[q] + w_duration * duration[q] + shift
        # A machine that cannot hold the task stays at an infinite EFT, whatever the weights.
        extra[q] = lean if duration[q] != np.inf else 0.0
    for e in range(guide.succs.ptr[i], guide.succs.ptr[i + 1]):
        q = host[guide.succs.task[e]]
        if q >= 0:
            extra[q] -= w_affinity * guide.mean_comm[e]
    for k in range(codes.shape[0]):
        weight, code = weights[3 + k], codes[k]
        for q in range(extra.size):
            extra[q] += weight * code[q]


@jit
def _note_inputs(i, machine, guide, host, largest):
    """Remember for each child of task i where its largest input so far lies."""
    for e in range(guide.succs.ptr[i], guide.succs.ptr[i + 1]):
        child = guide.succs.task[e]
        if host[child] < 0 or guide.mean_comm[e] > largest[child]:
            host[child], largest[child] = machine, guide.mean_comm[e]


@jit
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
def _doubled(table):
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
        start = max(arrival[i], tail[q])
        for e in range(preds.ptr[i], preds.ptr[i + 1]):
            j = preds.task[e]
            source = proc[j]
            transfer = links.latency[source, q] + preds.data[e] / links.bandwidth[source, q]
            start = max(start, aft[j] + transfer)
        ast[i] = start
        aft[i] = start + etc[i, q]
        tail[q] = aft[i]
    return ast, aft


@jit
def longest_path(topo, cost, release, preds):
    """Return the latest finish when every task starts as soon as released and its parents done."""
    finish = np.empty(cost.size)
    latest = 0.0
    for i in topo:
        start = release[i]
        for e in range(preds.ptr[i], preds.ptr[i + 1]):
            start = max(start, finish[preds.task[e]])
        finish[i] = start + cost[i]
        latest = max(latest, finish[i])
    return latest


@jit
def area_bound(etc, weights, rounds):
    """Return the greatest Σ_i min_q λ_q etc[i, q] met in `rounds` steps of ascent over λ."""
    n, p = etc.shape
    weights = weights.copy()
    load = np.empty(p)
    best = 0.0
    for step in range(rounds):
        load[:] = 0.0
        total = 0.0
        for i in range(n):
            least, machine = np.inf, 0
            for q in range(p):
                value = weights[q] * etc[i, q]
                if value < least:
                    least, machine = value, q
            total += least
            load[machine] += etc[i, machine]
        best = max(best, total)
        mean = load.mean()
        if mean == 0.0:
            break
        # The load of the greedy assignment is a supergradient: raise the price of loaded machines.
        scale = 1.0 / (p * (1.0 + step) ** 0.75)
        norm = 0.0
        for q in range(p):
            weights[q] *= np.exp(min(scale * (load[q] / mean - 1.0), 1.0))
            norm += weights[q]
        for q in range(p):
            weights[q] /= norm
    return best
