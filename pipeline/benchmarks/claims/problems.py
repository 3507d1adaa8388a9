"""Problems of the preset `paper`, on its machines and on a few, of three splits."""

from __future__ import annotations

import functools
import itertools
from typing import TYPE_CHECKING

from deepsched.pipeline.benchmarks.training_costs import FewerMachines

if TYPE_CHECKING:
    from collections.abc import Iterator

    from deepsched.baselines.problem import Problem

FEW_MACHINES = 16
SMALL = (100, 200)  # tasks of the problems of trainings: there are no smaller ones in the preset
SPLITS = {"train": range(8), "val": (8,), "test": (9,)}  # last digits of sample ids, as in datasets
SEED = 0


def source(machines: int, tasks: tuple[int, int]) -> FewerMachines:
    """Return the preset on its first machines, with so many tasks a sample."""
    return FewerMachines(seed=SEED, machines=machines, tasks=tasks)


def sample_ids(split: str) -> Iterator[int]:
    """Yield the ids of a split, ascending."""
    return (k for k in itertools.count() if k % 10 in SPLITS[split])


@functools.lru_cache(maxsize=8)
def small_problems(split: str, count: int, machines: int) -> tuple[Problem, ...]:
    """Return the first problems of a split, of 100 to 200 tasks."""
    made = source(machines, SMALL)
    return tuple(made.problem(k) for k in itertools.islice(sample_ids(split), count))


def family(problem: Problem) -> str:
    """Return the family of a problem of the preset."""
    return problem.name.removeprefix("paper-").rsplit("-", 2)[0]
