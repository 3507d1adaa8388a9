"""Problems from workflow files: finding the files, and which file and machines a sample has."""

from __future__ import annotations

import functools
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from deepsched.baselines.errors import DeepSchedError, InvalidInput
from deepsched.baselines.machines import DEFAULT_MACHINES
from deepsched.baselines.readers import ReadOptions, problem_from_bytes, read_machines
from deepsched.baselines.readers.choice import TRACE
from deepsched.baselines.readers.files import read_bytes, shown_path
from deepsched.pipeline.dataset.files import sha256
from deepsched.pipeline.labelling.sources import (
    SEED_RANGE,
    SourceLost,
    sample_rng,
    stored_bytes,
    stream,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from deepsched.baselines.machines import Machines
    from deepsched.baselines.problem import Problem

_T = TypeVar("_T")


@dataclass(frozen=True, kw_only=True)
class TraceFile:
    """A workflow file: where it is, what it is called in the dataset, and its content's hash.

    `most_machines` is how many it ran on at most when it was tried.
    """

    path: Path
    name: str
    sha256: str
    n_tasks: int
    most_machines: int = DEFAULT_MACHINES


@dataclass(frozen=True, kw_only=True)
class MachineChoice:
    """The machines of a sample: so many drawn ones, a table read from a file, or the trace's."""

    name: str
    count: int | None = None
    table: Machines | None = None
    sha256: str | None = None
    trace: bool = False


@dataclass(frozen=True, kw_only=True)
class TraceSource:
    """Real workflows, each round of samples on other machines and with other noise.

    Samples 0 … F − 1 take the F files in order; each later round of F takes them in an order drawn
    from (seed, round), so that no file always falls into the same split. Each sample draws its
    machine choice, machine seed and noise seed from (seed, sample_id). A file that brings its own
    machines and times gives the same problem in every round.

    Attributes
    ----------
    machines : what is chosen from, each with the same chance.
    machine_seed : one set of machines for all samples; None: each sample draws its own.
    noise : sigma of the lognormal factor between task and machine.
    bandwidth, latency : bytes/s and s of every link; None: as the file or the default says.
    """

    files: tuple[TraceFile, ...]
    seed: int
    machines: tuple[MachineChoice, ...]
    machine_seed: int | None = None
    noise: float = 0.0
    bandwidth: float | None = None
    latency: float | None = None

    def problem(self, sample_id: int) -> Problem:
        """Read the sample's file with the sample's machines and noise.

        Raises
        ------
        SourceLost
            If the file is not there (on this node), or is not what it was.
        InvalidInput
            If it makes no problem with these machines.
        """
        file = self._file(sample_id)
        return problem_from_bytes(_content(file), file.name, self.options(sample_id))

    @property
    def shared_machines(self) -> None:
        """None: each row holds its own."""
        return

    def size(self, sample_id: int) -> int:
        """Return about how many bytes the stored problem has."""
        file, options = self._file(sample_id), self.options(sample_id)
        count = len(options.machines) if options.machines else options.n_machines
        if options.trace_machines:
            count = file.most_machines
        return stored_bytes(file.n_tasks, count or DEFAULT_MACHINES, matrix=self.noise > 0)

    def label(self, sample_id: int) -> str:
        """Return the name of the file."""
        return self._file(sample_id).name

    def document(self) -> dict[str, Any]:
        """Return files and machines by content, wherever they lie."""
        return {
            "traces": {file.name: file.sha256 for file in self.files},
            "seed": self.seed,
            "machines": [
                choice.name if choice.sha256 is None else f"{choice.name} {choice.sha256}"
                for choice in self.machines
            ],
            "machine_seed": self.machine_seed,
            "noise": self.noise,
            "bandwidth": self.bandwidth,
            "latency": self.latency,
        }

    @property
    def draws(self) -> bool:
        """Whether a file that takes machines and noise is another problem in every round."""
        drawn = self.machine_seed is None and any(
            m.table is None and not m.trace for m in self.machines
        )
        return self.noise > 0 or drawn

    def _file(self, sample_id: int) -> TraceFile:
        turn, place = divmod(sample_id, len(self.files))
        return self.files[_order(len(self.files), self.seed, turn)[place]]

    def options(self, sample_id: int) -> ReadOptions:
        """Return what a sample adds to its file."""
        rng = sample_rng(self.seed, sample_id)
        # Everything is drawn in any case: an option that fixes one value changes no other.
        choice = self.machines[int(rng.integers(len(self.machines)))]
        machine_seed, noise_seed = (int(s) for s in rng.integers(SEED_RANGE, size=2))
        return ReadOptions(
            machines=choice.table,
            trace_machines=choice.trace,
            n_machines=choice.count,
            machine_seed=machine_seed if self.machine_seed is None else self.machine_seed,
            noise=self.noise,
            noise_seed=noise_seed,
            bandwidth=self.bandwidth,
            latency=self.latency,
        )


def machine_choice(text: str) -> MachineChoice:
    """Read one --machines value: a number, a machines file, or `trace`.

    Raises
    ------
    InvalidInput
        If it is none of them, or the file is bad.
    """
    if text == TRACE:
        return MachineChoice(name=TRACE, trace=True)
    try:
        count = int(text)
    except ValueError:  # no number, or one of thousands of digits
        count = None
    if count is not None:
        if count < 1:
            raise InvalidInput(f"--machines {text}: there must be at least one machine")
        return MachineChoice(name=str(count), count=count)
    path = Path(text)
    if not os.path.isfile(text):  # noqa: PTH113 - pathlib's fails where the name is too long
        raise InvalidInput(
            f"--machines {text[:60]!r} is neither a number of machines, nor 'trace', nor a file"
        )
    return MachineChoice(name=path.name, table=read_machines(path), sha256=sha256(read_bytes(path)))


@dataclass(frozen=True, kw_only=True)
class FoundTraces:
    """Workflow files that can be read, and those left out, each with the reason.

    Attributes
    ----------
    fixed : names of files that gave the same times in every one of several trials.
    """

    files: tuple[TraceFile, ...]
    left_out: tuple[str, ...]
    fixed: tuple[str, ...]


def find_traces(
    paths: Sequence[Path], trials: Sequence[ReadOptions], limit: int | None
) -> FoundTraces:
    """Find the workflow files that `paths` name, folders searched in full, in order of name.

    Every file is read with each of `trials`, so that one that cannot be used is known before
    anything is written. A file the user named must pass; in a folder, others are left out.

    Parameters
    ----------
    limit : take this many files and look at no more. They are spread evenly over the families, the
        folders that files lie in, and over the names in each.

    Raises
    ------
    InvalidInput, InvalidProblem
        If a path does not exist, a named file cannot be read, or nothing is found.
    """
    candidates: list[_Candidate] = []
    for path in paths:
        if not path.exists():
            raise InvalidInput(f"--traces {shown_path(path)}: no such file or folder")
        candidates += _candidates(path)
    order: Sequence[int] = range(len(candidates))
    if limit is not None and limit < len(candidates):
        order = _spread([candidate.path.parent for candidate in candidates])
    files: dict[int, TraceFile] = {}
    left_out: dict[int, str] = {}
    fixed: dict[int, str] = {}
    for place in order:
        if len(files) == limit:
            break
        candidate = candidates[place]
        try:
            data = read_bytes(candidate.path)
            where = shown_path(candidate.path)
            etcs = [problem_from_bytes(data, where, options).etc for options in trials]
            n_tasks = len(etcs[0])
        except DeepSchedError as error:
            if candidate.named or isinstance(error, MemoryError):
                raise
            left_out[place] = str(error)
            continue
        files[place] = TraceFile(
            path=candidate.path.absolute(),
            name=candidate.name,
            sha256=sha256(data),
            n_tasks=n_tasks,
            most_machines=max(etc.shape[1] for etc in etcs),
        )
        if len(etcs) > 1 and all(np.array_equal(etc, etcs[0]) for etc in etcs):
            fixed[place] = candidate.name
    if not files:
        first = _in_order(left_out)[:1]
        reason = f"; the first was left out because: {first[0]}" if first else ""
        where = ", ".join(shown_path(path) for path in paths)
        raise InvalidInput(f"--traces {where}: no workflow file that can be read{reason}")
    return FoundTraces(files=_in_order(files), left_out=_in_order(left_out), fixed=_in_order(fixed))


def _in_order(found: Mapping[int, _T]) -> tuple[_T, ...]:
    return tuple(found[place] for place in sorted(found))


def _spread(families: Sequence[Path]) -> list[int]:
    """Return the places of files in such an order that the first ones are spread evenly.

    Families take turns, in order of name. In a family the first, the middle, the quarters and so
    on come first: by the bits of the place backwards.
    """
    members: dict[Path, list[int]] = {}
    for place, family in enumerate(families):
        members.setdefault(family, []).append(place)
    rounds: list[tuple[int, int, int]] = []
    for turn, family in enumerate(sorted(members)):
        places = members[family]
        bits = (len(places) - 1).bit_length()
        by_bits = sorted(range(len(places)), key=lambda k: f"{k:0{bits}b}"[::-1])
        rounds += ((k, turn, places[place]) for k, place in enumerate(by_bits))
    return [place for _, _, place in sorted(rounds)]


def _content(file: TraceFile) -> bytes:
    """Return the bytes of a trace, which are what they were when the labelling began."""
    try:
        data = read_bytes(file.path)
    except InvalidInput as error:
        raise SourceLost(str(error)) from None
    if sha256(data) != file.sha256:
        raise SourceLost(f"{shown_path(file.path)} has changed since the labelling began")
    return data


@dataclass(frozen=True, kw_only=True)
class _Candidate:
    """A file that may be a workflow: its name in the dataset, and whether the user named it."""

    path: Path
    name: str
    named: bool


def _candidates(path: Path) -> list[_Candidate]:
    """Return the files of a path and the names they get: relative to it, its own name in front."""
    if not path.is_dir():
        return [_Candidate(path=path, name=shown_path(path.name), named=True)]
    top = path.resolve().name
    inside = sorted(
        found.relative_to(path)
        for found in path.rglob("*")
        if found.is_file()
        and not any(part.startswith(".") for part in found.relative_to(path).parts)
    )
    return [
        _Candidate(path=path / name, name=shown_path(f"{top}/{name.as_posix()}"), named=False)
        for name in inside
    ]


@functools.lru_cache(maxsize=64)
def _order(n: int, seed: int, turn: int) -> Sequence[int]:
    if turn == 0:
        return range(n)
    order: list[int] = np.random.default_rng([seed, turn, stream("order")]).permutation(n).tolist()
    return order
