"""The table of schedulers, and the random stream each of them owns on each sample."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from types import MappingProxyType
from typing import Protocol

import numpy as np

from baselines.errors import UnknownName
from baselines.heft import heft
from baselines.problem import Problem
from baselines.schedule import Schedule


class Scheduler(Protocol):
    """What every scheduler is: a problem and a random stream in, a valid schedule out.

    The same problem and a stream in the same state give the same schedule, bit for bit. A scheduler
    that is only offered up to some size raises `TooLarge` beyond it.
    """

    def __call__(self, problem: Problem, rng: np.random.Generator, /) -> Schedule: ...


SCHEDULERS: Mapping[str, Scheduler] = MappingProxyType(
    {
        "heft": heft,
    }
)


def get_scheduler(name: str) -> Scheduler:
    """Return the scheduler of that name.

    Raises
    ------
    UnknownName
        Listing the known ones.
    """
    try:
        return SCHEDULERS[name]
    except KeyError:
        raise UnknownName("scheduler", name, SCHEDULERS) from None


def teacher_rng(seed: int, sample_id: int, teacher: str) -> np.random.Generator:
    """Return the stream of one teacher on one sample, independent of every other."""
    return np.random.default_rng([seed, sample_id, zlib.crc32(teacher.encode())])
