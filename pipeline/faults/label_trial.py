"""A dataset that is made while something breaks, and what must be true of it afterwards."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from deepsched.baselines.errors import DeepSchedError
from deepsched.pipeline.dataset.manifest import MANIFEST, RECORD_FOLDER
from deepsched.pipeline.dataset.storage import Dataset
from deepsched.pipeline.faults.trial import Broken, Different, Trial, state_of, temporaries
from deepsched.pipeline.labelling.presets import PRESETS, PresetSource
from deepsched.pipeline.labelling.run import label
from deepsched.pipeline.labelling.spec import LabelSpec

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from deepsched.pipeline.faults.trial import State

PRESET = "demo"
TEACHER = "ga"  # slow enough to be killed at work
SHARD_BYTES = 100_000  # a few tenths of a second each


@dataclass(kw_only=True)
class LabelTrial(Trial):
    """What a scenario of labelling works with.

    Attributes
    ----------
    samples : of the dataset.
    reference : returns the digest of a dataset that nothing disturbs.
    address : of the cluster to run on, where it is the user's; else scenarios start their own.
    """

    samples: int
    reference: Callable[[LabelSpec], str]
    address: str | None = None

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
    def arguments(self) -> list[object]:
        """The same for the command line."""
        words = ["--preset", PRESET, "--samples", self.samples, "--seed", self.seed]
        return [*words, "--schedulers", TEACHER, "--shard-mb", SHARD_BYTES / 1e6]

    def at(self, name: str, *, samples: int | None = None) -> LabelTrial:
        """Return a trial of another dataset, whose events count here."""
        return replace(self, folder=self.folder / name, samples=samples or self.samples)

    def start(
        self,
        *options: object,
        out: Path | None = None,
        environment: Mapping[str, str] | None = None,
        program: tuple[str, ...] = ("-m", "deepsched", "label"),
    ) -> subprocess.Popen[bytes]:
        """Start `deepsched label` in a process of its own."""
        words = [*self.arguments, "--out", out or self.out, *options]
        return self.run([*program, *words], environment)

    def wait_for_parts(self, process: subprocess.Popen[bytes], more: int) -> None:
        """Wait until a driver has finished some more parts than there are now, or ended."""
        wanted = len(finished_parts(self.out)) + more
        self.wait(process, lambda: len(finished_parts(self.out)) >= wanted, "no part was finished")

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
        found[str(name)] = state_of(out / name)
    return found
