"""Mean costs and the ranks that list schedulers order tasks by."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from deepsched.baselines.kernels import costs as costs_kernels
from deepsched.baselines.kernels import ranks as ranks_kernels

if TYPE_CHECKING:
    from deepsched.baselines.arrays import FloatArray, IntArray
    from deepsched.baselines.problem import Problem


def mean_execution_cost(problem: Problem) -> FloatArray:
    """Return (n_tasks,) s, the mean over the machines that can hold the task."""
    mean: FloatArray = costs_kernels.mean_over_finite(problem.etc)
    return mean


def mean_communication(problem: Problem, edge_bytes: FloatArray) -> FloatArray:
    """Return the mean transfer time, s, of edges that carry `edge_bytes`; 0 with one node."""
    latency, per_byte = problem.machines.mean_transfer()
    return latency + edge_bytes * per_byte


def upward_rank(problem: Problem) -> FloatArray:
    """Longest mean-cost path from each task to an exit task, both ends included.

    Returns
    -------
    (n_tasks,) s; never increasing along an edge.

    References
    ----------
    Topcuoglu, Hariri, Wu (2002), doi:10.1109/71.993206, eq. 8.
    """
    rank: FloatArray = ranks_kernels.upward_rank(
        problem.topo,
        mean_execution_cost(problem),
        problem.successors,
        mean_communication(problem, problem.succ_bytes),
    )
    return rank


def downward_rank(problem: Problem) -> FloatArray:
    """Longest mean-cost path from an entry task to each task, the task itself excluded.

    Returns
    -------
    (n_tasks,) s; never decreasing along an edge.

    References
    ----------
    Topcuoglu, Hariri, Wu (2002), doi:10.1109/71.993206, eq. 10.
    """
    rank: FloatArray = ranks_kernels.downward_rank(
        problem.topo,
        mean_execution_cost(problem),
        problem.predecessors,
        mean_communication(problem, problem.pred_bytes),
    )
    return rank


def optimistic_cost(problem: Problem) -> FloatArray:
    """PEFT's optimistic cost table.

    Returns
    -------
    (n_tasks, n_machines) s, the least mean-communication cost of what follows the task when it
    runs on that machine; 0 for exit tasks.

    References
    ----------
    Arabnejad, Barbosa (2014), doi:10.1109/TPDS.2013.57, eq. 4.
    """
    table: FloatArray = ranks_kernels.optimistic_cost(
        problem.topo,
        problem.etc,
        problem.successors,
        mean_communication(problem, problem.succ_bytes),
        problem.machines.links,
    )
    return table


def mean_over_eligible(problem: Problem, table: FloatArray) -> FloatArray:
    """Return (n_tasks,) mean of a (n_tasks, n_machines) table over the machines that fit."""
    fits = np.isfinite(problem.etc)
    if fits.all():
        return np.asarray(table.mean(axis=1))
    return np.asarray(np.where(fits, table, 0.0).sum(axis=1) / fits.sum(axis=1))


def heft_order(problem: Problem, rank: FloatArray | None = None) -> IntArray:
    """Return the tasks by upward rank, descending; those who know the ranks may bring them."""
    rank = (upward_rank(problem) if rank is None else rank)[problem.topo]
    # Equal ranks: lower topological index first, so that the order is a topological one.
    return problem.topo[np.argsort(-rank, kind="stable")]


def release_order(problem: Problem) -> IntArray:
    """Return the tasks by release, then by upward rank, descending.

    A task's release is the latest arrival of the task and of all that it waits for, directly or
    not. Without arrivals the order is that of HEFT.
    """
    release = ranks_kernels.release(problem.topo, problem.arrival, problem.predecessors)
    # No key falls along an edge, and of equals the parent is first: the order is a topological one.
    return np.lexsort((problem.topo_index, -upward_rank(problem), release))


def ready_order(problem: Problem, priority: FloatArray) -> IntArray:
    """Return the order in which always the ready task of highest priority comes next.

    Ties go to the lower topological index. Any priorities give a topological order.
    """
    order: IntArray = ranks_kernels.ready_order(
        priority, problem.topo_index, problem.successors, problem.pred_ptr
    )
    return order
