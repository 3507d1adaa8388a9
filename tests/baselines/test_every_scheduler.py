"""What holds for every entry of the table of schedulers."""

from __future__ import annotations

import dataclasses
import pickle

import numpy as np
import pytest
from hypothesis import given, note, settings

from deepsched.baselines.batch_mode import MAX_TASKS
from deepsched.baselines.bounds import lower_bound
from deepsched.baselines.errors import TooLarge, UnknownName
from deepsched.baselines.list_schedule import replay_order, simulate
from deepsched.baselines.machines import make_machines
from deepsched.baselines.problem import Problem, make_problem
from deepsched.baselines.registry import SCHEDULERS, get_scheduler, teacher_rng
from deepsched.baselines.schedule import Schedule, violations
from tests import strategies

SLOW = ("ga", "ga-makespan", "perturbation", "best-of")


def bits(schedule: Schedule) -> tuple[bytes, bytes, bytes]:
    return schedule.proc.tobytes(), schedule.ast.tobytes(), schedule.aft.tobytes()


def run(name: str, problem: Problem) -> Schedule:
    return SCHEDULERS[name](problem, teacher_rng(7, 0, name))


def renamed(problem: Problem) -> Problem:
    """Return the same problem with other names of tasks and machines."""
    machines = dataclasses.replace(
        problem.machines, ids=tuple(f"host {k}" for k in range(problem.n_machines))
    )
    jobs = tuple(f"job {i}" for i in range(problem.n_tasks))
    return dataclasses.replace(problem, machines=machines, task_ids=jobs, name="renamed")


@settings(max_examples=200)
@given(problem=strategies.problems())
def test_every_schedule_is_valid_bounded_repeatable_replayable(problem: Problem) -> None:
    bound, other_names = lower_bound(problem) * (1 - 1e-12), renamed(problem)
    for name in SCHEDULERS:
        note(name)
        schedule = run(name, problem)
        assert schedule.scheduler == name
        assert violations(problem, schedule) == []
        assert schedule.makespan >= bound
        # The same stream gives the same bits, and names enter nowhere. The searches, slow at
        # their full size, show that in tests of their own.
        if name not in SLOW:
            assert bits(run(name, other_names)) == bits(schedule)
        replayed = simulate(problem, schedule.proc, replay_order(problem, schedule))
        # Tasks without length that share an instant may have been placed in another order than the
        # schedule tells: then a replay can only be earlier.
        assert (replayed.ast <= schedule.ast).all()
        if (schedule.aft > schedule.ast).all():
            assert bits(replayed) == bits(schedule)


@settings(max_examples=200)
@given(problem=strategies.problems())
def test_equal_links_take_the_short_cut_to_the_same_bits(problem: Problem) -> None:
    # Uniform links have a loop of their own; a needlessly general description must not change it.
    if not problem.machines.uniform:
        return
    machines = problem.machines
    general = dataclasses.replace(
        problem, machines=dataclasses.replace(machines, uniform=False, zero_latency=False)
    )
    for name in ("heft", "cpop", "peft", "min-min", "max-min", "sufferage", "mct"):
        assert run(name, general).aft.tobytes() == run(name, problem).aft.tobytes(), name


@pytest.mark.parametrize("name", ["min-min", "max-min", "sufferage"])
def test_quadratic_schedulers_refuse_large_problems(name: str) -> None:
    problem = make_problem(machines=make_machines(2), etc=np.ones((MAX_TASKS + 1, 2)))
    with pytest.raises(TooLarge, match=r"quadratic.*20,000 tasks.*20,001"):
        run(name, problem)


def test_an_unknown_scheduler_is_answered_with_the_known_ones() -> None:
    with pytest.raises(UnknownName, match=r"'heff' .'heft' is meant..; one of: .*heft"):
        get_scheduler("heff")


def test_an_unknown_name_travels_between_processes() -> None:
    error = UnknownName("scheduler", "heff", SCHEDULERS)
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


def test_teachers_draw_from_streams_of_their_own() -> None:
    draws = {
        (seed, sample, teacher): teacher_rng(seed, sample, teacher).random()
        for seed in (0, 1)
        for sample in (0, 1)
        for teacher in ("ga", "random")
    }
    assert len(set(draws.values())) == len(draws)
    assert teacher_rng(0, 1, "ga").random() == draws[0, 1, "ga"]
