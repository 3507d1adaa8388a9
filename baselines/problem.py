"""The problem every scheduler solves: tasks, machines, costs and the edges between tasks."""

from __future__ import annotations

import functools
import html
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from deepsched.baselines.arrays import FloatArray, IntArray, freeze, frozen_float, frozen_int
from deepsched.baselines.errors import InvalidProblem
from deepsched.baselines.kernels import costs as costs_kernels
from deepsched.baselines.kernels import edges as edges_kernels
from deepsched.baselines.kernels import ranks as ranks_kernels
from deepsched.baselines.kernels.structures import EdgeRows
from deepsched.baselines.machines import (
    RANGE_RULE,
    Machines,
    checked_vector,
    first_duplicate,
    times_and_range,
)
from deepsched.baselines.memory import check_problem_memory
from deepsched.baselines.text import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

Edges = tuple[ArrayLike, ArrayLike, ArrayLike]
NO_EDGES: Edges = ((), (), ())
MAX_HORIZON = 1e300  # s


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Problem:
    """A task graph on heterogeneous machines. Build it with :func:`make_problem`, which checks it.

    Arrays are read-only. Tasks keep the order in which they were given; `topo` lists them in
    topological order.

    Attributes
    ----------
    name : where it came from, for messages and reports.
    format : of the file it was read from; "" where it was made otherwise.
    task_ids : names, unique.
    machines : what the tasks run on.
    etc : (n_tasks, n_machines) s; inf where the task cannot run.
    work, noise, alpha : the factors `etc` was made from (see `execution_times`); `work` is None
        where the source gave the times themselves.
    arrival : (n_tasks,) s, the earliest start.
    priority : (n_tasks,) larger is more urgent; a feature, no scheduler uses it.
    memory : (n_tasks,) MB.
    succ_ptr, succ, succ_bytes : edges by parent; those of task i lie in
        `succ_ptr[i]:succ_ptr[i + 1]`, children ascending.
    pred_ptr, pred, pred_bytes : the same edges by child, parents ascending.
    topo : (n_tasks,) tasks in the lexicographically smallest topological order.
    topo_index : (n_tasks,) position of each task in `topo`.
    """

    name: str
    task_ids: tuple[str, ...]
    machines: Machines
    etc: FloatArray
    work: FloatArray | None
    noise: FloatArray | None
    alpha: float
    arrival: FloatArray
    priority: FloatArray
    memory: FloatArray
    succ_ptr: IntArray
    succ: IntArray
    succ_bytes: FloatArray
    pred_ptr: IntArray
    pred: IntArray
    pred_bytes: FloatArray
    topo: IntArray
    topo_index: IntArray
    format: str = ""

    def __repr__(self) -> str:
        counts = (("task", self.n_tasks), ("edge", self.n_edges), ("machine", self.n_machines))
        parts = (f"{count} {noun}{'' if count == 1 else 's'}" for noun, count in counts)
        return f"Problem({self.name!r}, {', '.join(parts)})"

    def _repr_html_(self) -> str:
        """Return what it is, for notebooks."""
        finite = self.etc[np.isfinite(self.etc)]
        rows = {
            "tasks, edges, machines": f"{self.n_tasks}, {self.n_edges}, {self.n_machines}",
            "read from": self.format or "made in Python",
            "times": f"{finite.min():.4g} to {finite.max():.4g} s" if finite.size else "none",
            "bytes": f"{self.succ_bytes.sum():.4g} in all",
        }
        cells = "".join(f"<tr><th>{key}</th><td>{text}</td></tr>" for key, text in rows.items())
        return f"<p>{html.escape(printable(self.name))}</p><table>{cells}</table>"

    @property
    def n_tasks(self) -> int:
        """The number of tasks."""
        return len(self.task_ids)

    @property
    def n_machines(self) -> int:
        """The number of machines."""
        return len(self.machines)

    @property
    def n_edges(self) -> int:
        """The number of edges."""
        return int(self.succ.size)

    @property
    def successors(self) -> EdgeRows:
        """The edges by parent, as compiled kernels take them."""
        return EdgeRows(self.succ_ptr, self.succ, self.succ_bytes)

    @property
    def predecessors(self) -> EdgeRows:
        """The edges by child, as compiled kernels take them."""
        return EdgeRows(self.pred_ptr, self.pred, self.pred_bytes)

    def edge_list(self) -> tuple[IntArray, IntArray, FloatArray]:
        """Return (parents, children, bytes), each (n_edges,), sorted by parent, then child."""
        parents = np.repeat(np.arange(self.n_tasks), np.diff(self.succ_ptr))
        return parents, self.succ, self.succ_bytes


def make_problem(
    *,
    machines: Machines,
    etc: ArrayLike | None = None,
    work: ArrayLike | None = None,
    alpha: float = 0.0,
    noise: ArrayLike | None = None,
    edges: Edges = NO_EDGES,
    task_ids: Sequence[str] | None = None,
    arrival: ArrayLike = 0.0,
    priority: ArrayLike = 0.0,
    memory: ArrayLike = 0.0,
    name: str = "problem",
) -> Problem:
    """Check the parts of a problem and put them together.

    Parameters
    ----------
    etc : (n_tasks, n_machines) s, inf where a task cannot run. Or else:
    work, alpha, noise : (n_tasks,) work units, the exponent of the cores in a machine's speed, and
        optional (n_tasks, n_machines) positive factors.
    edges : parents, children (task positions) and bytes, in any order.
    arrival, priority, memory : one number or (n_tasks,); s, larger is more urgent, MB.

    Raises
    ------
    InvalidProblem
        If there is no task, a number is illegal, shapes disagree, an edge repeats, names a task
        that does not exist or closes a cycle, or no machine can hold a task. The message names the
        task, machine or edge.
    InvalidInput
        If there is no memory for so many tasks on so many machines.

    Examples
    --------
    >>> from deepsched.baselines.machines import make_machines
    >>> problem = make_problem(
    ...     machines=make_machines(2), etc=[[1, 2], [3, 1]], edges=([0], [1], [125e6])
    ... )
    >>> problem.n_tasks, problem.n_edges
    (2, 1)
    """
    if (etc is None) == (work is None):
        raise InvalidProblem("give the tasks' costs either as etc or as work, not both or neither")
    try:
        given = np.asarray(work if etc is None else etc, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InvalidProblem(f"task costs are not numeric or not rectangular: {error}") from None
    n, p = (given.shape[0] if given.ndim else 0), len(machines)
    if n == 0:
        raise InvalidProblem("there is no task; give at least one")
    check_problem_memory(n, p, noise=noise is not None)
    ids = default_task_ids(n) if task_ids is None else tuple(task_ids)
    if len(ids) != n:
        raise InvalidProblem(f"{len(ids)} task ids for {n} tasks")
    if task_ids is not None and len(set(ids)) != n:
        raise InvalidProblem(f"task id {first_duplicate(ids)!r} is given twice")
    memories = checked_vector(memory, n, "memory", ids, "task")
    works = factors = None
    if work is not None:
        works = checked_vector(given, n, "work", ids, "task")
        factors = None if noise is None else _checked_noise(noise, n, p, ids)
        with np.errstate(over="ignore"):  # beyond the largest float is as good as never
            times, stuck, longest = times_and_range(
                works, checked_speed(machines, alpha), factors, memories, machines.memory
            )
        times.flags.writeable = False
    else:
        times = _checked_etc(given, memories, ids, machines)
        stuck, longest = costs_kernels.cost_range(times)
    if stuck >= 0:
        raise InvalidProblem(_why_stuck(stuck, memories, ids, machines))
    succ_ptr, succ, succ_bytes, pred_ptr, pred, pred_bytes = _checked_edges(edges, n, ids)
    arrivals = checked_vector(arrival, n, "arrival", ids, "task")
    _check_horizon(n * longest, arrivals, succ_bytes, machines)
    topo = _topological_order(succ_ptr, succ, pred_ptr, ids)
    topo_index = np.empty(n, dtype=np.int64)
    topo_index[topo] = np.arange(n)
    return Problem(
        name=name,
        task_ids=ids,
        machines=machines,
        etc=times,
        work=works,
        noise=factors,
        alpha=float(alpha),
        arrival=arrivals,
        priority=checked_vector(priority, n, "priority", ids, "task", may_be_negative=True),
        memory=memories,
        succ_ptr=frozen_int(succ_ptr),
        succ=frozen_int(succ),
        succ_bytes=frozen_float(succ_bytes, succ_bytes.shape),
        pred_ptr=frozen_int(pred_ptr),
        pred=frozen_int(pred),
        pred_bytes=frozen_float(pred_bytes, pred_bytes.shape),
        topo=frozen_int(topo),
        topo_index=frozen_int(topo_index),
    )


def _checked_etc(
    etc: FloatArray, memory: FloatArray, ids: Sequence[str], machines: Machines
) -> FloatArray:
    p = len(machines)
    if etc.ndim != 2 or etc.shape[1] != p:
        raise InvalidProblem(f"etc has shape {etc.shape}; {len(ids)} tasks x {p} machines expected")
    if not etc.min() >= 0:  # also true where there is a NaN
        i, q = (int(k) for k in np.argwhere(~(etc >= 0))[0])
        raise InvalidProblem(
            f"task {ids[i]!r}: etc on machine {machines.ids[q]!r} is {etc[i, q]:g}; {RANGE_RULE}"
        )
    # The usual problem has no memory limit at all: then no (n, p) mask is made.
    if memory.max() > machines.memory.min():
        etc = np.where(memory[:, None] <= machines.memory[None, :], etc, np.inf)
    return freeze(etc)


def _checked_noise(noise: ArrayLike, n: int, p: int, ids: Sequence[str]) -> FloatArray:
    factors = np.asarray(noise, dtype=np.float64)
    if factors.shape != (n, p):
        raise InvalidProblem(f"noise has shape {factors.shape}; {n} tasks x {p} machines expected")
    if not (factors.min() > 0 and np.isfinite(factors).all()):
        i = int(np.argwhere(~((factors > 0) & np.isfinite(factors)))[0, 0])
        raise InvalidProblem(f"task {ids[i]!r}: a noise factor is not a positive number")
    return freeze(factors)


def checked_speed(machines: Machines, alpha: float) -> FloatArray:
    """Return (n_machines,) speeds, all positive and finite, or name the machine without one."""
    with np.errstate(over="ignore", under="ignore"):
        speed = machines.speed(alpha)
    bad = ~(np.isfinite(speed) & (speed > 0))
    if bad.any():
        q = int(bad.argmax())
        raise InvalidProblem(
            f"machine {machines.ids[q]!r}: cores and frequency make a speed of {speed[q]:g}"
        )
    return speed


def _check_horizon(
    work: float, arrival: FloatArray, edge_bytes: FloatArray, machines: Machines
) -> None:
    """Refuse costs whose sums could leave the range of floats, where no comparison holds."""
    with np.errstate(over="ignore"):
        # At least a byte, so that the inverse bandwidths themselves stay finite too.
        transfer = machines.latency.max() + edge_bytes.max(initial=1.0) / machines.bandwidth.min()
        horizon = arrival.max() + work + (1 + edge_bytes.size) * transfer
    if not horizon <= MAX_HORIZON:
        raise InvalidProblem(
            f"all tasks and transfers one after the other could take {horizon:g} s; "
            f"at most {MAX_HORIZON:g} s can be computed with"
        )


def _why_stuck(i: int, memory: FloatArray, ids: Sequence[str], machines: Machines) -> str:
    largest = machines.memory.max()
    if memory[i] > largest:
        why = f"it needs {memory[i]:g} MB, the largest machine has {largest:g} MB"
    else:
        why = "it has no finite etc on a machine that can hold it"
    return f"no machine can run task {ids[i]!r}: {why}"


def default_task_ids(n: int) -> tuple[str, ...]:
    """Return t0, t1, …, the names of `n` tasks that were given none."""
    return _default_names(1 << (n - 1).bit_length())[:n]


@functools.lru_cache(maxsize=16)
def _default_names(n: int) -> tuple[str, ...]:
    # Kept: making so many strings takes longer than scheduling a few tasks.
    return tuple(f"t{i}" for i in range(n))


def _checked_edges(
    edges: Edges, n: int, ids: Sequence[str]
) -> tuple[IntArray, IntArray, FloatArray, IntArray, IntArray, FloatArray]:
    src, dst = (np.array(side, dtype=np.int64).reshape(-1) for side in edges[:2])
    try:
        data = np.asarray(edges[2], dtype=np.float64).reshape(-1)
    except (TypeError, ValueError) as error:
        raise InvalidProblem(f"bytes of the edges are not numeric: {error}") from None
    if not src.size == dst.size == data.size:
        raise InvalidProblem(
            f"edges have {src.size} parents, {dst.size} children and {data.size} byte counts"
        )

    def label(k: int) -> str:
        ends = (ids[e] if 0 <= e < n else f"#{e}" for e in (int(src[k]), int(dst[k])))
        return "edge {!r} -> {!r}".format(*ends)

    bad = (src < 0) | (src >= n) | (dst < 0) | (dst >= n)
    if bad.any():
        raise InvalidProblem(f"{label(int(bad.argmax()))} names a task that does not exist")
    if (src == dst).any():
        raise InvalidProblem(f"{label(int((src == dst).argmax()))} is a self-loop")
    illegal = ~((data >= 0) & np.isfinite(data))
    if illegal.any():
        k = int(illegal.argmax())
        raise InvalidProblem(f"{label(k)}: bytes is {data[k]:g}; {RANGE_RULE}")
    _, by_child = edges_kernels.in_order(dst, n, np.arange(src.size))
    succ_ptr, by_parent = edges_kernels.in_order(src, n, by_child)
    same = (np.diff(src[by_parent]) == 0) & (np.diff(dst[by_parent]) == 0)
    if same.any():
        raise InvalidProblem(f"{label(int(by_parent[1:][same][0]))} is given twice")
    pred_ptr, by_child = edges_kernels.in_order(dst, n, by_parent)
    return succ_ptr, dst[by_parent], data[by_parent], pred_ptr, src[by_child], data[by_child]


def _topological_order(
    succ_ptr: IntArray, succ: IntArray, pred_ptr: IntArray, ids: Sequence[str]
) -> IntArray:
    n = len(ids)
    position = np.arange(n, dtype=np.int64)
    if bool((np.repeat(position, np.diff(succ_ptr)) < succ).all()):
        return position  # every edge points forward: the input order is the smallest one
    succs = EdgeRows(succ_ptr, succ, np.empty(0))
    order: IntArray = ranks_kernels.ready_order(
        -position.astype(np.float64), position, succs, pred_ptr
    )
    if order.size < n:
        path = " -> ".join(repr(ids[i]) for i in _find_cycle(succ_ptr, succ, order))
        raise InvalidProblem(f"the edges close a cycle: {path}")
    return order


def _find_cycle(succ_ptr: IntArray, succ: IntArray, sorted_part: IntArray) -> list[int]:
    """Return the tasks of one cycle, the first repeated at the end."""
    stuck = np.ones(succ_ptr.size - 1, dtype=bool)
    stuck[sorted_part] = False
    # A stuck task has a stuck parent, though maybe no stuck child: walk the edges backwards.
    parent = np.full(stuck.size, -1, dtype=np.int64)
    for i in np.flatnonzero(stuck):
        parent[succ[succ_ptr[i] : succ_ptr[i + 1]]] = i
    at, seen = int(np.flatnonzero(stuck)[0]), dict[int, int]()
    walk: list[int] = []
    while at not in seen:
        seen[at] = len(walk)
        walk.append(at)
        at = int(parent[at])
    loop = [*walk[seen[at] :], at]
    return loop[::-1]
