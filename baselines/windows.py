"""A lower bound on the makespan from windows: when tasks can start, and how long the rest takes."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from deepsched.baselines.arrays import freeze
from deepsched.baselines.kernels import ancestors as ancestors_kernels
from deepsched.baselines.kernels import bounds as bounds_kernels
from deepsched.baselines.kernels import one_machine as one_machine_kernels
from deepsched.baselines.kernels import windows as kernels

if TYPE_CHECKING:
    from deepsched.baselines.arrays import BoolArray, FloatArray, IntArray
    from deepsched.baselines.kernels.structures import EdgeRows, Links
    from deepsched.baselines.problem import Problem

TAILS = 64  # different tails from which on sets of tasks are looked at
# Sets whose weights are improved, with steps of ascent within so many task-machine visits.
SETS, ASCENT_WORK, MOST_ASCENT = 3, 3_000_000, 30
# Late ancestors looked at in one go, where there are no more edges x machines than that.
ANCESTORS_WORK, ANCESTORS_EDGES = 10_000_000, 1_000_000
AFTER_ALL_WORK = 20_000_000  # pairs of tasks, and of tasks and edges
EXACT_WORK = 1_000_000  # edges x machines², where links differ
SHARING = 2  # parents that meet, from which on they may have to share a machine
ROUNDS = 2  # of each, and the edges once more after it
# Makespans that are tried: within so many visits of a task or edge and a machine, and at most.
LIMITS_WORK, MOST_LIMITS = 5_000_000, 9
LIMIT_ROUNDS = 5  # in which one limit's windows become narrower
FIRST_STEP, LEAST_STEP = 0.05, 1e-3  # relative


class _Side(NamedTuple):
    """The problem from one of its ends, as kernels take it."""

    topo: IntArray  # (n,)
    release: FloatArray  # (n,) s
    preds: EdgeRows
    links: Links
    transfer: FloatArray  # (m,) s, the least time of each edge between nodes
    ends: FloatArray  # (n, p) s, the earliest end of each task on each machine


def windows_bound(problem: Problem, weights: FloatArray, low: float) -> float:
    """Return a makespan, s, of at least `low`, that no schedule can beat if none beats `low`.

    Heads are the earliest starts of tasks, transfers included, tails the least times from their
    ends to the end of the schedule: heads of the reversed problem. The bound is the greatest of
    three: a task's head, cost and tail on its best machine; the same of tasks that have to share a
    machine; and of sets of tasks the least head, the work, spread over all machines, and the least
    tail. Then makespans are tried: where no schedule of at most so many seconds can exist, since in
    its windows some task is left without a machine, the bound is higher than that.

    Parameters
    ----------
    weights : (n_machines,) those of the area bound.

    References
    ----------
    Trying makespans: destructive bounds, Klein, Scholl (1999), doi:10.1016/S0377-2217(97)00442-6.
    """
    sides = _sides(problem)
    shut = np.isinf(problem.etc)
    for side in sides:
        _fill(problem.etc, side, shut, weights)
    low = max(low, _within(np.inf, problem.etc, sides, shut, weights))
    visits = (problem.n_edges + 2 * problem.n_tasks) * problem.n_machines
    limits = min(LIMITS_WORK // visits, MOST_LIMITS)
    before = [side.ends.copy() for side in sides] if limits else []
    step, high = FIRST_STEP, np.inf
    for _ in range(limits):
        limit = low * (1 + step) if high == np.inf else (low + high) / 2
        if limit <= low * (1 + LEAST_STEP):
            break
        for side, ends in zip(sides, before, strict=True):
            side.ends[:] = ends
        found = _within(limit, problem.etc, sides, np.isinf(problem.etc), weights)
        if found > limit:
            low, step = limit, 2 * step
        else:  # no schedule within the limit beats it, nor does one beyond
            low, high = max(low, found), limit
    return low


def _sides(problem: Problem) -> tuple[_Side, _Side]:
    """Return the problem from its beginning and from its end, where nobody arrives."""
    shape, links = problem.etc.shape, problem.machines.links
    turned, rows = problem.machines.turned().links, (problem.predecessors, problem.successors)
    least = [
        kernels.least_transfers(edges.data, way)
        for edges, way in zip(rows, (links, turned), strict=True)
    ]
    nobody = freeze(np.zeros(problem.n_tasks))
    return (
        _Side(problem.topo, problem.arrival, rows[0], links, least[0], np.empty(shape)),
        _Side(freeze(problem.topo[::-1]), nobody, rows[1], turned, least[1], np.empty(shape)),
    )


def _fill(etc: FloatArray, side: _Side, shut: BoolArray, weights: FloatArray) -> None:
    """Find the earliest ends of all tasks."""
    (n, p), m = etc.shape, side.transfer.size
    soonest = _passed(etc, side, shut, again=False)
    if not side.links.grouped and m * p <= ANCESTORS_EDGES:
        graph = (side.topo, etc, side.preds, side.transfer)
        for _ in range(ROUNDS):
            more = ancestors_kernels.one_after_another(*graph, soonest, ANCESTORS_WORK, side.ends)
            soonest = _passed(etc, side, shut, again=True)
            if not more:
                break
    if n * (n + m) <= AFTER_ALL_WORK:
        shares = bounds_kernels.shares(etc, shut, weights)
        for _ in range(ROUNDS):
            heads = kernels.heads(etc, side.ends)
            starts = ancestors_kernels.after_all(side.topo, side.preds, heads, shares)
            if not ancestors_kernels.raised(starts, etc, side.ends):
                break
            _passed(etc, side, shut, again=True)


def _passed(etc: FloatArray, side: _Side, shut: BoolArray, *, again: bool) -> FloatArray:
    """Fill the ends along the edges, or raise them again; return (n,) the earliest of each, s."""
    exact = side.transfer.size * etc.shape[1] ** 2 <= EXACT_WORK
    soonest: FloatArray = kernels.earliest_ends(
        side.topo, etc, shut, side.release, side.preds, side.links, exact, SHARING, again, side.ends
    )
    return soonest


def _within(
    limit: float,
    etc: FloatArray,
    sides: tuple[_Side, _Side],
    shut: BoolArray,
    weights: FloatArray,
) -> float:
    """Return a makespan that no schedule of at most `limit` s beats; more than it: there is none.

    `shut` (n, p), where tasks cannot run, and the sides' ends change to what the limit means.
    """
    side = sides[0]
    ends, rests = side.ends, sides[1].ends
    for k in range(LIMIT_ROUNDS):
        if limit < np.inf:
            for each in sides:
                _passed(etc, each, shut, again=True)
            count = kernels.narrowed(etc, ends, rests, limit, shut)
            if count < 0:
                return np.inf
            if count > 0 and k < LIMIT_ROUNDS - 1:
                continue
        leader = kernels.sharing(shut, ends, rests, side.preds, side.transfer, side.links, limit)
        bound, more = one_machine_kernels.busiest(leader, etc, ends, rests, limit, shut)
        if bound > limit:
            return np.inf
        if more == 0:
            break
    return max(float(bound), _crowded(etc, ends, rests, shut, weights))


def _crowded(
    etc: FloatArray, ends: FloatArray, rests: FloatArray, shut: BoolArray, weights: FloatArray
) -> float:
    """Return the greatest bound of sets of tasks: least head, work on all machines, least tail.

    The weights are improved for the best set, with these another one may be the best, and so on.
    """
    heads, tails = kernels.heads(etc, ends), kernels.heads(etc, rests)
    lengths = np.unique(tails)
    if lengths.size > TAILS:
        lengths = lengths[np.linspace(0, lengths.size - 1, TAILS).astype(np.int64)]
    steps = min(ASCENT_WORK // etc.size, MOST_ASCENT)
    best, nobody = 0.0, np.empty(0, np.int64)
    for _ in range(SETS if steps else 1):
        shares = bounds_kernels.shares(etc, shut, weights)
        value, head, tail = bounds_kernels.best_set(heads, tails, shares, lengths)
        best = max(best, value)
        if steps:
            inside = (heads >= head) & (tails >= tail)
            left = np.where(shut[inside], np.inf, etc[inside])
            area, weights = bounds_kernels.area_bound(left, weights, steps, np.inf, nobody)
            best = max(best, head + area + tail)
    return float(best)
