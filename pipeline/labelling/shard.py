"""Make one shard of a dataset: its problems, and each teacher's schedules of them.

Plain functions without Ray. A shard may be made twice, by two workers at once even: the bytes are
the same, and each file is put in place whole.
"""

from __future__ import annotations

import contextlib
import functools
import re
import time
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from baselines.errors import TooLarge
from baselines.machines import make_machines
from baselines.problem import Problem, make_problem
from baselines.registry import get_scheduler, teacher_rng
from baselines.schedule import violations
from pipeline.dataset.files import Folder, open_folder, sha256
from pipeline.dataset.manifest import (
    Failure,
    Part,
    Record,
    finished,
    label_part,
    problem_part,
    record_of,
    write_document,
)
from pipeline.dataset.schema import (
    LABELS,
    OK,
    PROBLEMS,
    Row,
    RowWriter,
    failed_row,
    label_row,
    problem_from_row,
    problem_row,
)
from pipeline.dataset.storage import read_part
from pipeline.interrupts import was_interrupted
from pipeline.labelling.sources import Source, SourceLost

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

FAILED = "failed"  # the source or the scheduler raised an error
INVALID = "invalid"  # the scheduler made a schedule that breaks a rule
TOO_LARGE = "too-large"  # the scheduler is not offered for problems of that size
NO_PROBLEM = "no-problem"  # there was nothing to schedule
MAX_ERROR = 500  # characters of an error that are kept


@dataclass(frozen=True, kw_only=True)
class LabelSpec:
    """What a labelling run makes.

    Attributes
    ----------
    out : URI of the dataset.
    source : makes the problems.
    samples, shard_size : numbers of samples.
    seed : of the teachers' random streams; the source has it too.
    teachers : names of schedulers.
    """

    out: str
    source: Source
    samples: int
    shard_size: int
    seed: int
    teachers: tuple[str, ...]

    @property
    def n_shards(self) -> int:
        """The number of shards; the last one may be smaller."""
        return -(-self.samples // self.shard_size)

    def rows(self, shard: int) -> range:
        """Return the sample ids of a shard."""
        first = shard * self.shard_size
        return range(first, min(first + self.shard_size, self.samples))


@dataclass(frozen=True, kw_only=True)
class ShardReport:
    """What a shard holds now: the records of its parts, and which of them were there before."""

    shard: int
    problems: Record
    labels: dict[str, Record]
    kept: frozenset[str]


class _Entry(NamedTuple):
    sample_id: int
    problem: Problem | None
    row: Row


def label_shard(shard: int, spec: LabelSpec) -> ShardReport:
    """Make those parts of a shard that are not there yet, or not as their records say.

    Raises
    ------
    UnwritableOutput
        If a part cannot be written; what was written before stays.
    SourceLost
        If a trace is missing on this node or has changed.
    """
    folder = open_folder(spec.out)
    problems, labels = _finished_parts(folder, shard, spec)
    kept = frozenset(labels if problems is None else [*labels, problem_part(shard)])
    missing = [teacher for teacher in spec.teachers if teacher not in labels]
    if problems is not None and not missing:
        return ShardReport(shard=shard, problems=problems, labels=labels, kept=kept)
    for teacher in missing:
        warm_up(teacher)

    parts = {teacher: _PartMaker(LABELS) for teacher in missing}
    made = _PartMaker(PROBLEMS)
    entries = _made(spec, shard) if problems is None else _stored(folder, shard)
    for entry in entries:
        n_tasks = 0 if entry.problem is None else entry.problem.n_tasks
        if problems is None:
            made.add(entry.row, n_tasks, None)
        for teacher, part in parts.items():
            row, seconds = _label(entry, teacher, spec.seed)
            part.add(row, n_tasks, seconds)
    # Problems first: labels without their problems are never looked at.
    if problems is None:
        problems = made.publish(folder, problem_part(shard), None)
    for teacher, part in parts.items():
        labels[teacher] = part.publish(folder, label_part(teacher, shard), problems.part.sha256)
    return ShardReport(shard=shard, problems=problems, labels=labels, kept=kept)


@functools.cache
def warm_up(teacher: str) -> None:
    """Compile what a teacher needs, once a process, so that no sample's time contains it."""
    links = np.array([[1.0, 2.0], [4.0, 1.0]])
    for bandwidth in (1.0, links):
        problem = make_problem(
            machines=make_machines(2, bandwidth=bandwidth),
            etc=[[1.0, 2.0], [2.0, 1.0], [1.0, 1.0]],
            edges=([0, 0], [1, 2], [1.0, 2.0]),
        )
        # A scheduler that fails here will fail on samples too, where it is reported.
        with contextlib.suppress(Exception):
            get_scheduler(teacher)(problem, np.random.default_rng(0))


def _finished_parts(
    folder: Folder, shard: int, spec: LabelSpec
) -> tuple[Record | None, dict[str, Record]]:
    problems = finished(folder, problem_part(shard))
    labels: dict[str, Record] = {}
    if problems is not None:
        for teacher in spec.teachers:
            record = finished(folder, label_part(teacher, shard))
            # Labels made for other problems are of no use.
            if record is not None and record.problems == problems.part.sha256:
                labels[teacher] = record
    return problems, labels


def _made(spec: LabelSpec, shard: int) -> Iterator[_Entry]:
    """Make the problems of a shard."""
    for sample_id in spec.rows(shard):
        source = spec.source.label(sample_id)
        try:
            problem = spec.source.problem(sample_id)
            row = problem_row(sample_id, source, problem)
        except (SourceLost, MemoryError):
            raise
        except Exception as error:  # whatever it is, one bad sample must not stop the others
            if was_interrupted(error):
                raise KeyboardInterrupt from None
            yield _Entry(sample_id, None, failed_row(sample_id, FAILED, reason(error), source))
            continue
        yield _Entry(sample_id, problem, row)


def _stored(folder: Folder, shard: int) -> Iterator[_Entry]:
    """Read the problems of a shard that were made before."""
    name = problem_part(shard)
    for row in read_part(folder, name, folder.read(name), PROBLEMS):
        problem = problem_from_row(row) if row["status"] == OK else None
        yield _Entry(row["sample_id"], problem, row)


def _label(entry: _Entry, teacher: str, seed: int) -> tuple[Row, float | None]:
    """Return the row of one teacher's schedule, and the seconds that scheduling took."""
    sample_id, problem = entry.sample_id, entry.problem
    if problem is None:
        return failed_row(sample_id, NO_PROBLEM, "the problem could not be made"), None
    rng = teacher_rng(seed, sample_id, teacher)
    try:
        begin = time.perf_counter()
        schedule = get_scheduler(teacher)(problem, rng)
        seconds = time.perf_counter() - begin
        broken = violations(problem, schedule)
    except MemoryError:  # says something about this node, nothing about the sample
        raise
    except TooLarge as error:
        return failed_row(sample_id, TOO_LARGE, reason(error)), None
    except Exception as error:  # whatever it is, one bad sample must not stop the others
        if was_interrupted(error):
            raise KeyboardInterrupt from None
        return failed_row(sample_id, FAILED, reason(error)), None
    if broken:
        return failed_row(sample_id, INVALID, _line(broken[0])), None
    return label_row(sample_id, problem, schedule), seconds


class _PartMaker:
    """Collects the rows of a part and what its record says about them."""

    def __init__(self, schema: pa.Schema) -> None:
        self._writer = RowWriter(schema)
        self._status: Counter[str] = Counter()
        self._tasks = 0
        self._seconds: list[float | None] = []
        self._failures: list[Failure] = []

    def add(self, row: Row, n_tasks: int, seconds: float | None) -> None:
        """Append a row of a sample with that many tasks."""
        self._writer.add(row)
        self._status[row["status"]] += 1
        self._seconds.append(seconds)
        if row["status"] == OK:
            self._tasks += n_tasks
        else:
            failure = {name: row[name] for name in ("sample_id", "status", "error")}
            self._failures.append(Failure(**failure))

    def publish(self, folder: Folder, name: str, problems: str | None) -> Record:
        """Write the part, then the record that says it is there."""
        data = self._writer.finish()
        record = Record(
            part=Part(
                rows=self._status.total(),
                bytes=data.size,
                sha256=sha256(data),
                status=dict(sorted(self._status.items())),
            ),
            problems=problems,
            tasks=self._tasks,
            seconds=() if problems is None else tuple(self._seconds),
            failures=tuple(self._failures),
        )
        folder.write(name, data)
        write_document(folder, record_of(name), record)
        return record


def reason(error: Exception) -> str:
    """Return an error as one line that is the same in every run."""
    kind = type(error).__name__
    return _line(f"{kind}: {error}" if str(error) else kind)


def _line(text: str) -> str:
    # Addresses differ from run to run, and the line is part of a file with a hash.
    steady = re.sub(r"\b0x[0-9a-f]{6,}\b", "0x...", " ".join(text.split()))
    return steady.encode(errors="backslashreplace").decode()[:MAX_ERROR]
