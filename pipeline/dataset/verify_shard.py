"""Check a shard of a dataset: its parts, row by row, and every schedule anew."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from deepsched.baselines.errors import InvalidInput
from deepsched.baselines.metrics import METRICS
from deepsched.baselines.schedule import RELATIVE_TOLERANCE, violations
from deepsched.pipeline.dataset.checksum import check_seal
from deepsched.pipeline.dataset.files import sha256
from deepsched.pipeline.dataset.manifest import Part, Record, parse_document, record_of
from deepsched.pipeline.dataset.schema import (
    LABELS,
    MEASURES,
    OK,
    PROBLEMS,
    Row,
    problem_from_row,
    schedule_from_row,
)
from deepsched.pipeline.dataset.storage import Dataset, read_part
from deepsched.pipeline.dataset.stores import UnreadableStore
from deepsched.pipeline.dataset.verify import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from deepsched.baselines.machines import Machines
    from deepsched.baselines.problem import Problem

SHOWN_PER_PART = 5  # rows named in a part; the rest are counted
COUNTED = ("n_tasks", "n_machines", "n_edges")


@dataclass(frozen=True, kw_only=True)
class ShardCheck:
    """What was looked at in a shard, and what was found."""

    shard: int
    rows: int
    schedules: int
    findings: tuple[Finding, ...]


def verify_shard(dataset: Dataset, shard: int, quick: bool = False) -> ShardCheck:
    """Check the problems of a shard and every teacher's labels of them.

    Parameters
    ----------
    quick : sizes, hashes and columns only.
    """
    manifest = dataset.manifest
    problems = _PartReader(dataset, manifest.problems[shard], PROBLEMS, shard)
    labels = [
        _PartReader(dataset, manifest.labels[teacher][shard], LABELS, shard, teacher)
        for teacher in manifest.labels
    ]
    readers = [problems, *labels]
    schedules = 0
    if not quick:
        for reader in readers:
            reader.check_record(manifest.problems[shard])
        machines, rebuild = _machines(dataset)
        for _ in range(manifest.problems[shard].rows):
            row = problems.next()
            problem = problems.rebuild(row, machines) if row is not None and rebuild else None
            for reader in labels:
                label = reader.next()
                if label is not None and row is not None:
                    schedules += reader.judge(label, row, problem)
        for reader in readers:
            reader.end()
    return ShardCheck(
        shard=shard,
        rows=sum(reader.rows for reader in readers),
        schedules=schedules,
        findings=tuple(finding for reader in readers for finding in reader.findings()),
    )


class _PartReader:
    """Yields the rows of one part, in step with the others of its shard, and notes what is wrong.

    A part that cannot be read on gives None from then on.
    """

    def __init__(
        self, dataset: Dataset, part: Part, schema: pa.Schema, shard: int, teacher: str = ""
    ) -> None:
        self.rows = 0
        self._dataset, self._part, self._teacher = dataset, part, teacher
        self._where = dataset.folder.where(part.file)
        self._first = dataset.starts[shard]
        self._status: Counter[str] = Counter()
        self._found: list[Finding] = []
        self._bad_rows = 0
        self._iterator = self._open(schema)

    def next(self) -> Row | None:
        """Return the next row; None where there is none, or none that can be trusted."""
        if self._iterator is None:
            return None
        try:
            row = next(self._iterator, None)
        except InvalidInput as error:
            self._stop(str(error))
            return None
        if row is None:
            self._stop(f"{self._where} has {self.rows} rows, not {self._part.rows}")
            return None
        sample_id = self._first + self.rows
        self.rows += 1
        if row["sample_id"] != sample_id:
            self._stop(
                f"{self._where}: row {self.rows} is sample {row['sample_id']}, not {sample_id}"
            )
            return None
        self._status[str(row["status"])] += 1
        if (row["status"] == OK) != (row["error"] is None):
            self._note(row, f"status {row['status']!r} with error {row['error']!r}")
        return row

    def rebuild(self, row: Row, machines: Machines | None) -> Problem | None:
        """Return the problem of a row; None where there is none."""
        if row["status"] != OK:
            return None
        try:
            problem = problem_from_row(row, machines)
        except Exception as error:  # whatever lies there, the rows behind it are to be checked too
            self._note(row, f"no legal problem: {_reason(error)}")
            return None
        for column in COUNTED:
            if row[column] != getattr(problem, column):
                self._note(row, f"{column} is {row[column]}, not {getattr(problem, column)}")
        return problem

    def judge(self, label: Row, row: Row, problem: Problem | None) -> bool:
        """Check one schedule; return whether there was one that could be checked."""
        if label["status"] != OK:
            return False
        if row["status"] != OK:
            self._note(label, f"a schedule, but its problem is {row['status']!r}")
            return False
        if problem is None:  # noted with the problems
            return False
        try:
            schedule = schedule_from_row(label, self._teacher)
            broken = violations(problem, schedule)
            makespan = schedule.makespan
            measures = {name: METRICS[name](problem, schedule) for name in MEASURES}
        except Exception as error:
            self._note(label, f"no legal schedule: {_reason(error)}")
            return True
        if broken:
            more = f" (and {len(broken) - 1} more)" if len(broken) > 1 else ""
            self._note(label, f"invalid schedule: {broken[0]}{more}")
            return True
        for name, value in measures.items():
            if not _same(label[name], value, makespan):
                self._note(label, f"{name} is {label[name]!r}, computed anew {value!r}")
        return True

    def check_record(self, problems: Part) -> None:
        """Warn where what was noted beside the part does not fit it."""
        name = record_of(self._part.file)
        where = self._dataset.folder.where(name)
        try:
            data = self._dataset.folder.read(name)
            record = parse_document(data, Record, where)
        except FileNotFoundError:
            self._warn(name, f"{where} is missing")
            return
        except (UnreadableStore, InvalidInput) as error:
            self._warn(name, str(error))
            return
        made_for = problems.sha256 if self._teacher else None
        missing = self._part.rows - self._part.status.get(OK, 0)
        times = self._part.rows if self._teacher else 0
        if record.part != self._part:
            self._warn(name, f"{where} is of another {self._part.file}")
        elif record.problems != made_for:
            self._warn(name, f"{where} is of labels for other problems")
        elif len(record.failures) != missing or len(record.seconds) != times:
            self._warn(
                name,
                f"{where} has {len(record.failures)} failures and {len(record.seconds)} times; "
                f"{missing} and {times} expected",
            )

    def end(self) -> None:
        """Check what only all rows together tell."""
        if self._iterator is None:
            return
        try:
            surplus = sum(1 for _ in self._iterator)
        except InvalidInput as error:
            self._stop(str(error))
            return
        if surplus:
            self._stop(f"{self._where} has {self.rows + surplus} rows, not {self._part.rows}")
        elif dict(self._status) != {k: v for k, v in self._part.status.items() if v}:
            self._stop(
                f"{self._where} has {_states(self._status)}; the manifest says "
                f"{_states(self._part.status)}"
            )

    def findings(self) -> Iterator[Finding]:
        """Yield what was found, the first few bad rows each on its own."""
        yield from self._found
        more = self._bad_rows - SHOWN_PER_PART
        if more > 0:
            yield Finding(file=self._part.file, text=f"{self._where}: ... and {more} more like it")

    def _open(self, schema: pa.Schema) -> Iterator[Row] | None:
        file = self._part.file
        try:
            data = self._dataset.read_file(self._part)
        except InvalidInput as error:
            self._stop(self._why_it_differs(schema) or str(error))
            return None
        except UnreadableStore as error:
            if not self._dataset.folder.local:  # then no other file can be read either
                raise
            self._stop(str(error))
            return None
        wrong = wrong_columns(data, schema)
        if wrong is not None:
            self._stop(f"{self._where} {wrong}")
            return None
        return read_part(self._dataset.folder, file, data, schema)

    def _why_it_differs(self, schema: pa.Schema) -> str | None:
        """Return what says more about a file than that its size or hash is wrong, if anything."""
        try:
            data = self._dataset.folder.read(self._part.file)
        except (FileNotFoundError, UnreadableStore):
            return None
        digest = sha256(data)
        for part in self._dataset.manifest.parts():
            if part.sha256 == digest:
                return f"{self._where} is not itself: it holds the bytes of {part.file}"
        try:
            check_seal(data)
        except ValueError:
            return None
        # Whole, but something else: of another version, as like as not.
        wrong = wrong_columns(data, schema)
        return f"{self._where} {wrong}" if wrong is not None and "columns" in wrong else None

    def _stop(self, text: str) -> None:
        self._iterator = None
        self._found.append(Finding(file=self._part.file, text=text))

    def _note(self, row: Row, text: str) -> None:
        self._bad_rows += 1
        if self._bad_rows <= SHOWN_PER_PART:
            line = f"{self._where}, sample {row['sample_id']}: {text}"
            self._found.append(Finding(file=self._part.file, text=line))

    def _warn(self, name: str, text: str) -> None:
        self._found.append(Finding(file=name, text=text, warning=True))


def wrong_columns(data: pa.Buffer, schema: pa.Schema) -> str | None:
    """Return what is wrong with the columns of a part, or that it is no Parquet; else None."""
    try:
        found = pq.read_schema(pa.BufferReader(data))
    except (pa.ArrowException, OSError, ValueError) as error:
        return f"is no Parquet file: {_reason(error)}"
    if found.equals(schema):
        return None
    there = {field.name: field.type for field in found}
    here = {field.name: field.type for field in schema}
    changes = [
        *(f"{name} is missing" for name in here if name not in there),
        *(f"{name} is unknown" for name in there if name not in here),
        *(
            f"{name} is {there[name]}, not {here[name]}"
            for name in here
            if name in there and there[name] != here[name]
        ),
    ]
    return f"has columns of another version: {', '.join(changes) or 'their order or properties'}"


def _machines(dataset: Dataset) -> tuple[Machines | None, bool]:
    """Return the shared machines, and whether problems can be rebuilt."""
    try:
        return dataset.machines, True
    except InvalidInput:  # a finding of `verify_top`
        return None, False


def _same(stored: object, computed: float, makespan: float) -> bool:
    return isinstance(stored, float) and math.isclose(
        stored, computed, rel_tol=RELATIVE_TOLERANCE, abs_tol=RELATIVE_TOLERANCE * makespan
    )


def _states(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {status}" for status, count in sorted(counts.items()) if count)


def _reason(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())
