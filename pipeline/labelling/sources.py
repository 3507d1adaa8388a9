"""Where the problems of a dataset come from, and the randomness that each sample owns.

A source turns a `sample_id` into a problem. What is drawn for a sample is drawn from
`default_rng([seed, sample_id, ...])` and from nothing else, so that a dataset is the same for any
number of workers and any order. Traces: `traces`; generated problems: `presets`.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from deepsched.baselines.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Sequence

    from deepsched.baselines.machines import Machines
    from deepsched.baselines.problem import Problem

SEED_RANGE = 2**32  # of the seeds that samples draw
TASK_BYTES = 100  # of a stored task and its edges, about


class SourceLost(InvalidInput):
    """A file that problems are made from is gone or has changed; the run stops, no sample fails."""


class Source(Protocol):
    """What makes the problems of a dataset."""

    def problem(self, sample_id: int) -> Problem:
        """Return the problem of a sample, the same whenever and wherever it is asked for."""
        ...

    @property
    def shared_machines(self) -> Machines | None:
        """The machines that all problems share, the very object that they hold; None: no such."""
        ...

    def size(self, sample_id: int) -> int:
        """Return about how many bytes the problem has when stored, uncompressed; makes nothing."""
        ...

    def label(self, sample_id: int) -> str:
        """Return where a sample comes from, for the dataset's `source` column."""
        ...

    def document(self) -> dict[str, Any]:
        """Return everything that decides the problems, as JSON: equal documents, equal problems."""
        ...


def stored_bytes(n_tasks: int, n_machines: int, *, matrix: bool) -> int:
    """Return about how many bytes a problem has; `matrix`: with noise factors or an own ETC."""
    return n_tasks * (TASK_BYTES + (8 * n_machines if matrix else 0))


def sample_rng(seed: int, sample_id: int) -> np.random.Generator:
    """Return the random stream that a sample's problem is drawn from."""
    return np.random.default_rng([seed, sample_id, stream("problem")])


def stream(name: str) -> int:
    """Return the number that keeps the random stream of that name apart from others."""
    return zlib.crc32(name.encode())


def pick(rng: np.random.Generator, values: Sequence[Any]) -> Any:
    """Return one of the values, each with the same chance."""
    return values[int(rng.integers(len(values)))]
