"""Sufferage: the task that would lose most by missing its best machine goes first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from deepsched.baselines.batch_mode import assign_one_by_one
from deepsched.baselines.kernels import batch_mode as kernels

if TYPE_CHECKING:
    import numpy as np

    from deepsched.baselines.problem import Problem
    from deepsched.baselines.schedule import Schedule


def sufferage(problem: Problem, rng: np.random.Generator | None = None) -> Schedule:
    """Assign the ready task of greatest sufferage, one task a step, appending.

    Sufferage is the second least completion time less the least; it is infinite for a task that
    fits on one machine only. The variant that assigns several tasks a pass gives other schedules.
    Ties: lower topological index, lower machine index. Deterministic; `rng` is not used.

    Raises
    ------
    TooLarge
        Beyond `deepsched.baselines.batch_mode.MAX_TASKS` tasks.

    References
    ----------
    Maheswaran, Ali, Siegel, Hensgen, Freund (1999), doi:10.1006/jpdc.1999.1581.
    """
    return assign_one_by_one(problem, "sufferage", kernels.SUFFERAGE)
