"""Where a training is: noted by its first process, read by the driver.

The actor is a process of its own; nothing here imports torch, so that it starts at once.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from typing import Any

HOUR = 3600.0  # s


@dataclass(frozen=True, kw_only=True, slots=True)
class Status:
    """How far a training is.

    Attributes
    ----------
    attempt : 1, and one more after each restart of the processes; 0 before they run.
    begun : the step from which the present attempt went on.
    step : done so far.
    measures : of the last step, by the learner's names.
    history : of the validations.
    error : a user's mistake, or a training that diverged: a restart would only meet it again.
    gave_up : processes crashed more often within an hour than they may; `error` says so too.
    """

    attempt: int = 0
    begun: int = 0
    step: int = 0
    measures: dict[str, float] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    error: str | None = None
    gave_up: bool = False


class Board:
    """An actor on which the first training process notes its progress, for the driver to read.

    It also counts restarts: a weekend may see many, an hour only `max_failures`.
    """

    def __init__(self, max_failures: int) -> None:
        self._status = Status()
        self._max_failures = max_failures
        self._begun: list[float] = []  # s, when the attempts of the last hour began

    def status(self) -> Status:
        """Return where the training is."""
        return self._status

    def begin(self, step: int, history: list[dict[str, Any]]) -> bool:
        """Take note of a start or a restart from a step; return whether it may go on."""
        now = time.monotonic()
        self._begun = [begun for begun in self._begun if now - begun < HOUR] + [now]
        if len(self._begun) > self._max_failures + 1:
            crashes = len(self._begun) - 1
            message = f"the training processes crashed {crashes} times within an hour"
            self._status = replace(self._status, error=message, gave_up=True)
            return False
        attempt = self._status.attempt + 1
        self._status = replace(
            self._status, attempt=attempt, begun=step, step=step, history=history
        )
        return True

    def step(self, step: int, measures: dict[str, float]) -> None:
        """Take note of a finished step."""
        self._status = replace(self._status, step=step, measures=measures)

    def validation(self, record: dict[str, Any]) -> None:
        """Take note of a validation."""
        self._status = replace(self._status, history=[*self._status.history, record])

    def fail(self, error: str) -> None:
        """Take note of an error."""
        self._status = replace(self._status, error=self._status.error or error)
