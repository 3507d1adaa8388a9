"""What the scheduler `deepsched` tells about one run of it, while it runs and afterwards."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(kw_only=True, slots=True)
class Report:
    """Filled in by the scheduler it is given to.

    Attributes
    ----------
    heft_wanted : whether HEFT's schedule is made to its end even where it is the longer one.
    improved : called with each better value of the objective, s, from any thread; optional.
    best : the last of these.
    heft : HEFT's makespan, s, where the guard ran it to its end.
    bound : the cheap lower bound on the makespan, s, where the run asked for it.
    network : s of the views and forward passes, or of trying constants in their place.
    decode : s of everything else.
    """

    heft_wanted: bool = True
    improved: Callable[[float], None] | None = None
    best: float = math.inf
    heft: float | None = None
    bound: float | None = None
    network: float | None = None
    decode: float | None = None

    def better(self, value: float) -> None:
        """Pass on a value if it is better than those before."""
        if value >= self.best:
            return
        self.best = value
        if self.improved is not None:
            self.improved(value)
