"""Perturbation search: HEFT again and again, with other ranks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from deepsched.baselines.bounds import enough, lower_bound
from deepsched.baselines.kernels import placement as placement_kernels
from deepsched.baselines.kernels import ranks as ranks_kernels
from deepsched.baselines.ranks import upward_rank
from deepsched.baselines.schedule import Schedule, make_schedule

if TYPE_CHECKING:
    from deepsched.baselines.problem import Problem

EVALUATIONS = 100
NOISE = 0.1  # standard deviation of the change of a rank, as a share of the largest one
FEWEST = 4  # tasks changed at once, at the least


def perturbation(
    problem: Problem, rng: np.random.Generator, *, evaluations: int = EVALUATIONS
) -> Schedule:
    """Change upward ranks at random, schedule as HEFT does, keep what is no longer than the best.

    Never longer than HEFT's schedule, which is the first. Each change is of a few tasks or of many,
    alike likely on a logarithmic scale. The first that reaches the lower bound on the makespan is
    the last. Ties as in HEFT.

    Parameters
    ----------
    evaluations : schedules made at most, the first one included.

    References
    ----------
    Search in the space of priorities: Storer, Wu, Vaccari (1992), doi:10.1287/mnsc.38.10.1495.
    """
    n = problem.n_tasks
    ranks = upward_rank(problem)
    size = NOISE * float(ranks.max())
    fewest, most = np.log(min(FEWEST, n)), np.log(n)
    ordering = (problem.topo_index, problem.successors, problem.pred_ptr)
    placing = (problem.etc, problem.arrival, problem.predecessors, problem.machines.links)
    best, value, least = None, np.inf, enough(lower_bound(problem))
    for k in range(evaluations):
        tried = ranks
        if k > 0:
            count = int(np.exp(rng.uniform(fewest, most)))
            tried = ranks.copy()
            tried[rng.integers(0, n, count)] += size * rng.standard_normal(count)
        order = ranks_kernels.ready_order(tried, *ordering)
        found = placement_kernels.insertion_schedule(order, *placing, None, None)
        makespan = float(found[2].max())
        if makespan <= value:
            best, value, ranks = found, makespan, tried
        if value <= least:
            break
    if best is None:
        raise ValueError("evaluations ≥ 1")
    return make_schedule("perturbation", *best)
