"""When to try again, and for how long."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

FIRST_WAIT = 0.1  # s, doubled with every try
LONGEST_WAIT = 2.0  # s, unless the service asks for more


class Patience:
    """The tries of one request.

    Parameters
    ----------
    seconds : from the first failure on; a request that takes long may fail late and still be tried
        again. 0: never.
    """

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._clock = clock
        self._end: float | None = None
        self._next = FIRST_WAIT

    def wait(self, asked: float = 0.0) -> float | None:
        """Return how many seconds to wait before the next try; None: no more.

        Parameters
        ----------
        asked : s that the service wants to be left alone.
        """
        now = self._clock()
        if self._end is None:
            self._end = now + self._seconds
        # Spread, so that clients that lost the same service do not all come back at once.
        wait = max(asked, self._next) * (1.0 + 0.25 * random.random())
        self._next = min(2 * self._next, LONGEST_WAIT)
        if now >= self._end or now + asked > self._end:
            return None
        return min(wait, max(asked, self._end - now))
