"""Where a training is: noted by its first process, read by the driver.

The actor is a process of its own; nothing here imports torch, so that it starts at once.
"""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

HOUR = 3600.0  # s
RECENT = 60.0  # s, over which the pace is taken


@dataclass(frozen=True, kw_only=True, slots=True)
class Status:
    """How far a training is.

    Attributes
    ----------
    attempt : 1, and one more after each restart of the processes; 0 before they run.
    world : how many processes train.
    begun : the step from which the present attempt went on.
    step : done so far.
    measures : of the last step, by the learner's names.
    steps_per_second, tasks_per_second : lately; 0 before there is a second step.
    history : of the validations.
    notes : what the user should know, such as a state that was damaged.
    died_of : the error that ended the attempt before, if a process could still tell.
    error : a user's mistake, or a training that diverged: a restart would only meet it again.
    gave_up : processes crashed more often within an hour than they may; `error` says so too.
    """

    attempt: int = 0
    world: int = 0
    begun: int = 0
    step: int = 0
    measures: dict[str, float] = field(default_factory=dict)
    steps_per_second: float = 0.0
    tasks_per_second: float = 0.0
    history: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    died_of: str | None = None
    error: str | None = None
    gave_up: bool = False


class Board:
    """An actor on which the first training process notes its progress, for the driver to read.

    It also counts crashes: a weekend may see many, an hour only `max_failures`. Processes that are
    started anew since there is room for more of them have not crashed.
    """

    def __init__(self, max_failures: int, notes: Sequence[str] = ()) -> None:
        self._status = Status(notes=list(notes))
        self._max_failures = max_failures
        self._crashes: list[float] = []  # s, when those of the last hour were noticed
        self._died_of: str | None = None  # of the present attempt
        self._points: deque[tuple[float, int, int]] = deque()  # s, steps, tasks

    def status(self) -> Status:
        """Return where the training is."""
        return self._status

    def begin(self, step: int, history: list[dict[str, Any]], notes: list[str], world: int) -> bool:
        """Take note of a start or a restart from a step; return whether it may go on."""
        now = time.monotonic()
        self._crashes = [noticed for noticed in self._crashes if now - noticed < HOUR]
        if self._status.attempt and world <= self._status.world:
            self._crashes.append(now)
        if len(self._crashes) > self._max_failures:
            message = f"the training processes crashed {len(self._crashes)} times within an hour"
            message += f", the last time of {self._died_of}" if self._died_of else ""
            self._status = replace(self._status, error=message, gave_up=True)
            return False
        self._points.clear()
        attempt, notes = self._status.attempt + 1, [*self._status.notes, *notes]
        self._status = replace(
            self._status,
            attempt=attempt,
            world=world,
            begun=step,
            step=step,
            steps_per_second=0.0,
            tasks_per_second=0.0,
            history=history,
            notes=notes,
            died_of=self._died_of,
        )
        self._died_of = None
        return True

    def step(self, step: int, measures: dict[str, float], tasks: int) -> None:
        """Take note of a finished step, and of the tasks learned from until then."""
        self._points.append((time.monotonic(), step, tasks))
        while len(self._points) > 2 and self._points[-1][0] - self._points[0][0] > RECENT:
            self._points.popleft()
        first, last = self._points[0], self._points[-1]
        seconds = last[0] - first[0]
        steps, learned = ((last[k] - first[k]) / seconds if seconds else 0.0 for k in (1, 2))
        self._status = replace(
            self._status,
            step=step,
            measures=measures,
            steps_per_second=steps,
            tasks_per_second=learned,
        )

    def validation(self, record: dict[str, Any]) -> None:
        """Take note of a validation."""
        self._status = replace(self._status, history=[*self._status.history, record])

    def died(self, error: str) -> None:
        """Take note of what a process dies of; what others then die of follows from it."""
        self._died_of = self._died_of or error

    def fail(self, error: str) -> None:
        """Take note of an error."""
        self._status = replace(self._status, error=self._status.error or error)
