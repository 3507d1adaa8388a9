"""MCT: minimum completion time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from deepsched.baselines.kernels import batch_mode as kernels
from deepsched.baselines.schedule import Schedule, make_schedule

if TYPE_CHECKING:
    import numpy as np

    from deepsched.baselines.problem import Problem


def mct(problem: Problem, rng: np.random.Generator | None = None) -> Schedule:
    """Take tasks in topological order; append each to the machine where it completes first.

    Arrivals and communication are part of the completion times. Ties: lower machine index.
    Deterministic; `rng` is not used. Offered for any size.

    References
    ----------
    Maheswaran, Ali, Siegel, Hensgen, Freund (1999), doi:10.1006/jpdc.1999.1581.
    """
    proc, ast, aft = kernels.minimum_completion_time(
        problem.topo,
        problem.etc,
        problem.arrival,
        problem.predecessors,
        problem.machines.links,
    )
    return make_schedule("mct", proc, ast, aft)
