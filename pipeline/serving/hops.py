"""Quick requests on their way to a process: those that wait go together."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import TYPE_CHECKING

from deepsched.pipeline.serving.refusals import busy

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from deepsched.pipeline.serving.work import Ask, Reply

MOST = 32  # requests in one hop
MOST_BYTES = 4_000_000  # of their bodies, but for a single one
FORGET = 0.1  # share of the latest hop in the mean


class Hops:
    """Sends requests on as soon as a process may be free, all that wait in one call.

    A call costs some milliseconds of CPU whatever it carries, and a network that takes many
    problems at once gets them so.
    """

    def __init__(
        self,
        send: Callable[[Sequence[Ask]], Awaitable[Sequence[Reply]]],
        *,
        at_once: int,
        most_waiting: int,
    ) -> None:
        self._send = send
        self._at_once, self._most_waiting = at_once, most_waiting
        self._waiting: deque[tuple[Ask, asyncio.Future[Reply]]] = deque()
        self._under_way: set[asyncio.Task[None]] = set()
        self._mean = 0.01  # s of a process for one request

    @property
    def waiting(self) -> int:
        """How many requests wait."""
        return len(self._waiting)

    @property
    def full(self) -> bool:
        """Whether no further request may wait."""
        return len(self._waiting) >= self._most_waiting

    @property
    def wait(self) -> float:
        """After how many s it is worth to ask again, where no further request may wait; else 0."""
        if not self.full:
            return 0.0
        return max(1.0, 2 * self._mean * len(self._waiting) / self._at_once)

    def refuse(self) -> None:
        """Refuse a request that finds no room.

        Raises
        ------
        RequestError
            503, with the time after which it is worth to ask again.
        """
        raise busy(f"{len(self._waiting)} requests wait already", self.wait)

    async def work(self, ask: Ask) -> Reply:
        """Return the reply to a request.

        Raises
        ------
        RequestError
            503, if too many wait.
        """
        if self.full:
            self.refuse()
        future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._waiting.append((ask, future))
        self._go()
        return await future

    def _go(self) -> None:
        while self._waiting and len(self._under_way) < self._at_once:
            task = asyncio.create_task(self._hop(self._load()))
            self._under_way.add(task)
            task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        self._go()

    def _load(self) -> list[tuple[Ask, asyncio.Future[Reply]]]:
        load: list[tuple[Ask, asyncio.Future[Reply]]] = []
        size = 0
        while self._waiting and len(load) < MOST:
            size += self._waiting[0][0].size
            if load and size > MOST_BYTES:
                break
            ask, future = self._waiting.popleft()
            if not future.cancelled():  # its client has gone
                load.append((ask, future))
        return load

    async def _hop(self, load: Sequence[tuple[Ask, asyncio.Future[Reply]]]) -> None:
        if not load:
            return
        begin = time.perf_counter()
        try:
            replies = await self._send([ask for ask, _ in load])
        except Exception as error:
            for _, future in load:
                if not future.done():
                    future.set_exception(error)
            return
        each = (time.perf_counter() - begin) / len(load)
        self._mean += FORGET * (each - self._mean)
        for (_, future), reply in zip(load, replies, strict=True):
            if not future.done():
                future.set_result(reply)
