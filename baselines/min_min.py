"""Min-min: the task that can complete first goes first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from deepsched.baselines.batch_mode import assign_one_by_one
from deepsched.baselines.kernels import batch_mode as kernels

if TYPE_CHECKING:
    import numpy as np

    from deepsched.baselines.problem import Problem
    from deepsched.baselines.schedule import Schedule


def min_min(problem: Problem, rng: np.random.Generator | None = None) -> Schedule:
    """Assign the ready task of least completion time, again and again, appending.

    Ties: lower topological index, lower machine index. Deterministic; `rng` is not used.

    Raises
    ------
    TooLarge
        Beyond `deepsched.baselines.batch_mode.MAX_TASKS` tasks.

    References
    ----------
    Ibarra, Kim (1977), doi:10.1145/322003.322011, algorithm D; on ready tasks of a DAG as in
    Blythe et al. (2005), doi:10.1109/CCGRID.2005.1558639.
    """
    return assign_one_by_one(problem, "min-min", kernels.MIN_MIN)
