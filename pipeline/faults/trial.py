"""A dataset that is made while something breaks, and what must be true of it afterwards."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from deepsched.baselines.atomic import TEMPORARY
from deepsched.baselines.errors import DeepSchedError
from deepsched.pipeline.common.ray_session import ROOT
from deepsched.pipeline.dataset.manifest import MANIFEST, RECORD_FOLDER
from deepsched.pipeline.dataset.storage import Dataset
from deepsched.pipeline.labelling.presets import PRESETS, PresetSource
from deepsched.pipeline.labelling.run import label
from deepsched.pipeline.labelling.spec import LabelSpec

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Mapping
    from pathlib import Path

PRESET = "demo"
TEACHER = "ga"  # slow enough to be killed at work
SHARD_BYTES = 100_000  # a few tenths of a second each
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
    """A dataset is another one than without disturbance; the text is its digest."""


@dataclass(kw_only=True)
class Trial:
    """What a scenario works with, and what it has done.

    Attributes
    ----------
    folder : scratch space of its own; the dataset lies in its `data`.
    samples : of the dataset.
    rounds : how often something is to be killed, where that is a matter of choice.
    rng : decides whom it hits and when.
    say : prints a line.
    reference : returns the digest of a dataset that nothing disturbs.
    address : of the cluster to run on, where it is the user's; else scenarios start their own.
    events : what was broken so far.
    began : when, on the clock of `time.perf_counter`.
    drivers : all that were started.
    """

    folder: Path
    samples: int
    seed: int
    rounds: int
    rng: random.Random
    say: Callable[[str], None]
    reference: Callable[[LabelSpec], str]
    address: str | None = None
    events: list[Event] = field(default_factory=list)
    began: float = field(default_factory=time.perf_counter)
    drivers: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)

    @property
    def out(self) -> Path:
        """The dataset."""
        return self.folder / "data"

    @property
    def spec(self) -> LabelSpec:
        """What is made; the same as `arguments`."""
        return LabelSpec(
            out=str(self.out),
            source=PresetSource(name=PRESET, seed=self.seed, preset=PRESETS[PRESET]),
            samples=self.samples,
            shard_bytes=SHARD_BYTES,
            seed=self.seed,
            teachers=(TEACHER,),
        )

    @property
    def arguments(self) -> list[str]:
        """The same for the command line."""
        words = ["--preset", PRESET, "--samples", self.samples, "--seed", self.seed]
        words += ["--schedulers", TEACHER, "--shard-mb", SHARD_BYTES / 1e6]
        return [str(word) for word in words]

    def at(self, name: str, *, samples: int | None = None) -> Trial:
        """Return a trial of another dataset, whose events count here."""
        return replace(self, folder=self.folder / name, samples=samples or self.samples)

    def disturbed(self, what: str, *, hit: bool) -> None:
        """Note and print that something was broken."""
        seconds = time.perf_counter() - self.began
        self.events.append(Event(seconds=round(seconds, 2), what=what, hit=hit))
        self.say(what if hit else f"{what} (idle)")

    def start(
        self,
        *options: object,
        out: Path | None = None,
        environment: Mapping[str, str] | None = None,
        program: tuple[str, ...] = ("-m", "deepsched", "label"),
    ) -> subprocess.Popen[bytes]:
        """Start `deepsched label` in a process of its own; `said` returns what it prints."""
        words = [*self.arguments, "--out", out or self.out, *options]
        log = self._log(len(self.drivers))
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, *program, *map(str, words)],
                env={**clean_environment(), **(environment or {})},
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        self.drivers.append(process)
        return process

    def said(self, process: subprocess.Popen[bytes]) -> str:
        """Return what a driver has printed."""
        return self._log(self.drivers.index(process)).read_text(errors="replace")

    def end(self, process: subprocess.Popen[bytes], code: int = 0) -> str:
        """Wait for a driver and return what it said.

        Raises
        ------
        Broken
            If it hangs or ends with another code.
        """
        try:
            found = process.wait(LIMIT)
        except subprocess.TimeoutExpired:
            raise Broken(f"the driver hung for {LIMIT:.0f} s") from None
        said = self.said(process)
        if found != code:
            raise Broken(f"the driver ended with {found}, not {code}: {last_lines(said)}")
        return said

    def wait_for_parts(self, process: subprocess.Popen[bytes], more: int) -> None:
        """Wait until a driver has finished some more parts than there are now, or ended."""
        deadline = time.monotonic() + LIMIT
        wanted = len(finished_parts(self.out)) + more
        while process.poll() is None and len(finished_parts(self.out)) < wanted:
            if time.monotonic() > deadline:
                raise Broken(f"no part was finished in {LIMIT:.0f} s")
            time.sleep(LOOK_EVERY)

    def working(self, process: subprocess.Popen[bytes]) -> bool:
        """Return whether a driver runs and has not published its dataset."""
        return process.poll() is None and not (self.out / MANIFEST).exists()

    def kept(self, before: Mapping[str, State], out: Path | None = None) -> None:
        """Check that parts finished before were not written again.

        Raises
        ------
        Broken
        """
        now = finished_parts(out or self.out)
        again = [name for name, state in before.items() if now.get(name) != state]
        if again:
            raise Broken(f"{len(again)} finished parts were written again, {again[0]} first")

    def check(self, out: Path | None = None) -> None:
        """Check that the dataset is whole and the same as one that nothing disturbed.

        Raises
        ------
        Broken, Different
        """
        place = out or self.out
        try:
            dataset = Dataset.open(str(place))
            dataset.check()
        except DeepSchedError as error:
            raise Broken(str(error)) from None
        left = temporaries(place)
        if left:
            raise Broken(f"{len(left)} temporary files are left, {left[0]} first")
        if dataset.manifest.digest() != self.reference(self.spec):
            raise Different(dataset.manifest.digest())

    def close(self) -> None:
        """End the drivers that still run."""
        for process in self.drivers:
            if process.poll() is None:
                process.kill()
                process.wait()

    def _log(self, number: int) -> Path:
        return self.folder / f"driver-{number}.log"


def undisturbed(folder: Path) -> Callable[[LabelSpec], str]:
    """Return a function that makes a dataset in this process, once, and gives its digest."""
    known: dict[int, str] = {}

    def digest(spec: LabelSpec) -> str:
        if spec.samples not in known:
            place = folder / f"undisturbed-{spec.samples}"
            known[spec.samples] = label(replace(spec, out=str(place))).digest()
        return known[spec.samples]

    return digest


def finished_parts(out: Path) -> dict[str, State]:
    """Return the parts that have a record, and their states."""
    found = {}
    for record in (out / RECORD_FOLDER).glob("**/part-*.json"):
        name = record.relative_to(out / RECORD_FOLDER).with_suffix(".parquet")
        status = (out / name).stat()
        found[str(name)] = (status.st_ino, status.st_mtime_ns)
    return found


def temporaries(out: Path) -> list[str]:
    """Return the files that were never put in place."""
    return sorted(str(path.relative_to(out)) for path in out.rglob(f".*{TEMPORARY}"))


def clean_environment() -> dict[str, str]:
    """Return this process's environment without what concerns another Ray."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    return kept | {"PYTHONPATH": str(ROOT), "RAY_USAGE_STATS_ENABLED": "0"}


def last_lines(text: str, count: int = 3) -> str:
    """Return the last lines of what a program said, as one."""
    return " | ".join(text.strip().splitlines()[-count:])
