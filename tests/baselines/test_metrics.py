"""Measures by hand on small schedules; bounds against known values."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings

from deepsched.baselines.bounds import area_bound, critical_path, lower_bound
from deepsched.baselines.machines import make_machines
from deepsched.baselines.metrics import METRICS
from deepsched.baselines.problem import Problem, make_problem
from deepsched.baselines.schedule import make_schedule
from tests import strategies


@pytest.fixture
def pair() -> Problem:
    return make_problem(
        machines=make_machines(2),
        etc=[[2, 4], [6, 3], [5, 5]],
        edges=([0], [1], [0]),
        arrival=[1, 0, 2],
    )


def test_measures_by_hand(pair: Problem) -> None:
    schedule = make_schedule("hand", [0, 1, 0], [1, 3, 3], [3, 6, 8])
    got = {name: metric(pair, schedule) for name, metric in METRICS.items()}
    assert got == {
        "makespan": 8,
        "mean_turnaround": pytest.approx((2 + 6 + 6) / 3),
        "mean_waiting": pytest.approx((0 + 3 + 1) / 3),
        "slr": pytest.approx(8 / 5),  # path 0 -> 1 at 2 + 3; the lone task takes 5 as well
        "speedup": pytest.approx(12 / 8),  # all on the second machine: 4 + 3 + 5
        "efficiency": pytest.approx(12 / 8 / 2),
        "load_balance": pytest.approx(5 / 7),
    }


def test_speedup_counts_a_task_that_does_not_fit_with_its_fastest_machine() -> None:
    problem = make_problem(machines=make_machines(2), etc=[[1, np.inf], [9, 2]])
    schedule = make_schedule("hand", [0, 1], [0, 0], [1, 2])
    assert METRICS["speedup"](problem, schedule) == (1 + 2) / 2


def test_an_all_zero_problem_has_finite_measures() -> None:
    problem = make_problem(machines=make_machines(2), etc=np.zeros((2, 2)))
    schedule = make_schedule("hand", [0, 1], [0, 0], [0, 0])
    values = [metric(problem, schedule) for metric in METRICS.values()]
    assert np.isfinite(values).all()
    assert lower_bound(problem) == 0


def test_critical_path_with_arrivals(pair: Problem) -> None:
    assert critical_path(pair) == 5
    assert critical_path(pair, arrivals=True) == 7  # the lone task arrives at 2


def test_area_bound_of_related_machines_is_work_over_speed() -> None:
    machines = make_machines(3, frequency=[2000, 1000, 500])
    problem = make_problem(machines=machines, work=[3, 1, 4, 1, 5], alpha=0)
    assert area_bound(problem) == pytest.approx(14 / 1.75, rel=1e-9)


def test_area_bound_of_unlike_machines_beats_the_fastest_machine_sum() -> None:
    # Each machine is good at one half: 4 tasks of 1 s on two machines take at least 2 s.
    problem = make_problem(machines=make_machines(2), etc=[[1, 9], [1, 9], [9, 1], [9, 1]])
    assert area_bound(problem) == pytest.approx(2, rel=1e-3)


@settings(max_examples=200)
@given(problem=strategies.problems(max_tasks=6, max_machines=3))
def test_bounds_hold_against_every_assignment(problem: Problem) -> None:
    # The load of the fullest machine, least over all assignments, bounds every schedule.
    best = np.inf
    n, p = problem.n_tasks, problem.n_machines
    for code in range(p**n):
        load = np.zeros(p)
        for i in range(n):
            q = code // p**i % p
            load[q] += problem.etc[i, q]
        best = min(best, load.max())
    assert area_bound(problem) - problem.arrival.min() <= best * (1 + 1e-9)
    assert critical_path(problem) <= critical_path(problem, arrivals=True)


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "relaxation"),
    [("u_c_hihi.0", 7346524.2), ("u_i_hihi.0", 2909326.6), ("u_s_hihi.0", 4063563.7)],
)
def test_area_bound_comes_near_the_linear_relaxation(
    data_dir: object, name: str, relaxation: float
) -> None:
    from pathlib import Path

    values = np.loadtxt(Path(str(data_dir)) / "hcsp/512x16" / name, skiprows=1)
    problem = make_problem(machines=make_machines(16), etc=values.reshape(512, 16))
    assert 0.99 * relaxation <= area_bound(problem) <= relaxation * (1 + 1e-9)
