"""Curves of a training for TensorBoard, written by the driver while it runs."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any, Self

from tensorboardX.event_file_writer import EventsWriter  # type: ignore[import-untyped]
from tensorboardX.proto.event_pb2 import Event, SessionLog  # type: ignore[import-untyped]
from tensorboardX.summary import scalar  # type: ignore[import-untyped]

if TYPE_CHECKING:
    from pathlib import Path

    from deepsched.pipeline.training.board import Status

FOLDER = "tensorboard"
FLUSH_SECONDS = 10.0
LARGEST = 3.4e38


class Curves:
    """Writes what a board says to event files in the folder of a training.

    A training that goes on adds a file; what the one before says of later steps is taken back. They
    are only for looking at: a disk that fails ends the curves and not the training, and a value
    that is no number, or too large for the files, is left out.

    Attributes
    ----------
    failure : why there are no more curves; None while all is well.
    """

    def __init__(self, out: Path) -> None:
        self.failure: str | None = None
        self._folder = out / FOLDER
        self._writer: Any = None
        self._flushed = time.monotonic()
        self._step = self._records = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._writer and not self.failure:
            try:
                self._writer.close()
            except OSError as error:
                self._fail(error)

    def note(self, status: Status) -> None:
        """Write what is new in a status."""
        if self.failure or not status.attempt:
            return
        try:
            if self._writer is None:
                self._open(status)
            self._note(status)
            if time.monotonic() - self._flushed >= FLUSH_SECONDS:
                self._flushed = time.monotonic()
                self._writer.flush()
        except OSError as error:
            self._fail(error)

    def _open(self, status: Status) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        # The names of the files end in a second, in which a training may begin twice; they are read
        # in the order of the names.
        suffix = f".{time.time_ns()}.{os.getpid()}"
        self._writer = EventsWriter(str(self._folder / "events"), suffix)
        self._step = status.begun
        self._records = sum(record["step"] <= status.begun for record in status.history)
        start = SessionLog(status=SessionLog.START)
        self._write(self._step + 1, session_log=start)

    def _note(self, status: Status) -> None:
        if status.step > self._step:
            self._step = status.step
            for name, value in status.measures.items():
                self._scalar(f"train/{name}", value, status.step)
            if status.tasks_per_second:
                self._scalar("speed/tasks_per_second", status.tasks_per_second, status.step)
        for record in status.history[self._records :]:
            for name, value in record.items():
                if name.startswith("val_") and value is not None:
                    self._scalar(f"validation/{name.removeprefix('val_')}", value, record["step"])
            for name, share in record["shares"].items():
                self._scalar(f"shares/{name}", share, record["step"])
        self._records = max(self._records, len(status.history))

    def _scalar(self, name: str, value: float, step: int) -> None:
        # The files hold float32, and a point that is none spoils the axis of all others.
        if abs(value) <= LARGEST:  # also false for NaN
            self._write(step, summary=scalar(name, value))

    def _write(self, step: int, **what: Any) -> None:
        self._writer.write_event(Event(wall_time=time.time(), step=step, **what))

    def _fail(self, error: OSError) -> None:
        self.failure = f"{self._folder}: no more curves: {error.strerror or error}"
