"""From the network's outputs to schedules: one, or many at once in threads."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from baselines import _kernels
from baselines._kernels import jit
from baselines.schedule import make_schedule

if TYPE_CHECKING:
    from baselines.arrays import FloatArray
    from baselines.problem import Problem
    from baselines.schedule import Schedule
    from model.guided.graph import Float32Array, GraphView

OUTPUTS = ("priority", "optimistic cost", "cost", "affinity")
# What an output of 1 means: so many steps of the upward rank, and weights of the placement rule.
UNITS = (1.0, 0.5, 0.5, 0.5)


def guided_schedule(
    problem: Problem, view: GraphView, outputs: Float32Array, scheduler: str
) -> Schedule:
    """Schedule by HEFT's rule, bent by the outputs; valid whatever they are, HEFT's own for 0.

    Parameters
    ----------
    outputs : (n_tasks, len(OUTPUTS)).
    """
    proc, ast, aft = _decode(
        np.nan_to_num(outputs).astype(np.float32, copy=False),
        view.rank,
        view.step,
        problem.topo_index,
        problem.pred_ptr,
        view.guide,
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
    values: FloatArray = _values(
        centre,
        changes,
        view.rank,
        view.step,
        problem.topo_index,
        problem.pred_ptr,
        view.guide,
        problem.etc,
        problem.arrival,
        problem.predecessors,
        problem.machines.links,
    )
    return values


@jit
def _decode(
    outputs, rank, step, topo_index, pred_ptr, guide, etc, arrival, preds, links
):
    n = rank.size
    priority = np.empty(n)
    weights = guide.weights
    for i in range(n):
        priority[i] = rank[i] + step * outputs[i, 0]
        for k in range(3):
            weights[i, k] = UNITS[k + 1] * outputs[i, k + 1]
    order = _kernels.ready_order(priority, topo_index, guide.succs, pred_ptr)
    return _kernels.insertion_schedule(order, etc, arrival, preds, links, None, None, guide)


@jit
def _values(
    centre, changes, rank, step, topo_index, pred_ptr, guide, etc, arrival, preds, links
):
    found = np.empty((changes.shape[0], 2))
    for k in range(changes.shape[0]):
        outputs = centre + changes[k]
        own = _kernels.Guide(
            np.empty((rank.size, 3)),
            guide.optimistic,
            guide.least_optimistic,
            guide.least_cost,
            guide.succs,
            guide.mean_comm,
        )
        _, _, aft = _decode(
            outputs, rank, step, topo_index, pred_ptr, own, etc, arrival, preds, links
        )
        found[k, 0] = aft.max()
        found[k, 1] = (aft - arrival).mean()
    return found
