"""Taking one task out of a schedule and putting it where it does best, again and again.

A schedule is a sequence of tasks a machine. With one task out, the heads and tails of the others
give the makespan of every place it can be put, without a schedule being made for each.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from deepsched.baselines.kernels.random_numbers import uniform
from deepsched.baselines.kernels.structures import EdgeRows, inlined, jit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from deepsched.baselines.arrays import FloatArray, IntArray


class Times(NamedTuple):
    """What a problem's tasks and transfers take, s."""

    etc: FloatArray  # (n, p)
    arrival: FloatArray  # (n,)
    preds: EdgeRows
    succs: EdgeRows
    pred_comm: FloatArray  # (m,) of a transfer between nodes, where all links are alike
    succ_comm: FloatArray
    uniform: bool
    node: IntArray  # (p,)
    latency: FloatArray  # (p, p)
    bandwidth: FloatArray  # (p, p)


@jit
def times_of(etc, arrival, preds, succs, links):
    """Return what a problem's tasks and transfers take."""
    latency, bandwidth = links.latency[0, links.far], links.bandwidth[0, links.far]
    return Times(
        etc,
        arrival,
        preds,
        succs,
        latency + preds.data / bandwidth,
        latency + succs.data / bandwidth,
        links.uniform,
        links.node,
        links.latency,
        links.bandwidth,
    )


class Plan(NamedTuple):
    """Where the tasks stand; it changes in place. -1: none."""

    proc: IntArray  # (n,)
    before: IntArray  # (n,) who comes before on the same machine
    after: IntArray  # (n,)
    first: IntArray  # (p,)
    order: IntArray  # (n,) tasks, all edges and sequences pointing forwards
    place: IntArray  # (n,) of each task in `order`
    length: FloatArray  # (n,) s, on its machine
    head: FloatArray  # (n,) s, its start
    tail: FloatArray  # (n,) s, from its finish to the end of the longest path that begins there
    critical: IntArray  # (n,) tasks of a longest path


class Scratch(NamedTuple):
    """Room for what a step finds."""

    head: FloatArray  # (n,) with the task out
    tail: FloatArray
    late: NDArray[np.bool_]  # (n,) comes after the task that is put in
    moved: IntArray  # (n,)
    ready: FloatArray  # (p,) when the task's inputs are there
    rest: FloatArray  # (p,) what follows its finish at the least
    machine: IntArray  # (n + p,) of each candidate
    behind: IntArray  # (n + p,)
    cost: FloatArray  # (n + p,)


@jit
def empty_plan(n, p):
    """Return room for a plan."""
    return Plan(
        np.empty(n, np.int64),
        np.empty(n, np.int64),
        np.empty(n, np.int64),
        np.empty(p, np.int64),
        np.empty(n, np.int64),
        np.empty(n, np.int64),
        np.empty(n),
        np.empty(n),
        np.empty(n),
        np.empty(n, np.int64),
    )


@jit
def empty_scratch(n, p):
    """Return room for what steps find."""
    return Scratch(
        np.empty(n),
        np.empty(n),
        np.empty(n, np.bool_),
        np.empty(n, np.int64),
        np.empty(p),
        np.empty(p),
        np.empty(n + p, np.int64),
        np.empty(n + p, np.int64),
        np.empty(n + p),
    )


@jit
def fill(order, proc, etc, plan):
    """Write a schedule's sequences into a plan: tasks in `order` on their machines."""
    last = np.full(etc.shape[1], -1)
    plan.first[:] = -1
    for i in order:
        q = proc[i]
        plan.proc[i], plan.before[i], plan.after[i] = q, last[q], -1
        plan.length[i] = etc[i, q]
        if last[q] >= 0:
            plan.after[last[q]] = i
        else:
            plan.first[q] = i
        last[q] = i


FIRST_OF_A_KICK = 0.02  # temperature, as a share of the makespan
REPAIRS = 3.5  # natural logarithm of the most steps that repair a kick
FAR = 25.0  # temperatures above the least, where a candidate is as good as never drawn


@inlined
def _transfer(times, comm, data, source, target):
    if times.uniform:
        return 0.0 if times.node[source] == times.node[target] else comm
    return times.latency[source, target] + data / times.bandwidth[source, target]


@inlined
def _head(i, out, at_once, times, plan, head):
    """Return when task i can start; what waits for task `out` waits until `at_once`."""
    q = plan.proc[i]
    start = times.arrival[i]
    u = plan.before[i]
    if u >= 0:
        start = max(start, head[u] + plan.length[u])
    preds = times.preds
    for e in range(preds.ptr[i], preds.ptr[i + 1]):
        j = preds.task[e]
        if j == out:
            there = at_once
        else:
            there = head[j] + plan.length[j]
            there += _transfer(times, times.pred_comm[e], preds.data[e], plan.proc[j], q)
        start = max(start, there)
    return start


@inlined
def _tail(i, out, at_once, times, plan, tail):
    q = plan.proc[i]
    rest = 0.0
    w = plan.after[i]
    if w >= 0:
        rest = plan.length[w] + tail[w]
    succs = times.succs
    for e in range(succs.ptr[i], succs.ptr[i + 1]):
        j = succs.task[e]
        if j == out:
            there = at_once
        else:
            there = plan.length[j] + tail[j]
            there += _transfer(times, times.succ_comm[e], succs.data[e], q, plan.proc[j])
        rest = max(rest, there)
    return rest


@jit
def complete(times, plan):
    """Fill order, place, heads and tails from the sequences."""
    n = plan.proc.size
    missing = np.empty(n, np.int64)
    size = 0
    for i in range(n):
        missing[i] = times.preds.ptr[i + 1] - times.preds.ptr[i] + (plan.before[i] >= 0)
        if missing[i] == 0:
            plan.order[size] = i
            size += 1
    for k in range(n):
        i = plan.order[k]
        plan.place[i] = k
        for e in range(times.succs.ptr[i], times.succs.ptr[i + 1]):
            j = times.succs.task[e]
            missing[j] -= 1
            if missing[j] == 0:
                plan.order[size] = j
                size += 1
        w = plan.after[i]
        if w >= 0:
            missing[w] -= 1
            if missing[w] == 0:
                plan.order[size] = w
                size += 1
    for i in plan.order:
        plan.head[i] = _head(i, -1, 0.0, times, plan, plan.head)
    for i in plan.order[::-1]:
        plan.tail[i] = _tail(i, -1, 0.0, times, plan, plan.tail)


@jit
def critical_path(times, plan, state):
    """Write a longest path, ties by chance, into `plan.critical`; return its tasks and its s."""
    n = plan.proc.size
    makespan, i = 0.0, 0
    for k in range(n):
        finish = plan.head[k] + plan.length[k]
        if finish > makespan:
            makespan, i = finish, k
    slack = 1e-12 * makespan
    count = 0
    while i >= 0:
        plan.critical[count] = i
        count += 1
        start, next_one, seen = plan.head[i] - slack, -1, 0
        u = plan.before[i]
        if u >= 0 and plan.head[u] + plan.length[u] >= start:
            next_one, seen = u, 1
        preds = times.preds
        for e in range(preds.ptr[i], preds.ptr[i + 1]):
            j = preds.task[e]
            there = plan.head[j] + plan.length[j]
            there += _transfer(times, times.pred_comm[e], preds.data[e], plan.proc[j], plan.proc[i])
            if there >= start:
                seen += 1
                if seen == 1 or uniform(state) * seen < 1.0:
                    next_one = j
        i = next_one
    return count, makespan


@inlined
def _take_out(v, plan):
    u, w = plan.before[v], plan.after[v]
    if u >= 0:
        plan.after[u] = w
    else:
        plan.first[plan.proc[v]] = w
    if w >= 0:
        plan.before[w] = u


@inlined
def _link(v, q, u, plan, times):
    """Put a task that is out on machine q, behind task u, or first for -1."""
    w = plan.after[u] if u >= 0 else plan.first[q]
    plan.proc[v], plan.before[v], plan.after[v] = q, u, w
    plan.length[v] = times.etc[v, q]
    if u >= 0:
        plan.after[u] = v
    else:
        plan.first[q] = v
    if w >= 0:
        plan.before[w] = v


@inlined
def _shift(v, to, plan):
    """Move task v to another place of the order; those between move by one."""
    order, place = plan.order, plan.place
    at = place[v]
    for k in range(at, to):
        order[k] = order[k + 1]
        place[order[k]] = k
    for k in range(at, to, -1):
        order[k] = order[k - 1]
        place[order[k]] = k
    order[to], place[v] = v, to


@jit
def _reorder(v, times, plan, late, moved):
    """Make `order` right again after task v was linked; return False where it cannot be."""
    low, high = -1, plan.order.size  # last who must come before, first who must come after
    u, w = plan.before[v], plan.after[v]
    if u >= 0:
        low = plan.place[u]
    if w >= 0:
        high = plan.place[w]
    for e in range(times.preds.ptr[v], times.preds.ptr[v + 1]):
        low = max(low, plan.place[times.preds.task[e]])
    for e in range(times.succs.ptr[v], times.succs.ptr[v + 1]):
        high = min(high, plan.place[times.succs.task[e]])
    at = plan.place[v]
    order, place = plan.order, plan.place
    if low < high:
        _shift(v, max(low, min(at, high)), plan)
        return True
    # Between them some come after v and some before: those that come after go behind.
    for k in range(high, low + 1):
        late[order[k]] = False
    for e in range(times.succs.ptr[v], times.succs.ptr[v + 1]):
        j = times.succs.task[e]
        if place[j] <= low:
            late[j] = True
    if w >= 0 and place[w] <= low:
        late[w] = True
    for k in range(high, low + 1):
        i = order[k]
        if i == v or late[i]:
            continue
        b = plan.before[i]
        if b >= 0 and b != v and high <= place[b] < k and late[b]:
            late[i] = True
            continue
        for e in range(times.preds.ptr[i], times.preds.ptr[i + 1]):
            j = times.preds.task[e]
            if j != v and high <= place[j] < k and late[j]:
                late[i] = True
                break
    if u >= 0 and place[u] >= high and late[u]:
        return False
    for e in range(times.preds.ptr[v], times.preds.ptr[v + 1]):
        j = times.preds.task[e]
        if place[j] >= high and late[j]:
            return False
    start, end = min(high, at), max(low, at)
    behind, k = 0, start
    for m in range(start, end + 1):
        i = order[m]
        if i == v:
            continue
        if m > low or (m >= high and late[i]):
            moved[behind] = i
            behind += 1
        else:
            order[k] = i
            place[i] = k
            k += 1
    order[k], place[v] = v, k
    for m in range(behind):
        k += 1
        order[k] = moved[m]
        place[moved[m]] = k
    return True


@jit
def step(v, temperature, pull, banned, state, times, plan, scratch):
    """Take task v out and put it where a heat bath says; return whether something changed.

    A place costs the makespan it leaves, and `pull` times the longest path through the task there.
    It is not put on the machine `banned`.
    """
    n, p = times.etc.shape
    order, length = plan.order, plan.length
    head, tail = scratch.head, scratch.tail
    own, old_u, at = plan.proc[v], plan.before[v], plan.place[v]
    _take_out(v, plan)
    # Heads and tails without it: a point of no length that its neighbours in the graph still see.
    head[:] = plan.head
    tail[:] = plan.tail
    early, rest = times.arrival[v], 0.0
    for e in range(times.preds.ptr[v], times.preds.ptr[v + 1]):
        j = times.preds.task[e]
        early = max(early, head[j] + length[j])
    head[v] = early
    for k in range(at + 1, n):
        i = order[k]
        head[i] = _head(i, v, early, times, plan, head)
    for e in range(times.succs.ptr[v], times.succs.ptr[v + 1]):
        j = times.succs.task[e]
        rest = max(rest, tail[j] + length[j])
    tail[v] = rest
    for k in range(at - 1, -1, -1):
        i = order[k]
        tail[i] = _tail(i, v, rest, times, plan, tail)
    length[v] = 0.0
    floor = 0.0
    for i in range(n):
        floor = max(floor, head[i] + length[i])
    _ends(v, times, plan, scratch)
    count, least = 0, np.inf
    worth = FAR * temperature
    for k in range(p):
        # Its own machine first: what staying costs leaves most others out.
        q = k
        if k == 0:
            q = own
        elif k <= own:
            q = k - 1
        duration = times.etc[v, q]
        if duration == np.inf or q == banned:
            continue
        through = scratch.ready[q] + duration + scratch.rest[q]
        if max(through, floor) + pull * through > least + worth:
            continue
        # Behind all that must come before, before all that must come after: in between each place.
        low, high, index = 0, 0, 0
        x = plan.first[q]
        while x >= 0:
            must_before = tail[x] + length[x] > rest
            may_after = head[x] + length[x] > early
            index += 1
            if must_before:
                low = index
            if not may_after:
                high = index
            if not must_before and may_after:
                break
            x = plan.after[x]
        low, high = min(low, high), max(low, high)
        u, x, index = -1, plan.first[q], 0
        while True:
            if index >= low:
                start, remaining = scratch.ready[q], scratch.rest[q]
                if u >= 0:
                    start = max(start, head[u] + length[u])
                if x >= 0:
                    remaining = max(remaining, tail[x] + length[x])
                through = start + duration + remaining
                cost = max(through, floor) + pull * through
                if cost <= least + worth:
                    scratch.machine[count], scratch.behind[count] = q, u
                    scratch.cost[count] = cost
                    count += 1
                    least = min(least, cost)
            if index >= high or x < 0:
                break
            u = x
            x = plan.after[x]
            index += 1
    if count == 0:
        _link(v, own, old_u, plan, times)
        return False
    total = 0.0
    for c in range(count):
        above = (scratch.cost[c] - least) / temperature
        if above < FAR:
            total += np.exp(-above)
        scratch.cost[c] = total
    pick, c = uniform(state) * total, 0
    while c < count - 1 and scratch.cost[c] <= pick:
        c += 1
    q, u = scratch.machine[c], scratch.behind[c]
    _link(v, q, u, plan, times)
    if q == own and u == old_u:
        return False
    if not _reorder(v, times, plan, scratch.late, scratch.moved):
        _take_out(v, plan)
        _link(v, own, old_u, plan, times)
        return False
    _settle(v, times, plan, scratch)
    return True


@jit
def _ends(v, times, plan, scratch):
    """Fill when the inputs of task v are there on each machine, and what follows it there."""
    p = times.etc.shape[1]
    ready, rest = scratch.ready, scratch.rest
    ready[:] = times.arrival[v]
    preds, succs = times.preds, times.succs
    for e in range(preds.ptr[v], preds.ptr[v + 1]):
        j = preds.task[e]
        done, source = scratch.head[j] + plan.length[j], plan.proc[j]
        for q in range(p):
            there = done + _transfer(times, times.pred_comm[e], preds.data[e], source, q)
            ready[q] = max(ready[q], there)
    rest[:] = 0.0
    for e in range(succs.ptr[v], succs.ptr[v + 1]):
        j = succs.task[e]
        left, target = scratch.tail[j] + plan.length[j], plan.proc[j]
        for q in range(p):
            there = left + _transfer(times, times.succ_comm[e], succs.data[e], q, target)
            rest[q] = max(rest[q], there)


@jit
def _settle(v, times, plan, scratch):
    """Bring heads and tails up to date: those of who comes before, or after, v are known."""
    n, at = plan.proc.size, plan.place[v]
    plan.head[:] = scratch.head
    plan.tail[:] = scratch.tail
    for k in range(at, n):
        i = plan.order[k]
        plan.head[i] = _head(i, -1, 0.0, times, plan, plan.head)
    for k in range(at, -1, -1):
        i = plan.order[k]
        plan.tail[i] = _tail(i, -1, 0.0, times, plan, plan.tail)


@jit
def anneal(
    best_proc,
    best_order,
    value,
    steps,
    hot,
    cold,
    pull,
    kicks,
    state,
    enough,
    stop,
    times,
    plan,
    saved,
    scratch,
):
    """Take so many steps from `plan` at temperatures from `hot` to `cold`, shares of the makespan.

    A step takes a task of a longest path. In a share of them, `kicks`, it has to go to another
    machine, then one of that machine to where it does best, and after some more of the longest path
    it is judged whether that was good: all of it stays or none. What is better than `value`, s, is
    written into `best_proc` and `best_order`. Returns the least makespan. It ends where that is at
    most `enough`, or `stop[0]` is set.
    """
    p = times.etc.shape[1]
    complete(times, plan)
    count, makespan = critical_path(times, plan, state)
    cooling = np.log(cold / hot)
    for number in range(steps):
        if makespan < value:
            value = makespan
            best_proc[:] = plan.proc
            best_order[:] = plan.order
        if value <= enough or stop[0]:
            break
        temperature = hot * np.exp(cooling * (number / steps)) * makespan
        v = plan.critical[int(uniform(state) * count)]
        if p < 2 or uniform(state) >= kicks:
            if step(v, temperature, pull, -1, state, times, plan, scratch):
                count, makespan = critical_path(times, plan, state)
            continue
        own = plan.proc[v]
        _copy(plan, saved)
        saved_count, saved_makespan = count, makespan
        if not step(v, FIRST_OF_A_KICK * makespan, pull, own, state, times, plan, scratch):
            continue
        x = _anyone(v, plan, state)
        if x >= 0:
            step(x, temperature, pull, plan.proc[v], state, times, plan, scratch)
        count, makespan = critical_path(times, plan, state)
        # How many repair it is uniform on a logarithmic scale.
        for _ in range(int(np.exp(REPAIRS * uniform(state)))):
            x = plan.critical[int(uniform(state) * count)]
            if step(x, temperature, pull, -1, state, times, plan, scratch):
                count, makespan = critical_path(times, plan, state)
        worse = makespan - saved_makespan
        if worse > 0.0 and uniform(state) >= np.exp(-worse / temperature):
            _copy(saved, plan)
            count, makespan = saved_count, saved_makespan
    if makespan < value:
        value = makespan
        best_proc[:] = plan.proc
        best_order[:] = plan.order
    return value


@jit
def _anyone(v, plan, state):
    """Return another task of the machine of v, each as likely; -1: there is none."""
    size, chosen = 0, -1
    x = plan.first[plan.proc[v]]
    while x >= 0:
        if x != v:
            size += 1
            if uniform(state) * size < 1.0:
                chosen = x
        x = plan.after[x]
    return chosen


@jit
def _copy(source, target):
    target.proc[:] = source.proc
    target.before[:] = source.before
    target.after[:] = source.after
    target.first[:] = source.first
    target.order[:] = source.order
    target.place[:] = source.place
    target.length[:] = source.length
    target.head[:] = source.head
    target.tail[:] = source.tail
    target.critical[:] = source.critical


@jit
def anneal_turnaround(
    best_proc,
    best_order,
    value,
    steps,
    hot,
    cold,
    state,
    enough,
    stop,
    times,
    plan,
    scratch,
):
    """Do as `anneal` for the mean turnaround, whose every change is found by a pass.

    A step takes any task to another place of the order that its parents and children leave it, and
    maybe to another machine; what comes later moves with it. Temperatures are shares of the mean.
    """
    n = plan.proc.size
    complete(times, plan)
    total = 0.0
    for i in range(n):
        total += plan.head[i] + plan.length[i] - times.arrival[i]
    cooling = np.log(cold / hot)
    for number in range(steps):
        if total < value * n:
            value = total / n
            best_proc[:] = plan.proc
            best_order[:] = plan.order
        if value <= enough or stop[0]:
            break
        temperature = hot * np.exp(cooling * (number / steps)) * total / n
        v = int(uniform(state) * n)
        own, old_u, at = plan.proc[v], plan.before[v], plan.place[v]
        low, high = -1, n
        for e in range(times.preds.ptr[v], times.preds.ptr[v + 1]):
            low = max(low, plan.place[times.preds.task[e]])
        for e in range(times.succs.ptr[v], times.succs.ptr[v + 1]):
            high = min(high, plan.place[times.succs.task[e]])
        to = low + 1 + int(uniform(state) * (high - low - 1))
        q = _other_machine(v, times, plan, state)
        if q == own and to == at:
            continue
        scratch.head[:] = plan.head
        _take_out(v, plan)
        u, x = -1, plan.first[q]
        while x >= 0 and (plan.place[x] < to or (plan.place[x] == to and to > at)):
            u, x = x, plan.after[x]
        _link(v, q, u, plan, times)
        _shift(v, to, plan)
        before = total
        for k in range(min(at, to), n):
            i = plan.order[k]
            plan.head[i] = _head(i, -1, 0.0, times, plan, plan.head)
            total += plan.head[i] - scratch.head[i]
        total += times.etc[v, q] - times.etc[v, own]
        worse = total - before
        if worse > 0.0 and uniform(state) >= np.exp(-worse / (n * temperature)):
            _take_out(v, plan)
            _link(v, own, old_u, plan, times)
            _shift(v, at, plan)
            plan.head[:] = scratch.head
            total = before
    if total < value * n:
        value = total / n
        best_proc[:] = plan.proc
        best_order[:] = plan.order
    return value


@jit
def _other_machine(v, times, plan, state):
    """Return a machine for task v: its own, that of a parent or a child, or a cheap one."""
    kind = uniform(state)
    own = plan.proc[v]
    if kind < 0.3:
        return own
    if kind < 0.6:
        parents = times.preds.ptr[v + 1] - times.preds.ptr[v]
        children = times.succs.ptr[v + 1] - times.succs.ptr[v]
        if parents + children > 0:
            e = int(uniform(state) * (parents + children))
            if e < parents:
                q = plan.proc[times.preds.task[times.preds.ptr[v] + e]]
            else:
                q = plan.proc[times.succs.task[times.succs.ptr[v] + e - parents]]
            return q if times.etc[v, q] != np.inf else own
    p = times.etc.shape[1]
    q, r = int(uniform(state) * p), int(uniform(state) * p)
    q = r if times.etc[v, r] < times.etc[v, q] else q
    return q if times.etc[v, q] != np.inf else own
