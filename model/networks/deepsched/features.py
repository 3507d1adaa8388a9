"""What the network `deepsched` sees of a problem, and the tables its decoder needs; no torch.

Axes: n tasks in the problem's own order, m edges by parent, p machines, f features.

Every feature is a ratio or the logarithm of one, so that seconds and bytes of any size come out as
small finite numbers. All of them are known before scheduling.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from deepsched.baselines.kernels.placement import PlacementTerms
from deepsched.baselines.kernels.ranks import upward_rank
from deepsched.baselines.ranks import mean_communication
from deepsched.model.networks.deepsched import _feature_kernels
from deepsched.model.networks.deepsched._feature_kernels import SMALLEST, TINY
from deepsched.model.networks.deepsched.concurrency import in_background
from deepsched.model.networks.deepsched.options import OBJECTIVES

if TYPE_CHECKING:
    from deepsched.baselines.arrays import FloatArray, IntArray
    from deepsched.baselines.kernels.structures import EdgeRows
    from deepsched.baselines.problem import Problem
    from deepsched.model.networks.deepsched.concurrency import Pending

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
    "heterogeneity",  # standard deviation of the machines' slowness
    "objective",  # 0 the makespan is to be short, 1 the mean turnaround
)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class DecoderView:
    """A problem as the decoder sees it.

    Attributes
    ----------
    objective : one of `OBJECTIVES`.
    rank : (n,) s, upward rank.
    step : s, what an upward rank loses from a task to its critical child, in the mean.
    terms : the decoder's tables; their weights are room for one decoder at a time. Without a table
        of optimistic costs where `candidates` are set.
    candidates : (n,) the only machine looked at for a task, -1: a few; None: all for all tasks.
    """

    objective: str
    rank: FloatArray
    step: float
    terms: PlacementTerms
    candidates: IntArray | None

    @property
    def n_tasks(self) -> int:
        """The number of tasks."""
        return int(self.rank.size)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class GraphView(DecoderView):
    """A problem as the network and its decoder see it.

    Attributes
    ----------
    features : (n, len(TASK_FEATURES)); the last column is the objective.
    children : (m,) the child of each edge, edges by parent.
    child_ptr : (n + 1,) the edges of task i lie in `child_ptr[i]:child_ptr[i + 1]`.
    weight : (m,) log of one more than the mean transfer time / mean cost.
    """

    features: Float32Array
    children: IntArray
    child_ptr: IntArray
    weight: Float32Array


class TaskCosts(NamedTuple):
    """What a view needs of the ETC matrix alone, whichever way the edges point."""

    described: FloatArray  # (n, 4), see `cost_statistics`
    slow: FloatArray  # (p,) mean slowness of machines


class _Begun(NamedTuple):
    """What the decoder's view begins with, while a thread fills its tables."""

    costs: TaskCosts
    mean: FloatArray  # (n,) s, mean costs
    unit: float  # s, mean of them
    comm: FloatArray  # (m,) s, mean transfer times of the edges by parent
    graph: FloatArray  # (n, 6), see `edge_statistics`
    rank: FloatArray
    ahead_unit: float  # s, of the table
    through: Float32Array
    tables: Pending | None


def decoder_view(
    problem: Problem,
    objective: str = "makespan",
    decode: str = "full",
    costs: TaskCosts | None = None,
) -> DecoderView:
    """Return the tables of a problem alone, for outputs that come from no network.

    Parameters
    ----------
    costs : `task_costs`, if they are known.
    """
    begun = _begin(problem, decode, costs)
    least_ahead, _ = _regret(problem, begun)
    return DecoderView(**_of_decoder(problem, begun, least_ahead, objective, decode))


def graph_view(
    problem: Problem,
    objective: str = "makespan",
    decode: str = "full",
    costs: TaskCosts | None = None,
) -> GraphView:
    """Return features and tables of a problem.

    All decodings but `full` do without the optimistic costs, the dearest table; what the network
    sees of them is then 0.

    No entry is NaN or infinite, whatever the problem: zero costs, no edges, one machine.

    Parameters
    ----------
    costs : `task_costs`, if they are known.
    """
    n, p = problem.etc.shape
    begun = _begin(problem, decode, costs)
    up, mean, comm = begun.rank, begun.mean, begun.comm
    down = _feature_kernels.downward(problem.topo, mean, problem.successors, comm)
    path, total = max(float(up.max()), TINY), max(float(mean.sum()), TINY)
    of_problem = (
        math.log(total / (path * p)),
        math.log(p),
        math.log1p(float(comm.sum()) / total),
        math.log(n),
        float(begun.costs.slow.std()),
        float(OBJECTIVES.index(objective)),
    )
    found = np.empty((n, len(TASK_FEATURES)), dtype=np.float32)
    _feature_kernels.task_features(
        up,
        down,
        begun.costs.described,
        begun.graph,
        _crowding(down, mean),
        problem.arrival,
        path,
        begun.unit,
        p,
        of_problem,
        found,
    )
    weight = _feature_kernels.edge_features(comm, begun.unit)
    least_ahead, regret = _regret(problem, begun)
    _feature_kernels.regret_feature(regret, begun.unit, found)
    return GraphView(
        **_of_decoder(problem, begun, least_ahead, objective, decode),
        features=found,
        children=problem.succ,
        child_ptr=problem.succ_ptr,
        weight=weight,
    )


def _begin(problem: Problem, decode: str, costs: TaskCosts | None) -> _Begun:
    n, p = problem.etc.shape
    costs = task_costs(problem.etc) if costs is None else costs
    mean = costs.described[:, 0].copy()
    comm = mean_communication(problem, problem.succ_bytes)
    succs = problem.successors
    up = upward_rank(problem.topo, mean, succs, comm)
    # A power of two, so that dividing by it rounds nothing.
    ahead_unit = 2.0 ** np.floor(np.log2(max(float(up.max()), SMALLEST)))
    tables: Pending | None = None
    # From numpy, which asks for large pages: touching small ones takes longer than filling them.
    table = np.empty((n, p) if decode == "full" else (0, 0), np.float32)
    if decode == "full":
        tables = in_background(
            n,
            _feature_kernels.optimistic,
            problem.topo,
            problem.etc,
            costs.described[:, 3].copy(),
            succs,
            comm,
            ahead_unit,
            table,
            problem.machines.links,
        )
    return _Begun(
        costs=costs,
        mean=mean,
        unit=max(float(mean.sum()), TINY) / n,
        comm=comm,
        graph=_feature_kernels.edge_statistics(succs, comm),
        rank=up,
        ahead_unit=ahead_unit,
        through=table,
        tables=tables,
    )


def _regret(problem: Problem, begun: _Begun) -> tuple[FloatArray, FloatArray]:
    """Wait for the tables; return (n,) least optimistic costs and regrets, s, or zeros."""
    if begun.tables is not None:
        least_ahead, regret = begun.tables.result()
        return least_ahead, regret
    nothing = np.zeros(problem.n_tasks)
    return nothing, nothing


def _of_decoder(
    problem: Problem, begun: _Begun, least_ahead: FloatArray, objective: str, decode: str
) -> dict[str, Any]:
    """Return the fields of `DecoderView`."""
    candidates = None
    if decode != "full":
        only = decode == "argmax"
        candidates = problem.etc.argmin(axis=1) if only else np.full(problem.n_tasks, -1)
    return {
        "objective": objective,
        "rank": begun.rank,
        "step": begun.unit + float(begun.graph[:, 5].mean()),
        "terms": PlacementTerms(
            weights=np.zeros((problem.n_tasks, 3)),
            through=begun.through,
            unit=begun.ahead_unit,
            least_optimistic=least_ahead,
            least_cost=begun.costs.described[:, 1].copy(),
            succs=problem.successors,
            mean_comm=begun.comm,
        ),
        "candidates": candidates,
    }


def task_costs(etc: FloatArray) -> TaskCosts:
    """Return what a view needs of an (n, p) ETC matrix, s.

    Two halves are added up beside each other, whatever the number of CPUs: sums depend on order.
    """
    n, p = etc.shape
    found = np.empty((n, 4))
    slow, held = np.zeros((2, p)), np.zeros((2, p))
    half = n // 2

    def describe(part: int, rows: slice) -> None:
        _feature_kernels.cost_statistics(etc[rows], found[rows], slow[part], held[part])

    other = in_background(n, describe, 1, slice(half, n))
    describe(0, slice(0, half))
    other.result()
    return TaskCosts(found, slow.sum(axis=0) / np.maximum(held.sum(axis=0), 1.0))


def _crowding(start: FloatArray, length: FloatArray) -> FloatArray:
    """Return how many tasks run halfway through each task if each starts at `start`."""
    halfway = start + length / 2
    began = np.searchsorted(np.sort(start), halfway, side="right")
    ended = np.searchsorted(np.sort(start + length), halfway, side="right")
    return np.maximum(began - ended, 1).astype(np.float64)


def edge_parents(rows: EdgeRows) -> IntArray:
    """Return (m,) the parent of each edge."""
    return np.repeat(np.arange(rows.ptr.size - 1), np.diff(rows.ptr))
