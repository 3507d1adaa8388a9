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
    outputs : (n_tasks, len(OUTPUTS) + codes of a machine in the view).
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
    problem: Problem,
    view: GraphView,
    centre: Float32Array,
    changes: Float32Array,
    code_changes: FloatArray | None = None,
) -> FloatArray:
    """Return (k, 2): makespan and mean turnaround, s, for each of k changes of the outputs.

    Parameters
    ----------
    centre : (n_tasks, outputs), as for `guided_schedule`.
    changes : (k, n_tasks, outputs), added to it.
    code_changes : (k, codes, n_machines), added to those of the view; None: nothing.
    """
    if code_changes is None:
        code_changes = np.zeros((len(changes), *view.guide.codes.shape))
    values: FloatArray = _kernels.values(
        centre,
        changes,
        code_changes,
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
