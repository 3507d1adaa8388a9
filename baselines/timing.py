"""How one run of a scheduler is timed and checked."""

from __future__ import annotations

import time
from statistics import median
from typing import TYPE_CHECKING

import numpy as np

from deepsched.baselines.machines import make_machines
from deepsched.baselines.problem import Problem, make_problem
from deepsched.baselines.schedule import Schedule, violations

if TYPE_CHECKING:
    from collections.abc import Callable

    from deepsched.baselines.registry import Scheduler

SLOW = 0.2  # s; a run that takes longer is not repeated to be timed


def warm_up(scheduler: Scheduler) -> float:
    """Run a scheduler on two tasks, so that later times hold no compilation.

    One that searches for a time says by a method `shortened` how it does the same in less. It runs
    twice, as what is compiled in the first run uses up that time.

    Returns
    -------
    s, mostly compilation or its loading from the cache.
    """
    tiny = make_problem(
        machines=make_machines(2), etc=[[1.0, 2.0], [2.0, 1.0]], edges=([0], [1], [1.0])
    )
    begin = time.perf_counter()
    shortened = getattr(scheduler, "shortened", None)
    for run in [scheduler] if shortened is None else 2 * [shortened()]:
        run(tiny, np.random.default_rng(0))
    return time.perf_counter() - begin


def timed(
    scheduler: Scheduler,
    problem: Problem,
    stream: Callable[[], np.random.Generator],
    *,
    repeats: int = 1,
) -> tuple[Schedule, float]:
    """Schedule a problem and check the result.

    Parameters
    ----------
    stream : makes the random stream, anew for each repetition.
    repeats : runs of which the median time counts; a slow scheduler runs once.

    Returns
    -------
    The valid schedule, and s.

    Raises
    ------
    RuntimeError
        If the schedule breaks a rule, which is a fault of the scheduler and not of the user.
    InvalidInput
        The same, where the scheduler is the user's own.
    """
    seconds: list[float] = []
    while len(seconds) < repeats and (not seconds or seconds[0] < SLOW):
        rng = stream()
        begin = time.perf_counter()
        schedule = scheduler(problem, rng)
        seconds.append(time.perf_counter() - begin)
    broken = violations(problem, schedule)
    if broken:
        fault: type[Exception] = getattr(scheduler, "invalid", RuntimeError)
        raise fault(f"scheduler {schedule.scheduler} made an invalid schedule: {broken[0]}")
    return schedule, median(seconds)
