"""Search by re-insertion: a task, or some, out of a schedule and to where they do best."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np

from deepsched.baselines.kernels import reinsertion as kernels
from deepsched.baselines.kernels.descent import descent
from deepsched.baselines.list_schedule import append_in_order, replay_order
from deepsched.baselines.objectives import MEASURES
from deepsched.baselines.schedule import fresh_schedule

if TYPE_CHECKING:
    from collections.abc import Callable

    from deepsched.baselines.arrays import BoolArray
    from deepsched.baselines.problem import Problem
    from deepsched.baselines.schedule import Schedule

COLD = 0.0001  # temperature at the end, as a share of the makespan
# That at the begin: by how many steps there will be for each task, within these.
HOT_BY_STEP, LEAST_HOT, MOST_HOT = 5e-5, 3e-4, 0.02
PULL = 0.2  # what a second of the longest path through a task costs beside one of the makespan
HOT_TURNAROUND, COLD_TURNAROUND = 1e-4, 1e-5  # of the mean turnaround
FROZEN = 1e-6  # where nothing that is worse is to be taken
KICKS = 0.2  # share of the steps that move several tasks
SLICE = 0.02  # s between two looks at the clock


def descend(
    problem: Problem,
    schedule: Schedule,
    steps: int,
    seed: int = 0,
    objective: str = "makespan",
    *,
    kicks: float = KICKS,
) -> Schedule:
    """Return a schedule that is no worse, after so many steps; the same for a seed.

    Each step leaves what is made short no longer than before; kicks are undone if it is.

    Parameters
    ----------
    kicks : share of the steps that move several tasks, and take as long as ten.
    """
    order, proc = replay_order(problem, schedule), schedule.proc.astype(np.int64)
    ast, aft = descent(
        order,
        proc,
        steps,
        FROZEN,
        PULL,
        kicks,
        objective == "turnaround",
        np.array([seed | 1], dtype=np.uint64),
        *_given(problem),
    )
    found = fresh_schedule(schedule.scheduler, proc, ast, aft)
    measure = MEASURES[objective]
    return found if measure(problem, found) < measure(problem, schedule) else schedule


def anneal_by_steps(
    problem: Problem, schedule: Schedule, steps: int, seed: int, least: float = -np.inf
) -> Schedule:
    """Return a schedule that is no longer, after so many steps of :func:`anneal`, for a seed.

    Parameters
    ----------
    least : a makespan, s, that ends the search.
    """
    search = Search(problem, schedule, seed, least)
    search.run(steps, _hot(steps / problem.n_tasks), COLD)
    return search.better_of(schedule)


def anneal(
    problem: Problem,
    schedule: Schedule,
    seconds: float,
    seed: int,
    threads: int,
    least: float = -np.inf,
    stop: BoolArray | None = None,
    improved: Callable[[float], None] | None = None,
    objective: str = "makespan",
) -> Schedule:
    """Return a schedule that is no worse, after so many seconds of simulated annealing.

    For the makespan a step takes a task of a longest path out; heads and tails of the others give
    the makespan of every place it can be put, of which a heat bath takes one. Some steps are kicks:
    a task has to leave its machine, others make up for it, and all that is undone if it was no
    good. For the mean turnaround a step moves any task in the order and maybe to another machine,
    and what comes later follows. Each thread anneals by itself. How much fits in depends on the
    machine.

    Parameters
    ----------
    least : a value, s, that ends the search.
    stop : (1,) set by somebody else, it ends the search too.
    improved : told each better value, s, some twenty milliseconds after it was found at most.
    objective : a name in `MEASURES`; what is made short.

    References
    ----------
    The neighbourhood for the makespan is that of Mastrolilli, Gambardella (2000),
    doi:10.1002/(SICI)1099-1425(200001/02)3:1<3::AID-JOS32>3.0.CO;2-Y, with transfers between
    machines.
    """
    begin = time.perf_counter()
    stop = np.zeros(1, dtype=np.bool_) if stop is None else stop
    seeds = np.random.SeedSequence(seed).generate_state(threads, np.uint64)
    searches = [
        Search(problem, schedule, int(one), least, stop, objective=objective) for one in seeds
    ]
    turnaround = objective == "turnaround"
    value, steps = MEASURES[objective](problem, schedule), 1  # until the speed is known
    hot, cold = (HOT_TURNAROUND, COLD_TURNAROUND) if turnaround else (LEAST_HOT, COLD)
    with ThreadPoolExecutor(threads) as pool:
        while True:
            now = time.perf_counter()
            done = (now - begin) / max(seconds, 1e-9)
            if done >= 1.0 or value <= least or stop[0]:
                break
            planned = min(1.0, done + SLICE / seconds)
            ends = [hot * (cold / hot) ** share for share in (done, planned)]
            found = min(pool.map(lambda one, k=steps, t=ends: one.run(k, *t), searches))
            if found < value:
                value = found
                if improved is not None:
                    improved(value)
            speed = steps / max(time.perf_counter() - now, 1e-6)  # 1/s
            if not turnaround:
                hot = _hot(speed * seconds / problem.n_tasks)
            left = seconds - (time.perf_counter() - begin)
            steps = max(1, min(int(speed * min(SLICE, left)), 4 * steps))
    best = min(searches, key=lambda search: search.value)
    return best.better_of(schedule)


def _hot(steps: float) -> float:
    """Return the temperature to begin at, as a share of the makespan, for so many steps a task."""
    return min(max(HOT_BY_STEP * steps, LEAST_HOT), MOST_HOT)


class Search:
    """One search and where it stands."""

    def __init__(
        self,
        problem: Problem,
        schedule: Schedule,
        seed: int,
        least: float = -np.inf,
        stop: BoolArray | None = None,
        *,
        objective: str = "makespan",
        kicks: float = KICKS,
    ) -> None:
        n, p = problem.etc.shape
        self._objective, self._kicks = objective, kicks
        self.problem = problem
        self.value = np.inf
        self._least = least
        self._stop = np.zeros(1, dtype=np.bool_) if stop is None else stop
        self._state = np.array([seed | 1], dtype=np.uint64)
        self._times = times_of(problem)
        self._plan = kernels.empty_plan(n, p)
        self._saved = kernels.empty_plan(n, p) if kicks > 0 else self._plan
        self._scratch = kernels.empty_scratch(n, p)
        self._order = replay_order(problem, schedule)
        self._proc = schedule.proc.astype(np.int64)
        kernels.fill(self._order, self._proc, self._times.etc, self._plan)

    def run(self, steps: int, hot: float, cold: float) -> float:
        """Take so many steps and return the least value so far, s."""
        known = (self._proc, self._order, self.value, steps, hot, cold)
        ends = (self._state, self._least, self._stop, self._times, self._plan)
        if self._objective == "turnaround":
            found = kernels.anneal_turnaround(*known, *ends, self._scratch)
        else:
            own = (PULL, self._kicks)
            found = kernels.anneal(*known, *own, *ends, self._saved, self._scratch)
        self.value = float(found)
        return self.value

    def better_of(self, schedule: Schedule) -> Schedule:
        """Return the best found, or a schedule that is as good."""
        found = append_in_order(self.problem, self._order, self._proc, schedule.scheduler)
        measure = MEASURES[self._objective]
        better = measure(self.problem, found) < measure(self.problem, schedule)
        return found if better else schedule


def times_of(problem: Problem) -> kernels.Times:
    """Return what the kernels take of a problem."""
    return kernels.times_of(*_given(problem))


def _given(problem: Problem) -> tuple[Any, ...]:
    return (
        problem.etc,
        problem.arrival,
        problem.predecessors,
        problem.successors,
        problem.machines.links,
    )
