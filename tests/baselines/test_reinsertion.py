"""Search by re-insertion: what it says of a place is exact, and what it returns only better."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepsched.baselines.generate import FAMILIES, GeneratorSpec, generate
from deepsched.baselines.heft import heft
from deepsched.baselines.kernels import reinsertion as kernels
from deepsched.baselines.list_schedule import replay_order
from deepsched.baselines.machines import make_machines
from deepsched.baselines.metrics import mean_turnaround
from deepsched.baselines.problem import make_problem
from deepsched.baselines.registry import SCHEDULERS
from deepsched.baselines.reinsertion import Search, anneal, anneal_by_steps, descend, times_of
from deepsched.baselines.schedule import violations
from tests import strategies

if TYPE_CHECKING:
    from deepsched.baselines.problem import Problem
    from deepsched.baselines.schedule import Schedule

COLD = 1e-12  # a temperature at which only the best is taken


def plan_of(problem: Problem, schedule: Schedule) -> kernels.Plan:
    """Return the sequences of a schedule, with heads and tails."""
    plan = kernels.empty_plan(*problem.etc.shape)
    order = replay_order(problem, schedule)
    kernels.fill(order, schedule.proc.astype(np.int64), problem.etc, plan)
    kernels.complete(times_of(problem), plan)
    return plan


def sequences(plan: kernels.Plan) -> list[list[int]]:
    found: list[list[int]] = []
    for task in plan.first.tolist():
        found.append([])
        while task >= 0:
            found[-1].append(task)
            task = int(plan.after[task])
    return found


def makespan_of(problem: Problem, rows: list[list[int]]) -> float:
    """Return when all is done, tasks starting as soon as they can; inf for a circle."""
    n = problem.n_tasks
    machine = {i: q for q, row in enumerate(rows) for i in row}
    links = problem.machines.links
    waits: list[list[tuple[int, float]]] = [[] for _ in range(n)]
    for parent, child, data in zip(*problem.edge_list(), strict=True):
        source, target = machine[parent], machine[child]
        cost = links.latency[source, target] + data / links.bandwidth[source, target]
        waits[child].append((parent, cost))
    for row in rows:
        for one, other in itertools.pairwise(row):
            waits[other].append((one, 0.0))
    finish: dict[int, float] = {}
    while len(finish) < n:
        ready = [i for i in range(n) if i not in finish and all(j in finish for j, _ in waits[i])]
        if not ready:
            return np.inf
        for i in ready:
            start = max([problem.arrival[i], *(finish[j] + cost for j, cost in waits[i])])
            finish[i] = start + problem.etc[i, machine[i]]
    return max(finish.values())


def drawn(seed: int, family: str, **more: float) -> Problem:
    spec = GeneratorSpec(family=family, tasks=14, machines=3, **more)  # type: ignore[arg-type]
    return generate(spec, seed)


KINDS = (
    {},
    {"ccr": 10.0, "link_spread": 5.0, "latency": 0.3},
    {"arrival_spread": 2.0},
    {"memory": 0.4, "ccr": 0.0},
)


@pytest.mark.parametrize("kind", range(len(KINDS)))
@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_the_place_taken_is_the_best_of_all_there_are(family: str, kind: int) -> None:
    problem = drawn(kind, family, **KINDS[kind])
    times, state = times_of(problem), np.array([77], np.uint64)
    plan = plan_of(problem, SCHEDULERS["random"](problem, np.random.default_rng(kind)))
    scratch = kernels.empty_scratch(*problem.etc.shape)
    for task in range(problem.n_tasks):
        rows = [[i for i in row if i != task] for row in sequences(plan)]
        best = np.inf
        for q, row in enumerate(rows):
            if problem.etc[task, q] < np.inf:
                for k in range(len(row) + 1):
                    tried = [*rows[:q], [*row[:k], task, *row[k:]], *rows[q + 1 :]]
                    best = min(best, makespan_of(problem, tried))
        kernels.step(task, COLD, 0.0, -1, state, times, plan, scratch)
        assert (plan.head + plan.length).max() == pytest.approx(best, rel=1e-9)
        assert makespan_of(problem, sequences(plan)) == pytest.approx(best, rel=1e-9)


@pytest.mark.parametrize("kind", range(len(KINDS)))
@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_heads_tails_and_order_stay_right_over_many_steps(family: str, kind: int) -> None:
    problem = drawn(10 + kind, family, **KINDS[kind])
    times, state = times_of(problem), np.array([5], np.uint64)
    plan = plan_of(problem, heft(problem))
    scratch = kernels.empty_scratch(*problem.etc.shape)
    rng = np.random.default_rng(kind)
    for _ in range(200):
        hot = 0.3 * float((plan.head + plan.length).max())
        kernels.step(int(rng.integers(problem.n_tasks)), hot, 0.1, -1, state, times, plan, scratch)
        assert (plan.order[plan.place] == np.arange(problem.n_tasks)).all()
        parents, children, _ = problem.edge_list()
        assert (plan.place[parents] < plan.place[children]).all()
        for row in sequences(plan):
            assert (np.diff(plan.place[row]) > 0).all()
        head, tail = plan.head.copy(), plan.tail.copy()
        kernels.complete(times, plan)
        np.testing.assert_allclose(head, plan.head, rtol=1e-12)
        np.testing.assert_allclose(tail, plan.tail, rtol=1e-12, atol=1e-9 * head.max())


@settings(max_examples=150)
@given(problem=strategies.problems(), seed=st.integers(0, 99))
def test_what_comes_out_is_valid_and_no_longer(problem: Problem, seed: int) -> None:
    start = SCHEDULERS["random"](problem, np.random.default_rng(seed))
    found = descend(problem, start, 60, seed)
    assert violations(problem, found) == []
    assert found.makespan <= start.makespan
    again = descend(problem, start, 60, seed)
    assert (again.proc == found.proc).all()
    assert (again.ast == found.ast).all()


def test_annealing_finds_more_and_says_so() -> None:
    problem = generate(GeneratorSpec(family="layered", tasks=60, machines=4, ccr=1.0), 3)
    start = heft(problem)
    told: list[float] = []
    found = anneal(problem, start, 0.3, 0, 2, improved=told.append)
    assert violations(problem, found) == []
    assert found.makespan < descend(problem, start, 30).makespan < start.makespan
    assert told == sorted(told, reverse=True)
    assert told[-1] == pytest.approx(found.makespan, rel=1e-9)


def test_annealing_ends_where_it_is_told_to() -> None:
    problem = generate(GeneratorSpec(family="layered", tasks=60, machines=4, ccr=1.0), 3)
    start = heft(problem)
    found = anneal(problem, start, 600.0, 0, 2, least=0.99 * start.makespan)
    assert found.makespan <= 0.99 * start.makespan
    assert anneal(problem, start, 600.0, 0, 1, stop=np.ones(1, np.bool_)) is start


def test_slots_of_a_node_send_nothing() -> None:
    machines = make_machines(4, nodes=["a", "a", "b", "b"], bandwidth=10.0)
    rng = np.random.default_rng(0)
    edges = (np.arange(18), np.arange(18) + 6, np.full(18, 500.0))
    problem = make_problem(machines=machines, etc=rng.uniform(1, 9, (24, 4)), edges=edges)
    start = SCHEDULERS["random"](problem, rng)
    plan = plan_of(problem, start)
    assert makespan_of(problem, sequences(plan)) == (plan.head + plan.length).max()
    found = anneal_by_steps(problem, heft(problem), 5_000, 0)
    assert violations(problem, found) == []
    assert found.makespan < heft(problem).makespan


@pytest.mark.parametrize("machines", [1, 2])
def test_tasks_of_no_length_are_no_trap(machines: int) -> None:
    rng = np.random.default_rng(1)
    etc = rng.integers(0, 2, (30, machines)).astype(float)
    parents, children = np.triu_indices(30, 1)
    some = rng.random(parents.size) < 0.1
    edges = (parents[some], children[some], np.zeros(int(some.sum())))
    problem = make_problem(machines=make_machines(machines), etc=etc, edges=edges)
    start = SCHEDULERS["random"](problem, rng)
    found = descend(problem, start, 3_000)
    assert violations(problem, found) == []
    assert found.makespan <= start.makespan


@settings(max_examples=100)
@given(problem=strategies.problems(), seed=st.integers(0, 99))
def test_the_mean_turnaround_only_falls_and_is_what_the_steps_say(
    problem: Problem, seed: int
) -> None:
    start = SCHEDULERS["random"](problem, np.random.default_rng(seed))
    search = Search(problem, start, seed, objective="turnaround")
    values = [search.run(20, 0.1, 0.01) for _ in range(5)]
    found = search.better_of(start)
    assert violations(problem, found) == []
    assert values == sorted(values, reverse=True)
    assert mean_turnaround(problem, found) <= mean_turnaround(problem, start)
    if mean_turnaround(problem, found) < mean_turnaround(problem, start):
        assert mean_turnaround(problem, found) == pytest.approx(values[-1], rel=1e-9)


def test_annealing_the_mean_turnaround_finds_more() -> None:
    problem = generate(GeneratorSpec(family="layered", tasks=60, machines=4, ccr=1.0), 3)
    start = heft(problem)
    told: list[float] = []
    found = anneal(problem, start, 0.2, 0, 2, improved=told.append, objective="turnaround")
    assert violations(problem, found) == []
    few = descend(problem, start, 50, 0, "turnaround")
    assert mean_turnaround(problem, found) < mean_turnaround(problem, few)
    assert mean_turnaround(problem, few) < mean_turnaround(problem, start)
    assert told == sorted(told, reverse=True)


def test_steps_of_annealing_are_the_same_for_a_seed() -> None:
    problem = generate(GeneratorSpec(family="layered", tasks=60, machines=4, ccr=1.0), 3)
    one, again, other = (anneal_by_steps(problem, heft(problem), 500, seed) for seed in (1, 1, 2))
    assert one.aft.tobytes() == again.aft.tobytes() != other.aft.tobytes()
