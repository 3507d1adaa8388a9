"""Requests that were sent before the answer to the one before them was out: one after the other.

HTTP lets a client send many requests at once on a connection. Were each connection's next one begun
as soon as its last is answered, then whoever asks one thing at a time would wait for a round of all
that send ahead. So their connections stand in one line, and each one's request is begun when that
of the one before is answered, or takes long.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import OrderedDict
from typing import Protocol

LONG = 0.02  # s, after which what is not answered yet holds up the line no more
# A new connection is accepted in one pass of the event loop, read some passes later, its request
# begun in the next: so what came meanwhile is begun before the next that was sent ahead.
PASSES = 6


class Connection(Protocol):
    """What stands in the line."""

    def go_on(self) -> bool:
        """Begin the next request; return whether :meth:`Line.done` will say that it is answered."""


class Line:
    """Connections whose next request was sent ahead, in the order of their coming."""

    def __init__(self) -> None:
        self._waiting: OrderedDict[Connection, None] = OrderedDict()
        self._somebody, self._done = asyncio.Event(), asyncio.Event()
        self._first: Connection | None = None  # whose request is being answered

    def join(self, connection: Connection) -> None:
        """Let a connection's next request wait; it stands in the line once at most."""
        self._waiting[connection] = None
        self._somebody.set()

    def leave(self, connection: Connection) -> bool:
        """Wait for a connection no more, as it is gone; return whether it stood in the line."""
        stood = connection in self._waiting
        self._waiting.pop(connection, None)
        self.done(connection)
        return stood

    def done(self, connection: Connection) -> None:
        """Note that a connection's request is answered, or waits for its client."""
        if connection is self._first:
            self._done.set()

    async def serve(self) -> None:
        """Begin one request after the other, for ever."""
        while True:
            await self._somebody.wait()
            while self._waiting:
                self._first, _ = self._waiting.popitem(last=False)
                self._done.clear()
                if self._first.go_on():
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(LONG):
                            await self._done.wait()
                self._first = None
                for _ in range(PASSES):
                    await asyncio.sleep(0)
            self._somebody.clear()
