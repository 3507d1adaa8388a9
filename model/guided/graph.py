"""What the network `deepsched` sees of a problem, and the tables its decoder needs; no torch.

Axes: n tasks in the problem's own order, m edges by parent, p machines, f features.

Every feature is a ratio or the logarithm of one, so that seconds and bytes of any size come out as
small finite numbers. All of them are known before scheduling.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from baselines._kernels import EdgeRows, Guide, upward_rank
from baselines.ranks import mean_communication
from model.guided import _kernels
from model.guided._candidates import Few, cheapest_machines
from model.guided._kernels import SMALLEST
from model.guided.beside import beside

if TYPE_CHECKING:
    from baselines.arrays import FloatArray, IntArray
    from baselines.problem import Problem

Float32Array = NDArray[np.float32]

TASK_FEATURES = (
    "upward",  # upward rank / critical path
    "downward",  # downward rank / critical path
    "slack",  # what is left of the critical path
    "cost",  # log of the mean cost against the mean task's
    "least cost",  # log of the least cost against the mean over machines
    "cost spread",  # standard deviation over machines / mean
    "parents",  # log of one more than there are
    "children",
    "data in",  # log of one more than the mean transfer times of all parents / mean cost
    "data out",
    "largest in",  # the same of the largest alone
    "largest out",
    "crowding",  # log of the tasks that would run at the same time with machines for all, a machine
    "arrival",  # / critical path
    "eligible",  # share of the machines that can hold the task
    "regret",  # log of one more than the mean regret of the optimistic costs / mean cost
    "parallelism",  # from here on of the problem: log of the work / (critical path · machines)
    "machines",  # log
    "communication",  # log of one more than all mean transfer times / all mean costs
    "tasks",  # log
    "unlikeness",  # standard deviation of the machines' slowness
    "objective",  # 0 the makespan is to be short, 1 the mean turnaround
)
PROBLEM_WIDE = slice(16, 22)  # the features that are the same for all tasks of a problem
MACHINE_FEATURES = (
    "slowness",  # log of the costs there against the tasks' means, in the mean
    "standing",  # the same in standard deviations from the mean machine
    "holds",  # share of the tasks that fit
    "transfers out",  # log of the mean transfer time to the others against that of all pairs
    "transfers in",
    *TASK_FEATURES[PROBLEM_WIDE],
)
OBJECTIVES = ("makespan", "turnaround")
# How many machines are looked at for a task: all; where it costs least and where inputs and idle
# machines are; the one where it costs least.
DECODES = ("full", "topk", "argmax")
CHEAPEST, GROUPS = 4, 8  # of `topk`: machines a task, groups of machines by slowness
LIMIT = 8.0  # features are clipped to ±LIMIT
TINY = 1e-12


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class GraphView:
    """A problem as the network and its decoder see it.

    Attributes
    ----------
    features : (n, len(TASK_FEATURES)); the last column is the objective.
    children : (m,) the child of each edge, edges by parent.
    child_ptr : (n + 1,) the edges of task i lie in `child_ptr[i]:child_ptr[i + 1]`.
    weight : (m,) log of one more than the mean transfer time / mean cost.
    machines : (p, len(MACHINE_FEATURES)); None: not asked for.
    rank : (n,) s, upward rank.
    step : s, what an upward rank loses from a task to its critical child, in the mean.
    guide : the decoder's tables; its weights are room for one decoder at a time. Without a table
        of optimistic costs where `few` is set. Without codes, see `with_codes`.
    few : the machines looked at for each task; None: all.
    """

    features: Float32Array
    children: IntArray
    child_ptr: IntArray
    weight: Float32Array
    machines: Float32Array | None
    rank: FloatArray
    step: float
    guide: Guide
    few: Few | None

    @property
    def n_tasks(self) -> int:
        """The number of tasks."""
        return int(self.rank.size)


def graph_view(
    problem: Problem,
    objective: str = "makespan",
    decode: str = "full",
    *,
    machines: bool = False,
) -> GraphView:
    """Return features and tables of a problem, those of machines if they are asked for.

    All decodings but `full` do without the optimistic costs, the dearest table; what the network
    sees of them is then 0.

    No entry is NaN or infinite, whatever the problem: zero costs, no edges, one machine.
    """
    n, p = problem.etc.shape
    costs, slow, held = _costs(problem.etc)
    mean = costs[:, 0].copy()
    comm = mean_communication(problem, problem.succ_bytes)
    succs = problem.successors
    up = upward_rank(problem.topo, mean, succs, comm)
    # A power of two, so that dividing by it rounds nothing.
    unit_ahead = 2.0 ** np.floor(np.log2(max(float(up.max()), SMALLEST)))
    # From numpy, which asks for large pages: touching small ones takes longer than filling them.
    weights, codes = np.zeros((n, 3)), np.empty((0, p))
    table = np.empty((n, p) if decode == "full" else (0, 0), np.float32)
    if decode == "full":
        tables = beside(
            n, _kernels.optimistic, problem.topo, problem.etc, succs, comm, unit_ahead, table
        )
    else:
        cheap = np.empty((n, min(CHEAPEST, p) if decode == "topk" else 1), np.int64)
        tables = beside(n, cheapest_machines, problem.etc, cheap, weights, codes)
    down = _kernels.downward(problem.topo, mean, succs, comm)
    graph = _kernels.edge_statistics(succs, comm)
    crowding = _crowding(down, mean)
    few = None
    if decode == "full":
        least_ahead, regret = tables.result()
    else:
        tables.result()
        least_ahead = regret = np.zeros(n)
        few = _few(cheap, slow, wide=decode == "topk")
    least = costs[:, 1].copy()
    path, total = max(float(up.max()), TINY), max(float(mean.sum()), TINY)
    unit = total / n
    found = np.empty((n, len(TASK_FEATURES)), dtype=np.float32)
    found[:, 0] = up / path
    found[:, 1] = down / path
    found[:, 2] = 1.0 - (up + down) / path
    found[:, 3] = np.log((mean + TINY) / (unit + TINY))
    found[:, 4] = np.log((least + TINY) / (mean + TINY))
    found[:, 5] = costs[:, 2] / (mean + TINY)
    found[:, 6:8] = np.log1p(graph[:, :2])
    found[:, 8:12] = np.log1p(graph[:, 2:] / unit)
    found[:, 12] = np.log(crowding / p)
    found[:, 13] = problem.arrival / path
    found[:, 14] = costs[:, 3] / p
    found[:, 15] = np.log1p(regret / unit)
    found[:, 16] = np.log(total / (path * p))
    found[:, 17] = np.log(p)
    found[:, 18] = np.log1p(float(comm.sum()) / total)
    found[:, 19] = np.log(n)
    found[:, 20] = slow.std()
    found[:, 21] = OBJECTIVES.index(objective)
    np.clip(found, -LIMIT, LIMIT, out=found)
    return GraphView(
        features=found,
        children=problem.succ,
        child_ptr=problem.succ_ptr,
        weight=np.log1p(comm / unit).astype(np.float32),
        machines=_machines(problem, slow, held / n, found[0]) if machines else None,
        rank=up,
        step=unit + float(graph[:, 5].mean()),
        guide=Guide(
            weights=weights,
            codes=codes,
            through=table,
            unit=unit_ahead,
            least_optimistic=least_ahead,
            least_cost=least,
            succs=succs,
            mean_comm=comm,
        ),
        few=few,
    )


def with_codes(view: GraphView, codes: FloatArray) -> GraphView:
    """Return a view whose decoder is told these codes of machines, (c, p).

    From then on it takes c more outputs a task.
    """
    weights = np.zeros((view.n_tasks, 3 + len(codes)))
    return replace(view, guide=view.guide._replace(weights=weights, codes=codes))


def _costs(etc: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return what `cost_statistics` says of tasks (n, 4) and of machines.

    Those are each one's mean slowness (p,) and how many tasks it can hold.

    Two halves are added up beside each other, whatever the number of CPUs: sums depend on order.
    """
    n, p = etc.shape
    found = np.empty((n, 4))
    slow, seen = np.zeros((2, p)), np.zeros((2, p))
    half = n // 2

    def describe(part: int, rows: slice) -> None:
        _kernels.cost_statistics(etc[rows], found[rows], slow[part], seen[part])

    other = beside(n, describe, 1, slice(half, n))
    describe(0, slice(0, half))
    other.result()
    held = seen.sum(axis=0)
    return found, slow.sum(axis=0) / np.maximum(held, 1.0), held


def _machines(
    problem: Problem, slow: FloatArray, held: FloatArray, first: Float32Array
) -> Float32Array:
    """Return (p, len(MACHINE_FEATURES)), `first` being any task's features."""
    p = slow.size
    found = np.empty((p, len(MACHINE_FEATURES)), dtype=np.float32)
    found[:, 0] = np.log(slow + TINY)
    found[:, 1] = (slow - slow.mean()) / (slow.std() + TINY)
    found[:, 2] = held
    links, m = problem.machines.links, problem.succ_bytes.size
    data = float(problem.succ_bytes.mean()) if m else 0.0
    seconds = links.latency + data / links.bandwidth
    mean = max(float(seconds.mean()), SMALLEST)
    found[:, 3] = np.log(seconds.mean(axis=1) / mean + TINY)
    found[:, 4] = np.log(seconds.mean(axis=0) / mean + TINY)
    found[:, 5:] = first[PROBLEM_WIDE]
    np.clip(found, -LIMIT, LIMIT, out=found)
    return found


def _few(cheap: IntArray, slow: FloatArray, *, wide: bool) -> Few:
    """Return the machines that a task may choose from, the others in groups of like slowness."""
    p = slow.size
    groups = min(GROUPS, p)
    group = np.empty(p, np.int64)
    group[np.argsort(slow, kind="stable")] = np.arange(p) * groups // p
    return Few(
        cheap=cheap,
        group=group,
        members=np.argsort(group, kind="stable"),
        group_ptr=np.searchsorted(np.sort(group), np.arange(groups + 1)),
        wide=wide,
    )


def _crowding(start: FloatArray, length: FloatArray) -> FloatArray:
    """Return how many tasks run halfway through each task if each starts at `start`."""
    halfway = start + length / 2
    began = np.searchsorted(np.sort(start), halfway, side="right")
    ended = np.searchsorted(np.sort(start + length), halfway, side="right")
    return np.maximum(began - ended, 1).astype(np.float64)


def edge_parents(rows: EdgeRows) -> IntArray:
    """Return (m,) the parent of each edge."""
    return np.repeat(np.arange(rows.ptr.size - 1), np.diff(rows.ptr))
