"""Schedulers that need no training, and an oracle that is right about HEFT's machines so often."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import numpy as np

from deepsched.baselines.genetic import genetic
from deepsched.baselines.heft import heft
from deepsched.baselines.kernels import batch_mode
from deepsched.baselines.list_schedule import append_in_order
from deepsched.baselines.metrics import mean_turnaround
from deepsched.baselines.random_assignment import random_assignment
from deepsched.baselines.ranks import ready_order, release_order
from deepsched.baselines.registry import teacher_rng
from deepsched.baselines.schedule import make_schedule
from deepsched.model.networks.paper.decode import ProblemPrediction, decode

if TYPE_CHECKING:
    from collections.abc import Mapping

    from deepsched.baselines.arrays import BoolArray, IntArray
    from deepsched.baselines.problem import Problem
    from deepsched.baselines.registry import Scheduler
    from deepsched.baselines.schedule import Schedule

SEED = 0
ACCURACIES = (1.0, 0.99, 0.95, 0.9, 0.8, 0.5)


def fastest(problem: Problem, rng: np.random.Generator | None = None) -> Schedule:
    """Give each task its fastest machine (ties: lower index), by release, appending."""
    proc = problem.etc.argmin(axis=1)
    return append_in_order(problem, release_order(problem), proc, "fastest")


def arrival_order(problem: Problem) -> IntArray:
    """Return always the ready task that arrived first (ties: lower topological index).

    It is the order in which `paper` decodes where starts are predicted to be arrivals.
    """
    return ready_order(problem, -problem.arrival)


def earliest_finish(
    problem: Problem, order: IntArray, allowed: BoolArray | None = None
) -> Schedule:
    """Append each task, in a topological order, to the machine where it finishes first.

    Parameters
    ----------
    allowed : (n_tasks, n_machines) where a task may go; it fits on one of them at least.
    """
    etc = problem.etc if allowed is None else np.where(allowed, problem.etc, np.inf)
    proc, ast, aft = batch_mode.minimum_completion_time(
        order, etc, problem.arrival, problem.predecessors, problem.machines.links
    )
    return make_schedule("earliest-finish", proc, ast, aft)


def oracle(problem: Problem, rng: np.random.Generator, *, accuracy: float) -> Schedule:
    """Decode as `paper` does what a network would say that is right with this probability.

    It says HEFT's machine, or else one drawn of those that can hold the task, which may be HEFT's,
    too; and HEFT's start times. With the same stream a less accurate one errs wherever a more
    accurate one does, and in the same way.
    """
    target, tasks = heft(problem), np.arange(problem.n_tasks)
    right = rng.random(tasks.size) < accuracy
    fits = np.isfinite(problem.etc)
    place = np.floor(rng.random(tasks.size) * fits.sum(axis=1)).astype(np.int64)
    drawn = (fits.cumsum(axis=1) > place[:, None]).argmax(axis=1)
    score = np.zeros(problem.etc.shape)
    score[tasks, np.where(right, target.proc, drawn)] = 1.0
    said = ProblemPrediction(network="oracle", score=score, start=target.ast, finish=target.aft)
    return decode(problem, said)


def oracle_name(accuracy: float) -> str:
    """Return the oracle's name in tables."""
    return f"oracle of {100 * accuracy:g} %"


SIMPLE: Mapping[str, Scheduler] = {
    "HEFT": heft,
    "always the fastest machine": fastest,
    "random": random_assignment,
    "GA, tasks by release": genetic,
    "GA, tasks by upward rank": functools.partial(genetic, order="rank"),
    "EFT, tasks by release": lambda problem, _: earliest_finish(problem, release_order(problem)),
    "EFT, tasks by arrival": lambda problem, _: earliest_finish(problem, arrival_order(problem)),
    "HEFT's machines, tasks by release": lambda problem, _: append_in_order(
        problem, release_order(problem), heft(problem).proc, "by-release"
    ),
    **{oracle_name(one): functools.partial(oracle, accuracy=one) for one in ACCURACIES},
}


def ratio(problem: Problem, schedule: Schedule) -> float:
    """Return the mean turnaround / that of HEFT's schedule."""
    return mean_turnaround(problem, schedule) / mean_turnaround(problem, heft(problem))


def simple_ratios(problem: Problem, sample_id: int) -> dict[str, float]:
    """Return what each scheduler of `SIMPLE` reaches; all oracles draw from the same stream."""
    found = {}
    for name, scheduler in SIMPLE.items():
        stream = "ga" if name.startswith("GA") else "random" if name == "random" else "oracle"
        found[name] = ratio(problem, scheduler(problem, teacher_rng(SEED, sample_id, stream)))
    return found
