"""What a schedule is worth, in one line: HEFT's makespan, its own, and how far it could go."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from deepsched.baselines.bounds import enough, lower_bound
from deepsched.baselines.objectives import BOUNDS, MEASURES
from deepsched.baselines.ratios import TIE
from deepsched.model.networks.deepsched.options import OBJECTIVES

if TYPE_CHECKING:
    from deepsched.baselines.problem import Problem
    from deepsched.baselines.schedule import Schedule

REFERENCE = "HEFT"
ASCII = str.maketrans({"→": "->", "−": "-", "σ": "sigma"})


@dataclass(frozen=True, kw_only=True)
class Found:
    """A schedule and what it is held against.

    Attributes
    ----------
    reference : HEFT's schedule.
    objective : what was made short, one of `OBJECTIVES`.
    samples : schedules decoded by the network; None for another scheduler.
    noise : sigma of the factor between tasks and machines.
    seconds : that scheduling took, without compiling.
    """

    problem: Problem
    schedule: Schedule
    reference: Schedule
    objective: str
    samples: int | None
    noise: float
    seconds: float


def headline(found: Found) -> str:
    """Return the line, such as `HEFT 80 → deepsched 73 s (−8.8 %), bound 69; 3 machines, σ 0; …`.

    It says `same as HEFT` where nothing was gained, and `optimal` where the bound is reached.
    """
    measure = MEASURES[found.objective]
    value = measure(found.problem, found.schedule)
    other = measure(found.problem, found.reference)
    if found.objective == "makespan":
        least = lower_bound(found.problem, "strong")
    else:
        least = BOUNDS[found.objective](found.problem)
    who = found.schedule.scheduler
    if who == found.reference.scheduler:
        said = f"{REFERENCE} {value:.6g} s"
    elif abs(value - other) <= TIE * max(other, value):
        said = f"{who} {value:.6g} s, same as {REFERENCE}"
    else:
        change = f" ({change_text(value, other)})" if other > 0 else ""
        said = f"{REFERENCE} {other:.6g} → {who} {value:.6g} s{change}"
    if found.objective != OBJECTIVES[0]:
        said = f"mean turnaround: {said}"
    reached = "optimal" if value <= enough(least) else f"bound {least:.6g}"
    machines = found.problem.n_machines
    effort = ""
    if found.samples is not None:
        effort = f"{found.samples} samples, " if found.samples > 1 else "one pass, "
    return (
        f"{said}, {reached}; {machines} machine{'' if machines == 1 else 's'}, "
        f"σ {found.noise:g}; {effort}{duration_text(found.seconds)}"
    )


def fitting(text: str, encoding: str) -> str:
    """Return the line in letters that an encoding has."""
    try:
        text.encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return text.translate(ASCII)
    return text


def change_text(value: float, other: float) -> str:
    """Return by how much a value is less or more than another, in percent with its sign."""
    percent = 100.0 * (value / other - 1.0)
    sign = "−" if percent < 0 else "+"
    digits = 1 if abs(percent) >= 0.05 else 3
    return f"{sign}{abs(percent):.{digits}f} %"


def duration_text(seconds: float) -> str:
    """Return a number of seconds as a person reads it."""
    return f"{seconds:.3g} s" if seconds >= 1 else f"{1e3 * seconds:.2g} ms"
