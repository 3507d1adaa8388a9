"""What an evaluation measures, without Ray: every scheduler on one problem, a row each."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from deepsched.baselines.bounds import lower_bound
from deepsched.baselines.errors import TooLarge
from deepsched.baselines.metrics import mean_turnaround, mean_waiting
from deepsched.baselines.registry import Scheduler, teacher_rng
from deepsched.baselines.timing import timed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from deepsched.baselines.problem import Problem
    from deepsched.baselines.schedule import Schedule

REPEATS = 3  # timed runs of which the median counts


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """One problem to be scheduled by everyone.

    Attributes
    ----------
    group : which part of the comparison it belongs to, such as "seen".
    sample_id : its number in its dataset, which seeds schedulers that draw.
    source : the graph it was made from.
    labels : schedules that the dataset holds already.
    retime : whether stored schedules are made again, to time them and to compare.
    """

    group: str
    sample_id: int
    source: str
    problem: Problem
    labels: Mapping[str, Schedule] = field(default_factory=dict)
    retime: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One scheduler on one sample; the measures are None where it refused the size.

    Attributes
    ----------
    same_machine : share of tasks that it puts on the machine where the teacher puts them.
    seconds : of scheduling; None where the schedule was read from the dataset.
    reproduced : whether running it gave the stored schedule; None where none was compared.
    """

    group: str
    sample_id: int
    source: str
    tasks: int
    machines: int
    scheduler: str
    makespan: float | None = None
    mean_turnaround: float | None = None
    mean_waiting: float | None = None
    lower_bound: float | None = None
    same_machine: float | None = None
    seconds: float | None = None
    reproduced: bool | None = None


def evaluate_case(
    case: Case, schedulers: Mapping[str, Scheduler], teacher: str, seed: int
) -> tuple[list[Row], Schedule]:
    """Schedule one problem by every scheduler and measure what comes out.

    Parameters
    ----------
    schedulers : by name; the teacher must be among them or among the stored labels.
    seed : of the dataset; with the sample and the name it gives a scheduler's random stream.

    Returns
    -------
    A row for each scheduler in the order given, and the teacher's schedule.
    """

    def stream_of(name: str) -> Callable[[], np.random.Generator]:
        return partial(teacher_rng, seed, case.sample_id, name)

    target = case.labels.get(teacher)
    if target is None:
        target, _ = timed(schedulers[teacher], case.problem, stream_of(teacher))
    least = lower_bound(case.problem, "strong")
    rows = []
    for name, scheduler in schedulers.items():
        stored, seconds, reproduced = case.labels.get(name), None, None
        schedule = stored
        if stored is None or case.retime:
            try:
                schedule, seconds = timed(scheduler, case.problem, stream_of(name), repeats=REPEATS)
            except TooLarge:
                schedule = stored
            else:
                reproduced = None if stored is None else same_schedule(stored, schedule)
        rows.append(
            _row(case, name, schedule, target, least, seconds=seconds, reproduced=reproduced)
        )
    return rows, target


def same_schedule(one: Schedule, other: Schedule) -> bool:
    """Return whether two schedules agree in every bit."""
    return (
        np.array_equal(one.proc, other.proc)
        and np.array_equal(one.ast, other.ast)
        and np.array_equal(one.aft, other.aft)
    )


def _row(
    case: Case,
    name: str,
    schedule: Schedule | None,
    target: Schedule,
    least: float,
    *,
    seconds: float | None,
    reproduced: bool | None,
) -> Row:
    problem = case.problem
    base = Row(
        group=case.group,
        sample_id=case.sample_id,
        source=case.source,
        tasks=problem.n_tasks,
        machines=problem.n_machines,
        scheduler=name,
    )
    if schedule is None:
        return base
    measures = {
        "makespan": schedule.makespan,
        "mean_turnaround": mean_turnaround(problem, schedule),
        "mean_waiting": mean_waiting(problem, schedule),
        "lower_bound": least,
        "same_machine": float((schedule.proc == target.proc).mean()),
        "seconds": seconds,
        "reproduced": reproduced,
    }
    return Row(**{**asdict(base), **measures})
