"""Drivers that are forked from a server: a real process each, but only one imports everything."""

from __future__ import annotations

import contextlib
import importlib
import multiprocessing
import os
import subprocess
import sys
from typing import TYPE_CHECKING

from deepsched.pipeline.faults.disk import failing

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

FORKS = multiprocessing.get_context("forkserver")
# The last one is what torch imports when the first optimiser is made, and is the slowest.
IMPORTED = [
    "deepsched.pipeline.faults.forked",
    "deepsched.pipeline.training.run",
    "torch._dynamo",
]

Fault = tuple[str, int | None, int]  # place, error and after, as of `disk.failing`


class Forked:
    """`deepsched` in a process of its own, with what scenarios need of `subprocess.Popen`.

    Parameters
    ----------
    words : of the command line.
    log : takes what it prints.
    fault : how its disk fails.
    """

    def __init__(self, words: Sequence[str], *, log: Path, fault: Fault | None) -> None:
        FORKS.set_forkserver_preload(IMPORTED)
        self._process = FORKS.Process(target=_drive, args=(words, log, fault), daemon=True)
        self._process.start()

    @property
    def pid(self) -> int:
        """Its number."""
        assert self._process.pid is not None
        return self._process.pid

    def poll(self) -> int | None:
        """Return its exit code, or None while it runs."""
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its exit code."""
        self._process.join(timeout)
        code = self._process.exitcode
        if code is None:
            raise subprocess.TimeoutExpired(["deepsched"], timeout or 0)
        return code

    def kill(self) -> None:
        """End it as a crash would."""
        self._process.kill()


def _drive(words: Sequence[str], log: Path, fault: Fault | None) -> None:
    with log.open("wb") as output:
        for stream in (1, 2):
            os.dup2(output.fileno(), stream)
    # As in a process that was not forked from a server: what a killed one leaves is nobody's.
    multiprocessing.set_start_method("fork", force=True)
    sys.argv = ["deepsched", *words]
    with failing(*fault) if fault else contextlib.nullcontext():
        importlib.import_module("deepsched.__main__").main()
