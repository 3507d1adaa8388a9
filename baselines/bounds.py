"""Bounds on the makespan, below which no schedule can come."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from deepsched.baselines.kernels import bounds as bounds_kernels

if TYPE_CHECKING:
    from deepsched.baselines.arrays import FloatArray
    from deepsched.baselines.problem import Problem

AREA_WORK = 50_000_000  # task-machine visits that the area bound may spend
AREA_ROUNDS = (4, 400)  # least and most ascent steps


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
