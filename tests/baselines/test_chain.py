"""The chain that explains a makespan: worked by hand, and without a hole in any schedule."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepsched.baselines.chain import Link, critical_chain
from deepsched.baselines.cpop import cpop
from deepsched.baselines.errors import InvalidInput
from deepsched.baselines.generate import GeneratorSpec, generate
from deepsched.baselines.heft import heft
from deepsched.baselines.list_schedule import simulate
from deepsched.baselines.machines import make_machines
from deepsched.baselines.problem import make_problem
from deepsched.baselines.schedule import RELATIVE_TOLERANCE, make_schedule
from tests.baselines.test_reference_values import topcuoglu
from tests.strategies import problems

if TYPE_CHECKING:
    from deepsched.baselines.problem import Problem
    from deepsched.baselines.schedule import Schedule


def told(problem: Problem, schedule: Schedule) -> list[tuple[object, ...]]:
    """Return the chain's links with names, without causes."""
    return [
        (link.step, problem.task_ids[link.task], link.start, link.finish, link.reason)
        for link in critical_chain(problem, schedule)
    ]


def test_the_chain_of_the_published_schedule_by_hand() -> None:
    # Topcuoglu et al. (2002), fig. 3 (a): HEFT's 80 on three machines.
    problem = topcuoglu()
    assert told(problem, heft(problem)) == [
        ("task", "t0", 0, 9, "arrival"),
        ("transfer", "t3", 9, 18, "input"),
        ("task", "t3", 18, 26, "input"),
        ("task", "t5", 26, 42, "machine"),
        ("transfer", "t7", 42, 57, "input"),
        ("task", "t7", 57, 62, "input"),
        ("transfer", "t9", 62, 73, "input"),
        ("task", "t9", 73, 80, "input"),
    ]
    found = critical_chain(problem, heft(problem))
    assert [link.cause for link in found] == [-1, 0, 0, 3, 5, 5, 7, 7]
    assert [link.parent for link in found] == [-1, 0, -1, -1, 5, -1, 7, -1]


def test_a_late_arrival_begins_the_chain() -> None:
    problem = make_problem(machines=make_machines(1), work=[3.0, 2.0], arrival=[0.0, 7.0])
    assert told(problem, heft(problem)) == [("task", "t1", 7.0, 9.0, "arrival")]


def test_a_task_that_could_have_started_sooner_waited_for_nothing() -> None:
    problem = make_problem(machines=make_machines(2), work=[2.0, 1.0], edges=([0], [1], [125e6]))
    waiting = make_schedule("hand", [0, 1], [1.0, 6.0], [3.0, 7.0])
    assert told(problem, waiting) == [
        ("idle", "t0", 0.0, 1.0, "nothing"),
        ("task", "t0", 1.0, 3.0, "nothing"),
        ("transfer", "t1", 3.0, 4.0, "input"),
        ("idle", "t1", 4.0, 6.0, "nothing"),
        ("task", "t1", 6.0, 7.0, "nothing"),
    ]


def test_ties_are_broken_on_purpose() -> None:
    # Task 2 follows task 0 on its machine and waits for it and for task 1, all until 2.
    problem = make_problem(
        machines=make_machines(2), work=[2.0, 2.0, 1.0], edges=([0, 1], [2, 2], [0, 0])
    )
    schedule = make_schedule("hand", [0, 1, 0], [0, 0, 2], [2, 2, 3])
    assert [link.task for link in critical_chain(problem, schedule)] == [0, 2]
    assert critical_chain(problem, schedule)[-1].reason == "input"
    # An arrival at that moment explains all.
    late = make_problem(
        machines=make_machines(2),
        work=[2.0, 2.0, 1.0],
        edges=([0, 1], [2, 2], [0, 0]),
        arrival=[0, 0, 2],
    )
    assert told(late, schedule) == [("task", "t2", 2.0, 3.0, "arrival")]


def check_chain(problem: Problem, schedule: Schedule) -> None:
    chain = critical_chain(problem, schedule)
    tolerance = RELATIVE_TOLERANCE * schedule.makespan
    assert chain[-1].finish == schedule.makespan
    assert chain[-1].step == "task"
    assert chain[0].start == pytest.approx(problem.arrival[chain[0].task], abs=tolerance)
    for before, after in itertools.pairwise(chain):
        assert before.finish == pytest.approx(after.start, abs=tolerance)
    tasks = [link.task for link in chain if link.step == "task"]
    assert len(set(tasks)) == len(tasks)
    for link in chain:
        assert link.finish >= link.start
        if link.step == "task":
            assert (link.start, link.finish) == (
                schedule.ast[link.task],
                schedule.aft[link.task],
            )
        if link.reason == "input":
            edges = slice(problem.pred_ptr[link.task], problem.pred_ptr[link.task + 1])
            assert link.cause in problem.pred[edges]
        if link.reason == "machine":
            assert schedule.proc[link.cause] == schedule.proc[link.task]
        assert link.parent == (link.cause if link.step == "transfer" else -1)


@given(problem=problems(), seed=st.integers(0, 99))
def test_the_chain_has_no_hole(problem: Problem, seed: int) -> None:
    for schedule in (heft(problem), cpop(problem)):
        check_chain(problem, schedule)
        # What list schedulers make starts as soon as it can.
        assert all(link.step != "idle" for link in critical_chain(problem, schedule))
    # Any machines, and then all tasks later than need be.
    rng = np.random.default_rng(seed)
    chance = rng.random(problem.etc.shape) * np.isfinite(problem.etc)
    own = simulate(problem, chance.argmax(axis=1), problem.topo)
    check_chain(problem, own)
    check_chain(problem, make_schedule("late", own.proc, own.ast + 1, own.aft + 1))


def test_the_chain_of_many_tasks_ends() -> None:
    problem = generate(GeneratorSpec(family="layered", tasks=20_000, machines=8), 1)
    check_chain(problem, heft(problem))


def test_tasks_without_length_close_no_circle() -> None:
    # All at one moment on one machine, and the edges go against the order of the ids.
    problem = make_problem(
        machines=make_machines(1), work=np.zeros(4), edges=([3, 2, 1], [2, 1, 0], np.zeros(3))
    )
    assert told(problem, heft(problem)) == [("task", "t0", 0.0, 0.0, "arrival")]


def test_an_invalid_schedule_has_an_end_too() -> None:
    problem = make_problem(machines=make_machines(1), work=[1, 1], edges=([0], [1], [0]))
    backwards = make_schedule("hand", [0, 0], [5, 0], [6, 7])
    assert [link.task for link in critical_chain(problem, backwards)][-1] == 1


def test_a_schedule_of_another_problem_is_refused() -> None:
    problem = make_problem(machines=make_machines(1), work=[1.0])
    with pytest.raises(InvalidInput, match="it has 2 tasks, the problem 1"):
        critical_chain(problem, make_schedule("hand", [0, 0], [0, 1], [1, 2]))


def test_links_are_values() -> None:
    problem = make_problem(machines=make_machines(1), work=[1.0])
    assert critical_chain(problem, heft(problem)) == (
        Link(step="task", task=0, start=0.0, finish=1.0, reason="arrival"),
    )
