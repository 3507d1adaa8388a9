"""One run of one kind of request: against a service, or by calling the same code as functions."""

from __future__ import annotations

import contextlib
import itertools
import math
import statistics
import time
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import orjson

from deepsched.pipeline.benchmarks.serving_library import scheduling
from deepsched.pipeline.benchmarks.serving_load import ask, percentile
from deepsched.pipeline.benchmarks.serving_processes import cpu_by_kind, per_request
from deepsched.pipeline.wire.arrow import answers_from_stream
from deepsched.pipeline.wire.streams import CONTENT_TYPE

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from deepsched.pipeline.benchmarks.serving_bodies import Request, Size
    from deepsched.pipeline.benchmarks.serving_library import Library
    from deepsched.pipeline.benchmarks.serving_load import Load
    from deepsched.pipeline.benchmarks.serving_service import Service

SERVICE, PLAIN, LIBRARY = "service", "plain FastAPI", "library"
IDLE_SECONDS = 2.0  # of looking at a service that nobody asks


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """One run of one kind of request; a request of several problems counts as so many.

    Attributes
    ----------
    kind : of request.
    connections : 0 where functions were called.
    cpu : ms a problem by kind of process; empty where they are not known.
    p50, p99 : ms of a request.
    scheduling : ms a problem that the scheduler took, as the answers say; None where they were not
        looked at.
    overhead : time of a request that is not scheduling, over that which is, likewise.
    """

    target: str
    size: str
    kind: str
    connections: int
    problems: int
    rate: float
    cpu: Mapping[str, float]
    p50: float
    p99: float
    scheduling: float | None = None
    overhead: float | None = None
    statuses: Mapping[str, int]

    @property
    def whole_cpu(self) -> float:
        """Ms of CPU a problem; NaN where it is not known."""
        return sum(self.cpu.values()) if self.cpu else math.nan


def idle_rates(service: Service) -> dict[str, float]:
    """Return s of CPU a second by kind of process, while nobody asks."""
    if service.root is None:
        return {}
    before, begin = cpu_by_kind(service.root), time.perf_counter()
    time.sleep(IDLE_SECONDS)
    after, seconds = cpu_by_kind(service.root), time.perf_counter() - begin
    return {kind: (after[kind] - before[kind]) / seconds for kind in after}


def library_run(
    size: Size, requests: Sequence[Request], library: Library, least: float, most: int | None
) -> Run:
    """Call the functions for some seconds and once for each request at least.

    Parameters
    ----------
    least : s.
    most : calls, whatever time they take.
    """
    begin, cpu = time.perf_counter(), time.process_time()
    times: list[float] = []
    scheduled = 0.0
    for request in itertools.islice(itertools.cycle(requests), most):
        if len(times) >= len(requests) and time.perf_counter() - begin > least:
            break
        headers = {key.lower(): value for key, value in request.headers.items()}
        before = time.perf_counter()
        scheduled += scheduling(library.reply(request.path, headers, request.data))
        times.append(1e3 * (time.perf_counter() - before))
    problems = len(times) * requests[0].problems
    return Run(
        target=LIBRARY,
        size=size.name,
        kind=requests[0].name,
        connections=0,
        problems=problems,
        rate=problems / (time.perf_counter() - begin),
        cpu={LIBRARY: 1e3 * (time.process_time() - cpu) / problems},
        p50=percentile(times, 0.5),
        p99=percentile(times, 0.99),
        scheduling=1e3 * scheduled / problems,
        statuses={},
    )


def service_run(
    name: str,
    target: Service,
    size: Size,
    request: Request,
    load: Load,
    idle: Mapping[str, float],
) -> Run:
    """Keep a load up, and take down what it cost.

    Parameters
    ----------
    request : one of the load's.
    idle : what :func:`idle_rates` says of the same service.
    """
    with _cpu_of(target) as spent:
        outcome = ask(load)
    problems = outcome.ok * request.problems
    return Run(
        target=name,
        size=size.name,
        kind=request.name,
        connections=load.connections,
        problems=problems,
        rate=outcome.rate * request.problems,
        cpu=spent.per_request(idle, max(problems, 1)),
        p50=percentile(outcome.ms, 0.5),
        p99=percentile(outcome.ms, 0.99),
        statuses=outcome.statuses,
    )


def large_run(
    name: str,
    target: Service,
    size: Size,
    requests: Sequence[Request],
    idle: Mapping[str, float],
    count: int,
) -> Run:
    """Ask one after the other, and hold each time against what the answer says of scheduling."""
    times, scheduled, rest = [], [], []
    with _cpu_of(target) as spent:
        for request in itertools.islice(itertools.cycle(requests), count):
            begin = time.perf_counter()
            body = target.checked(request)
            times.append(1e3 * (time.perf_counter() - begin))
            scheduled.append(1e3 * _scheduling_of(body, request))
            rest.append(times[-1] / scheduled[-1] - 1)
    return Run(
        target=name,
        size=size.name,
        kind=requests[0].name,
        connections=1,
        problems=len(times),
        rate=1e3 * len(times) / sum(times),
        cpu=spent.per_request(idle, len(times)),
        p50=percentile(times, 0.5),
        p99=percentile(times, 0.99),
        scheduling=statistics.median(scheduled),
        overhead=statistics.median(rest),
        statuses={"200": len(times)},
    )


def _scheduling_of(body: bytes, request: Request) -> float:
    """Return s that scheduling took, by the answer to a request of one problem."""
    arrow = request.headers.get("Accept") == CONTENT_TYPE
    answer = answers_from_stream(body)[0] if arrow else orjson.loads(body)
    return float(answer["timing"]["schedule"])


@dataclass(kw_only=True, slots=True)
class _Spent:
    before: Counter[str]
    after: Counter[str]
    seconds: float

    def per_request(self, idle: Mapping[str, float], requests: int) -> dict[str, float]:
        return per_request(
            self.before, self.after, seconds=self.seconds, idle=idle, requests=requests
        )


@contextlib.contextmanager
def _cpu_of(target: Service) -> Iterator[_Spent]:
    """Take down what a service's processes spend meanwhile; nothing where they are not known."""
    root = target.root
    spent = _Spent(before=Counter(), after=Counter(), seconds=0.0)
    if root is not None:
        spent.before = cpu_by_kind(root)
    begin = time.perf_counter()
    yield spent
    spent.seconds = time.perf_counter() - begin
    if root is not None:
        spent.after = cpu_by_kind(root)
