"""Asking a service as fast or as often as told, from a process of its own that costs little.

Requests are made before and only sent here; answers are counted, and not parsed. It imports nothing
that takes long: `python -m deepsched.pipeline.benchmarks.serving_load` reads one load from stdin
and writes what came of it to stdout, both JSON.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import math
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

LOST = "lost"  # stands for the status where the connection ended without an answer
LEFT = "left"  # ... where the client went away, as it was told to
UNSENT = "unsent"  # ... where all connections were busy when a request was due
GRACE = 130.0  # s, that answers are waited for after the end; the service's own limit is less
_NAP = 0.002  # s, between two looks at what is due
_LAST_CHUNK = b"0\r\n\r\n"


@dataclass(frozen=True, kw_only=True, slots=True)
class Load:
    """What to ask.

    Attributes
    ----------
    files : each a whole HTTP request; they are sent in turns.
    connections : that are kept open, each with one request at a time.
    seconds : in which requests are sent.
    rate : requests/s that are sent at their times, whatever becomes of those before, as far as
        there are connections. None: each connection sends the next one when it has its answer.
    most : requests in all.
    patient : whether who is refused waits as long as `Retry-After` says.
    leave_after : s after which a client closes the connection, answered or not.
    """

    port: int
    files: Sequence[str]
    host: str = "127.0.0.1"
    connections: int = 1
    seconds: float = math.inf
    rate: float | None = None
    most: int | None = None
    patient: bool = False
    leave_after: float | None = None


@dataclass(kw_only=True, slots=True)
class Outcome:
    """What came of a load.

    Attributes
    ----------
    statuses : how often each HTTP status came, as text, or one of the words for none.
    in_time : answers of status 200 that came within the load's seconds.
    ms : of each answer of status 200, in the order in which they came; where requests have their
        times, since then and not since they could be sent.
    seconds : from the first request to the last answer.
    cpu : s that this process took itself.
    fault : the beginning of one answer that no client should get.
    """

    statuses: dict[str, int] = field(default_factory=dict)
    in_time: int = 0
    ms: list[float] = field(default_factory=list)
    seconds: float = 0.0
    cpu: float = 0.0
    fault: str = ""

    @property
    def ok(self) -> int:
        """Answers of status 200 or another that means success."""
        return len(self.ms)

    @property
    def rate(self) -> float:
        """Answers of success a second."""
        return self.ok / self.seconds if self.seconds else 0.0

    @property
    def failures(self) -> int:
        """Requests that were sent and came to nothing: no answer, or a fault of the service."""
        lost = self.statuses.get(LOST, 0)
        return lost + sum(
            count for status, count in self.statuses.items() if status in ("500", "502", "504")
        )


def start(load: Load) -> subprocess.Popen[str]:
    """Start a load in a process of its own; `finish` waits for it."""
    process = subprocess.Popen(
        [sys.executable, "-m", __name__],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    given = asdict(load) | {"seconds": min(load.seconds, 1e9)}
    process.stdin.write(json.dumps(given))
    process.stdin.close()
    process.stdin = None  # or waiting would flush it
    return process


def finish(process: subprocess.Popen[str]) -> Outcome:
    """Wait for a load and return what came of it."""
    text, _ = process.communicate()
    if process.returncode == -signal.SIGTERM:  # it had not begun
        return Outcome()
    if process.returncode != 0:
        raise RuntimeError(f"the process that asks ended with {process.returncode}")
    return Outcome(**json.loads(text))


def ask(load: Load) -> Outcome:
    """Do both."""
    return finish(start(load))


@contextlib.contextmanager
def going_on(load: Load) -> Iterator[Outcome]:
    """Keep a load up; what came of it is known at the end, and what is not answered is given up."""
    found = Outcome()
    process = start(load)
    try:
        yield found
    finally:
        process.send_signal(signal.SIGTERM)
        came = finish(process)
        for name in Outcome.__slots__:
            setattr(found, name, getattr(came, name))


def together(parts: Sequence[Outcome]) -> Outcome:
    """Return the sum of what came of loads at the same time."""
    statuses: dict[str, int] = {}
    for part in parts:
        for status, count in part.statuses.items():
            statuses[status] = statuses.get(status, 0) + count
    return Outcome(
        statuses=statuses,
        in_time=sum(part.in_time for part in parts),
        ms=[value for part in parts for value in part.ms],
        seconds=max(part.seconds for part in parts),
        cpu=sum(part.cpu for part in parts),
        fault=next((part.fault for part in parts if part.fault), ""),
    )


def percentile(values: Sequence[float], share: float) -> float:
    """Return the least value that so large a share of them does not exceed; NaN for none.

    Examples
    --------
    >>> percentile([4.0, 1.0, 3.0, 2.0], 0.5), percentile([1.0, 2.0], 0.99)
    (2.0, 2.0)
    """
    if not values:
        return math.nan
    return sorted(values)[max(math.ceil(share * len(values)), 1) - 1]


async def drive(load: Load) -> Outcome:
    """Do what the load says in this process, or until SIGTERM."""
    driver = _Driver(load)
    asking = asyncio.ensure_future(
        driver.closed() if load.rate is None else driver.paced(load.rate)
    )
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, asking.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await asking
    return driver.outcome()


class _Driver:
    def __init__(self, load: Load) -> None:
        self._load = load
        self._requests = itertools.cycle([Path(name).read_bytes() for name in load.files])
        self._left = math.inf if load.most is None else load.most
        self._counts: Counter[str] = Counter()
        self._found = Outcome()
        self._free: list[_Link] = []
        self._links: list[_Link] = []
        self._begin = self._last = time.perf_counter()
        self._stop = self._begin + load.seconds

    async def closed(self) -> None:
        """Let each connection send when it has its answer."""
        async with asyncio.timeout_at(_loop_time(self._stop + GRACE)):
            await asyncio.gather(*(self._one_client() for _ in range(self._load.connections)))

    async def _one_client(self) -> None:
        while time.perf_counter() < self._stop and self._left > 0:
            self._left -= 1
            wait = await self._exchange(time.perf_counter())
            if wait:
                await asyncio.sleep(min(wait, max(self._stop - time.perf_counter(), 0.0)))

    async def paced(self, rate: float) -> None:
        """Send requests at their times."""
        running: set[asyncio.Task[float]] = set()
        for k in itertools.count():
            due = self._begin + k / rate
            if due >= self._stop or self._left <= 0:
                break
            self._left -= 1
            while time.perf_counter() < due:
                await asyncio.sleep(min(due - time.perf_counter(), _NAP))
            if len(running) >= self._load.connections:
                await asyncio.sleep(0)  # those that are done say so
            if len(running) >= self._load.connections:
                self._counts[UNSENT] += 1
                continue
            task = asyncio.create_task(self._exchange(due))
            running.add(task)
            task.add_done_callback(running.discard)
        if running:
            await asyncio.wait(running, timeout=GRACE)

    async def _exchange(self, due: float) -> float:
        """Send one request and count its answer; return s to wait before the next."""
        request = next(self._requests)
        link: _Link | None = None
        try:
            async with asyncio.timeout(self._load.leave_after):
                link = await self._link()
                answer = await link.ask(request)
        except TimeoutError:
            self._counts[LEFT] += 1
            if link is not None:
                link.close()
            return 0.0
        except OSError:
            self._counts[LOST] += 1
            return 0.1  # nobody listens, perhaps; not at once again
        now = time.perf_counter()
        self._last = max(self._last, now)
        self._counts[str(answer.status)] += 1
        if answer.status < 300:
            self._found.ms.append(1e3 * (now - due))
            self._found.in_time += now <= self._stop
        elif answer.status >= 500 and answer.status != 503:
            self._found.fault = self._found.fault or answer.head
        if link.open:
            self._free.append(link)
        return answer.retry_after if self._load.patient else 0.0

    async def _link(self) -> _Link:
        while self._free:
            link = self._free.pop()
            if link.open:
                return link
        loop = asyncio.get_running_loop()
        _, link = await loop.create_connection(_Link, self._load.host, self._load.port)
        self._links.append(link)
        return link

    def outcome(self) -> Outcome:
        """Return what has been counted."""
        for link in self._links:
            link.close()
        self._found.statuses = dict(self._counts)
        self._found.seconds = self._last - self._begin
        self._found.cpu = time.process_time()
        return self._found


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    retry_after: float
    head: str


class _Link(asyncio.Protocol):
    """A connection: it sends a request and counts the bytes of the answer."""

    def __init__(self) -> None:
        self.open = False
        self._transport: asyncio.Transport | None = None
        self._waiter: asyncio.Future[_Answer] | None = None
        self._begin()

    def _begin(self) -> None:
        self._head: bytes | None = b""  # until it is whole
        self._remaining = 0
        self._chunked = False
        self._tail = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport, self.open = transport, True

    def connection_lost(self, exc: Exception | None) -> None:
        self.open = False
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(ConnectionResetError("the service closed the connection"))

    def close(self) -> None:
        """Go away, without waiting for anything."""
        self.open = False
        if self._transport is not None:
            self._transport.abort()

    async def ask(self, request: bytes) -> _Answer:
        """Send a request and return its answer.

        Raises
        ------
        OSError
            If the connection ends first.
        """
        assert self._transport is not None
        self._waiter = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._waiter

    def data_received(self, data: bytes) -> None:
        if self._head is not None:
            self._head += data
            head, whole, data = self._head.partition(b"\r\n\r\n")
            if not whole:
                return
            self._head = None
            self._read_head(head)
            self._shown = data[:300]
        if self._chunked:
            self._tail = (self._tail + data)[-len(_LAST_CHUNK) :]
            done = self._tail == _LAST_CHUNK
        else:
            self._remaining -= len(data)
            done = self._remaining <= 0
        if done:
            self._finish()

    def _read_head(self, head: bytes) -> None:
        first, *lines = head.split(b"\r\n")
        self._status = int(first.split(b" ", 2)[1])
        pairs = (line.partition(b":") for line in lines)
        headers = {key.strip().lower(): value.strip() for key, _, value in pairs}
        self._chunked = headers.get(b"transfer-encoding", b"").lower() == b"chunked"
        self._remaining = int(headers.get(b"content-length", 0))
        self._retry_after = float(headers.get(b"retry-after", 0))
        self._leaves = headers.get(b"connection", b"").lower() == b"close"

    def _finish(self) -> None:
        shown = self._shown.decode(errors="replace")
        answer = _Answer(self._status, self._retry_after, f"{self._status} {shown}")
        self._begin()
        if self._leaves:
            self.close()
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(answer)


def _loop_time(at: float) -> float | None:
    """Turn a time of `time.perf_counter` into one of the running loop."""
    if math.isinf(at):
        return None
    return asyncio.get_running_loop().time() + at - time.perf_counter()


def main() -> None:
    """Read a load from stdin, do it, and write what came of it."""
    load = Load(**json.load(sys.stdin))
    json.dump(asdict(asyncio.run(drive(load))), sys.stdout)


if __name__ == "__main__":
    main()
