"""Levels of the lower bound, and searches that end where it is reached."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings

from deepsched.baselines import balancing, best_of, cp_sat, genetic, perturbation
from deepsched.baselines.bounds import (
    CHEAP_ROUNDS,
    area_bound,
    enough,
    lower_bound,
    mean_turnaround_bound,
    mean_waiting_bound,
)
from deepsched.baselines.errors import UnknownName
from deepsched.baselines.generate import GeneratorSpec, generate
from deepsched.baselines.heft import heft
from deepsched.baselines.kernels import bounds as kernels
from deepsched.baselines.kernels.balancing import rebalance
from deepsched.baselines.machines import make_machines
from deepsched.baselines.metrics import mean_turnaround, mean_waiting
from deepsched.baselines.problem import Problem, make_problem
from deepsched.baselines.registry import SCHEDULERS, teacher_rng
from deepsched.baselines.schedule import make_schedule, violations
from tests import strategies

SEARCHES = {
    "perturbation": perturbation,
    "best-of": best_of,
    "ga": genetic,
    "ga-makespan": genetic,
}


def one_task() -> Problem:
    return make_problem(machines=make_machines(1), etc=[[3.0]])


def alike(tasks: int, machines: int) -> Problem:
    """Return equal independent tasks whose sum is no round number in binary."""
    return make_problem(machines=make_machines(machines), etc=np.full((tasks, machines), 0.1))


def counted(monkeypatch: pytest.MonkeyPatch, module: Any, name: str) -> list[None]:
    """Count the calls of a function that a module uses."""
    calls: list[None] = []
    true = getattr(module, name)

    def count(*arguments: Any, **options: Any) -> Any:
        calls.append(None)
        return true(*arguments, **options)

    monkeypatch.setattr(module, name, count)
    return calls


def test_an_unknown_level_is_answered_with_the_known_ones() -> None:
    with pytest.raises(UnknownName, match="level 'best'; one of: cheap, strong"):
        lower_bound(one_task(), "best")


def test_on_related_machines_the_first_step_is_exact_and_the_only_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    spec = GeneratorSpec(family="independent", tasks=50, machines=7, noise=0.0)
    problem = generate(spec, 3)
    speed = problem.machines.speed(problem.alpha)
    exact = float(np.asarray(problem.work).sum() / speed.sum())
    assert area_bound(problem, "cheap") == area_bound(problem) == pytest.approx(exact, rel=1e-12)
    # With no step allowed but the first, nothing is lost.
    monkeypatch.setattr("deepsched.baselines.bounds.CHEAP_ROUNDS", (1, 1))
    assert area_bound(problem, "cheap") == area_bound(problem)
    total, _ = kernels.machine_sums(problem.etc)
    split = 1 / (1 / total).sum()
    assert split == pytest.approx(exact, rel=1e-12)


@settings(max_examples=200)
@given(problem=strategies.problems())
def test_no_level_is_above_a_schedule_and_the_strong_one_is_the_higher(problem: Problem) -> None:
    cheap, strong = lower_bound(problem), lower_bound(problem, "strong")
    assert cheap <= strong
    for schedule in (heft(problem), SCHEDULERS["min-min"](problem, teacher_rng(0, 0, "min-min"))):
        assert strong <= schedule.makespan * (1 + 1e-12)
        assert mean_waiting_bound(problem) <= mean_waiting(problem, schedule) * (1 + 1e-12)
        assert mean_turnaround_bound(problem) <= mean_turnaround(problem, schedule) * (1 + 1e-12)


@pytest.mark.parametrize(("noise", "share"), [(0.2, 0.99), (1.0, 0.95)])
def test_the_cheap_bound_is_not_far_below_the_strong_one(noise: float, share: float) -> None:
    for machines in (4, 16, 64):
        spec = GeneratorSpec(family="independent", tasks=400, machines=machines, noise=noise)
        problem = generate(spec, 0)
        assert lower_bound(problem) >= share * lower_bound(problem, "strong")


def test_the_cheap_bound_takes_a_fixed_number_of_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    rounds = []
    true = kernels.area_bound
    monkeypatch.setattr(kernels, "area_bound", lambda *a: rounds.append(a[2]) or true(*a))
    for machines in (1, 16, 300):
        spec = GeneratorSpec(family="independent", tasks=20, machines=machines)
        area_bound(generate(spec, 0), "cheap")
    assert rounds == [CHEAP_ROUNDS[1], CHEAP_ROUNDS[1], CHEAP_ROUNDS[0]]


@pytest.mark.parametrize("cost", [1e-300, 1e-12, 1e15, 1e290])
@pytest.mark.parametrize("level", ["cheap", "strong"])
def test_bounds_of_times_of_any_size(cost: float, level: str) -> None:
    plain = np.array([[1, 2], [2, 1], [1, math.inf]])
    problem, scaled = (
        make_problem(machines=make_machines(2), etc=size * plain) for size in (1, cost)
    )
    assert lower_bound(scaled, level) == pytest.approx(cost * lower_bound(problem, level), rel=1e-9)


@pytest.mark.parametrize("name", SEARCHES)
@pytest.mark.parametrize("problem", [one_task(), alike(24, 8)], ids=["one task", "alike"])
def test_a_search_that_begins_at_its_bound_makes_no_second_step(
    name: str, problem: Problem, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = (
        counted(monkeypatch, genetic.kernels, "evaluate"),
        counted(monkeypatch, perturbation.placement_kernels, "insertion_schedule"),
    )
    schedule = SCHEDULERS[name](problem, teacher_rng(0, 0, name))
    if name != "ga":  # which looks for the least mean waiting time, from a random start
        assert schedule.makespan == pytest.approx(lower_bound(problem), rel=1e-9)
    assert sum(map(len, steps)) <= (3 if problem.n_tasks == 1 or name != "ga" else 101)


def test_the_paper_s_ga_ends_where_nothing_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = make_problem(machines=make_machines(3), etc=np.ones((2, 3)))
    generations = counted(monkeypatch, genetic.kernels, "evaluate")
    schedule = genetic.genetic(problem, np.random.default_rng(0))
    assert mean_waiting(problem, schedule) == 0 == mean_waiting_bound(problem)
    assert len(generations) == 1


@settings(max_examples=25)
@given(problem=strategies.problems(max_tasks=12))
def test_what_does_not_reach_the_bound_is_the_same_bit_for_bit(problem: Problem) -> None:
    for name, module in SEARCHES.items():
        found = SCHEDULERS[name](problem, teacher_rng(1, 0, name))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(module, "enough", lambda _: -math.inf)
            without = SCHEDULERS[name](problem, teacher_rng(1, 0, name))
        bound = mean_waiting_bound if name == "ga" else lower_bound
        measure = mean_waiting if name == "ga" else (lambda _, schedule: schedule.makespan)
        if measure(problem, without) > enough(bound(problem)):
            assert found.proc.tobytes() == without.proc.tobytes()
            assert found.ast.tobytes() == without.ast.tobytes()
        else:
            assert measure(problem, found) <= enough(bound(problem))


def test_cp_sat_is_not_asked_where_nothing_is_left_to_find(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cp_sat, "require", lambda: None)
    monkeypatch.setattr(cp_sat, "_solve", lambda *_: pytest.fail("it was asked"))
    assert cp_sat.cp_sat(one_task(), np.random.default_rng(0)).makespan == 3


def test_balancing_ends_at_its_bound_and_when_told_to() -> None:
    problem = alike(6, 3)
    uneven = make_schedule("hand", [0, 0, 0, 0, 1, 2], [0, 0.1, 0.2, 0.3, 0, 0], [0.1] * 6)
    # An hour is not used up: the bound of two tasks on each machine is reached at once.
    found = balancing.balanced(problem, heft(problem), 3600.0, 0, 1)
    assert found.makespan == pytest.approx(0.2)
    assert uneven.proc.tolist() != found.proc.tolist()
    hard = make_problem(machines=make_machines(2), etc=[[3.0, 3.0], [3.0, 3.0], [3.0, 3.0]])
    assert lower_bound(hard) == 4.5
    told = np.ones(1, dtype=np.bool_)
    found = balancing.balanced(hard, heft(hard), 3600.0, 0, 2, told)
    assert violations(hard, found) == []
    assert found.makespan == 6


def test_kicks_look_at_the_flag_before_each_round() -> None:
    etc = np.random.default_rng(0).uniform(1, 2, (12, 3))
    ends = []
    for flag in (False, True):
        proc = np.zeros(12, np.int64)
        state = np.array([5], dtype=np.uint64)
        stop = np.array([flag])
        ends.append((rebalance(etc, proc, 50, 10_000, state, -1.0, stop), int(state[0])))
    assert ends[0][0] <= ends[1][0]
    assert ends[1][1] == 5  # nothing was drawn
