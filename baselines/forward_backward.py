"""Forward-backward improvement: a schedule pushed to its end, and back to its beginning."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from deepsched.baselines.arrays import freeze
from deepsched.baselines.kernels import placement as placement_kernels
from deepsched.baselines.list_schedule import insert_in_order

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
    links = problem.machines.links
    turned = links._replace(latency=freeze(links.latency.T), bandwidth=freeze(links.bandwidth.T))
    stay = bool(problem.succ_bytes.any())
    free = freeze(np.full(problem.n_tasks, -1))
    # Frozen like a problem's own arrays, or all would be compiled again for writable ones.
    proc, _, aft = placement_kernels.insertion_schedule(
        np.lexsort((-problem.topo_index, -schedule.aft)),
        problem.etc,
        freeze(np.zeros(problem.n_tasks)),
        problem.successors,
        turned,
        None,
        schedule.proc if stay else free,
    )
    found = insert_in_order(
        problem,
        np.lexsort((problem.topo_index, -aft)),
        schedule.scheduler,
        pinned=freeze(proc) if stay else free,
    )
    return found if found.makespan < schedule.makespan else schedule
