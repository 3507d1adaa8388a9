"""What can be asked of the generator, and the check that it can be given."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from deepsched.baselines.errors import InvalidProblem, UnknownName
from deepsched.baselines.generate.families import FAMILIES, Shape

# Legal values of the real fields. The upper ends keep every drawn number far from overflow.
LIMITS = {
    "ccr": (0.0, 1e6),
    "heterogeneity": (1.0, 1e6),
    "noise": (0.0, 10.0),
    "arrival_spread": (0.0, 1e6),
    "memory": (0.0, 1.0),
    "link_spread": (1.0, 1e6),
    "latency": (0.0, 1.0),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class GeneratorSpec:
    """What a random problem is to look like; checked when made.

    Attributes
    ----------
    family : a name in `FAMILIES`.
    tasks : number of tasks. Exact, but for gaussian-elimination, fft and cholesky, which take their
        largest size that is not above it.
    machines : number of machines.
    width, depth : tasks on the widest level, or tasks on the longest path; one of them or neither
        (then the width is √tasks). Only layered and fork-join take them; their functions say how.
    out_degree : mean number of children; only where the family leaves it open. None: 3, or 1.5 for
        series-parallel.
    ccr : mean transfer time of an edge (over pairs of different machines) / mean execution time of
        a task (over machines that can hold it). Realised to 1e-6 whenever there are edges and
        machines to send between; with one machine, bytes are made for a link of default bandwidth.
    heterogeneity : speed of the fastest machine / the slowest, realised when there are two or more;
        the others are log-uniform between them, around 1.
    noise : σ of a lognormal factor per task and machine, median 1; 0: none.
    arrival_spread : 0: all tasks arrive at 0. Else they arrive as a Poisson process does within
        arrival_spread · (sum of mean execution times / machines), in topological order.
    memory : share of the tasks that do not fit on the machine with the least memory; each fits at
        least on the largest. 0: no limits. Without effect on one machine.
    link_spread : 1: all links have the default bandwidth. Else each ordered pair of machines has
        its own, log-uniform with this ratio between the ends of the range, and its own latency.
    latency : share of the mean transfer time that is latency; the rest depends on the bytes.

    Raises
    ------
    UnknownName
        If there is no such family; lists those there are.
    InvalidProblem
        If another field is out of range or the family does not take it; names field and value.
    """

    family: str
    tasks: int
    machines: int
    width: int | None = None
    depth: int | None = None
    out_degree: float | None = None
    ccr: float = 1.0
    heterogeneity: float = 4.0
    noise: float = 0.2
    arrival_spread: float = 0.0
    memory: float = 0.0
    link_spread: float = 1.0
    latency: float = 0.0

    def __post_init__(self) -> None:
        if self.family not in FAMILIES:
            raise UnknownName("family", self.family, FAMILIES)
        family = FAMILIES[self.family]
        check_count("tasks", self.tasks, family.fewest, f" in family {self.family!r}")
        check_count("machines", self.machines, 1)
        for field in ("width", "depth"):
            value = getattr(self, field)
            if value is not None:
                if not family.shaped:
                    raise InvalidProblem(f"{field} {value!r}: family {self.family!r} takes none")
                check_count(field, value, 1)
                if value > self.tasks:
                    raise InvalidProblem(f"{field} {value} is more than the {self.tasks} tasks")
        if self.width is not None and self.depth is not None:
            raise InvalidProblem(
                f"width {self.width} and depth {self.depth}: give one of them; "
                f"with {self.tasks} tasks the other follows"
            )
        if self.out_degree is not None:
            if family.out_degree is None:
                raise InvalidProblem(
                    f"out_degree {self.out_degree!r}: family {self.family!r} takes none"
                )
            least, _, greatest = family.out_degree
            _check_real("out_degree", self.out_degree, least, greatest)
        for field, (low, high) in LIMITS.items():
            _check_real(field, getattr(self, field), low, high)

    def shape(self) -> Shape:
        """Return what the family's function takes, the default out-degree filled in."""
        degrees = FAMILIES[self.family].out_degree
        default = 0.0 if degrees is None else degrees[1]
        degree = default if self.out_degree is None else self.out_degree
        return Shape(self.tasks, self.width, self.depth, degree)


def check_count(field: str, value: object, least: int, where: str = "") -> None:
    """Raise InvalidProblem unless `value` is a whole number of at least `least`."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise InvalidProblem(f"{field} {value!r} is not a whole number")
    if value < least:
        raise InvalidProblem(f"{field} {value} must be at least {least}{where}")


def _check_real(field: str, value: object, low: float, high: float) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float | np.number):
        raise InvalidProblem(f"{field} {value!r} is not a number")
    if not low <= value <= high:  # also where it is NaN
        raise InvalidProblem(f"{field} {value:g} must be between {low:g} and {high:g}")
