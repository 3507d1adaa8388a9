"""What a labelling run makes, the shards it is divided into, and what each of them reports."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from deepsched.pipeline.dataset.manifest import label_part

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from deepsched.pipeline.dataset.manifest import Record
    from deepsched.pipeline.labelling.sources import Source


@dataclass(frozen=True, kw_only=True)
class LabelSpec:
    """What a labelling run makes.

    Attributes
    ----------
    out : URI of the dataset.
    source : makes the problems.
    samples : how many.
    shard_bytes : about what the problems of a shard have before compression.
    seed : of the teachers' random streams; the source has it too.
    teachers : names of schedulers.
    timeout : s that one schedule may take; None: no limit.
    """

    out: str
    source: Source
    samples: int
    shard_bytes: int
    seed: int
    teachers: tuple[str, ...]
    timeout: float | None = None


@dataclass(frozen=True, kw_only=True)
class Shard:
    """One shard of a dataset.

    Attributes
    ----------
    first, stop : its sample ids, `stop` not included.
    largest : about how many bytes its largest problem has.
    files : where the labels of a teacher lie, if not where they lie by default.
    retry : generation in which failed labels are tried again; None: they are left as they are.
    """

    index: int
    first: int
    stop: int
    largest: int = 0
    files: Mapping[str, str] = field(default_factory=dict)
    retry: int | None = None

    def labels(self, teacher: str) -> str:
        """Return the file of a teacher's labels."""
        return self.files.get(teacher) or label_part(teacher, self.index)


@dataclass(frozen=True, kw_only=True)
class ShardReport:
    """What a shard holds now: the records of its parts, and which of them were there before."""

    shard: int
    problems: Record
    labels: dict[str, Record]
    kept: frozenset[str]

    @property
    def failures(self) -> Iterator[str]:
        """A line for each label that is missing."""
        for part, record in [("problem", self.problems), *self.labels.items()]:
            for failure in record.failures:
                yield f"sample {failure.sample_id}, {part}: {failure.status}: {failure.error}"


def plan_shards(source: Source, samples: int, shard_bytes: int) -> list[Shard]:
    """Divide samples into shards, in order, each of at most `shard_bytes` or of one sample."""
    shards: list[Shard] = []
    first = total = largest = 0
    for k in range(samples + 1):
        size = source.size(k) if k < samples else shard_bytes + 1
        if k > first and total + size > shard_bytes:
            shards.append(Shard(index=len(shards), first=first, stop=k, largest=largest))
            first, total, largest = k, 0, 0
        total += size
        largest = max(largest, size)
    return shards
