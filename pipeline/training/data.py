"""The samples a training process works on: which are its share, and what it keeps in memory."""

from __future__ import annotations

import dataclasses
import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from deepsched.model.networks.paper.features import Sample, encode
from deepsched.pipeline.dataset.storage import Dataset, in_split

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

SHARDS_PER_PROCESS = 8  # from there on the parts differ by an eighth at most


@dataclass(frozen=True, kw_only=True, slots=True)
class Share:
    """Which part of a split the `rank`-th of `world` processes works on.

    It is every `world`-th shard, so that no process reads the others' files, or every `world`-th
    sample where there are too few shards for the parts to be about equal.
    """

    rank: int = 0
    world: int = 1

    def shards(self, n_shards: int) -> range | None:
        """Return the shards of this part; None where the samples of all shards are dealt out."""
        if n_shards < SHARDS_PER_PROCESS * self.world:
            return None
        return range(self.rank, n_shards, self.world)


class Windows:
    """Encoded samples in windows that fit in memory; one pass over it is one epoch's samples.

    What fits into one window is read and encoded once and kept. More is read again in every pass,
    window by window; batches then mix samples within a window only.

    Parameters
    ----------
    read : starts a pass over the samples, each time in the same order.
    limit : bytes of arrays in a window; a window holds at least one sample.
    """

    def __init__(self, read: Callable[[], Iterator[Sample]], limit: int) -> None:
        self._read = read
        self._limit = limit
        self._kept: list[Sample] | None = None

    def __iter__(self) -> Iterator[Sequence[Sample]]:
        if self._kept is not None:
            yield self._kept
            return
        window: list[Sample] = []
        n_windows = size = 0
        for sample in self._read():
            weight = sample_bytes(sample)
            if window and size + weight > self._limit:
                yield window
                window, size, n_windows = [], 0, n_windows + 1
            window.append(sample)
            size += weight
        if n_windows == 0:
            self._kept = window
        yield window


def read_share(
    uri: str, teacher: str, split: str, share: Share, limit: int | None
) -> Iterator[Sample]:
    """Read and encode one process's share of the first `limit` samples of a split."""
    dataset = Dataset.open(uri)
    shards = share.shards(dataset.n_shards) if limit is None else None
    rows = dataset.samples(teacher, split, shards=shards)
    for position, row in enumerate(itertools.islice(rows, limit)):
        if shards is not None or position % share.world == share.rank:
            yield encode(row.problem, row.schedule)


def count_samples(dataset: Dataset, teacher: str, split: str) -> int:
    """Return how many samples of a split the teacher has scheduled; reads no problem.

    Raises
    ------
    InvalidInput
        If the dataset has no labels of that teacher.
    """
    failed = dataset.failures(teacher)
    ids = range(dataset.n_samples)
    return sum(in_split(k, split) for k in ids) - sum(in_split(k, split) for k in failed)


def sample_bytes(sample: Sample) -> int:
    """Return the bytes that the arrays of a sample take."""
    values = (getattr(sample, field.name) for field in dataclasses.fields(sample))
    return sum(value.nbytes for value in values if isinstance(value, np.ndarray))
