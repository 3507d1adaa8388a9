"""Schedulers against published numbers and against slow, plain implementations."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings

from deepsched.baselines.cpop import cpop
from deepsched.baselines.heft import heft
from deepsched.baselines.list_schedule import insert_in_order
from deepsched.baselines.machines import make_machines
from deepsched.baselines.max_min import max_min
from deepsched.baselines.mct import mct
from deepsched.baselines.min_min import min_min
from deepsched.baselines.peft import peft
from deepsched.baselines.problem import Problem, make_problem
from deepsched.baselines.ranks import (
    downward_rank,
    heft_order,
    optimistic_cost,
    ready_order,
    upward_rank,
)
from deepsched.baselines.schedule import Schedule, violations
from deepsched.baselines.sufferage import sufferage
from tests import strategies
from tests.baselines import reference


def test_a_task_of_no_length_goes_into_no_gap_of_no_length() -> None:
    # The rule of docs/rules.md: z waits for an end, and c gets its bytes 5 s after that. Between
    # the start and the first task there would be a place for z, and c could end at 13.
    problem = make_problem(
        machines=make_machines(2, bandwidth=1.0),
        task_ids=list("eabzc"),
        etc=[[0, 0], [10, 40], [40, 12], [0, 0], [math.inf, 1]],
        edges=([0, 0, 0, 3], [1, 2, 3, 4], [0, 0, 0, 5]),
    )
    assert heft(problem).makespan == 16


def topcuoglu() -> Problem:
    """Return the ten-task example of Topcuoglu, Hariri, Wu (2002), figures 1 and 2."""
    etc = [
        [14, 16, 9], [13, 19, 18], [11, 13, 19], [13, 8, 17], [12, 13, 10],
        [13, 16, 9], [7, 15, 11], [5, 11, 14], [18, 12, 20], [21, 7, 16],
    ]  # fmt: skip
    parents = [0, 0, 0, 0, 0, 1, 1, 2, 3, 3, 4, 5, 6, 7, 8]
    children = [1, 2, 3, 4, 5, 7, 8, 6, 7, 8, 8, 7, 9, 9, 9]
    data = [18, 12, 9, 11, 14, 19, 16, 23, 27, 23, 13, 15, 17, 11, 13]
    return make_problem(
        machines=make_machines(3, bandwidth=1.0), etc=etc, edges=(parents, children, data)
    )


def assert_equals(schedule: Schedule, expected: reference.Placement) -> None:
    proc, ast, aft = expected
    assert schedule.proc.tolist() == proc
    assert schedule.ast.tolist() == ast
    assert schedule.aft.tolist() == aft


def test_upward_ranks_of_the_published_example() -> None:
    expected = [108, 77, 80, 80, 69, 63.333, 42.667, 35.667, 44.333, 14.667]
    assert upward_rank(topcuoglu()) == pytest.approx(expected, abs=5e-4)


def test_downward_ranks_of_the_published_example() -> None:
    expected = [0, 31, 25, 22, 24, 27, 62.333, 66.667, 63.667, 93.333]
    assert downward_rank(topcuoglu()) == pytest.approx(expected, abs=5e-4)


def test_heft_reaches_the_published_makespan() -> None:
    assert heft(topcuoglu()).makespan == 80.0


def test_heft_makes_the_published_gantt_chart() -> None:
    # Figure 4a of the paper: machine, start and finish of each task.
    schedule = heft(topcuoglu())
    assert (schedule.proc + 1).tolist() == [3, 1, 3, 2, 3, 2, 3, 1, 2, 2]
    assert schedule.ast.tolist() == [0, 27, 9, 18, 28, 26, 38, 57, 56, 73]
    assert schedule.aft.tolist() == [9, 40, 28, 26, 38, 42, 49, 62, 68, 80]


def test_cpop_reaches_the_published_makespan() -> None:
    assert cpop(topcuoglu()).makespan == 86.0


def test_optimistic_costs_of_exit_tasks_are_zero() -> None:
    assert optimistic_cost(topcuoglu())[9].tolist() == [0, 0, 0]


def test_no_scheduler_beats_the_proved_optimum_of_the_example() -> None:
    from deepsched.baselines.registry import SCHEDULERS

    problem = topcuoglu()
    for name, scheduler in SCHEDULERS.items():
        assert scheduler(problem, np.random.default_rng(0)).makespan >= 73.0, name


@settings(max_examples=100)
@given(problem=strategies.problems())
def test_ranks_equal_the_definition(problem: Problem) -> None:
    assert upward_rank(problem) == pytest.approx(reference.upward_ranks(problem), rel=1e-12)
    expected = np.array(reference.optimistic_costs(problem))
    eligible = np.isfinite(problem.etc)
    assert optimistic_cost(problem)[eligible] == pytest.approx(expected[eligible], rel=1e-12)


@settings(max_examples=100)
@given(problem=strategies.problems())
def test_heft_equals_the_definition_bit_for_bit(problem: Problem) -> None:
    assert_equals(heft(problem), reference.place(problem, heft_order(problem).tolist()))


@settings(max_examples=100)
@given(problem=strategies.problems(max_tasks=80, max_machines=3))
def test_heft_equals_the_definition_where_gaps_are_many(problem: Problem) -> None:
    assert_equals(heft(problem), reference.place(problem, heft_order(problem).tolist()))


@settings(max_examples=100)
@given(problem=strategies.problems())
def test_peft_equals_the_definition(problem: Problem) -> None:
    table = optimistic_cost(problem)
    mean = [
        float(np.mean(row[np.isfinite(cost)])) for row, cost in zip(table, problem.etc, strict=True)
    ]
    schedule = peft(problem)
    order = ready_order(problem, np.array(mean))
    by_value = reference.place(problem, order.tolist(), lambda i, q, eft: eft + float(table[i, q]))
    # The mean may differ in its last bit and swap equal tasks: then only validity is promised.
    if by_value[0] == schedule.proc.tolist():
        assert_equals(schedule, by_value)
    else:
        assert violations(problem, schedule) == []
        assert len(set(np.round(mean, 9))) < problem.n_tasks


@settings(max_examples=100)
@given(problem=strategies.problems())
def test_min_min_equals_the_definition(problem: Problem) -> None:
    assert_equals(
        min_min(problem), reference.one_by_one(problem, lambda done, index: (done[0], index))
    )


@settings(max_examples=100)
@given(problem=strategies.problems())
def test_max_min_equals_the_definition(problem: Problem) -> None:
    assert_equals(
        max_min(problem), reference.one_by_one(problem, lambda done, index: (-done[0], index))
    )


@settings(max_examples=100)
@given(problem=strategies.problems())
def test_sufferage_equals_the_definition(problem: Problem) -> None:
    def key(done: list[float], index: int) -> tuple[float, int]:
        return (-((done[1] if len(done) > 1 else math.inf) - done[0]), index)

    assert_equals(sufferage(problem), reference.one_by_one(problem, key))


@settings(max_examples=100)
@given(problem=strategies.problems())
def test_mct_equals_the_definition(problem: Problem) -> None:
    assert_equals(mct(problem), reference.place(problem, problem.topo.tolist(), insertion=False))


def test_a_task_goes_into_the_earliest_gap_that_fits() -> None:
    # One machine; "late" arrives at 10, leaving [0, 10] idle. "big" fills it exactly, "small" then
    # has to go behind, although a gap of length 0 is left at its start.
    problem = make_problem(
        machines=make_machines(1),
        etc=[[5], [10], [1]],
        arrival=[10, 0, 0],
        task_ids=["late", "big", "small"],
    )
    schedule = insert_in_order(problem, np.array([0, 1, 2]), "test")
    assert schedule.ast.tolist() == [10, 0, 15]


def test_a_gap_one_bit_too_short_does_not_fit() -> None:
    problem = make_problem(
        machines=make_machines(1), etc=[[5], [np.nextafter(10, 11)]], arrival=[10, 0]
    )
    assert insert_in_order(problem, np.array([0, 1]), "test").ast.tolist() == [10, 15]


def test_a_zero_length_task_splits_its_gap() -> None:
    # The gap [0, 10] is cut at 5 by a task of no length: nothing may run across it.
    problem = make_problem(machines=make_machines(1), etc=[[5], [0], [6]], arrival=[10, 5, 0])
    schedule = insert_in_order(problem, np.array([0, 1, 2]), "test")
    assert schedule.ast.tolist() == [10, 5, 15]
    assert violations(problem, schedule) == []
