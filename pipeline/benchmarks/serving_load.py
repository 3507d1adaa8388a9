"""Asking a service as fast or as often as told, from a process of its own."""

from __future__ import annotations

import contextlib
import json
import math
import signal
import subprocess
import sys
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

LOST = "lost"  # stands for the status where the connection ended without an answer
LEFT = "left"  # ... where the client went away, as it was told to
UNSENT = "unsent"  # ... where all connections were busy when a request was due
DRIVER = "deepsched.pipeline.benchmarks.serving_driver"  # the program that asks


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
        [sys.executable, "-m", DRIVER],
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
