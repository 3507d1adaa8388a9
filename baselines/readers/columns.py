"""Checked tasks and edges by column: what entries of documents are turned into."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np

from deepsched.baselines.errors import InvalidInput
from deepsched.baselines.machines import Machines, execution_times
from deepsched.baselines.problem import checked_speed
from deepsched.baselines.readers._values import Place, Rule, column

if TYPE_CHECKING:
    from collections.abc import Sequence

    from deepsched.baselines.arrays import BoolArray, FloatArray, IntArray

# Which numbers a task may give, and an edge.
TASK_RULES = {
    "work": Rule.COST,
    "arrival": Rule.COST,
    "priority": Rule.FINITE,
    "memory": Rule.COST,
}
BYTES_RULE = Rule.COST


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskColumns:
    """Task entries by column.

    Attributes
    ----------
    etc : seconds or None per machine for the tasks that give times, one list each.
    timed : (n_tasks,) whether the task gives times.
    work : (n_tasks,) work units; 0 where the task gives times.
    arrival, priority, memory : (n_tasks,) s, larger is more urgent, MB.
    place : names the k-th task.
    """

    ids: list[str]
    etc: list[list[float | None]]
    timed: BoolArray
    work: FloatArray
    arrival: FloatArray
    priority: FloatArray
    memory: FloatArray
    place: Place

    def __len__(self) -> int:
        return len(self.ids)

    def legal(self) -> bool:
        """Tell whether all numbers beside `etc` are."""
        return all(rule.holds(getattr(self, key)) for key, rule in TASK_RULES.items())

    def times(self, machines: Machines, alpha: float) -> FloatArray:
        """Return the (n_tasks, n_machines) ETC, rows of work turned into seconds."""
        p = len(machines)
        places = np.flatnonzero(self.timed)
        for k, row in zip(places, self.etc, strict=True):
            if len(row) != p:
                raise InvalidInput(
                    f"{self.place(int(k))}.etc has {len(row)} entries for {p} machines"
                )
        given = self._given(places, p)
        if len(places) == len(self.ids):
            return given
        with np.errstate(over="ignore"):
            etc = execution_times(self.work, checked_speed(machines, alpha))
        etc[places] = given
        return etc

    def _given(self, places: IntArray, p: int) -> FloatArray:
        flat: list[float | None] = list(chain.from_iterable(self.etc))
        # By their types, and once: there may be a million, of which hardly any is absent.
        kinds = set(map(type, flat))
        absent = []
        if type(None) in kinds:
            absent = [k for k, value in enumerate(flat) if value is None]
            kinds = kinds - {type(None)} | {float}
        for k in absent:
            flat[k] = 0.0
        values = column(
            flat, Rule.COST, lambda k: f"{self.place(int(places[k // p]))}.etc[{k % p}]", kinds
        )
        values[absent] = np.inf
        return values.reshape(len(places), p)


@dataclass(frozen=True, kw_only=True, slots=True)
class EdgeColumns:
    """Edge entries by column, (n_edges,) each.

    Attributes
    ----------
    parents, children : positions of tasks.
    size : bytes.
    """

    parents: Sequence[int] | IntArray
    children: Sequence[int] | IntArray
    size: FloatArray

    def __len__(self) -> int:
        return len(self.size)

    def legal(self) -> bool:
        """Tell whether all numbers of bytes are."""
        return BYTES_RULE.holds(self.size)
