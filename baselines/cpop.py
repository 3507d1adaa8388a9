"""CPOP: critical path on a processor."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from deepsched.baselines.list_schedule import insert_in_order
from deepsched.baselines.ranks import downward_rank, ready_order, upward_rank

if TYPE_CHECKING:
    from deepsched.baselines.arrays import FloatArray, IntArray
    from deepsched.baselines.problem import Problem
    from deepsched.baselines.schedule import Schedule


def cpop(problem: Problem, rng: np.random.Generator | None = None) -> Schedule:
    """Keep one critical path on one machine; place all other tasks by least EFT.

    Tasks are taken from the ready list by upward + downward rank. The path starts at the entry task
    of greatest rank sum and follows the best successor, lower topological index on ties. The path's
    machine holds most of its tasks, then has the least cost sum over them, then the lower index; a
    path task that does not fit there is placed by EFT like any other. Deterministic; `rng` is not
    used.

    References
    ----------
    Topcuoglu, Hariri, Wu (2002), doi:10.1109/71.993206, section 4.2.
    """
    importance = upward_rank(problem) + downward_rank(problem)
    path = critical_path_tasks(problem, importance)
    cost = problem.etc[path]
    fits = np.isfinite(cost)
    total = np.where(fits, cost, 0.0).sum(axis=0)
    machine = int(np.lexsort((total, -fits.sum(axis=0)))[0])
    pinned = np.full(problem.n_tasks, -1, dtype=np.int64)
    pinned[path[fits[:, machine]]] = machine
    return insert_in_order(problem, ready_order(problem, importance), "cpop", pinned=pinned)


def critical_path_tasks(problem: Problem, importance: FloatArray) -> IntArray:
    """Return the tasks met on the walk from the most important entry task to an exit."""

    def best(tasks: IntArray) -> int:
        return int(tasks[np.lexsort((problem.topo_index[tasks], -importance[tasks]))[0]])

    at = best(np.flatnonzero(np.diff(problem.pred_ptr) == 0))
    path = [at]
    while problem.succ_ptr[at] < problem.succ_ptr[at + 1]:
        at = best(problem.succ[problem.succ_ptr[at] : problem.succ_ptr[at + 1]])
        path.append(at)
    return np.array(path, dtype=np.int64)
