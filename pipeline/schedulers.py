"""Every scheduler by name, the trained network included, and how one run of it is timed."""

from __future__ import annotations

import time
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np

from baselines.cp_sat import installed
from baselines.errors import InvalidInput, UnknownName
from baselines.machines import make_machines
from baselines.problem import Problem, make_problem
from baselines.registry import OPTIONAL, SCHEDULERS, Scheduler, get_scheduler
from baselines.schedule import Schedule, violations
from model.checkpoint_files import read_files
from model.guided.scheduler import NAME as GUIDED
from model.guided.scheduler import GuidedScheduler

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from model.infer import LearnedScheduler

    Learned = GuidedScheduler | LearnedScheduler

LEARNED = "deepsched"  # the name of the learned scheduler beside the others
SLOW = 0.2  # s; a run that takes longer is not repeated to be timed


def known_schedulers() -> tuple[str, ...]:
    """Return the names a user can give, the learned one first."""
    return (LEARNED, *SCHEDULERS, *(name for name in OPTIONAL if installed()))


def resolve_scheduler(
    name: str, checkpoint: Path | None = None, guiding: Mapping[str, Any] | None = None
) -> Scheduler:
    """Return the scheduler of that name.

    Parameters
    ----------
    checkpoint : the network that `deepsched` is; None: the pretrained one.
    guiding : options of `GuidedScheduler`, such as `samples`; only `deepsched` takes any.

    Raises
    ------
    UnknownName
        Listing the known ones.
    NotInstalled
        If it needs a package that is missing.
    InvalidInput
        If the checkpoint cannot be read, or options are given to who takes none.
    """
    if name == LEARNED:
        return load_learned(checkpoint, guiding)
    _no_options(guiding, name)
    if name not in (*SCHEDULERS, *OPTIONAL):
        raise UnknownName("scheduler", name, known_schedulers())
    return get_scheduler(name)


def load_learned(
    checkpoint: Path | None = None, guiding: Mapping[str, Any] | None = None
) -> Learned:
    """Return the network of a checkpoint as a scheduler; see `resolve_scheduler`."""
    if checkpoint is None or read_files(checkpoint)[0]["network"] == GUIDED:
        return GuidedScheduler.load(checkpoint, **(guiding or {}))
    _no_options(guiding, f"the network of {checkpoint}")
    # torch takes seconds to import; the other schedulers do not wait for it.
    from model.infer import LearnedScheduler

    return LearnedScheduler.load(checkpoint, device="cpu")


def _no_options(guiding: Mapping[str, Any] | None, name: str) -> None:
    if guiding:
        options = ", ".join(f"--{'no-guard' if key == 'guard' else key}" for key in guiding)
        raise InvalidInput(f"{options}: for the learned scheduler {LEARNED}, not for {name}")


def warm_up(scheduler: Scheduler) -> float:
    """Run a scheduler once on two tasks, so that later times hold no compilation.

    Returns
    -------
    s, mostly compilation or its loading from the cache.
    """
    tiny = make_problem(
        machines=make_machines(2), etc=[[1.0, 2.0], [2.0, 1.0]], edges=([0], [1], [1.0])
    )
    begin = time.perf_counter()
    scheduler(tiny, np.random.default_rng(0))
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
    """
    seconds: list[float] = []
    while len(seconds) < repeats and (not seconds or seconds[0] < SLOW):
        rng = stream()
        begin = time.perf_counter()
        schedule = scheduler(problem, rng)
        seconds.append(time.perf_counter() - begin)
    broken = violations(problem, schedule)
    if broken:
        raise RuntimeError(f"{schedule.scheduler} made an invalid schedule: {broken[0]}")
    return schedule, median(seconds)
