"""Balancing independent tasks by moves, swaps and kicks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from deepsched.baselines.balancing import applies, balanced, priced
from deepsched.baselines.bounds import lower_bound
from deepsched.baselines.kernels.balancing import balance
from deepsched.baselines.machines import make_machines
from deepsched.baselines.problem import make_problem
from deepsched.baselines.registry import SCHEDULERS
from deepsched.baselines.schedule import violations
from tests import strategies

if TYPE_CHECKING:
    from deepsched.baselines.problem import Problem


def test_balancing_ends_when_its_work_is_done() -> None:
    etc = np.random.default_rng(0).uniform(1, 2, (300, 3))
    for machines, least in ((1, 1_000), (3, -600)):
        proc = np.zeros(300, np.int64)
        load = np.array([etc[:, 0].sum(), 0.0, 0.0])[:machines]
        left = balance(etc[:, :machines], proc, load, 1_000)
        assert least <= left


@settings(max_examples=100)
@given(problem=strategies.problems(), seed=st.integers(0, 99))
def test_balancing_independent_tasks_only_helps(problem: Problem, seed: int) -> None:
    alone = make_problem(machines=problem.machines, etc=problem.etc, memory=problem.memory)
    assert applies(alone)
    before = SCHEDULERS["random"](alone, np.random.default_rng(seed))
    after = balanced(alone, before, 0.0, seed, 1)
    assert violations(alone, after) == []
    assert after.makespan <= before.makespan
    # No single move off the fullest machine makes it less full.
    load = np.bincount(
        after.proc, alone.etc[np.arange(alone.n_tasks), after.proc], alone.n_machines
    )
    full = int(load.argmax())
    for i in np.flatnonzero(after.proc == full):
        moved = np.maximum(load[full] - alone.etc[i, full], load + alone.etc[i])
        assert (np.delete(moved, full) >= load[full] * (1 - 1e-9)).all()


def test_kicks_go_on_where_balancing_ends() -> None:
    rng = np.random.default_rng(1)
    problem = make_problem(machines=make_machines(6), etc=rng.uniform(1, 100, (90, 6)))
    start = SCHEDULERS["min-min"](problem, rng)
    one = balanced(problem, start, 0.0, 0, 2)
    more = balanced(problem, start, 0.3, 0, 2)
    assert more.makespan < one.makespan < start.makespan
    assert violations(problem, more) == []


def test_priced_machines_come_near_the_bound_wherever_the_descent_begins() -> None:
    rng = np.random.default_rng(3)
    spread = rng.uniform(1, 100, (200, 1)) * rng.uniform(1, 10, (200, 8))
    problem = make_problem(machines=make_machines(8), etc=spread)
    start = SCHEDULERS["round-robin"](problem, rng)
    found = balanced(problem, start, 0.0, 0, 1)
    assert violations(problem, found) == []
    assert found.makespan <= 1.03 * lower_bound(problem, "strong")
    assert start.makespan > 2 * found.makespan
    cost = spread[np.arange(200), priced(problem)]
    assert np.bincount(priced(problem), cost, 8).max() <= 1.3 * found.makespan


def test_tasks_that_fit_on_some_machines_only_are_priced_there() -> None:
    rng = np.random.default_rng(4)
    etc = rng.uniform(1, 9, (60, 5))
    etc[rng.random((60, 5)) < 0.6] = np.inf
    etc[:, 4] = np.where(np.isinf(etc[:, :4]).all(axis=1), 3.0, etc[:, 4])
    problem = make_problem(machines=make_machines(5), etc=etc)
    assert np.isfinite(etc[np.arange(60), priced(problem)]).all()
