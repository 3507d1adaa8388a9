"""Measures of a schedule."""

from __future__ import annotations

import math
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from deepsched.baselines.bounds import critical_path

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from deepsched.baselines.problem import Problem
    from deepsched.baselines.schedule import Schedule


def makespan(problem: Problem, schedule: Schedule) -> float:
    """Return the latest finish, s."""
    return schedule.makespan


def mean_turnaround(problem: Problem, schedule: Schedule) -> float:
    """Return the mean of AFT − arrival over all tasks, s."""
    return float((schedule.aft - problem.arrival).mean())


def mean_waiting(problem: Problem, schedule: Schedule) -> float:
    """Return the mean of AST − arrival over all tasks, s; predecessors' time included."""
    return float((schedule.ast - problem.arrival).mean())


def slr(problem: Problem, schedule: Schedule) -> float:
    """Return the schedule length ratio: makespan / critical path of least costs, arrivals aside."""
    return _ratio(schedule.makespan, critical_path(problem))


def speedup(problem: Problem, schedule: Schedule) -> float:
    """Return the time on the best single machine / makespan.

    A task that does not fit on that machine counts with its time on the fastest one that holds it.
    """
    least = problem.etc.min(axis=1)
    finite = np.isfinite(problem.etc)
    sequential = np.where(finite, problem.etc, least[:, None]).sum(axis=0).min()
    return _ratio(float(sequential), schedule.makespan)


def efficiency(problem: Problem, schedule: Schedule) -> float:
    """Return the speedup per machine."""
    return speedup(problem, schedule) / problem.n_machines


def load_balance(problem: Problem, schedule: Schedule) -> float:
    """Return the mean busy time of the machines / the busiest one's; 1 is perfectly even."""
    busy = np.bincount(
        schedule.proc, weights=schedule.aft - schedule.ast, minlength=problem.n_machines
    )
    return _ratio(float(busy.mean()), float(busy.max()))


METRICS: Mapping[str, Callable[[Problem, Schedule], float]] = MappingProxyType(
    {
        "makespan": makespan,
        "mean_turnaround": mean_turnaround,
        "mean_waiting": mean_waiting,
        "slr": slr,
        "speedup": speedup,
        "efficiency": efficiency,
        "load_balance": load_balance,
    }
)


def _ratio(numerator: float, denominator: float) -> float:
    if denominator > 0:
        return numerator / denominator
    return 1.0 if numerator == 0 else math.inf
