"""The process that asks: it costs little, or it would take the cores from who answers.

Requests are made before and only sent here; answers are counted, and not parsed. It imports nothing
that takes long: `python -m deepsched.pipeline.benchmarks.serving_driver` reads one load from stdin
and writes what came of it to stdout, both JSON. One thread waits for all connections; an event loop
with a task for each request takes two and a half times as much of the CPU.
"""

from __future__ import annotations

import errno
import heapq
import itertools
import json
import math
import selectors
import signal
import socket
import sys
import time
from collections import Counter, deque
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from deepsched.pipeline.benchmarks.serving_load import LEFT, LOST, UNSENT, Load, Outcome

if TYPE_CHECKING:
    from collections.abc import Callable

GRACE = 130.0  # s, that answers are waited for after the end; the service's own limit is less
AGAIN = 0.1  # s, until who found nobody listening asks again
_NAP = 0.002  # s, between two looks at what is due; what is by then, is sent at once
_NOTICES = 0.05  # s, within which it ends when it is told to
_LAST_CHUNK = b"0\r\n\r\n"
_BUFFER = memoryview(bytearray(1 << 16))
_READ, _WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE


class Driver:
    """Does what a load says.

    Attributes
    ----------
    ended : set it to end early; what is not answered then is not counted.
    """

    def __init__(self, load: Load) -> None:
        self.ended = False
        self._load = load
        self._requests = itertools.cycle([Path(name).read_bytes() for name in load.files])
        self._left = math.inf if load.most is None else load.most
        self._counts: Counter[str] = Counter()
        self._found = Outcome()
        self._selector = selectors.DefaultSelector()
        self._free: list[_Link] = []
        self._busy: set[_Link] = set()
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._leaving: deque[tuple[float, _Link, int]] = deque()  # at its time, from its request
        self._numbers = itertools.count()
        found = socket.getaddrinfo(load.host, load.port, type=socket.SOCK_STREAM)[0]
        self._family: int = found[0]
        self._address: tuple[object, ...] = found[4]
        self._begin = self._last = time.perf_counter()
        self._stop = self._begin + load.seconds
        self._due = self._begin
        self._sent = 0

    def run(self) -> Outcome:
        """Ask until the load is through; return what came of it."""
        if self._load.rate is None:
            for _ in range(self._load.connections):
                self._next_of_client()
        else:
            self._pace()
        end = self._stop + GRACE
        while (self._busy or self._timers) and not self.ended:
            now = time.perf_counter()
            if now >= end:
                self._counts[LOST] += len(self._busy)
                break
            while self._leaving and self._leaving[0][0] <= now:
                self._leave(*self._leaving.popleft()[1:])
            while self._timers and self._timers[0][0] <= now:
                heapq.heappop(self._timers)[2]()
            wait = _NOTICES
            for waiting in (self._timers, self._leaving):
                if waiting:
                    wait = min(wait, waiting[0][0] - now)
            for key, events in self._selector.select(max(wait, 0.0)):
                key.data.look(events)
        self._found.statuses = dict(self._counts)
        self._found.seconds = self._last - self._begin
        self._found.cpu = time.process_time()
        return self._found

    # Who asks when

    def _next_of_client(self) -> None:
        """Send the next request of a client that waits for its answers."""
        now = time.perf_counter()
        if now < self._stop and self._left > 0:
            self._left -= 1
            self._ask(now)

    def _pace(self) -> None:
        """Send what is due, and come again."""
        rate = self._load.rate
        assert rate is not None
        while (now := time.perf_counter()) >= self._due:
            if self._due >= self._stop or self._left <= 0:
                return
            self._left -= 1
            if len(self._busy) < self._load.connections:
                self._ask(self._due)
            else:
                self._counts[UNSENT] += 1
            self._sent += 1
            self._due = self._begin + self._sent / rate
        self._at(max(self._due, now + _NAP), self._pace)

    def _at(self, when: float, call: Callable[[], None]) -> None:
        heapq.heappush(self._timers, (when, next(self._numbers), call))

    def _ask(self, due: float) -> None:
        link: _Link | None = None
        while self._free and (link is None or not link.open):
            link = self._free.pop()
        if link is None or not link.open:
            try:
                link = _Link(self, self._selector, self._family, self._address)
            except OSError:
                self._over(LOST, AGAIN)
                return
        self._busy.add(link)
        if self._load.leave_after is not None:
            at = time.perf_counter() + self._load.leave_after
            self._leaving.append((at, link, link.number + 1))
        link.ask(next(self._requests), due)

    def _leave(self, link: _Link, number: int) -> None:
        if link in self._busy and link.number == number:
            link.close()
            self._busy.discard(link)
            self._over(LEFT, 0.0)

    # What came of it

    def answered(self, link: _Link) -> None:
        """Count the answer that a connection has got."""
        now = time.perf_counter()
        self._last = now
        self._busy.discard(link)
        if link.status < 300:
            self._found.ms.append(1e3 * (now - link.due))
            self._found.in_time += now <= self._stop
        elif link.status >= 500 and link.status != 503:
            self._found.fault = self._found.fault or f"{link.status} {link.shown}"
        if link.open:
            self._free.append(link)
        self._over(str(link.status), link.retry_after if self._load.patient else 0.0)

    def broken(self, link: _Link) -> None:
        """Count a connection that ended; one that nobody waits for is only not used again."""
        if link in self._busy:
            self._busy.discard(link)
            self._over(LOST, AGAIN)

    def _over(self, word: str, wait: float) -> None:
        self._counts[word] += 1
        if self._load.rate is not None:
            return
        now = time.perf_counter()
        # Not at once: the calls would lie inside each other where every answer is there already.
        self._at(min(now + wait, max(self._stop, now)), self._next_of_client)


class _Link:
    """A connection: it sends a request and counts the bytes of the answer."""

    def __init__(
        self,
        driver: Driver,
        selector: selectors.BaseSelector,
        family: int,
        address: tuple[object, ...],
    ) -> None:
        self._driver, self._selector = driver, selector
        self.number = 0  # of the request
        self.status, self.retry_after, self.shown, self.due = 0, 0.0, "", 0.0
        self._unsent = memoryview(b"")
        self._socket = socket.socket(family, socket.SOCK_STREAM)
        self._socket.setblocking(False)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        found = self._socket.connect_ex(address)
        if found not in (0, errno.EINPROGRESS):
            self._socket.close()
            raise OSError(found, "no connection")
        self.open = self._connecting = self._writes = True
        self._selector.register(self._socket, _READ | _WRITE, self)

    def ask(self, request: bytes, due: float) -> None:
        """Begin to send a request."""
        self.number += 1
        self.due = due
        self._head: bytes | None = b""  # until it is whole
        self._remaining = 0
        self._chunked = False
        self._tail = b""
        self._unsent = memoryview(request)
        if not self._connecting:
            self._send()

    def look(self, events: int) -> None:
        """Go on with what can be sent or read."""
        if events & _WRITE and self.open:
            self._connecting = False
            self._send()
        if events & _READ and self.open:
            self._receive()

    def close(self) -> None:
        """Go away, without waiting for anything."""
        if self.open:
            self.open = False
            self._selector.unregister(self._socket)
            self._socket.close()

    def _send(self) -> None:
        try:
            sent = self._socket.send(self._unsent)
        except BlockingIOError:
            sent = 0
        except OSError:
            self._broken()
            return
        self._unsent = self._unsent[sent:]
        if bool(self._unsent) != self._writes:
            self._writes = not self._writes
            self._selector.modify(self._socket, _READ | self._writes * _WRITE, self)

    def _receive(self) -> None:
        try:
            count = self._socket.recv_into(_BUFFER)
        except BlockingIOError:
            return
        except OSError:
            count = 0
        if count == 0:
            self._broken()
        else:
            self._take(count)

    def _broken(self) -> None:
        self.close()
        self._driver.broken(self)

    def _take(self, count: int) -> None:
        tail = b""
        if self._head is not None:
            self._head += bytes(_BUFFER[:count])
            head, whole, body = self._head.partition(b"\r\n\r\n")
            if not whole:
                return
            self._head = None
            self._read_head(head)
            self.shown = body[:300].decode(errors="replace")
            count, tail = len(body), body[-len(_LAST_CHUNK) :]
        elif self._chunked:
            tail = bytes(_BUFFER[max(count - len(_LAST_CHUNK), 0) : count])
        if self._chunked:
            self._tail = (self._tail + tail)[-len(_LAST_CHUNK) :]
            done = self._tail == _LAST_CHUNK
        else:
            self._remaining -= count
            done = self._remaining <= 0
        if done:
            if self._leaves or self._unsent:  # answered before all was sent: the rest is not
                self.close()
            self._driver.answered(self)

    def _read_head(self, head: bytes) -> None:
        first, _, rest = head.partition(b"\r\n")
        self.status = int(first.split(b" ", 2)[1])
        pairs = (line.partition(b":") for line in rest.split(b"\r\n"))
        headers = {key.strip().lower(): value.strip() for key, _, value in pairs}
        self._chunked = headers.get(b"transfer-encoding", b"").lower() == b"chunked"
        self._remaining = int(headers.get(b"content-length", 0))
        self.retry_after = float(headers.get(b"retry-after", 0))
        self._leaves = headers.get(b"connection", b"").lower() == b"close"


def main() -> None:
    """Read a load from stdin, do it or what SIGTERM leaves of it, and write what came of it."""
    driver = Driver(Load(**json.load(sys.stdin)))

    def end(*_: object) -> None:
        driver.ended = True

    signal.signal(signal.SIGTERM, end)
    json.dump(asdict(driver.run()), sys.stdout)


if __name__ == "__main__":
    main()
