"""Bounds below which no schedule can come: on the makespan, on mean waiting and turnaround."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from deepsched.baselines.errors import UnknownName
from deepsched.baselines.kernels import bounds as bounds_kernels
from deepsched.baselines.kernels import windows as windows_kernels
from deepsched.baselines.windows import windows_bound

if TYPE_CHECKING:
    from deepsched.baselines.arrays import FloatArray, IntArray
    from deepsched.baselines.problem import Problem

LEVELS = ("cheap", "strong")
REACHED = 1e-9  # relative, as in the validator: sums in another order differ in their last bits
# Ascent steps of the area bound. Strong: within so many task-machine visits, least and most.
STRONG_WORK = 50_000_000
STRONG_ROUNDS = (4, 400)
# Cheap: within so many machine visits a task, which is less than HEFT takes, least and most.
CHEAP_WORK = 256
CHEAP_ROUNDS = (4, 12)
# The path knows transfers up to so many tasks x machines, and parents that have to share a machine
# where so many of them meet: more of either would take longer than HEFT.
CHEAP_CELLS = 100_000
CHEAP_SHARING = 4
EXACT = 1e-12  # relative distance to the linear relaxation at which further steps find nothing


def critical_path(problem: Problem, *, arrivals: bool = False) -> float:
    """Return the longest path, s, each task on its fastest machine and no communication.

    With `arrivals` no task starts before it arrives, which makes it a lower bound on the makespan
    of problems whose tasks arrive over time.
    """
    start, cost = _earliest(problem, arrivals=arrivals)
    return float((start + cost).max())


def area_bound(problem: Problem, level: str = "strong") -> float:
    """Return a makespan, s, that the machines' capacity alone does not allow to beat.

    For any weights λ ≥ 0 over machines with sum 1, every schedule's makespan is at least
    Σ_i min_q λ_q etc[i, q]; the best weights give the value of the linear relaxation (fractional
    assignment). Some steps of multiplicative ascent are taken, fewer for the level "cheap"; each
    step's value is a valid bound and the greatest is returned. On uniformly related machines the
    first is exact, total work / total speed, and the only one.
    """
    return _area(problem, level)[0]


def _area(problem: Problem, level: str, least: float = 0.0) -> tuple[float, FloatArray]:
    """Return the area bound, s, or less if it is at most `least`; and its weights, (p,)."""
    etc = problem.etc
    rounds = _clipped(CHEAP_WORK // problem.n_machines, CHEAP_ROUNDS)
    if level != "cheap":
        rounds = max(rounds, _clipped(STRONG_WORK // etc.size, STRONG_ROUNDS))
    total, count = bounds_kernels.machine_sums(etc)
    # What the relaxation cannot exceed: every task split alike, so that the machines end together.
    alike = (count == problem.n_tasks) & (total > 0)
    with np.errstate(over="ignore"):
        split = 1.0 / float((1.0 / total[alike]).sum()) if alike.any() else np.inf
    nobody = np.empty(0, np.int64)
    bound, weights = bounds_kernels.area_bound(
        etc, first_weights(total, count), rounds, split * (1 - EXACT), nobody, least
    )
    return float(bound) + float(problem.arrival.min()), weights


def _clipped(rounds: int, limits: tuple[int, int]) -> int:
    return min(max(rounds, limits[0]), limits[1])


def lower_bound(problem: Problem, level: str = "cheap") -> float:
    """Return a makespan, s, that no schedule can beat.

    Parameters
    ----------
    level : "cheap" is the greater of the longest path and the area bound, in less time than HEFT
        takes, or little more where that is some ten microseconds. "strong" takes more steps for the
        latter, and adds what follows from windows, see
        :func:`~deepsched.baselines.windows.windows_bound`; it takes some ten to some hundred times
        as long as HEFT.

    Raises
    ------
    UnknownName
        If there is no such level.
    """
    if level not in LEVELS:
        raise UnknownName("level", level, LEVELS)
    if level == "cheap":
        path = _path(problem)
        return max(path, _area(problem, level, path - float(problem.arrival.min()))[0])
    area, weights = _area(problem, level)
    return windows_bound(problem, weights, max(_path(problem), area))


def _path(problem: Problem) -> float:
    """Return the longest path, s, with transfers on all but large problems."""
    if problem.n_edges == 0 or problem.etc.size > CHEAP_CELLS:
        return critical_path(problem, arrivals=True)
    ends = np.empty(problem.etc.shape)
    soonest = windows_kernels.earliest_ends(
        problem.topo,
        problem.etc,
        np.empty((0, 0), np.bool_),
        problem.arrival,
        problem.predecessors,
        problem.machines.links,
        False,
        CHEAP_SHARING,
        False,
        ends,
    )
    return float(soonest.max())


def mean_waiting_bound(problem: Problem) -> float:
    """Return a mean waiting time, s, that no schedule can beat: each task as early as can be."""
    start, _ = _earliest(problem, arrivals=True)
    return float((start - problem.arrival).mean())


def mean_turnaround_bound(problem: Problem) -> float:
    """Return a mean turnaround, s, that no schedule can beat: the same, each on its fastest."""
    start, cost = _earliest(problem, arrivals=True)
    return float((start + cost - problem.arrival).mean())


def enough(bound: float) -> float:
    """Return the value from which on downwards a search has reached the bound and ends."""
    return bound * (1 + REACHED)


def _earliest(problem: Problem, *, arrivals: bool) -> tuple[FloatArray, FloatArray]:
    """Return (n_tasks,) the earliest start and the least cost of each task, s."""
    release = problem.arrival if arrivals else np.zeros(problem.n_tasks)
    cost = problem.etc.min(axis=1)
    start = bounds_kernels.earliest_start(problem.topo, cost, release, problem.predecessors)
    return start, cost


def first_weights(total: FloatArray, count: IntArray) -> FloatArray:
    """Return (n_machines,) first weights: how fast each machine is on what it can hold."""
    relative = total / np.maximum(count, 1)
    slowest = float(relative.max())
    if slowest > 0:  # else every cost is 0 and so is the bound, whatever the weights
        relative = relative / slowest
    weights = 1.0 / np.maximum(relative, 1e-12)
    weights[count == 0] = 0.0
    return np.asarray(weights / weights.sum(), dtype=np.float64)
