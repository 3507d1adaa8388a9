"""List scheduling with and without insertion: an order of tasks in, a schedule out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from deepsched.baselines.kernels import placement as placement_kernels
from deepsched.baselines.schedule import Schedule, fresh_schedule, make_schedule

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from deepsched.baselines.arrays import FloatArray, IntArray
    from deepsched.baselines.problem import Problem


def insert_in_order(
    problem: Problem,
    order: IntArray,
    scheduler: str,
    *,
    bias: FloatArray | None = None,
    pinned: IntArray | None = None,
    limit: placement_kernels.Limit | None = None,
) -> Schedule:
    """Place each task on the machine of least EFT + bias, in the earliest idle gap that fits.

    Parameters
    ----------
    order : (n_tasks,) a topological order, which is not checked here.
    bias : (n_tasks, n_machines) s, added to EFT before machines are compared; never inf where the
        task fits.
    pinned : (n_tasks,) machine a task must take, -1 where it is free.
    limit : ends the work where the makespan will be above it; each AFT is inf then.
    """
    proc, ast, aft = placement_kernels.insertion_schedule(
        order,
        problem.etc,
        problem.arrival,
        problem.predecessors,
        problem.machines.links,
        bias,
        pinned,
        None,
        limit,
    )
    return fresh_schedule(scheduler, proc, ast, aft)


def simulate(
    problem: Problem, proc: ArrayLike, order: ArrayLike, scheduler: str = "simulated"
) -> Schedule:
    """Run the tasks in `order`, each on its machine behind the last task there.

    Raises
    ------
    ValueError
        If `order` is not a topological order of all tasks or `proc` names a machine that does not
        exist or cannot hold the task.
    """
    n = problem.n_tasks
    sequence, hosts = np.asarray(order, dtype=np.int64), np.asarray(proc, dtype=np.int64)
    place = np.full(n, -1, dtype=np.int64)
    if sequence.shape != (n,) or hosts.shape != (n,):
        raise ValueError(f"order and proc must have {n} entries, not {sequence.size}, {hosts.size}")
    if ((sequence < 0) | (sequence >= n)).any():
        raise ValueError("order names a task that does not exist")
    place[sequence] = np.arange(n)
    if (place < 0).any():
        raise ValueError(f"order misses task {problem.task_ids[int((place < 0).argmax())]!r}")
    parents, children, _ = problem.edge_list()
    late = place[parents] >= place[children]
    if late.any():
        k = int(late.argmax())
        ids = problem.task_ids
        raise ValueError(f"order puts {ids[children[k]]!r} before its parent {ids[parents[k]]!r}")
    if ((hosts < 0) | (hosts >= problem.n_machines)).any():
        raise ValueError("proc names a machine that does not exist")
    unfit = np.isinf(problem.etc[np.arange(n), hosts])
    if unfit.any():
        i = int(unfit.argmax())
        raise ValueError(
            f"task {problem.task_ids[i]!r} does not fit on {problem.machines.ids[hosts[i]]!r}"
        )
    return append_in_order(problem, sequence, hosts, scheduler)


def append_in_order(problem: Problem, order: IntArray, proc: IntArray, scheduler: str) -> Schedule:
    """Do as :func:`simulate`, for an order and machines that are known to be legal."""
    ast, aft = placement_kernels.append_schedule(
        order,
        proc,
        problem.etc,
        problem.arrival,
        problem.predecessors,
        problem.machines.links,
    )
    return make_schedule(scheduler, proc, ast, aft)


def replay_order(problem: Problem, schedule: Schedule) -> IntArray:
    """Return the tasks by (AST, AFT, topological index).

    Simulating a schedule of ours in this order, on its own machines, reproduces its times, bit for
    bit, when every task has a length; with zero-length tasks no time becomes later. AFT comes
    second because a zero-length task may share its start with the task that follows it on the same
    machine, whatever their topological indices.
    """
    return np.lexsort((problem.topo_index, schedule.aft, schedule.ast))
