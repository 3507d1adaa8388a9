"""What clients notice when a process of the service is killed while they ask."""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import threading
import time
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table

from deepsched.pipeline.benchmarks.serving_bodies import SMALL
from deepsched.pipeline.benchmarks.serving_goals import Found, Goal
from deepsched.pipeline.benchmarks.serving_load import percentile
from deepsched.pipeline.benchmarks.serving_processes import OTHERS, family
from deepsched.pipeline.benchmarks.serving_service import NotServed
from deepsched.pipeline.client.blocking import Client
from deepsched.pipeline.client.errors import ServiceError
from deepsched.pipeline.common.cli import messages

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from deepsched.baselines.problem import Problem
    from deepsched.pipeline.benchmarks.serving_goals import Extent
    from deepsched.pipeline.benchmarks.serving_processes import Process
    from deepsched.pipeline.benchmarks.serving_service import Service

FIRST = ("quick", "gateway")  # to be killed where time is short
QUICK_CLIENTS, SLOW_CLIENTS = 4, 1
SLOW_BUDGET = 0.3  # s of search, which makes a request a slow one
BEFORE, AFTER = 3, 3  # s of asking before a process is killed and after all is well, in seconds
BACK_WITHIN = 90.0  # s
LOOK_EVERY = 0.2  # s, at whether it is back


@dataclass(frozen=True, kw_only=True, slots=True)
class Call:
    """One call of a client."""

    ended: float  # by time.perf_counter
    seconds: float
    error: str  # empty where there was an answer


@dataclass(frozen=True, kw_only=True, slots=True)
class Death:
    """What came of one process's death.

    Attributes
    ----------
    back : s until there were as many processes of the kind and the service said that it is ready;
        NaN if that did not come.
    gap : longest time without an answer to anybody, s.
    slowest : call, s.
    orphans : processes that the dead one had started and that still live.
    """

    process: str
    calls: int
    failures: int
    errors: dict[str, int]
    back: float
    gap: float
    usual: float  # median call before, s
    slowest: float
    orphans: int


def measure_kill(service: Service, extent: Extent) -> Found:
    """Kill one process of each kind while clients ask, and wait until it is replaced."""
    if service.root is None:
        raise NotServed("to kill a process it has to be known: give --pid with --url")
    found = Found()
    deaths = []
    for name in [*victims(family(service.root))]:
        if not extent.whole and name not in FIRST:
            continue
        messages.print(f"kill: {name}")
        deaths.append(kill_one(service, name, extent))
    found.rows = [asdict(death) for death in deaths]
    found.tables = [_table(deaths)]
    found.lines = [
        f"{death.process}: {count} x {error}"
        for death in deaths
        for error, count in death.errors.items()
    ]
    found.goals = goals(deaths)
    return found


def victims(processes: Sequence[Process]) -> dict[str, Process]:
    """Return one process of each kind, and of those who have helpers one of them."""
    found: dict[str, Process] = {}
    kinds = {one.pid: one.kind for one in processes}
    for one in processes:
        if one.kind == OTHERS:
            continue
        if kinds.get(one.parent) != one.kind:
            found.setdefault(one.kind, one)
        elif all(other.parent != one.pid for other in processes):
            name = f"{one.kind}'s helper"
            # What has worked most is no mere watcher.
            if name not in found or one.cpu > found[name].cpu:
                found[name] = one
    return found


def kill_one(service: Service, name: str, extent: Extent) -> Death:
    """Kill one process under load."""
    assert service.root is not None
    before = family(service.root)
    victim = victims(before)[name]
    with asking(service) as calls:
        time.sleep(BEFORE * extent.seconds)
        begin = time.perf_counter()
        with contextlib.suppress(ProcessLookupError):
            os.kill(victim.pid, signal.SIGKILL)
        back = _back(service, victim, before)
        time.sleep(AFTER * extent.seconds)
    usual = [call.seconds for call in calls if call.ended < begin]
    later = [call for call in calls if call.ended >= begin]
    errors = Counter(call.error for call in calls if call.error)
    return Death(
        process=name,
        calls=len(calls),
        failures=sum(errors.values()),
        errors=dict(errors),
        back=back,
        gap=longest_gap([begin, *(call.ended for call in later if not call.error)]),
        usual=percentile(usual, 0.5),
        slowest=max((call.seconds for call in later), default=float("nan")),
        orphans=sum(_alive(pid) for pid in below(victim.pid, before)),
    )


def below(pid: int, processes: Sequence[Process]) -> list[int]:
    """Return the processes that descend from one, which stands before them."""
    found = {pid}
    for one in processes:
        if one.parent in found:
            found.add(one.pid)
    return sorted(found - {pid})


def _alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


@contextlib.contextmanager
def asking(service: Service) -> Iterator[list[Call]]:
    """Let clients ask one request after the other; the list grows meanwhile."""
    calls: list[Call] = []
    stop = threading.Event()
    problem = SMALL.problem()
    threads = [
        threading.Thread(target=_client, args=(service, problem, budget, calls, stop))
        for budget in [*QUICK_CLIENTS * [None], *SLOW_CLIENTS * [SLOW_BUDGET]]
    ]
    for thread in threads:
        thread.start()
    try:
        yield calls
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def longest_gap(times: Sequence[float]) -> float:
    """Return the longest time between two neighbours."""
    ordered = sorted(times)
    return max((b - a for a, b in itertools.pairwise(ordered)), default=float("nan"))


def goals(deaths: Sequence[Death]) -> list[Goal]:
    """Hold what clients noticed against nothing."""
    found = []
    for death in deaths:
        for what, count in (
            ("failures through the client", death.failures),
            ("processes left alone", death.orphans),
        ):
            text = f"kill -9 of {death.process}: {what}"
            found.append(Goal(text=text, value=count, bound=0, at_least=False))
    return found


def _client(
    service: Service,
    problem: Problem,
    budget: float | None,
    calls: list[Call],
    stop: threading.Event,
) -> None:
    options: dict[str, Any] = {} if budget is None else {"budget": budget}
    with Client(f"http://{service.host}:{service.port}") as client:
        while not stop.is_set():
            begin, error = time.perf_counter(), ""
            try:
                client.schedule(problem, **options)
            except ServiceError as failure:
                error = str(failure)
            ended = time.perf_counter()
            calls.append(Call(ended=ended, seconds=ended - begin, error=error))


def _back(service: Service, victim: Process, before: Sequence[Process]) -> float:
    """Return s until a killed process is replaced and the service says that it is ready."""
    assert service.root is not None
    wanted = sum(one.kind == victim.kind for one in before)
    begin = time.perf_counter()
    while time.perf_counter() - begin < BACK_WITHIN:
        now = [one.pid for one in family(service.root) if one.kind == victim.kind]
        if victim.pid not in now and len(now) >= wanted and service.ready():
            return time.perf_counter() - begin
        time.sleep(LOOK_EVERY)
    return float("nan")


def _table(deaths: Sequence[Death]) -> Table:
    table = Table(title="One process is killed while clients ask")
    table.add_column("process")
    headings = ("calls", "failures", "s until back", "longest s without an answer")
    for heading in (*headings, "usual call, s", "slowest call, s"):
        table.add_column(heading, justify="right")
    for death in deaths:
        times = (death.back, death.gap, death.usual, death.slowest)
        table.add_row(
            death.process,
            str(death.calls),
            str(death.failures),
            *(f"{value:.3g}" for value in times),
        )
    return table
