"""Random assignment: the floor every other scheduler must beat."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from deepsched.baselines.kernels import genetic as kernels
from deepsched.baselines.list_schedule import append_in_order

if TYPE_CHECKING:
    from deepsched.baselines.problem import Problem
    from deepsched.baselines.schedule import Schedule


def random_assignment(problem: Problem, rng: np.random.Generator) -> Schedule:
    """Give each task one of the machines that can hold it, all equally likely, appending.

    Tasks run in topological order.

    References
    ----------
    The random heuristic of Armstrong, Hensgen, Kidd (1998), doi:10.1109/HCW.1998.666547.
    """
    proc = np.empty((problem.n_tasks, 1), dtype=np.int64)
    everyone = np.arange(problem.n_tasks)
    kernels.draw_machines(rng.random((everyone.size, 1)), everyone, problem.etc, proc)
    return append_in_order(problem, problem.topo, proc[:, 0], "random")
