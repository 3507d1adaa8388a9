"""Where a training is: noted by its first process, read by the driver.

The actor is a process of its own; nothing here imports torch, so that it starts at once.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any


@dataclass(frozen=True, kw_only=True, slots=True)
class Status:
    """How far a training is.

    Attributes
    ----------
    attempt : 1, and one more after each restart of the processes; 0 before they run.
    samples : trained on in the present epoch, about; the first process speaks for all.
    history : of the finished epochs.
    error : a user's mistake that a restart would only meet again.
    """

    attempt: int = 0
    samples: int = 0
    history: list[dict[str, Any]] = field(default_factory=list)
    error: str | None = None


class Board:
    """An actor on which the first training process notes its progress, for the driver to read."""

    def __init__(self) -> None:
        self._status = Status()

    def status(self) -> Status:
        """Return where the training is."""
        return self._status

    def begin(self, history: list[dict[str, Any]]) -> None:
        """Take note of a start or a restart after the epochs of `history`."""
        attempt = self._status.attempt + 1
        self._status = replace(self._status, attempt=attempt, samples=0, history=history)

    def step(self, samples: int) -> None:
        """Take note of samples trained on in this epoch."""
        self._status = replace(self._status, samples=samples)

    def epoch(self, history: list[dict[str, Any]]) -> None:
        """Take note of the finished epochs."""
        self._status = replace(self._status, history=history, samples=0)

    def fail(self, error: str) -> None:
        """Take note of an error."""
        self._status = replace(self._status, error=self._status.error or error)
