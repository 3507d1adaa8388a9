"""The genetic algorithm improves, keeps what it is told to keep, and threads change nothing."""

from __future__ import annotations

import heapq

import numpy as np
import pytest
from hypothesis import given, settings

from deepsched.baselines.genetic import genetic, genetic_makespan
from deepsched.baselines.heft import heft
from deepsched.baselines.list_schedule import simulate
from deepsched.baselines.machines import make_machines
from deepsched.baselines.metrics import mean_waiting
from deepsched.baselines.problem import Problem, make_problem
from deepsched.baselines.ranks import heft_order, release_order, upward_rank
from deepsched.baselines.schedule import violations
from tests import strategies
from tests.baselines.test_every_scheduler import renamed
from tests.baselines.test_reference_values import topcuoglu


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def layered(n: int = 60, p: int = 5) -> Problem:
    draw = rng(3)
    child = np.arange(6, n)
    return make_problem(
        machines=make_machines(p, bandwidth=draw.uniform(1, 3, (p, p)), latency=0.5),
        etc=draw.uniform(1, 20, (n, p)),
        edges=(child - draw.integers(1, 6, child.size), child, draw.uniform(0, 30, child.size)),
    )


def test_more_generations_wait_less() -> None:
    problem = layered()
    start, end = (mean_waiting(problem, genetic(problem, rng(), generations=g)) for g in (0, 60))
    assert end < 0.9 * start


def test_the_fitness_is_that_of_the_simulated_schedule() -> None:
    # Without generations the best of the drawn individuals is returned: replay all of them.
    problem = layered(n=30, p=3)
    people = (rng(5).random((30, 8)) * 3).astype(int)
    order = release_order(problem)
    waits = []
    for column in people.T:
        proc = np.empty(30, dtype=int)
        proc[order] = column
        waits.append(mean_waiting(problem, simulate(problem, proc, order)))
    best = genetic(problem, rng(5), population=8, generations=0)
    assert mean_waiting(problem, best) == min(waits)


def arriving() -> Problem:
    """Sixty tasks without edges that arrive one after the other, the longest ones last."""
    n = 60
    etc = np.repeat(np.linspace(1.0, 10.0, n)[:, None], 4, axis=1)
    return make_problem(machines=make_machines(4), etc=etc, arrival=np.arange(n) * 2.0)


def test_tasks_run_by_their_release_and_a_late_one_holds_up_nobody() -> None:
    problem = arriving()
    by_release, by_rank = (genetic(problem, rng(), order=order) for order in ("release", "rank"))  # type: ignore[arg-type]
    assert mean_waiting(problem, by_release) < 0.1 * mean_waiting(problem, by_rank)


def test_the_release_of_a_task_is_that_of_what_it_waits_for() -> None:
    # A chain whose first task arrives last of all, and two tasks that wait for nobody.
    problem = make_problem(
        machines=make_machines(2),
        etc=np.ones((4, 2)),
        edges=([0], [1], [0.0]),
        arrival=[5.0, 0.0, 3.0, 5.0],
    )
    assert release_order(problem).tolist() == [2, 0, 1, 3]
    assert heft_order(problem).tolist() == [0, 1, 2, 3]


@settings(max_examples=100)
@given(problem=strategies.problems())
def test_the_release_order_is_what_a_heap_of_ready_tasks_gives(problem: Problem) -> None:
    release, rank = problem.arrival.copy(), upward_rank(problem)
    for task in problem.topo:
        parents = problem.pred[problem.pred_ptr[task] : problem.pred_ptr[task + 1]]
        release[task] = max([release[task], *release[parents]])
    waits = np.diff(problem.pred_ptr)
    key = [(release[i], -rank[i], int(problem.topo_index[i]), i) for i in range(problem.n_tasks)]
    heap = [key[i] for i in range(problem.n_tasks) if waits[i] == 0]
    heapq.heapify(heap)
    order = []
    while heap:
        task = heapq.heappop(heap)[-1]
        order.append(task)
        for child in problem.succ[problem.succ_ptr[task] : problem.succ_ptr[task + 1]]:
            waits[child] -= 1
            if waits[child] == 0:
                heapq.heappush(heap, key[child])
    assert release_order(problem).tolist() == order


@pytest.mark.parametrize("fitness", ["waiting", "makespan"])
def test_threads_do_not_change_the_result(fitness: str) -> None:
    problem = layered()
    results = [
        genetic(problem, rng(1), fitness=fitness, generations=15, mutations=1, elite=2, workers=w)  # type: ignore[arg-type]
        for w in (1, 2, 5)
    ]
    assert len({r.aft.tobytes() for r in results}) == 1


@settings(max_examples=200)
@given(problem=strategies.problems(max_tasks=12))
def test_seeded_with_heft_it_is_never_longer(problem: Problem) -> None:
    found = genetic(
        problem, rng(), population=4, generations=2, fitness="makespan", seeded=True, elite=1
    )
    assert violations(problem, found) == []
    assert found.makespan <= heft(problem).makespan


@settings(max_examples=200)
@given(problem=strategies.problems())
def test_the_same_stream_gives_the_same_bits_and_names_enter_nowhere(problem: Problem) -> None:
    small = {"population": 4, "generations": 2}
    for change in ({}, {"fitness": "makespan", "seeded": True, "mutations": 0.1, "elite": 1}):
        one, again = (genetic(p, rng(), **small, **change) for p in (problem, renamed(problem)))  # type: ignore[arg-type]
        assert one.proc.tobytes() == again.proc.tobytes()
        assert one.aft.tobytes() == again.aft.tobytes()


def test_the_makespan_variant_finds_the_optimum_of_the_published_example() -> None:
    assert genetic_makespan(topcuoglu(), rng()).makespan == 73.0


def test_mutation_reaches_machines_that_crossover_cannot() -> None:
    # All individuals start on machines other than 2 only by chance; with mutation a lone fast
    # machine is found even by a population of two.
    etc = np.full((1, 50), 100.0)
    etc[0, 33] = 1.0
    problem = make_problem(machines=make_machines(50), etc=etc)
    settings_ = {"population": 2, "generations": 400, "elite": 1, "fitness": "makespan"}
    assert genetic(problem, rng(), mutations=0.9, **settings_).makespan == 1.0  # type: ignore[arg-type]
    assert genetic(problem, rng(), mutations=0.0, **settings_).makespan == 100.0  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "wrong", [{"population": 1}, {"elite": 64}, {"mutations": -1.0}, {"generations": -1}]
)
def test_impossible_settings_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="population ≥ 2"):
        genetic(layered(10, 2), rng(), **wrong)  # type: ignore[arg-type]
