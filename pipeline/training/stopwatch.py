"""Where the time of a training goes."""

from __future__ import annotations

import contextlib
import time
from collections import defaultdict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


class Stopwatch:
    """Counts seconds by part.

    Parts of the training thread: waiting for data (drawing, reading and encoding it, which another
    thread does ahead), rollouts, forward, backward, waiting for the peers, optimiser.
    """

    def __init__(self) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)

    @contextlib.contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Count the time of the block for a part, but for that of other parts within it."""
        begin, others = time.perf_counter(), sum(self.seconds.values())
        try:
            yield
        finally:
            within = sum(self.seconds.values()) - others
            self.seconds[name] += time.perf_counter() - begin - within

    def shares(self) -> dict[str, float]:
        """Return each part's share of all parts."""
        total = sum(self.seconds.values()) or 1.0
        return {name: round(value / total, 4) for name, value in self.seconds.items()}
