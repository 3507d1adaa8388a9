"""From the network's outputs to schedules: one, or many at once in threads."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from baselines.schedule import make_schedule
from model.guided import _kernels

if TYPE_CHECKING:
    from baselines.arrays import FloatArray
    from baselines.problem import Problem
    from baselines.schedule import Schedule
    from model.guided.graph import Float32Array, GraphView

OUTPUTS = ("priority", "optimistic cost", "cost", "affinity")


def guided_schedule(
    problem: Problem, view: GraphView, outputs: Float32Array, scheduler: str
) -> Schedule:
    """Schedule by HEFT's rule, bent by the outputs; valid whatever they are.

    For outputs of 0 it is HEFT's own where the view was made for all machines.

    Parameters
    ----------
    outputs : (n_tasks, len(OUTPUTS)).
    """
    proc, ast, aft = _kernels.decode(
        np.nan_to_num(outputs).astype(np.float32, copy=False),
        view.rank,
        view.step,
        problem.topo_index,
        problem.pred_ptr,
        view.guide,
        view.few,
        problem.etc,
        problem.arrival,
        problem.predecessors,
        problem.machines.links,
    )
    return make_schedule(scheduler, proc, ast, aft)


def guided_values(
    problem: Problem, view: GraphView, centre: Float32Array, changes: Float32Array
) -> FloatArray:
    """Return (k, 2): makespan and mean turnaround, s, for each of k changes of the outputs.

    Parameters
    ----------
    centre : (n_tasks, len(OUTPUTS)).
    changes : (k, n_tasks, len(OUTPUTS)), added to it.
    """
    values: FloatArray = _kernels.values(
        centre,
        changes,
        view.rank,
        view.step,
        problem.topo_index,
        problem.pred_ptr,
        view.guide,
        view.few,
        problem.etc,
        problem.arrival,
        problem.predecessors,
        problem.machines.links,
    )
    return values
