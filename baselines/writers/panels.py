"""What charts have in common: schedules of one problem as panels, and the rows of its machines."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from deepsched.baselines.errors import InvalidInput
from deepsched.baselines.schedule import check_belongs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from deepsched.baselines.arrays import IntArray
    from deepsched.baselines.problem import Problem
    from deepsched.baselines.schedule import Schedule

NARROW = 1e-3  # of the latest time: what happens within less is no wider than a pixel


@dataclass(frozen=True, kw_only=True, slots=True)
class Panel:
    """One schedule of a chart that may show several.

    Attributes
    ----------
    name : its scheduler, numbered where several of the chart's schedules name the same.
    difference : of its makespan to the first one's, such as "-12.5 %"; empty for the first itself,
        and where that takes no time.
    against : the first one's name; empty where there is no difference to name.
    """

    name: str
    schedule: Schedule
    difference: str
    against: str

    @property
    def compared(self) -> str:
        """The difference in words, such as "-12.5 % against heft"; empty where there is none."""
        return f"{self.difference} against {self.against}" if self.difference else ""


def panels_of(problem: Problem, schedules: Sequence[Schedule]) -> list[Panel]:
    """Return the panels of a chart, in the order given; the first is what others are held against.

    Raises
    ------
    InvalidInput
        If there is no schedule, or one is none of this problem's.
    """
    if not schedules:
        raise InvalidInput("there is no schedule to draw; give at least one")
    for schedule in schedules:
        check_belongs(problem, schedule)
    total = Counter(schedule.scheduler for schedule in schedules)
    seen: Counter[str] = Counter()
    found = list[Panel]()
    for k, schedule in enumerate(schedules):
        name = schedule.scheduler
        seen[name] += 1
        difference = _difference(schedule, schedules[0]) if k else ""
        found.append(
            Panel(
                name=name if total[name] == 1 else f"{name} ({seen[name]})",
                schedule=schedule,
                difference=difference,
                against=found[0].name if difference else "",
            )
        )
    return found


def rows_of(
    problem: Problem, groups: Sequence[str] | None = None
) -> tuple[IntArray, list[tuple[str, int, int]]]:
    """Return each machine's row, (n_machines,), and label, first row and number of rows of groups.

    Groups stand in the order in which they first appear, the machines of each in their own. Without
    groups there are none, and row m is machine m's.

    Raises
    ------
    InvalidInput
        If there are more or fewer labels than machines.
    """
    p = problem.n_machines
    if groups is None:
        return np.arange(p), []
    if len(groups) != p:
        raise InvalidInput(f"{len(groups)} labels of groups for {p} machines")
    number = {label: k for k, label in enumerate(dict.fromkeys(groups))}
    of_group = np.array([number[label] for label in groups])
    row = np.empty(p, dtype=np.int64)
    row[np.argsort(of_group, kind="stable")] = np.arange(p)
    sizes = np.bincount(of_group).tolist()
    firsts = np.cumsum([0, *sizes]).tolist()
    return row, list(zip(number, firsts, sizes, strict=False))


def origin_of(schedules: Sequence[Schedule]) -> float:
    """Return where a chart's axis begins, s: at 0, unless all happens far from it and close by."""
    first = min(float(schedule.ast.min()) for schedule in schedules)
    last = max(schedule.makespan for schedule in schedules)
    return first if last - first < NARROW * last else 0.0


def _difference(schedule: Schedule, first: Schedule) -> str:
    if first.makespan <= 0:
        return ""
    percent = f"{100 * (schedule.makespan / first.makespan - 1):+.1f} %"
    return "±0.0 %" if percent[1:] == "0.0 %" else percent.replace("-", "−")
