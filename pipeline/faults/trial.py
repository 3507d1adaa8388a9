"""A stage that runs while something breaks: its drivers, and what was done to it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol, Self

from deepsched.baselines.atomic import TEMPORARY
from deepsched.pipeline.common.ray_session import ROOT, python_path

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

LIMIT = 600.0  # s, after which a driver that neither ends nor moves counts as hung
LOOK_EVERY = 0.02  # s

State = tuple[int, int]  # what changes when a file is written again: inode and time


@dataclass(frozen=True, kw_only=True)
class Event:
    """Something that was broken.

    Attributes
    ----------
    seconds : since the trial began.
    hit : whether work was going on there.
    """

    seconds: float
    what: str
    hit: bool


class Broken(Exception):
    """A promise was not kept; the text says which."""


class NotPossible(Exception):
    """A scenario cannot run on this system; the text says why."""


class Different(Exception):
    """A result is another one than without disturbance; the text says what it is."""


class Driver(Protocol):
    """A process in which a stage runs, such as `subprocess.Popen`."""

    @property
    def pid(self) -> int:
        """Its number."""
        ...

    def poll(self) -> int | None:
        """Return its exit code, or None while it runs."""
        ...

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its exit code; raises `subprocess.TimeoutExpired`."""
        ...

    def kill(self) -> None:
        """End it as a crash would."""
        ...


@dataclass(kw_only=True)
class Trial:
    """What a scenario of any stage works with, and what it has done.

    Attributes
    ----------
    folder : scratch space of its own.
    rounds : how often something is to be killed, where that is a matter of choice.
    rng : decides whom it hits and when.
    say : prints a line.
    events : what was broken so far.
    began : when, on the clock of `time.perf_counter`.
    drivers : all that were started.
    """

    folder: Path
    seed: int
    rounds: int
    rng: random.Random
    say: Callable[[str], None]
    events: list[Event] = field(default_factory=list)
    began: float = field(default_factory=time.perf_counter)
    drivers: list[Driver] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)

    def at(self, name: str) -> Self:
        """Return a trial in another folder, whose events count here."""
        return replace(self, folder=self.folder / name)

    def disturbed(self, what: str, *, hit: bool) -> None:
        """Note and print that something was broken."""
        seconds = time.perf_counter() - self.began
        self.events.append(Event(seconds=round(seconds, 2), what=what, hit=hit))
        self.say(what if hit else f"{what} (idle)")

    def run(
        self, program: Sequence[object], environment: Mapping[str, str] | None = None
    ) -> subprocess.Popen[bytes]:
        """Start a Python program, a driver, in a process of its own; `said` is what it prints."""
        with self.next_log().open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, *map(str, program)],
                env={**clean_environment(), **(environment or {})},
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        self.drivers.append(process)
        return process

    def next_log(self) -> Path:
        """Return the file for what the driver prints that is started next."""
        self.folder.mkdir(parents=True, exist_ok=True)
        return self._log(len(self.drivers))

    def said(self, process: Driver) -> str:
        """Return what a driver has printed."""
        return self._log(self.drivers.index(process)).read_text(errors="replace")

    def code(self, process: Driver) -> int:
        """Wait for a driver and return its exit code.

        Raises
        ------
        Broken
            If it hangs.
        """
        try:
            return process.wait(LIMIT)
        except subprocess.TimeoutExpired:
            raise Broken(f"the driver hung for {LIMIT:.0f} s") from None

    def end(self, process: Driver, code: int = 0) -> str:
        """Wait for a driver and return what it said.

        Raises
        ------
        Broken
            If it hangs or ends with another code.
        """
        found, said = self.code(process), self.said(process)
        if found != code:
            raise Broken(f"the driver ended with {found}, not {code}: {last_lines(said)}")
        return said

    def wait(self, process: Driver, ready: Callable[[], bool], otherwise: str) -> None:
        """Wait until something is so, or a driver has ended.

        Raises
        ------
        Broken
            If it takes too long; `otherwise` says what is missing.
        """
        deadline = time.monotonic() + LIMIT
        while process.poll() is None and not ready():
            if time.monotonic() > deadline:
                raise Broken(f"{otherwise} in {LIMIT:.0f} s")
            time.sleep(LOOK_EVERY)

    def close(self) -> None:
        """End the drivers that still run."""
        for process in self.drivers:
            if process.poll() is None:
                process.kill()
                process.wait()

    def _log(self, number: int) -> Path:
        return self.folder / f"driver-{number}.log"


def temporaries(out: Path) -> list[str]:
    """Return the files that were never put in place."""
    return sorted(str(path.relative_to(out)) for path in out.rglob(f".*{TEMPORARY}"))


def state_of(path: Path) -> State:
    """Return what changes when a file is written again."""
    status = path.stat()
    return status.st_ino, status.st_mtime_ns


def clean_environment() -> dict[str, str]:
    """Return this process's environment without what concerns another Ray."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    return kept | {"PYTHONPATH": python_path(), "RAY_USAGE_STATS_ENABLED": "0"}


def last_lines(text: str, count: int = 3) -> str:
    """Return the last lines of what a program said, as one."""
    return " | ".join(text.strip().splitlines()[-count:])
