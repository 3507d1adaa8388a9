"""Schedulers that do not come back in time from compiled code, where no signal reaches them.

The process ends itself over such a sample and leaves a note; Ray starts the shard again, and that
time the sample gets its null row at once. Compiled code must release the interpreter's lock, as all
of ours does; else the watching thread does not run either.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from deepsched.pipeline.dataset.manifest import RECORD_FOLDER

if TYPE_CHECKING:
    from collections.abc import Iterator

    from deepsched.pipeline.dataset.files import Folder

NOTES = f"{RECORD_FOLDER}/stuck"
GRACE = 5.0  # s, after the limit that a signal enforces
EXIT_STUCK = 1


def stuck_samples(folder: Folder, teacher: str) -> frozenset[int]:
    """Return the samples that a process has ended over."""
    names = folder.names(f"{NOTES}/{teacher}")
    return frozenset(int(PurePosixPath(name).stem) for name in names)


def forget_stuck(folder: Folder) -> None:
    """Remove all notes, so that those samples are tried again."""
    for name in folder.names(NOTES):
        folder.delete(name)


@contextlib.contextmanager
def watched(folder: Folder, teacher: str, sample_id: int, seconds: float | None) -> Iterator[None]:
    """End this process, with a note, if the block takes `GRACE` longer than `seconds`."""
    if seconds is None:
        yield
        return
    note = f"{NOTES}/{teacher}/{sample_id}.json"
    timer = threading.Timer(seconds + GRACE, _give_up, (folder, note, seconds))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _give_up(folder: Folder, note: str, seconds: float) -> None:
    try:
        folder.write(note, f'{{"seconds": {seconds:g}}}\n'.encode())
        sys.stderr.write(
            f"deepsched: {folder.where(note)}: a scheduler does not come back; the same command "
            "goes on without that sample\n"
        )
        sys.stderr.flush()
    finally:
        os._exit(EXIT_STUCK)
