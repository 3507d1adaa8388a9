"""Max-min: the task whose best completion is latest goes first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from deepsched.baselines.batch_mode import assign_one_by_one
from deepsched.baselines.kernels import batch_mode as kernels

if TYPE_CHECKING:
    import numpy as np

    from deepsched.baselines.problem import Problem
    from deepsched.baselines.schedule import Schedule


def max_min(problem: Problem, rng: np.random.Generator | None = None) -> Schedule:
    """Assign the ready task whose least completion time is greatest, again and again, appending.

    Ties: lower topological index, lower machine index. Deterministic; `rng` is not used.

    Raises
    ------
    TooLarge
        Beyond `deepsched.baselines.batch_mode.MAX_TASKS` tasks.

    References
    ----------
    Ibarra, Kim (1977), doi:10.1145/322003.322011, algorithm E.
    """
    return assign_one_by_one(problem, "max-min", kernels.MAX_MIN)
