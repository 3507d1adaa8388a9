"""Measures of a schedule, and bounds below which no schedule can come."""

from __future__ import annotations

import math
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from deepsched.baselines.kernels import bounds as bounds_kernels

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from deepsched.baselines.arrays import FloatArray
    from deepsched.baselines.problem import Problem
    from deepsched.baselines.schedule import Schedule

AREA_WORK = 50_000_000  # task-machine visits that the area bound may spend
AREA_ROUNDS = (4, 400)  # least and most ascent steps


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


def critical_path(problem: Problem, *, arrivals: bool = False) -> float:
    """Return the longest path, s, each task on its fastest machine and no communication.

    With `arrivals` no task starts before it arrives, which makes it a lower bound on the makespan
    of problems whose tasks arrive over time.
    """
    release = problem.arrival if arrivals else np.zeros(problem.n_tasks)
    return float(
        bounds_kernels.longest_path(
            problem.topo, problem.etc.min(axis=1), release, problem.predecessors
        )
    )


def area_bound(problem: Problem) -> float:
    """Return a makespan, s, that the machines' capacity alone does not allow to beat.

    For any weights λ ≥ 0 over machines with sum 1, every schedule's makespan is at least
    Σ_i min_q λ_q etc[i, q]; the best weights give the value of the linear relaxation (fractional
    assignment). A few steps of multiplicative ascent are taken; each step's value is a valid bound
    and the greatest is returned. On uniformly related machines the first is exact:
    total work / total speed.
    """
    low, high = AREA_ROUNDS
    rounds = int(np.clip(AREA_WORK // problem.etc.size, low, high))
    bound = bounds_kernels.area_bound(problem.etc, _inverse_mean_cost(problem.etc), rounds)
    return float(bound) + float(problem.arrival.min())


def lower_bound(problem: Problem) -> float:
    """Return the greater of the critical-path and the area bound on the makespan, s."""
    return max(critical_path(problem, arrivals=True), area_bound(problem))


def _inverse_mean_cost(etc: FloatArray) -> FloatArray:
    """Return (n_machines,) first weights: how fast each machine is on what it can hold."""
    finite = np.isfinite(etc)
    relative = np.where(finite, etc, 0.0).sum(axis=0) / np.maximum(finite.sum(axis=0), 1)
    slowest = float(relative.max())
    if slowest > 0:  # else every cost is 0 and so is the bound, whatever the weights
        relative = relative / slowest
    weights = 1.0 / np.maximum(relative, 1e-12)
    weights[~finite.any(axis=0)] = 0.0
    return np.asarray(weights / weights.sum(), dtype=np.float64)


def _ratio(numerator: float, denominator: float) -> float:
    if denominator > 0:
        return numerator / denominator
    return 1.0 if numerator == 0 else math.inf
