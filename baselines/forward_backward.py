"""Forward-backward improvement: a schedule pushed to its end, and back to its beginning."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from deepsched.baselines.arrays import freeze
from deepsched.baselines.list_schedule import insert_in_order
from deepsched.baselines.reversal import mirrored, reversed_problem

if TYPE_CHECKING:
    from deepsched.baselines.problem import Problem
    from deepsched.baselines.schedule import Schedule


def forward_backward_improvement(problem: Problem, schedule: Schedule) -> Schedule:
    """Return a schedule that is no longer, made in two passes over the tasks.

    The backward pass places them, latest finish first, from the end of time with all edges turned
    round; the forward pass takes them in the order of the starts that come out. Tasks stay on their
    machines where something is transferred between them, and are free where nothing is.

    References
    ----------
    Li, Willis (1992), doi:10.1016/0377-2217(92)90320-6; as an addition to sampling, Tormos, Lova
    (2001), doi:10.1023/A:1010997814183.
    """
    stay = bool(problem.succ_bytes.any())
    # Frozen like a problem's own arrays, or all would be compiled again for writable ones.
    pushed = insert_in_order(
        reversed_problem(problem),
        np.lexsort((-problem.topo_index, -schedule.aft)),
        schedule.scheduler,
        pinned=schedule.proc if stay else freeze(np.full(problem.n_tasks, -1)),
    )
    found = mirrored(problem, pushed, pinned=stay)
    return found if found.makespan < schedule.makespan else schedule
