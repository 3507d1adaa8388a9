"""What the scheduler `deepsched` tells about one run of it, while it runs and afterwards."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(kw_only=True, slots=True)
class Report:
    """Filled in by the scheduler it is given to.

    Attributes
    ----------
    improved : called with each better value of the objective, s, from any thread; optional.
    heft : HEFT's makespan, s, where the guard ran it.
    network : s of the forward pass.
    decode : s of everything after it.
    """

    improved: Callable[[float], None] | None = None
    heft: float | None = None
    network: float | None = None
    decode: float | None = None

    def better(self, value: float) -> None:
        """Pass on a value that is better than those before."""
        if self.improved is not None:
            self.improved(value)
