"""Independent tasks: machines are balanced by moves and swaps, which no list decoder can undo."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np

from deepsched.baselines.bounds import enough, first_weights, lower_bound
from deepsched.baselines.kernels import balancing as kernels
from deepsched.baselines.kernels import bounds as bounds_kernels
from deepsched.baselines.list_schedule import append_in_order

if TYPE_CHECKING:
    from collections.abc import Callable

    from deepsched.baselines.arrays import IntArray
    from deepsched.baselines.problem import Problem
    from deepsched.baselines.schedule import Schedule

WORK = 4_000_000  # pairs of tasks looked at in one descent, some milliseconds
# Steps in which prices are found: within so many pairs of task and machine, least and most.
PRICING, LEAST_ROUNDS, MOST_ROUNDS = 2_500_000, 4, 300
SLICE = 0.05  # s, after which threads go on from the best of all


def applies(problem: Problem) -> bool:
    """Return whether the makespan is the largest load: no edges, and all tasks there at once."""
    return problem.n_edges == 0 and not problem.arrival.any()


def priced(problem: Problem) -> IntArray:
    """Return (n_tasks,) the machine of each task: where it costs least, time having a price.

    The prices are weights of the area bound, raised where machines are too full; of its steps of
    ascent that one counts whose fullest machine is least full.
    """
    found = np.zeros(problem.n_tasks, np.int64)
    rounds = max(LEAST_ROUNDS, min(PRICING // problem.etc.size, MOST_ROUNDS))
    weights = first_weights(*bounds_kernels.machine_sums(problem.etc))
    bounds_kernels.area_bound(problem.etc, weights, rounds, np.inf, found)
    return found


def balanced(
    problem: Problem,
    schedule: Schedule,
    seconds: float,
    seed: int,
    threads: int,
    stop: np.ndarray | None = None,
    improved: Callable[[float], None] | None = None,
) -> Schedule:
    """Return a schedule of independent tasks that is no longer than the one given.

    Parameters
    ----------
    seconds : for kicks and further descents, beyond the first one; 0: none. What reaches the lower
        bound ends them.
    stop : (1,) bool; set by somebody else, it ends them too.
    improved : told each better makespan, s.

    The descent begins at the schedule, and at :func:`priced` machines.

    References
    ----------
    Moves and swaps off the fullest machine are those of the local search in Braun et al. (2001),
    doi:10.1006/jpdc.2000.1714, and its successors; kicks make it an iterated local search.
    """
    deadline = time.perf_counter() + seconds
    least = enough(lower_bound(problem))
    if schedule.makespan <= least:
        return schedule
    stop = np.zeros(1, dtype=np.bool_) if stop is None else stop
    states = [
        np.array([word | 1], dtype=np.uint64)
        for word in np.random.SeedSequence(seed).generate_state(threads, np.uint64)
    ]
    best, value = schedule.proc.astype(np.int64), np.inf
    for start in (best, priced(problem)):
        level = float(kernels.rebalance(problem.etc, start, 0, WORK, states[0], least, stop))
        if level < value:
            best, value = start, level
    rounds = 1

    def run(state: np.ndarray) -> tuple[float, IntArray]:
        own = best.copy()
        level = kernels.rebalance(problem.etc, own, rounds, WORK, state, least, stop)
        return float(level), own

    if seconds > 0:
        with ThreadPoolExecutor(threads) as pool:
            while value > least and not stop[0] and time.perf_counter() < deadline:
                begin, before = time.perf_counter(), value
                for level, own in pool.map(run, states):
                    if level <= value:
                        best, value = own, level
                if improved is not None and value < before:
                    improved(value)
                now = time.perf_counter()
                rate = rounds / max(now - begin, 1e-6)
                rounds = max(1, min(int(rate * min(SLICE, deadline - now)), 4 * rounds))
    found = append_in_order(problem, problem.topo, best, schedule.scheduler)
    return found if found.makespan <= schedule.makespan else schedule
