"""How much the problems of one quick request may take, seen before they are built."""

from __future__ import annotations

from typing import TYPE_CHECKING

from deepsched.model.load import PRETRAINED
from deepsched.pipeline.serving.refusals import TooSlow

if TYPE_CHECKING:
    from deepsched.pipeline.serving.query import Query

# About 25 ms, and for a batch 60, on one core of a small server.
QUICK_CELLS, QUICK_BATCH = 2_500_000, 6_000_000  # schedules x tasks x machines
PASS = 3  # schedules that a forward pass and the guard cost as much as
QUICK_PAIRS = 20_000_000  # tasks² x machines, for those that look at all pairs of ready tasks
PAIRED = frozenset({"min-min", "max-min", "sufferage"})


class QuickLimit:
    """How much the problems of one quick request may take together.

    Parameters
    ----------
    name : of the scheduler.
    """

    def __init__(self, name: str, query: Query) -> None:
        self._name, self._query = name, query
        self._cells = self._pairs = 0

    def check(self, tasks: int, machines: int) -> None:
        """Refuse a further problem of that size, if it is too much; it is not counted yet.

        Raises
        ------
        TooSlow
        """
        cells = self._cells_of(tasks, machines)
        if cells > QUICK_CELLS or self._cells + cells > QUICK_BATCH:
            raise TooSlow("much to schedule")
        if self._name in PAIRED and self._pairs + tasks**2 * machines > QUICK_PAIRS:
            raise TooSlow("many pairs of tasks to look at")

    def add(self, tasks: int, machines: int) -> None:
        """Count a problem, as :meth:`check`."""
        self.check(tasks, machines)
        self._cells += self._cells_of(tasks, machines)
        self._pairs += tasks**2 * machines

    def _cells_of(self, tasks: int, machines: int) -> int:
        schedules = 1
        if self._name == PRETRAINED:
            schedules = PASS + self._query.samples(tasks, machines)
        return schedules * tasks * machines
