"""MCT: minimum completion time."""

from __future__ import annotations

import numpy as np

from baselines import _batch_kernels
from baselines.problem import Problem
from baselines.schedule import Schedule, make_schedule


def mct(problem: Problem, rng: np.random.Generator | None = None) -> Schedule:
    """Take tasks in topological order; append each to the machine where it completes first.

    Arrivals and communication are part of the completion times. Ties: lower machine index.
    Deterministic; `rng` is not used. Offered for any size.

    References
    ----------
    Maheswaran, Ali, Siegel, Hensgen, Freund (1999), doi:10.1006/jpdc.1999.1581.
    """
    proc, ast, aft = _batch_kernels.minimum_completion_time(
        problem.topo,
        problem.etc,
        problem.arrival,
        problem.pred_ptr,
        problem.pred,
        problem.pred_bytes,
        problem.machines.latency,
        problem.machines.bandwidth,
        problem.machines.uniform,
    )
    return make_schedule("mct", proc, ast, aft)
