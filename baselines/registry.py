"""The table of schedulers, and the random stream each of them owns on each sample."""

from __future__ import annotations

import zlib
from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol

import numpy as np

from baselines.best_of import best_of
from baselines.cp_sat import NAME as CP_SAT
from baselines.cp_sat import cp_sat, require
from baselines.cpop import cpop
from baselines.errors import UnknownName
from baselines.genetic import genetic, genetic_makespan
from baselines.heft import heft
from baselines.max_min import max_min
from baselines.mct import mct
from baselines.min_min import min_min
from baselines.peft import peft
from baselines.perturbation import perturbation
from baselines.random_assignment import random_assignment
from baselines.round_robin import round_robin
from baselines.sufferage import sufferage

if TYPE_CHECKING:
    from collections.abc import Mapping

    from baselines.problem import Problem
    from baselines.schedule import Schedule


class Scheduler(Protocol):
    """What every scheduler is: a problem and a random stream in, a valid schedule out.

    The same problem and a stream in the same state give the same schedule, bit for bit. A scheduler
    that is only offered up to some size raises `TooLarge` beyond it.
    """

    def __call__(self, problem: Problem, rng: np.random.Generator, /) -> Schedule:
        """Schedule `problem`; `rng` is drawn from only by schedulers that say so."""
        ...


SCHEDULERS: Mapping[str, Scheduler] = MappingProxyType(
    {
        "heft": heft,
        "cpop": cpop,
        "peft": peft,
        "min-min": min_min,
        "max-min": max_min,
        "sufferage": sufferage,
        "mct": mct,
        "round-robin": round_robin,
        "random": random_assignment,
        "ga": genetic,
        "ga-makespan": genetic_makespan,
        "perturbation": perturbation,
        "best-of": best_of,
    }
)
# They need packages beside those that DeepSched needs, and may refuse all but tiny problems.
OPTIONAL: Mapping[str, Scheduler] = MappingProxyType({CP_SAT: cp_sat})


def get_scheduler(name: str) -> Scheduler:
    """Return the scheduler of that name.

    Raises
    ------
    UnknownName
        Listing the known ones.
    NotInstalled
        If it needs a package that is missing.
    """
    if name in OPTIONAL:
        require()
        return OPTIONAL[name]
    try:
        return SCHEDULERS[name]
    except KeyError:
        raise UnknownName("scheduler", name, [*SCHEDULERS, *OPTIONAL]) from None


def teacher_rng(seed: int, sample_id: int, teacher: str) -> np.random.Generator:
    """Return the stream of one teacher on one sample, independent of every other."""
    return np.random.default_rng([seed, sample_id, zlib.crc32(teacher.encode())])
