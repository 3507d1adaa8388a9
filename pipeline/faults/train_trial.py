"""A training that goes on while something breaks, and what must be true of it afterwards."""

from __future__ import annotations

import contextlib
import hashlib
import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from deepsched.pipeline.faults.forked import Forked
from deepsched.pipeline.faults.trial import Broken, Different, Trial, temporaries

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from deepsched.pipeline.faults.forked import Fault
    from deepsched.pipeline.faults.trial import Driver

# Small steps of some hundredths of a second, with a state on disk after each.
SMALL = (
    *("--network", "deepsched", "--objective", "policy-gradient", "--problems", "training"),
    *("--most-tasks", 30, "--rollouts", 4, "--problems-per-micro-batch", 2),
    *("--network-option", "width=8", "--network-option", "rounds=1"),
    *("--development", 4, "--check-every", 5, "--checkpoint-seconds", 1e-6),
)
HISTORY, WEIGHTS = "history.json", "checkpoint/model.safetensors"
# What begins so in a record of the history is the same every time; the rest is measured in seconds.
EQUAL = ("step", "epoch", "score", "train_", "val_")

Result = dict[str, str]  # SHA-256 by what it is of


@dataclass(frozen=True, kw_only=True)
class Saved:
    """A state on disk: its folder, and when it was written, in ns."""

    folder: Path
    written: int


@dataclass(kw_only=True)
class TrainTrial(Trial):
    """What a scenario of training works with.

    Attributes
    ----------
    steps : of the training.
    reference : returns the result of a training that nothing disturbs.
    """

    steps: int
    reference: Callable[[TrainTrial], Result]
    _seen: dict[int, Saved] = field(default_factory=dict, init=False)

    @property
    def out(self) -> Path:
        """The training's folder."""
        return self.folder / "model"

    @property
    def newest(self) -> int:
        """The last step that has a state on disk; 0 without any."""
        return max(saved_states(self.out), default=0)

    def start(self, *options: object, environment: Mapping[str, str]) -> Driver:
        """Start `deepsched train` in a process of its own, with --resume after the first time."""
        return self.run(["-m", "deepsched", *self._words(*options)], environment)

    def start_here(self, fault: Fault | None = None) -> Driver:
        """Do the same without Ray, with a disk that fails, and only errors said."""
        words = self._words("--workers", 0, "--quiet")
        process = Forked(words, log=self.next_log(), fault=fault)
        self.drivers.append(process)
        return process

    def _words(self, *options: object) -> list[str]:
        words = ["train", *SMALL, "--steps", self.steps, "--seed", self.seed, "--out", self.out]
        again = ["--resume"] if any(self.folder.glob("driver-*.log")) else []
        return [str(word) for word in [*words, *options, *again]]

    def wait_for_steps(self, process: Driver, more: int) -> None:
        """Wait until there is a state of some more steps than now, or a driver has ended."""
        wanted = self.newest + more
        self.wait(process, lambda: self.newest >= wanted, f"no state of step {wanted}")

    def working(self, process: Driver) -> bool:
        """Return whether a driver runs and has not finished the training."""
        return process.poll() is None and not (self.out / HISTORY).exists()

    def kill(self, process: Driver) -> bool:
        """Kill a driver, and return whether it was working."""
        hit = self.working(process)
        process.kill()
        process.wait()
        return hit

    def broke(self, what: str, *, hit: bool) -> None:
        """Note and print that something was broken, and how far the training was.

        Raises
        ------
        Broken
            As :meth:`went_on`.
        """
        self.went_on()
        left = len(temporaries(self.out))
        self.disturbed(
            f"{what}; state of step {max(self._seen, default=0)}"
            + (f", {left} temporary files left" if left else ""),
            hit=hit,
        )

    def went_on(self) -> None:
        """Check that no step was taken again of which there was a state at the last look.

        Raises
        ------
        Broken
        """
        before, self._seen = self._seen, saved_states(self.out)
        last = max(before, default=0)
        for step, saved in self._seen.items():
            if step <= last and (step not in before or saved.written > before[step].written):
                raise Broken(f"step {step} was taken again, though there was a state of {last}")
        if max(self._seen, default=0) < last:
            raise Broken(f"the state of step {last} is lost")

    def check(self) -> None:
        """Check that the training is finished, and the same as one that nothing disturbed.

        Raises
        ------
        Broken, Different
        """
        self.went_on()
        if self.newest != self.steps:
            raise Broken(f"the last state is of step {self.newest}, not {self.steps}")
        expected, found = self.reference(self), result_of(self.out)
        other = [f"{what} {found[what]}" for what in found if found[what] != expected[what]]
        if other:
            raise Different(", ".join(other))
        left = temporaries(self.out)
        if left:
            self.say(f"{len(left)} temporary files are left, {left[0]} first")


def undisturbed(folder: Path) -> Callable[[TrainTrial], Result]:
    """Return a function that trains without Ray, once, and gives the result."""
    known: dict[tuple[int, int], Result] = {}

    def result(trial: TrainTrial) -> Result:
        key = trial.steps, trial.seed
        if key not in known:
            quiet = replace(trial, folder=folder / f"undisturbed-{trial.steps}")
            quiet.end(quiet.start_here())
            known[key] = result_of(quiet.out)
        return known[key]

    return result


def result_of(out: Path) -> Result:
    """Return the digests of a finished training.

    The weights are the best ones. The last state tells whether those after them are the same too,
    with the optimiser's.

    Raises
    ------
    Broken
        If something is missing.
    """
    try:
        history = json.loads((out / HISTORY).read_text())
        states = saved_states(out)
        contents = {
            "weights": (out / WEIGHTS).read_bytes(),
            "last state": (states[max(states)].folder / "training.safetensors").read_bytes(),
        }
    except (OSError, ValueError) as error:
        raise Broken(f"the training is not finished: {error}") from None
    records = [{k: v for k, v in record.items() if k.startswith(EQUAL)} for record in history]
    contents["history"] = json.dumps(records).encode()
    return {what: hashlib.sha256(data).hexdigest() for what, data in contents.items()}


def saved_states(out: Path) -> dict[int, Saved]:
    """Return the states of a training that are on disk now, by step.

    Nothing else here knows where they lie.
    """
    found: dict[int, Saved] = {}
    with contextlib.suppress(OSError, ValueError):  # there is no training yet
        note = json.loads((out / "train.json").read_text())
        for path in Path(note["storage"], note["run"]).glob("step-*/training.json"):
            with contextlib.suppress(OSError):  # removed just now
                step = int(path.parent.name.removeprefix("step-"))
                found[step] = Saved(folder=path.parent, written=path.stat().st_mtime_ns)
    return found
