"""Whether small requests wait for large ones: their times alone, and beside large ones and jobs."""

from __future__ import annotations

import contextlib
import json
import time
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from rich.table import Table

from deepsched.pipeline.benchmarks.serving_bodies import (
    LARGE,
    MIDDLE,
    SMALL,
    Request,
    Size,
    json_request,
)
from deepsched.pipeline.benchmarks.serving_goals import Found, Goal
from deepsched.pipeline.benchmarks.serving_load import (
    Load,
    Outcome,
    finish,
    going_on,
    percentile,
    start,
)
from deepsched.pipeline.benchmarks.serving_service import HEALTH
from deepsched.pipeline.common.cli import messages

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from deepsched.pipeline.benchmarks.serving_goals import Extent
    from deepsched.pipeline.benchmarks.serving_service import Service

RATE = 40.0  # small requests/s, and half as many looks at the health
LARGE_ENOUGH = Size(tasks=10_000, machines=188)  # to be slow, in a quick measurement
AT_ONCE = 8  # large requests, and jobs
BUDGET = 30  # s of search of a job
IDLE, LOADED = 8, 30  # s of measuring, in seconds of one run; idle ones twice
CONNECTIONS = 128  # more than there can be requests of that rate in 4 s
SETTLES = 2.0  # s until the large requests are being worked on, and until all are forgotten
WORST_RATIO = 3.0
PROBES: Mapping[str, float] = {"small": RATE, "health": RATE / 2}


def measure_mixed(service: Service, extent: Extent) -> Found:
    """Ask small requests at a steady rate, without and with eight large ones and eight jobs."""
    problem = SMALL.problem()
    requests = {
        "small": json_request(problem),
        "health": Request(name="health", method="GET", path=HEALTH),
    }
    files = {name: service.file(request) for name, request in requests.items()}
    size = LARGE if extent.whole else LARGE_ENOUGH
    large = Load(
        host=service.host,
        port=service.port,
        files=[service.file(json_request(size.problem()))],
        connections=AT_ONCE,
        patient=True,
    )
    service.checked(requests["small"])
    messages.print("mixed: small requests alone")
    alone = probe(service, files, IDLE * extent.seconds)
    messages.print(f"mixed: beside {AT_ONCE} large requests and {AT_ONCE} jobs")
    with jobs(service) as ids, going_on(large) as asked:
        time.sleep(SETTLES)
        loaded = probe(service, files, LOADED * extent.seconds)
        done = job_states(service, ids)
    time.sleep(SETTLES)
    messages.print("mixed: small requests alone, again")
    after = probe(service, files, IDLE * extent.seconds)
    alone = {name: quieter(alone[name], after[name]) for name in alone}
    return Found(
        rows=[
            {"when": when, "probe": name, **shown(outcome)}
            for when, outcomes in (("alone", alone), ("loaded", loaded))
            for name, outcome in outcomes.items()
        ],
        tables=[_table(alone, loaded)],
        lines=[
            f"meanwhile {sum(asked.statuses.values())} large requests were answered: "
            f"{asked.statuses}, and the jobs were {done}"
        ],
        goals=goals(alone, loaded),
    )


def quieter(one: Outcome, other: Outcome) -> Outcome:
    """Return what was measured while others disturbed less."""
    return min(one, other, key=lambda found: percentile(found.ms, 0.99))


def goals(alone: Mapping[str, Outcome], loaded: Mapping[str, Outcome]) -> list[Goal]:
    """Hold the times beside other work against those without it."""
    found = []
    for name in alone:
        ratio = percentile(loaded[name].ms, 0.99) / percentile(alone[name].ms, 0.99)
        text = f"mixed load, {name}: p99 against that of an idle service"
        found.append(Goal(text=text, value=ratio, bound=WORST_RATIO, unit="x", at_least=False))
        refused = sum(loaded[name].statuses.values()) - loaded[name].ok
        text = f"mixed load, {name}: without success"
        found.append(Goal(text=text, value=refused, bound=0, unit="requests", at_least=False))
    return found


def probe(service: Service, files: Mapping[str, str], seconds: float) -> dict[str, Outcome]:
    """Ask for small things at a steady rate each, at the same time, from a process each."""
    processes = {
        name: start(
            Load(
                host=service.host,
                port=service.port,
                files=[file],
                connections=CONNECTIONS,
                seconds=seconds,
                rate=PROBES[name],
            )
        )
        for name, file in files.items()
    }
    return {name: finish(process) for name, process in processes.items()}


@contextlib.contextmanager
def jobs(service: Service, count: int = AT_ONCE) -> Iterator[list[str]]:
    """Post jobs that search, and delete them at the end."""
    request = json_request(MIDDLE.problem(), query=f"?budget={BUDGET}")
    request = replace(request, name="job", path=request.path.replace("schedule", "jobs"))
    ids = [str(json.loads(service.checked(request))["id"]) for _ in range(count)]
    try:
        yield ids
    finally:
        for job in ids:
            service.fetch(Request(name="job", method="DELETE", path=f"/v1/jobs/{job}"))


def job_states(service: Service, ids: list[str]) -> Counter[str]:
    """Return how many jobs are in each state."""
    return Counter(
        str(
            json.loads(service.checked(Request(name="job", method="GET", path=f"/v1/jobs/{job}")))[
                "state"
            ]
        )
        for job in ids
    )


def shown(outcome: Outcome) -> dict[str, Any]:
    """Return what a table or a file says of an outcome."""
    return {
        "answers": outcome.ok,
        "p50_ms": percentile(outcome.ms, 0.5),
        "p99_ms": percentile(outcome.ms, 0.99),
        "worst_ms": max(outcome.ms, default=float("nan")),
        "statuses": outcome.statuses,
    }


def _table(alone: Mapping[str, Outcome], loaded: Mapping[str, Outcome]) -> Table:
    table = Table(title=f"Beside {AT_ONCE} large requests and {AT_ONCE} jobs of {BUDGET} s (ms)")
    table.add_column("asked")
    for heading in ("answers", "p50", "p99", "worst"):
        for when in ("alone", "loaded"):
            table.add_column(f"{heading}, {when}", justify="right")
    for name in alone:
        pairs = zip(shown(alone[name]).values(), shown(loaded[name]).values(), strict=True)
        cells = [f"{value:.4g}" for pair in list(pairs)[:4] for value in pair]
        table.add_row(name, *cells)
    return table
