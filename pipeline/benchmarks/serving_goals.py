"""What the service is to reach, and by how much it does or does not."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.table import Table


@dataclass(frozen=True, kw_only=True, slots=True)
class Goal:
    """One number that was measured, and the one that it is to reach.

    Attributes
    ----------
    at_least : whether more is better; else at most `bound` is wanted.
    """

    text: str
    value: float
    bound: float
    unit: str = ""
    at_least: bool = True

    @property
    def reached(self) -> bool:
        """Whether it is; what was not measured is not."""
        return self.value >= self.bound if self.at_least else self.value <= self.bound

    @property
    def line(self) -> str:
        """The verdict.

        Examples
        --------
        >>> Goal(text="JSON", value=60, bound=50, unit="requests/s").line
        'reached: JSON: 60 requests/s; at least 50 wanted (20 % above)'
        """
        verdict = "reached" if self.reached else "missed"
        if math.isnan(self.value):
            return f"{verdict}: {self.text}: not measured"
        wanted = f"at {'least' if self.at_least else 'most'} {self.bound:g} wanted"
        unit = f" {self.unit}" if self.unit else ""
        return f"{verdict}: {self.text}: {self.value:.3g}{unit}; {wanted}{self._margin()}"

    def _margin(self) -> str:
        if self.bound == 0:
            return ""
        share = self.value / self.bound - 1
        return f" ({abs(share):.0%} {'above' if share >= 0 else 'below'})".replace("%", " %")

    def to_json(self) -> dict[str, Any]:
        """Return a row of the file of results."""
        value = None if math.isnan(self.value) else self.value
        return {**asdict(self), "value": value, "reached": self.reached}


@dataclass(kw_only=True, slots=True)
class Found:
    """What one part has measured: rows for the file, tables and lines to look at, and goals."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    goals: list[Goal] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True, slots=True)
class Extent:
    """How long the parts measure.

    Attributes
    ----------
    seconds : of one run of a load.
    rounds : in which everything that is compared is run once.
    whole : whether the largest problems are asked, too, and a process of every kind is killed.
    minutes : of the soak.
    """

    seconds: float = 0.7
    rounds: int = 2
    whole: bool = True
    minutes: float = 15.0
