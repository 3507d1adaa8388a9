"""The optimum of tiny graphs, held against every order on every machine."""

from __future__ import annotations

import itertools
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings

from deepsched.baselines.best_of import best_of
from deepsched.baselines.bounds import lower_bound
from deepsched.baselines.cp_sat import MAX_CHOICES, cp_sat
from deepsched.baselines.errors import NotInstalled, TooLarge
from deepsched.baselines.generate import GeneratorSpec, generate
from deepsched.baselines.list_schedule import simulate
from deepsched.baselines.machines import make_machines
from deepsched.baselines.perturbation import perturbation
from deepsched.baselines.problem import Problem, make_problem
from deepsched.baselines.registry import get_scheduler
from deepsched.baselines.schedule import violations
from tests import strategies
from tests.baselines.test_reference_values import topcuoglu

if TYPE_CHECKING:
    from collections.abc import Iterator


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def legal_orders(problem: Problem) -> Iterator[tuple[int, ...]]:
    edges = [
        (i, int(problem.succ[e]))
        for i in range(problem.n_tasks)
        for e in range(problem.succ_ptr[i], problem.succ_ptr[i + 1])
    ]
    for order in itertools.permutations(range(problem.n_tasks)):
        at = {task: k for k, task in enumerate(order)}
        if all(at[i] < at[j] for i, j in edges):
            yield order


def shortest(problem: Problem) -> float:
    """Return the optimum: some order and some machines make every schedule worth having."""
    return min(
        simulate(problem, np.array(proc), np.array(order)).makespan
        for order in legal_orders(problem)
        for proc in itertools.product(range(problem.n_machines), repeat=problem.n_tasks)
        if np.isfinite(problem.etc[range(problem.n_tasks), proc]).all()
    )


@pytest.mark.parametrize("seed", range(8))
def test_no_schedule_at_all_is_shorter(seed: int) -> None:
    family = ("layered", "in-tree", "independent", "out-tree")[seed % 4]
    spec = GeneratorSpec(
        family=family, tasks=5, machines=2 + seed % 2, ccr=2.0, noise=0.5, link_spread=4.0
    )
    problem = generate(spec, seed)
    assert cp_sat(problem, rng()).makespan == pytest.approx(shortest(problem), rel=1e-5)


def test_tasks_that_take_no_time_are_put_in_order() -> None:
    for seed in range(6):
        rand = np.random.default_rng(seed)
        etc = rand.uniform(1, 5, (5, 2)) * (rand.random((5, 1)) < 0.5)
        edges = ([0, 1, 2, 3], [2, 3, 4, 4], [2e6] * 4)
        problem = make_problem(machines=make_machines(2), etc=etc, edges=edges)
        schedule = cp_sat(problem, rng())
        assert violations(problem, schedule) == []
        assert schedule.makespan == pytest.approx(shortest(problem), rel=1e-5)


def test_what_takes_far_too_long_is_avoided() -> None:
    etc = np.array([[1.0, 2.0, 1e15], [2.0, 1.0, 1e15], [1.0, 1e15, 2.0], [1e15, 1.0, np.inf]])
    edges = ([0, 0, 1], [1, 2, 3], [1e21, 1.0, 1e6])
    problem = make_problem(machines=make_machines(3), etc=etc, edges=edges)
    schedule = cp_sat(problem, rng())
    assert violations(problem, schedule) == []
    assert schedule.makespan == pytest.approx(shortest(problem), rel=1e-5)
    assert schedule.makespan < 10


def test_it_finds_what_heuristics_and_searches_do_not() -> None:
    problems = [
        generate(GeneratorSpec(family="layered", tasks=10, machines=3, ccr=1.0), k)
        for k in range(6)
    ]
    found = [cp_sat(p, rng()).makespan for p in problems]
    best = [best_of(p, rng()).makespan for p in problems]
    searched = [perturbation(p, rng()).makespan for p in problems]
    assert (np.array(found) <= best).all()
    assert (np.array(found) / searched).min() < 0.98


def test_the_published_example_and_the_same_bits_again() -> None:
    one, again = (cp_sat(topcuoglu(), rng()) for _ in range(2))
    assert one.makespan == 73.0
    assert one.aft.tobytes() == again.aft.tobytes()


@settings(max_examples=25)
@given(problem=strategies.problems(12, 4))
def test_any_problem_gets_a_valid_schedule(problem: Problem) -> None:
    schedule = cp_sat(problem, rng())
    assert schedule.scheduler == "cp-sat"
    assert violations(problem, schedule) == []
    limit = best_of(problem, rng()).makespan
    assert lower_bound(problem) * (1 - 1e-12) <= schedule.makespan <= limit


def test_what_is_not_tiny_is_refused() -> None:
    problem = make_problem(machines=make_machines(2), etc=np.ones((MAX_CHOICES // 2 + 1, 2)))
    with pytest.raises(TooLarge, match="65 times 2; use best-of"):
        cp_sat(problem, rng())


def test_without_or_tools_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ortools", None)
    for ask in (lambda: get_scheduler("cp-sat"), lambda: cp_sat(topcuoglu(), rng())):
        with pytest.raises(NotInstalled, match=r"OR-Tools: pip install 'deepsched\[exact\]'"):
            ask()
