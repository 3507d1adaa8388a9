"""Slow list scheduling in plain Python, from the definitions, to hold the kernels against."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from deepsched.baselines.problem import Problem

Placement = tuple[list[int], list[float], list[float]]


def parents(problem: Problem, i: int) -> list[tuple[int, float]]:
    rows = range(problem.pred_ptr[i], problem.pred_ptr[i + 1])
    return [(int(problem.pred[e]), float(problem.pred_bytes[e])) for e in rows]


def children(problem: Problem, i: int) -> list[tuple[int, float]]:
    rows = range(problem.succ_ptr[i], problem.succ_ptr[i + 1])
    return [(int(problem.succ[e]), float(problem.succ_bytes[e])) for e in rows]


def transfer(problem: Problem, source: int, target: int, data: float) -> float:
    if source == target:
        return 0.0
    machines = problem.machines
    return float(machines.latency[source, target] + data / machines.bandwidth[source, target])


def mean_transfer(problem: Problem, data: float) -> float:
    p = problem.n_machines
    nodes = problem.machines.nodes
    pairs = [(a, b) for a in range(p) for b in range(p) if nodes[a] != nodes[b]]
    if not pairs:
        return 0.0
    latency = math.fsum(problem.machines.latency[pair] for pair in pairs) / len(pairs)
    return latency + data * (
        math.fsum(1.0 / problem.machines.bandwidth[pair] for pair in pairs) / len(pairs)
    )


def mean_cost(problem: Problem, i: int) -> float:
    costs = [c for c in problem.etc[i].tolist() if c != math.inf]
    return math.fsum(costs) / len(costs)


def upward_ranks(problem: Problem) -> list[float]:
    rank = [0.0] * problem.n_tasks
    for i in reversed(problem.topo.tolist()):
        ahead = [mean_transfer(problem, d) + rank[j] for j, d in children(problem, i)]
        rank[i] = mean_cost(problem, i) + max(ahead, default=0.0)
    return rank


def optimistic_costs(problem: Problem) -> list[list[float]]:
    p, nodes = problem.n_machines, problem.machines.nodes
    table = [[0.0] * p for _ in range(problem.n_tasks)]
    for i in reversed(problem.topo.tolist()):
        for q in range(p):
            ahead = []
            for j, data in children(problem, i):
                here = [
                    table[j][w]
                    + problem.etc[j, w]
                    + (0.0 if nodes[w] == nodes[q] else mean_transfer(problem, data))
                    for w in range(p)
                    if problem.etc[j, w] != math.inf
                ]
                ahead.append(min(here))
            table[i][q] = max(ahead, default=0.0)
    return table


def ready(problem: Problem, i: int, q: int, proc: list[int], aft: list[float]) -> float:
    inputs = [aft[j] + transfer(problem, proc[j], q, d) for j, d in parents(problem, i)]
    return max([float(problem.arrival[i]), *inputs])


def earliest_start(slots: list[tuple[float, float]], at: float, duration: float) -> float:
    """Return the start in the earliest idle gap that fits; `slots` are the busy times, sorted."""
    free = 0.0
    for start, finish in slots:
        if start > free:  # an empty gap is no gap
            begin = max(free, at)
            if begin + duration <= start:
                return begin
        free = finish
    return max(free, at)


def place(
    problem: Problem,
    order: Iterable[int],
    value: Callable[[int, int, float], float] = lambda i, q, eft: eft,
    *,
    insertion: bool = True,
) -> Placement:
    """Place tasks in order on the machine of least value; equal values by lower index."""
    n, p = problem.n_tasks, problem.n_machines
    proc, ast, aft = [-1] * n, [0.0] * n, [0.0] * n
    slots: list[list[tuple[float, float]]] = [[] for _ in range(p)]
    for i in order:
        options = []
        for q in range(p):
            duration = float(problem.etc[i, q])
            if duration == math.inf:
                continue
            at = ready(problem, i, q, proc, aft)
            if insertion:
                start = earliest_start(slots[q], at, duration)
            else:
                start = max([at, *(finish for _, finish in slots[q])])
            options.append((value(i, q, start + duration), q, start, start + duration))
        _, proc[i], ast[i], aft[i] = min(options)
        slots[proc[i]].append((ast[i], aft[i]))
        slots[proc[i]].sort()
    return proc, ast, aft


def one_by_one(problem: Problem, key: Callable[[list[float], int], tuple]) -> Placement:
    """Assign the ready task of least key, computed from its sorted completion times, appending."""
    n, p = problem.n_tasks, problem.n_machines
    proc, ast, aft = [-1] * n, [0.0] * n, [0.0] * n
    tail = [0.0] * p
    todo = set(range(n))
    while todo:
        options = []
        for i in todo:
            if any(j in todo for j, _ in parents(problem, i)):
                continue
            done = []
            for q in range(p):
                start = max(ready(problem, i, q, proc, aft), tail[q])
                done.append((start + float(problem.etc[i, q]), q, start))
            done.sort()
            rank = key([d for d, _, _ in done], int(problem.topo_index[i]))
            options.append((rank, i, done[0]))
        _, i, (finish, q, start) = min(options)
        proc[i], ast[i], aft[i] = q, start, finish
        tail[q] = finish
        todo.remove(i)
    return proc, ast, aft
