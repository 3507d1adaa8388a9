"""The table of schedulers, and the random stream each of them owns on each sample."""

from __future__ import annotations

import re
import zlib
from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol

import numpy as np

from deepsched.baselines.best_of import best_of
from deepsched.baselines.cp_sat import NAME as CP_SAT
from deepsched.baselines.cp_sat import cp_sat, require
from deepsched.baselines.cpop import cpop
from deepsched.baselines.errors import InvalidInput, known_name
from deepsched.baselines.genetic import genetic, genetic_makespan
from deepsched.baselines.heft import heft
from deepsched.baselines.max_min import max_min
from deepsched.baselines.mct import mct
from deepsched.baselines.min_min import min_min
from deepsched.baselines.peft import peft
from deepsched.baselines.perturbation import perturbation
from deepsched.baselines.random_assignment import random_assignment
from deepsched.baselines.round_robin import round_robin
from deepsched.baselines.sufferage import sufferage

if TYPE_CHECKING:
    from collections.abc import Mapping

    from deepsched.baselines.problem import Problem
    from deepsched.baselines.schedule import Schedule


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
RESERVED = ("deepsched", "paper")  # the networks
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


_registered: dict[str, Scheduler] = {}


def register(name: str, scheduler: Scheduler) -> None:
    """Make a scheduler of one's own known by a name, in this process and in its Ray tasks.

    A name that was registered before is taken over.

    Raises
    ------
    InvalidInput
        If the name is one of the package's own or cannot be part of a file's name, or `scheduler`
        cannot be called.
    """
    if name in SCHEDULERS or name in OPTIONAL or name in RESERVED:
        raise InvalidInput(f"scheduler {name!r} is one of the package's own; give another name")
    if not NAME.fullmatch(name):
        raise InvalidInput(
            f"scheduler name {name!r}: give up to 64 ASCII letters, digits, '-', '_' and '.', the "
            "first a letter or digit"
        )
    if not callable(scheduler):
        raise InvalidInput(f"scheduler {name!r}: {type(scheduler).__name__} cannot be called")
    _registered[name] = scheduler


def registered() -> Mapping[str, Scheduler]:
    """Return what :func:`register` has made known, by name."""
    return MappingProxyType(_registered)


def is_known(name: str) -> bool:
    """Return whether :func:`get_scheduler` finds that name, so written."""
    return name in SCHEDULERS or name in OPTIONAL or name in _registered


def scheduler_name(name: str) -> str:
    """Return the name of a scheduler as the table has it, whatever its case.

    Raises
    ------
    UnknownName
        Listing the known ones.
    """
    return known_name("scheduler", name, [*SCHEDULERS, *OPTIONAL, *_registered])


def get_scheduler(name: str) -> Scheduler:
    """Return the scheduler of that name, whatever its case.

    Raises
    ------
    UnknownName
        Listing the known ones.
    NotInstalled
        If it needs a package that is missing.
    """
    name = scheduler_name(name)
    if name in OPTIONAL:
        require()
        return OPTIONAL[name]
    return SCHEDULERS[name] if name in SCHEDULERS else _registered[name]


def teacher_rng(seed: int, sample_id: int, teacher: str) -> np.random.Generator:
    """Return the stream of one teacher on one sample, independent of every other."""
    return np.random.default_rng([seed, sample_id, zlib.crc32(teacher.encode())])
