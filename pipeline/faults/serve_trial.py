"""A service that is hurt: who runs it, what it holds, and good requests in between."""

from __future__ import annotations

import json
import os
import random
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from deepsched.pipeline.benchmarks.serving_bodies import SMALL, Request, json_request
from deepsched.pipeline.benchmarks.serving_processes import family, summed, usage_by_kind
from deepsched.pipeline.faults.serve_wire import Answer, NoAnswer, exchange
from deepsched.pipeline.faults.trial import Broken, Trial
from deepsched.pipeline.wire.arrow import answers_from_stream
from deepsched.pipeline.wire.streams import CONTENT_TYPE as ARROW

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable
    from pathlib import Path

    from deepsched.pipeline.benchmarks.serving_library import Library
    from deepsched.pipeline.benchmarks.serving_processes import Process, Usage
    from deepsched.pipeline.benchmarks.serving_service import Service

REST = 2.0  # s, between two looks at what the service holds
HUNG = 30.0  # s, after which an answer counts as hung
SETTLE = 30.0  # s, in which a service has to be again what it was
TIMES = frozenset({"seconds", "timing"})  # of an answer, the parts that no two have in common
# Growth that counts as none: caches fill, and Python gives little back.
MORE_MEGABYTES, MORE_DESCRIPTORS, MORE_THREADS = 400.0, 8, 16


@dataclass(frozen=True, kw_only=True)
class Held:
    """What all processes of a service hold together."""

    processes: int
    usage: Usage

    def more_than(self, before: Held) -> str | None:
        """Return what has grown, or None."""
        now, then = self.usage, before.usage
        grown = {
            "processes": self.processes - before.processes,
            "MB": now.megabytes - then.megabytes - MORE_MEGABYTES,
            "descriptors": now.descriptors - then.descriptors - MORE_DESCRIPTORS,
            "threads": now.threads - then.threads - MORE_THREADS,
        }
        much = [name for name, more in grown.items() if more > 0]
        return f"more {' and '.join(much)}: {before} became {self}" if much else None

    def __str__(self) -> str:
        return (
            f"{self.processes} processes, {self.usage.megabytes:.0f} MB, "
            f"{self.usage.descriptors} descriptors, {self.usage.threads} threads"
        )


@dataclass(kw_only=True)
class ServeTrial(Trial):
    """What a scenario of the service works with.

    Attributes
    ----------
    service : the one that is hurt.
    library : answers the same requests in this process.
    examples : folder of workflow files, if there is one.
    requests : to send where that is a matter of choice.
    share : of the connections and bytes that slow clients take at most.
    """

    service: Service
    library: Library
    examples: Path | None = None
    requests: int = 10_000
    share: float = 1.0

    @property
    def address(self) -> tuple[str, int]:
        """Where the service listens."""
        return self.service.host, self.service.port

    def ask(self, request: Request) -> Answer:
        """Send a request as any client does."""
        return exchange(self.address, request.raw("x"), within=HUNG)

    def cancel(self, job: bytes) -> Answer:
        """End a job that was taken."""
        path = f"/v1/jobs/{json.loads(job)['id']}"
        return self.ask(Request(name="cancel", method="DELETE", path=path))

    def processes(self) -> list[Process]:
        """Return the processes of the service; none, where it is not known who runs it."""
        return [] if self.service.root is None else family(self.service.root)

    def held(self) -> Held | None:
        """Return what they hold."""
        if self.service.root is None:
            return None
        usage = summed(list(usage_by_kind(self.service.root).values()))
        return Held(processes=len(self.processes()), usage=usage)

    def rest(self) -> Held | None:
        """Wait until no process of the service begins or ends, and return what all hold."""
        now, then = self.held(), None
        while now is not None and (then is None or now.processes != then.processes):
            time.sleep(REST)
            now, then = self.held(), now
        return now

    def settled(self, before: Held | None) -> Held | None:
        """Wait until the service holds no more than before, and return what it holds.

        Raises
        ------
        Broken
            If that takes too long.
        """
        end = time.monotonic() + SETTLE
        while True:
            now = self.held()
            more = None if now is None or before is None else now.more_than(before)
            if more is None:
                return now
            if time.monotonic() > end:
                raise Broken(f"the service holds {more}")
            time.sleep(0.5)

    def check_good(self, request: Request) -> None:
        """Send a good request, and compare the answer with the library's bit for bit.

        Raises
        ------
        Broken
            If there is none, or it is another one.
        """
        try:
            answer = self.ask(request)
        except NoAnswer as error:
            raise Broken(f"a good request ({request.name}): {error}") from None
        headers = {key.lower(): value for key, value in request.headers.items()}
        wanted = self.library.reply(request.path, headers, request.data)
        if answer.status == 503:
            return  # no room now is a deliberate answer
        if answer.status != wanted.status:
            shown = answer.body[:200].decode(errors="replace")
            raise Broken(f"a good request ({request.name}) got status {answer.status}: {shown}")
        if answer.headers.get("content-type") != wanted.media_type:
            raise Broken(f"a good request ({request.name}) got {answer.headers}")
        arrow = wanted.media_type == ARROW
        if content_of(answer.body, arrow) != content_of(wanted.body, arrow):
            raise Broken(f"a good request ({request.name}) got another schedule than the library's")


def content_of(body: bytes, arrow: bool) -> Any:
    """Return an answer without its times."""
    value = answers_from_stream(body, "answer") if arrow else json.loads(body)
    return _timeless(value)


def _timeless(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _timeless(part) for key, part in value.items() if key not in TIMES}
    if isinstance(value, list):
        return [_timeless(part) for part in value]
    return value.tolist() if hasattr(value, "tolist") else value


class Watch:
    """The most that the processes hold while something goes on, seen four times a second."""

    def __init__(self, held: Callable[[], Held | None]) -> None:
        self._held = held
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self.megabytes = 0.0

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *raised: object) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._over.wait(0.25):
            now = self._held()
            if now is not None:
                self.megabytes = max(self.megabytes, now.usage.megabytes)


def small_request(seed: int = 0) -> Request:
    """Return a good request of some milliseconds."""
    return json_request(SMALL.problem(seed))


def listed(statuses: Counter[Any]) -> str:
    """Return how often each status came, as words."""
    return ", ".join(f"{count} x {status}" for status, count in sorted(statuses.items()))


def load_average() -> str:
    """Return how busy the machine is, for whoever reads the figures."""
    return f"load average {os.getloadavg()[0]:.1f}"


def seeded(trial: Trial, number: int) -> random.Random:
    """Return the numbers of one request of a scenario, which need no other one."""
    return random.Random(f"{trial.seed}-{number}")
