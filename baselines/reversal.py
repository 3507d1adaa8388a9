"""Scheduling from the end: the problem with all edges turned round, and its schedules mirrored.

A schedule of the reversed problem, read from its end, is one of the problem itself, and no longer
where no task has to wait for its arrival and each has a length. Where HEFT's greed does badly from
one side it often does well from the other.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from deepsched.baselines.arrays import freeze
from deepsched.baselines.list_schedule import insert_in_order

if TYPE_CHECKING:
    from deepsched.baselines.problem import Problem
    from deepsched.baselines.schedule import Schedule


def reversed_problem(problem: Problem) -> Problem:
    """Return the problem with edges and links turned round; nobody has to arrive.

    Its `topo` is that of the problem from its end, and not the lexicographically smallest.
    """
    return replace(
        problem,
        machines=problem.machines.turned(),
        arrival=freeze(np.zeros(problem.n_tasks)),
        succ_ptr=problem.pred_ptr,
        succ=problem.pred,
        succ_bytes=problem.pred_bytes,
        pred_ptr=problem.succ_ptr,
        pred=problem.succ,
        pred_bytes=problem.succ_bytes,
        topo=freeze(problem.topo[::-1]),
        topo_index=freeze(problem.n_tasks - 1 - problem.topo_index),
    )


def mirrored(problem: Problem, schedule: Schedule, *, pinned: bool = True) -> Schedule:
    """Return a schedule of the problem, made from one of its reversed problem.

    Tasks are placed, each as early as can be, in the order of the starts that the other has read
    from its end.

    Parameters
    ----------
    pinned : whether they stay on their machines; else each finishes where it can do so first.
    """
    hosts = schedule.proc if pinned else freeze(np.full(problem.n_tasks, -1))
    return insert_in_order(
        problem,
        np.lexsort((problem.topo_index, -schedule.aft)),
        schedule.scheduler,
        pinned=hosts,
    )
