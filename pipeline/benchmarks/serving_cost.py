"""What a request costs: CPU by kind of process, time, and requests a second; beside less service.

The service, a plain FastAPI process with the same code, and the same code called as functions are
asked the same in turns, since a busy machine changes from minute to minute.
"""

from __future__ import annotations

import itertools
import statistics
from dataclasses import asdict
from typing import TYPE_CHECKING

from deepsched.pipeline.benchmarks.serving_bodies import (
    BATCH,
    LARGE,
    MIDDLE,
    MIDDLE_WORK,
    ONE_PASS,
    SMALL,
    Request,
    Size,
    arrow_batch,
    arrow_request,
    gzip_request,
    json_batch,
    json_request,
    on_same_machines,
    one_pass,
)
from deepsched.pipeline.benchmarks.serving_cost_table import beyond, chosen_runs, cost_table, median
from deepsched.pipeline.benchmarks.serving_goals import Found, Goal
from deepsched.pipeline.benchmarks.serving_library import Library
from deepsched.pipeline.benchmarks.serving_load import Load
from deepsched.pipeline.benchmarks.serving_plain import plain_service
from deepsched.pipeline.benchmarks.serving_runs import (
    PLAIN,
    SERVICE,
    Run,
    idle_rates,
    large_run,
    library_run,
    service_run,
)
from deepsched.pipeline.common.cli import messages
from deepsched.pipeline.wire.machines import machines_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from deepsched.baselines.problem import Problem
    from deepsched.pipeline.benchmarks.serving_goals import Extent
    from deepsched.pipeline.benchmarks.serving_service import Service

SIZES = (SMALL, MIDDLE, MIDDLE_WORK, LARGE)
QUICK_SIZES = (SMALL, MIDDLE)
CONNECTIONS = {SERVICE: (1, 4, 16), PLAIN: (1, 16)}
DIFFERENT = 4  # problems of a size that are asked in turns
LARGE_REQUESTS = 2  # of the largest size, in a run
KNOWN = "Arrow, known machines"
_SEVERAL = {f"Arrow, {BATCH} at once": KNOWN, f"JSON, {BATCH} at once": "JSON"}
# Requests of several problems, and those of one that they are held against.
SEVERAL = {
    f"{several}{more}": f"{single}{more}"
    for more in ("", f", {ONE_PASS}")
    for several, single in _SEVERAL.items()
}

# What is to be reached at 486 x 188.
ARROW_RATE, JSON_RATE = 100, 50  # requests/s
BEYOND_LIBRARY = 6.0  # ms of CPU
BATCH_GAIN = 2.0
LARGE_OVERHEAD = 1.0  # of scheduling


def measure_cost(service: Service, extent: Extent) -> Found:
    """Measure all sizes and kinds of requests."""
    library = Library()
    library.warm_up()
    sizes = SIZES if extent.whole else QUICK_SIZES
    runs: list[Run] = []
    with plain_service() as plain:
        targets = {SERVICE: service, PLAIN: plain}
        idle = {name: idle_rates(target) for name, target in targets.items()}
        for size in sizes:
            messages.print(f"cost: {size.name}")
            runs += _size_runs(size, targets, library, idle, extent)
    found = Found(rows=[asdict(run) for run in runs])
    found.tables = [cost_table(size.name, runs) for size in sizes]
    found.goals = goals(runs)
    return found


def kinds(size: Size, machines: str, problems: Sequence[Problem]) -> dict[str, list[Request]]:
    """Return the requests of each kind, to be sent in turns."""
    every = [
        [json_request(problem) for problem in problems],
        [gzip_request(problem) for problem in problems],
        [arrow_request(problem) for problem in problems],
        [arrow_request(problem, machines) for problem in problems],
    ]
    if size != LARGE:
        some = [*itertools.islice(itertools.cycle(problems), BATCH)]
        every += [[arrow_batch(some, machines)]]
        if size != MIDDLE:  # which would be a body of 28 MB
            every += [[json_batch(some)]]
        # The samples of the default take most of a request's time, and the same in a batch.
        every += [
            [one_pass(request) for request in requests]
            for requests in every
            if requests[0].name in (*SEVERAL, *SEVERAL.values())
        ]
    return {requests[0].name: requests for requests in every}


def goals(runs: Sequence[Run]) -> list[Goal]:
    """Hold the runs against what is to be reached."""
    found = []
    measured = {run.size for run in runs}
    middle = [size for size in (MIDDLE, MIDDLE_WORK) if size.name in measured]
    for kind, bound in ((KNOWN, ARROW_RATE), ("JSON", JSON_RATE)):
        for size in middle:
            value = best_rate(runs, size.name, kind)
            text = f"{size.name}, {kind}"
            found.append(Goal(text=text, value=value, bound=bound, unit="requests/s"))
    for size in middle:
        value = beyond(runs, size.name, KNOWN)
        text = f"{size.name}, {KNOWN}, CPU beyond the library"
        unit = "ms a request"
        found.append(Goal(text=text, value=value, bound=BEYOND_LIBRARY, unit=unit, at_least=False))
    for size in (SMALL, *middle):
        for several, single in SEVERAL.items():
            if any(run.kind == several and run.size == size.name for run in runs):
                text = f"{size.name}, {several}, throughput against one at a time"
                # As fast as either can be asked; and for one client that waits for its answers.
                for most, ending in ((None, ""), (1, ", on one connection")):
                    rates = [
                        best_rate(runs, size.name, kind, most=most) for kind in (several, single)
                    ]
                    gain = rates[0] / rates[1]
                    found.append(Goal(text=text + ending, value=gain, bound=BATCH_GAIN, unit="x"))
    for kind in dict.fromkeys(run.kind for run in runs if run.size == LARGE.name):
        text = f"{LARGE.name}, {kind}, time beside scheduling / scheduling"
        value = overhead(runs, kind)
        found.append(Goal(text=text, value=value, bound=LARGE_OVERHEAD, unit="x", at_least=False))
    return found


def best_rate(
    runs: Sequence[Run], size: str, kind: str, target: str = SERVICE, *, most: float | None = None
) -> float:
    """Return problems/s at the number of connections that gives most; the median over rounds.

    Parameters
    ----------
    most : connections that are looked at; None: all.
    """
    chosen = [
        one
        for one in runs
        if (one.target, one.size, one.kind) == (target, size, kind)
        and (most is None or one.connections <= most)
    ]
    return max(
        (
            statistics.median(one.rate for one in chosen if one.connections == connections)
            for connections in {one.connections for one in chosen}
        ),
        default=float("nan"),
    )


def overhead(runs: Sequence[Run], kind: str) -> float:
    """Return the time of the largest requests that is not scheduling, over that which is."""
    chosen = chosen_runs(runs, SERVICE, LARGE.name, kind, 1)
    return median([one.overhead for one in chosen if one.overhead is not None])


def _size_runs(
    size: Size,
    targets: Mapping[str, Service],
    library: Library,
    idle: Mapping[str, Mapping[str, float]],
    extent: Extent,
) -> Iterator[Run]:
    problems = on_same_machines(size, 1 if size == LARGE else DIFFERENT)
    machines = library.know(machines_bytes(problems[0].machines))
    for target in targets.values():
        if target.know(problems[0].machines) != machines:
            raise RuntimeError("the service calls machines by another hash")
    every = kinds(size, machines, problems)
    files = {
        (name, kind): [target.file(request) for request in requests]
        for name, target in targets.items()
        for kind, requests in every.items()
    }
    for target in targets.values():  # once each before it counts
        for requests in every.values():
            target.checked(requests[0])
    most = LARGE_REQUESTS if size == LARGE else None
    for k in range(extent.rounds):
        for kind, requests in every.items():
            yield library_run(size, requests, library, extent.seconds, most)
            for name in sorted(targets, reverse=k % 2 == 1):
                target = targets[name]
                if size == LARGE:
                    yield large_run(name, target, size, requests, idle[name], LARGE_REQUESTS)
                    continue
                for connections in CONNECTIONS[name]:
                    load = Load(
                        port=target.port,
                        host=target.host,
                        files=files[name, kind],
                        connections=connections,
                        seconds=extent.seconds,
                    )
                    yield service_run(name, target, size, requests[0], load, idle[name])
