"""Curves of a training for TensorBoard, written by the driver while it runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from tensorboardX import SummaryWriter  # type: ignore[import-untyped]

if TYPE_CHECKING:
    from pathlib import Path

    from deepsched.pipeline.training.board import Status

FOLDER = "tensorboard"
SECONDS = 10  # between two flushes


class Curves:
    """Writes what a board says to event files in the folder of a training.

    A training that goes on adds a file; what the one before says of later steps is taken back.
    """

    def __init__(self, out: Path) -> None:
        self._folder = out / FOLDER
        self._writer: SummaryWriter | None = None
        self._step = 0
        self._records = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._writer:
            self._writer.close()

    def note(self, status: Status) -> None:
        """Write what is new in a status."""
        if not status.attempt:
            return
        if self._writer is None:
            self._writer = SummaryWriter(
                str(self._folder), flush_secs=SECONDS, purge_step=status.begun + 1
            )
            self._step = status.begun
            self._records = sum(record["step"] <= status.begun for record in status.history)
        if status.step > self._step:
            self._step = status.step
            for name, value in status.measures.items():
                self._writer.add_scalar(f"train/{name}", value, status.step)
            if status.tasks_per_second:
                self._writer.add_scalar(
                    "speed/tasks_per_second", status.tasks_per_second, self._step
                )
        for record in status.history[self._records :]:
            for name, value in record.items():
                if name.startswith("val_") and value is not None:
                    self._writer.add_scalar(
                        f"validation/{name.removeprefix('val_')}", value, record["step"]
                    )
            for name, share in record["shares"].items():
                self._writer.add_scalar(f"shares/{name}", share, record["step"])
        self._records = max(self._records, len(status.history))
