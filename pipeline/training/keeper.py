"""Keeps the states of a training while it runs, and tells a board of its progress."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Protocol

import numpy as np

from deepsched.pipeline.training.history import best_record
from deepsched.pipeline.training.state import progress

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from deepsched.pipeline.training.checkpoints import Checkpoints
    from deepsched.pipeline.training.history import History, Record
    from deepsched.pipeline.training.peers import Peers


class Noted(Protocol):
    """A `Board`, here or elsewhere."""

    def begin(self, step: int, history: History, notes: list[str], world: int) -> bool:
        """See `Board.begin`."""
        ...

    def step(self, step: int, measures: dict[str, float], tasks: int) -> None:
        """See `Board.step`."""

    def validation(self, record: Record) -> None:
        """See `Board.validation`."""


class TooManyCrashes(RuntimeError):
    """The board lets no further attempt begin."""


class Keeper:
    """The reporter of a training: the first process keeps states, the others keep quiet."""

    def __init__(
        self, checkpoints: Checkpoints, board: Noted, checkpoint_seconds: float, peers: Peers
    ) -> None:
        self._checkpoints, self._board, self._peers = checkpoints, board, peers
        self._every = checkpoint_seconds
        self._saved = time.monotonic()
        self._history: History = []
        self._kept = 0  # the step of the last state

    def begin(self) -> dict[str, bytes]:
        """Return the files of the newest state, the same for all processes; empty without any.

        Raises
        ------
        InvalidInput
            If all states are damaged.
        TooManyCrashes
        """
        step, files, wrong = 0, dict[str, bytes](), list[str]()
        if not self._peers.rank:
            self._checkpoints.claim()
            step, files, wrong = self._checkpoints.newest()
        row = {0: np.array([float(step)])} if not self._peers.rank else {}
        step = int(self._peers.together(row, 1, 1)[0, 0])
        if self._peers.rank:
            return self._checkpoints.read(step) if step else {}
        done, self._history = progress(files)
        self._kept = done
        notes = [f"{text}; going on from step {done}" for text in wrong]
        if not self._board.begin(done, self._history, notes, self._peers.world):
            raise TooManyCrashes
        return files

    def step(self, step: int, measures: Mapping[str, float], tasks: int) -> None:
        """Tell of a step."""
        if not self._peers.rank:
            self._board.step(step, dict(measures), tasks)

    def wants_checkpoint(self) -> bool:
        """Return whether the last one is old enough."""
        return time.monotonic() - self._saved >= self._every

    def checkpoint(
        self, step: int, record: Record | None, files: Callable[[], dict[str, bytes]]
    ) -> None:
        """Keep a state, and tell of a validation."""
        if self._peers.rank:
            return
        if record is not None:
            self._history = [*self._history, record]
        elif step == self._kept:
            return  # it is there, and writing it again could leave it in halves
        self._checkpoints.save(step, files(), keep=_wanted(self._history))
        self._kept = step
        self._saved = time.monotonic()
        if record is not None:
            self._board.validation(record)

    def discard(self, after: int) -> None:
        """Forget the states after a step."""
        if not self._peers.rank:
            self._checkpoints.discard(after)


def _wanted(history: History) -> set[int]:
    """Return the steps whose states are needed, whichever of the newest ones is gone on from.

    The last one validated is what a training that diverges goes back to. A state that is damaged is
    passed over, and the one before it may not know of the last validation.
    """
    last = {int(record["step"]) for record in history[-1:]}
    return last | {int(best_record(part)["step"]) for part in (history, history[:-1]) if part}
