"""Make one shard of a dataset: its problems, and each teacher's schedules of them.

Plain functions without Ray. A shard may be made twice, by two workers at once even: the bytes are
the same, and each file is put in place whole.
"""

from __future__ import annotations

import contextlib
import functools
import time
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from deepsched.baselines.errors import TooLarge
from deepsched.baselines.machines import make_machines
from deepsched.baselines.problem import Problem, make_problem
from deepsched.baselines.registry import get_scheduler, teacher_rng
from deepsched.baselines.schedule import violations
from deepsched.pipeline.common.interrupts import TimedOut, over, time_limit, true_error
from deepsched.pipeline.dataset.files import Folder, open_folder
from deepsched.pipeline.dataset.manifest import Record, finished, label_part, problem_part
from deepsched.pipeline.dataset.schema import (
    LABELS,
    OK,
    PROBLEMS,
    Row,
    failed_row,
    label_row,
    problem_from_row,
    problem_row,
)
from deepsched.pipeline.dataset.storage import read_part
from deepsched.pipeline.labelling.parts import PartMaker, line, reason
from deepsched.pipeline.labelling.sources import SourceLost
from deepsched.pipeline.labelling.spec import LabelSpec, Shard, ShardReport
from deepsched.pipeline.labelling.stuck import stuck_samples, watched

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

FAILED = "failed"  # the source or the scheduler raised an error
INVALID = "invalid"  # the scheduler made a schedule that breaks a rule
TOO_LARGE = "too-large"  # the scheduler is not offered for problems of that size
TIMEOUT = "timeout"  # the scheduler took longer than it may
NO_PROBLEM = "no-problem"  # there was nothing to schedule
RETRIED = (FAILED, INVALID, TIMEOUT)  # what may go better another time


class _Entry(NamedTuple):
    sample_id: int
    problem: Problem | None
    row: Row


def label_shard(shard: Shard, spec: LabelSpec) -> ShardReport:
    """Make those parts of a shard that are not there yet, or not as their records say.

    With `shard.retry`, labels that failed are tried again; if one succeeds now, the teacher's part
    is written anew under another name.

    Raises
    ------
    UnwritableOutput
        If a part cannot be written; what was written before stays.
    SourceLost
        If a trace is missing on this node or has changed.
    """
    folder = open_folder(spec.out)
    problems, labels = _finished_parts(folder, shard, spec)
    again = _retried(labels) if shard.retry else {}
    kept = frozenset(labels.keys() - again.keys())
    missing = [teacher for teacher in spec.teachers if teacher not in kept]
    if problems is not None:
        kept |= {problem_part(shard.index)}
        if not missing:
            return ShardReport(shard=shard.index, problems=problems, labels=labels, kept=kept)
    for teacher in missing:
        warm_up(teacher)

    parts = {teacher: PartMaker(LABELS) for teacher in missing}
    made = PartMaker(PROBLEMS)
    stuck = {
        teacher: stuck_samples(folder, teacher) if spec.timeout else frozenset()
        for teacher in missing
    }
    before = {teacher: _old_rows(folder, shard, teacher, labels[teacher]) for teacher in again}
    entries = _made(spec, shard) if problems is None else _stored(folder, shard, spec)
    for entry in entries:
        n_tasks = 0 if entry.problem is None else entry.problem.n_tasks
        if problems is None:
            made.add(entry.row, n_tasks, None)
        for teacher, part in parts.items():
            old = next(before[teacher]) if teacher in before else None
            if old is not None and entry.sample_id not in again[teacher]:
                row, seconds = old
            elif entry.sample_id in stuck[teacher]:
                row, seconds = failed_row(entry.sample_id, TIMEOUT, over(spec.timeout)), None
            else:
                with watched(folder, teacher, entry.sample_id, spec.timeout):
                    row, seconds = _label(entry, teacher, spec)
            part.add(row, n_tasks, seconds)
    # Problems first: labels without their problems are never looked at.
    if problems is None:
        problems = made.publish(folder, problem_part(shard.index), None)
    for teacher, part in parts.items():
        # A part that was lost is made where it lay, for the manifest that lists it there.
        name = shard.labels(teacher)
        if teacher in again:
            if not part.gained(labels[teacher]):
                continue
            name = label_part(teacher, shard.index, shard.retry or 1)
        labels[teacher] = part.publish(folder, name, problems.part.sha256)
    return ShardReport(shard=shard.index, problems=problems, labels=labels, kept=kept)


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
    folder: Folder, shard: Shard, spec: LabelSpec
) -> tuple[Record | None, dict[str, Record]]:
    problems = finished(folder, problem_part(shard.index))
    labels: dict[str, Record] = {}
    if problems is not None:
        for teacher in spec.teachers:
            names = [shard.labels(teacher)]
            if shard.retry:  # what an interrupted run of the same kind has made
                names.insert(0, label_part(teacher, shard.index, shard.retry))
            for record in filter(None, (finished(folder, name) for name in names)):
                # Labels made for other problems are of no use.
                if record.problems == problems.part.sha256:
                    labels[teacher] = record
                    break
    return problems, labels


def _retried(labels: Mapping[str, Record]) -> dict[str, frozenset[int]]:
    """Return the samples that each teacher failed on and may not fail on another time."""
    found = {
        teacher: frozenset(f.sample_id for f in record.failures if f.status in RETRIED)
        for teacher, record in labels.items()
    }
    return {teacher: samples for teacher, samples in found.items() if samples}


def _old_rows(
    folder: Folder, shard: Shard, teacher: str, record: Record
) -> Iterator[tuple[Row, float | None]]:
    name = record.part.file
    rows = read_part(folder, name, folder.read(name), LABELS)
    return zip(rows, record.seconds, strict=True)


def _made(spec: LabelSpec, shard: Shard) -> Iterator[_Entry]:
    """Make the problems of a shard."""
    shared = spec.source.shared_machines
    for sample_id in range(shard.first, shard.stop):
        source = spec.source.label(sample_id)
        try:
            problem = spec.source.problem(sample_id)
            row = problem_row(sample_id, source, problem, shared)
        except (SourceLost, MemoryError):
            raise
        except Exception as error:  # whatever it is, one bad sample must not stop the others
            if isinstance(true_error(error), KeyboardInterrupt):
                raise KeyboardInterrupt from None
            yield _Entry(sample_id, None, failed_row(sample_id, FAILED, reason(error), source))
            continue
        yield _Entry(sample_id, problem, row)


def _stored(folder: Folder, shard: Shard, spec: LabelSpec) -> Iterator[_Entry]:
    """Read the problems of a shard that were made before."""
    name, shared = problem_part(shard.index), spec.source.shared_machines
    for row in read_part(folder, name, folder.read(name), PROBLEMS):
        problem = problem_from_row(row, shared) if row["status"] == OK else None
        yield _Entry(row["sample_id"], problem, row)


def _label(entry: _Entry, teacher: str, spec: LabelSpec) -> tuple[Row, float | None]:
    """Return the row of one teacher's schedule, and the seconds that scheduling took."""
    sample_id, problem = entry.sample_id, entry.problem
    if problem is None:
        return failed_row(sample_id, NO_PROBLEM, "the problem could not be made"), None
    rng = teacher_rng(spec.seed, sample_id, teacher)
    try:
        begin = time.perf_counter()
        with time_limit(spec.timeout):
            schedule = get_scheduler(teacher)(problem, rng)
        seconds = time.perf_counter() - begin
        broken = violations(problem, schedule)
    except MemoryError:  # says something about this node, nothing about the sample
        raise
    except TooLarge as error:
        return failed_row(sample_id, TOO_LARGE, reason(error)), None
    except Exception as error:  # whatever it is, one bad sample must not stop the others
        cause = true_error(error)
        if isinstance(cause, KeyboardInterrupt):
            raise KeyboardInterrupt from None
        if isinstance(cause, TimedOut):
            return failed_row(sample_id, TIMEOUT, line(str(cause))), None
        return failed_row(sample_id, FAILED, reason(error)), None
    if broken:
        return failed_row(sample_id, INVALID, line(broken[0])), None
    return label_row(sample_id, problem, schedule), seconds
