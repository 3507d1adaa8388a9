"""Reading a labelled dataset: problems and each teacher's schedules, shard by shard."""

from __future__ import annotations

import bisect
import contextlib
import functools
import hashlib
import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa

from deepsched.baselines.errors import InvalidInput
from deepsched.pipeline.dataset.files import Folder, open_folder, sha256
from deepsched.pipeline.dataset.manifest import (
    File,
    Manifest,
    Part,
    Record,
    parse_document,
    read_manifest,
    record_of,
)
from deepsched.pipeline.dataset.schema import (
    LABELS,
    OK,
    PROBLEMS,
    Row,
    machines_from_document,
    problem_from_row,
    read_rows,
    schedule_from_row,
)
from deepsched.pipeline.dataset.stores import UnreadableStore

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from deepsched.baselines.machines import Machines
    from deepsched.baselines.problem import Problem
    from deepsched.baselines.schedule import Schedule

SPLITS = ("train", "val", "test", "all")


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class LabelledSample:
    """A problem and one teacher's schedule of it."""

    sample_id: int
    source: str
    problem: Problem
    schedule: Schedule


@dataclass(frozen=True, kw_only=True, slots=True)
class SampleSize:
    """How large a sample is and what it was made from, without reading it."""

    sample_id: int
    source: str
    n_tasks: int
    n_machines: int
    n_edges: int


@dataclass(frozen=True, kw_only=True, eq=False)
class Dataset:
    """A dataset as its manifest lists it. Open it with :meth:`open`.

    Rows come in the order of `sample_id`, one shard in memory at a time. A shard's size and SHA-256
    are compared with the manifest before its first row is given out, and every page's checksum is
    verified; a shard that is missing or damaged raises `InvalidInput` with its name. Rows without a
    problem or a schedule are left out; :meth:`failures` lists them.

    Splits: `sample_id` ending in 9 is "test", in 8 "val", the rest "train"; "all" is every one.
    """

    folder: Folder
    manifest: Manifest

    @staticmethod
    def open(uri: str) -> Dataset:
        """Open the dataset at a local path or a URI (file://, s3://, gs://).

        Raises
        ------
        InvalidInput
            If there is no finished dataset, or its manifest is damaged or of another version.
        """
        folder = open_folder(uri)
        return Dataset(folder=folder, manifest=read_manifest(folder))

    @property
    def teachers(self) -> tuple[str, ...]:
        """The schedulers whose labels are there."""
        return tuple(self.manifest.labels)

    @property
    def n_samples(self) -> int:
        """The number of rows, failed ones included."""
        return self.manifest.samples

    @property
    def n_shards(self) -> int:
        """The number of parts that problems and each teacher's labels are divided into."""
        return len(self.manifest.problems)

    @functools.cached_property
    def starts(self) -> tuple[int, ...]:
        """The first sample of each shard, and behind the last one the number of samples."""
        return tuple(itertools.accumulate((p.rows for p in self.manifest.problems), initial=0))

    def shard_of(self, sample_id: int) -> int:
        """Return the shard that holds a sample."""
        return bisect.bisect_right(self.starts, sample_id) - 1

    @functools.cached_property
    def machines(self) -> Machines | None:
        """The machines that all samples share, read once; None where each row has its own."""
        file = self.manifest.machines
        if file is None:
            return None
        data = self.read_file(file)
        with _naming(self.folder.where(file.file)):
            return machines_from_document(data.to_pybytes())

    def problems(
        self, split: str = "all", *, shards: Sequence[int] | None = None
    ) -> Iterator[tuple[int, Problem]]:
        """Yield (sample_id, problem) of a split; `shards` limits it to some shards."""
        for shard in self._shards(shards):
            for row in _chosen(self._problem_rows(shard), split):
                yield row["sample_id"], self._problem(row, shard)

    def schedules(
        self, teacher: str, split: str = "all", *, shards: Sequence[int] | None = None
    ) -> Iterator[tuple[int, Schedule]]:
        """Yield (sample_id, schedule) of a teacher, without reading the problems."""
        self._check_teacher(teacher)
        for shard in self._shards(shards):
            for row in _chosen(self._label_rows(teacher, shard), split):
                yield row["sample_id"], schedule_from_row(row, teacher)

    def samples(
        self, teacher: str, split: str = "all", *, shards: Sequence[int] | None = None
    ) -> Iterator[LabelledSample]:
        """Yield the problems of a split, each with the schedule of `teacher`.

        Raises
        ------
        InvalidInput
            If the teacher or the split is unknown, or a shard is missing or damaged.
        """
        self._check_teacher(teacher)
        for shard in self._shards(shards):
            labels = self._label_rows(teacher, shard)
            for row, label in _chosen_pairs(self._problem_rows(shard), labels, split):
                yield LabelledSample(
                    sample_id=row["sample_id"],
                    source=row["source"],
                    problem=self._problem(row, shard),
                    schedule=schedule_from_row(label, teacher),
                )

    def sizes(self, split: str = "all") -> list[SampleSize]:
        """Return how large each problem of a split is; reads a few columns only."""
        columns = ["sample_id", "source", "status", "n_tasks", "n_machines", "n_edges"]
        return [
            SampleSize(**{name: row[name] for name in columns if name != "status"})
            for shard in range(self.n_shards)
            for row in _chosen(self._problem_rows(shard, columns), split)
        ]

    def seconds(self, teacher: str) -> dict[int, float]:
        """Return the wall time each schedule of a teacher took, s by sample_id."""
        times = {}
        for shard, record in enumerate(self.records(teacher)):
            first = self.starts[shard]
            times.update({first + k: s for k, s in enumerate(record.seconds) if s is not None})
        return times

    def failures(self, teacher: str) -> dict[int, str]:
        """Return why a sample has no schedule of a teacher, by sample_id."""
        return {
            failure.sample_id: f"{failure.status}: {failure.error}"
            for record in self.records(teacher)
            for failure in record.failures
        }

    def records(self, teacher: str) -> Iterator[Record]:
        """Yield what was noted when each shard of a teacher was made; no hash covers it."""
        self._check_teacher(teacher)
        for part in self.manifest.labels[teacher]:
            name = record_of(part.file)
            with _naming(self.folder.where(name)):
                data = self.folder.read(name)
            yield parse_document(data, Record, self.folder.where(name))

    def identity(self, teachers: Iterable[str]) -> str:
        """Return a hash of the problems and of the schedules of some teachers, where it has them.

        It stays what it is when another teacher joins the dataset.
        """
        manifest = self.manifest
        hashes = [part.sha256 for part in manifest.problems]
        if manifest.machines:
            hashes.append(manifest.machines.sha256)
        for name in sorted(set(teachers) & set(manifest.labels)):
            hashes += [part.sha256 for part in manifest.labels[name]]
        return hashlib.sha256("\n".join(hashes).encode()).hexdigest()

    def check(self) -> None:
        """Compare the size and the hash of every part with the manifest.

        Raises
        ------
        InvalidInput
            Naming the first part that is missing or differs.
        """
        for part in self.manifest.parts():
            self.read_file(part)

    def _shards(self, wanted: Sequence[int] | None) -> Sequence[int]:
        return range(self.n_shards) if wanted is None else wanted

    def _check_teacher(self, teacher: str) -> None:
        if teacher not in self.manifest.labels:
            known = ", ".join(self.teachers) or "none"
            raise InvalidInput(f"{self.folder.uri}: no labels of {teacher!r}; it has: {known}")

    def _problem_rows(self, shard: int, columns: Sequence[str] | None = None) -> Iterator[Row]:
        return self._rows(self.manifest.problems[shard], PROBLEMS, shard, columns)

    def _label_rows(self, teacher: str, shard: int) -> Iterator[Row]:
        return self._rows(self.manifest.labels[teacher][shard], LABELS, shard, None)

    def _rows(
        self, part: Part, schema: pa.Schema, shard: int, columns: Sequence[str] | None
    ) -> Iterator[Row]:
        name, first = part.file, self.starts[shard]
        rows = read_part(self.folder, name, self.read_file(part), schema, columns)
        count = 0
        for count, row in enumerate(rows, 1):
            if row["sample_id"] != first + count - 1:
                raise InvalidInput(
                    f"{self.folder.where(name)}: row {count} is sample {row['sample_id']}, "
                    f"not {first + count - 1}"
                )
            yield row
        if count != part.rows:
            raise InvalidInput(f"{self.folder.where(name)} has {count} rows, not {part.rows}")

    def read_file(self, part: Part | File) -> pa.Buffer:
        """Return the content of a file of the manifest, its size and hash checked.

        Raises
        ------
        InvalidInput
            Naming the file, if it is missing or differs.
        """
        where = self.folder.where(part.file)
        with _naming(where):
            data = self.folder.read(part.file)
        if data.size != part.bytes:
            raise InvalidInput(f"{where} has {data.size} bytes; the manifest says {part.bytes}")
        if sha256(data) != part.sha256:
            raise InvalidInput(f"{where} is damaged: its SHA-256 is not the manifest's")
        return data

    def _problem(self, row: Row, shard: int) -> Problem:
        file = self.manifest.problems[shard].file
        with _naming(f"{self.folder.where(file)}, sample {row['sample_id']}"):
            return problem_from_row(row, self.machines)


def read_part(
    folder: Folder,
    name: str,
    data: pa.Buffer,
    schema: pa.Schema,
    columns: Sequence[str] | None = None,
) -> Iterator[Row]:
    """Yield the rows of a part whose content is at hand.

    Raises
    ------
    InvalidInput
        Naming the part, if it is not what it should be.
    """
    rows = read_rows(data, schema, columns)
    while True:
        with _naming(folder.where(name)):
            row = next(rows, None)
        if row is None:
            return
        yield row


def in_split(sample_id: int, split: str) -> bool:
    """Return whether a sample belongs to a split.

    Raises
    ------
    InvalidInput
        If there is no such split.
    """
    if split not in SPLITS:
        raise InvalidInput(f"unknown split {split!r}; one of: {', '.join(SPLITS)}")
    return split in ("all", {9: "test", 8: "val"}.get(sample_id % 10, "train"))


def _chosen(rows: Iterator[Row], split: str) -> Iterator[Row]:
    return (row for row in rows if in_split(row["sample_id"], split) and row["status"] == OK)


def _chosen_pairs(
    problems: Iterator[Row], labels: Iterator[Row], split: str
) -> Iterator[tuple[Row, Row]]:
    # Every row's sample_id was compared with its place, so that the two run in step.
    for row, label in zip(problems, labels, strict=True):
        if in_split(row["sample_id"], split) and row["status"] == label["status"] == OK:
            yield row, label


@contextlib.contextmanager
def _naming(where: str) -> Iterator[None]:
    """Turn what pyarrow, the file system or a check says into an error that names the place."""
    try:
        yield
    except FileNotFoundError:
        raise InvalidInput(f"{where} is missing") from None
    except UnreadableStore:
        raise
    except (pa.ArrowException, OSError, ValueError, KeyError) as error:
        raise InvalidInput(f"{where} cannot be read: {error}") from None
