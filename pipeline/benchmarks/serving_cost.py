"""What a request costs: CPU by kind of process, time, and requests a second; beside less service.

The service, a plain FastAPI process with the same code, and the same code called as functions are
asked the same in turns, since a busy machine changes from minute to minute.
"""

from __future__ import annotations

import itertools
import statistics
import time
from collections import Counter
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from rich.table import Table

from deepsched.baselines.problem import make_problem
from deepsched.pipeline.benchmarks.serving_bodies import (
    BATCH,
    LARGE,
    MIDDLE,
    MIDDLE_WORK,
    SEED,
    SMALL,
    Request,
    Size,
    arrow_batch,
    arrow_request,
    gzip_request,
    json_batch,
    json_request,
)
from deepsched.pipeline.benchmarks.serving_goals import Found, Goal
from deepsched.pipeline.benchmarks.serving_library import Library, scheduling
from deepsched.pipeline.benchmarks.serving_load import Load, ask, percentile
from deepsched.pipeline.benchmarks.serving_plain import plain_service
from deepsched.pipeline.benchmarks.serving_processes import cpu_by_kind, per_request
from deepsched.pipeline.common.cli import messages
from deepsched.pipeline.wire.machines import machines_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from deepsched.baselines.machines import Machines
    from deepsched.baselines.problem import Problem
    from deepsched.pipeline.benchmarks.serving_goals import Extent
    from deepsched.pipeline.benchmarks.serving_service import Service

SERVICE, PLAIN, LIBRARY = "service", "plain FastAPI", "library"
SIZES = (SMALL, MIDDLE, MIDDLE_WORK, LARGE)
CONNECTIONS = (1, 4, 16)
DIFFERENT = 4  # problems of a size that are asked in turns
LARGE_REQUESTS = 2  # of the largest size, in a round
IDLE_SECONDS = 2.0
KNOWN = "Arrow, known machines"
SEVERAL = {f"Arrow, {BATCH} at once": KNOWN, f"JSON, {BATCH} at once": "JSON"}

# What is to be reached at 486 x 188.
ARROW_RATE, JSON_RATE = 100, 50  # requests/s
BEYOND_LIBRARY = 6.0  # ms of CPU
BATCH_GAIN = 2.0
LARGE_OVERHEAD = 1.0  # of scheduling


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """One run of one kind of request; a request of several problems counts as so many.

    Attributes
    ----------
    kind : of request.
    connections : 0 where functions were called.
    cpu : ms a problem by kind of process; empty where they are not known.
    p50, p99 : ms of a request.
    scheduling : ms a problem that the scheduler took; None where the answer was not looked at.
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
    statuses: Mapping[str, int]

    @property
    def whole_cpu(self) -> float:
        """Ms of CPU a problem."""
        return sum(self.cpu.values())


def measure_cost(service: Service, extent: Extent) -> Found:
    """Measure all sizes and kinds of requests."""
    library = Library()
    library.warm_up()
    sizes = [size for size in SIZES if extent.large or size != LARGE]
    runs: list[Run] = []
    with plain_service() as plain:
        targets = {SERVICE: service, PLAIN: plain}
        idle = {name: idle_rates(target) for name, target in targets.items()}
        for size in sizes:
            messages.print(f"cost: {size.name}")
            runs += _size_runs(size, targets, library, idle, extent)
    found = Found(rows=[asdict(run) for run in runs])
    found.tables = [_table(size, runs) for size in sizes]
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
    return {requests[0].name: requests for requests in every}


def on_same_machines(size: Size, count: int) -> list[Problem]:
    """Return problems of a size on the machines of the first."""
    first = size.problem(SEED)
    others = [_moved(size.problem(SEED + k), first.machines) for k in range(1, count)]
    return [first, *others]


def idle_rates(service: Service) -> dict[str, float]:
    """Return s of CPU a second by kind of process, while nobody asks."""
    if service.root is None:
        return {}
    before, begin = cpu_by_kind(service.root), time.perf_counter()
    time.sleep(IDLE_SECONDS)
    after, seconds = cpu_by_kind(service.root), time.perf_counter() - begin
    return {kind: (after[kind] - before[kind]) / seconds for kind in after}


def goals(runs: Sequence[Run]) -> list[Goal]:
    """Hold the runs against what is to be reached."""
    found = []
    for kind, bound in ((KNOWN, ARROW_RATE), ("JSON", JSON_RATE)):
        for size in (MIDDLE, MIDDLE_WORK):
            value = best_rate(runs, size.name, kind)
            text = f"{size.name}, {kind}"
            found.append(Goal(text=text, value=value, bound=bound, unit="requests/s"))
    for size in (MIDDLE, MIDDLE_WORK):
        value = beyond(runs, size.name, KNOWN)
        text = f"{size.name}, {KNOWN}, CPU beyond the library"
        unit = "ms a request"
        found.append(Goal(text=text, value=value, bound=BEYOND_LIBRARY, unit=unit, at_least=False))
    for size in (SMALL, MIDDLE, MIDDLE_WORK):
        for several, single in (
            (f"Arrow, {BATCH} at once", KNOWN),
            (f"JSON, {BATCH} at once", "JSON"),
        ):
            if any(run.kind == several and run.size == size.name for run in runs):
                gain = best_rate(runs, size.name, several) / best_rate(runs, size.name, single)
                text = f"{size.name}, {several}, throughput against one at a time"
                found.append(Goal(text=text, value=gain, bound=BATCH_GAIN, unit="x"))
    for kind in dict.fromkeys(run.kind for run in runs if run.size == LARGE.name):
        text = f"{LARGE.name}, {kind}, time beside scheduling / scheduling"
        value = overhead(runs, kind)
        found.append(Goal(text=text, value=value, bound=LARGE_OVERHEAD, unit="x", at_least=False))
    return found


def best_rate(runs: Sequence[Run], size: str, kind: str, target: str = SERVICE) -> float:
    """Return problems/s at the number of connections that gives most; the median over rounds."""
    chosen = [one for one in runs if (one.target, one.size, one.kind) == (target, size, kind)]
    return max(
        (
            statistics.median(one.rate for one in chosen if one.connections == connections)
            for connections in {one.connections for one in chosen}
        ),
        default=float("nan"),
    )


def beyond(runs: Sequence[Run], size: str, kind: str, target: str = SERVICE) -> float:
    """Return ms of CPU a problem above that of the library, on one connection."""
    whole = [one.whole_cpu for one in chosen_runs(runs, target, size, kind, 1) if one.cpu]
    library = [one.whole_cpu for one in chosen_runs(runs, LIBRARY, size, kind, 0)]
    return _median(whole) - _median(library)


def overhead(runs: Sequence[Run], kind: str) -> float:
    """Return the time of the largest requests that is not scheduling, over that which is."""
    whole = _median([one.p50 for one in chosen_runs(runs, SERVICE, LARGE.name, kind, 1)])
    alone = [one.scheduling for one in runs if one.scheduling and one.size == LARGE.name]
    return whole / _median(alone) - 1


def chosen_runs(
    runs: Sequence[Run], target: str, size: str, kind: str, connections: int
) -> list[Run]:
    """Return the runs of one cell of the table, one a round."""
    cell = (target, size, kind, connections)
    return [one for one in runs if (one.target, one.size, one.kind, one.connections) == cell]


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
    for k in range(extent.rounds):
        for kind, requests in every.items():
            yield _library_run(size, requests, library, extent)
            for name in sorted(targets, reverse=k % 2 == 1):
                for connections in (1,) if size == LARGE else CONNECTIONS:
                    load = Load(
                        port=targets[name].port,
                        host=targets[name].host,
                        files=files[name, kind],
                        connections=connections,
                        seconds=extent.seconds,
                        most=LARGE_REQUESTS if size == LARGE else None,
                    )
                    yield _service_run(name, targets[name], size, requests[0], load, idle[name])


def _library_run(size: Size, requests: Sequence[Request], library: Library, extent: Extent) -> Run:
    """Call the functions for as long as one run takes, and at least once for each request."""
    most = LARGE_REQUESTS if size == LARGE else 10**9
    begin, cpu = time.perf_counter(), time.process_time()
    times: list[float] = []
    scheduled = 0.0
    for request in itertools.islice(itertools.cycle(requests), most):
        if len(times) >= len(requests) and time.perf_counter() - begin > extent.seconds:
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


def _service_run(
    name: str,
    target: Service,
    size: Size,
    request: Request,
    load: Load,
    idle: Mapping[str, float],
) -> Run:
    before = Counter() if target.root is None else cpu_by_kind(target.root)
    begin = time.perf_counter()
    outcome = ask(load)
    seconds = time.perf_counter() - begin
    after = Counter() if target.root is None else cpu_by_kind(target.root)
    problems = outcome.ok * request.problems
    return Run(
        target=name,
        size=size.name,
        kind=request.name,
        connections=load.connections,
        problems=problems,
        rate=outcome.rate * request.problems,
        cpu=per_request(before, after, seconds=seconds, idle=idle, requests=max(problems, 1)),
        p50=percentile(outcome.ms, 0.5),
        p99=percentile(outcome.ms, 0.99),
        statuses=outcome.statuses,
    )


def _moved(problem: Problem, machines: Machines) -> Problem:
    """Return the problem on other machines, as many."""
    return make_problem(
        machines=machines,
        etc=None if problem.work is not None else problem.etc,
        work=problem.work,
        alpha=problem.alpha,
        noise=problem.noise,
        edges=problem.edge_list(),
        name=problem.name,
    )


def _table(size: Size, runs: Sequence[Run]) -> Table:
    of_service = [one for one in runs if one.target == SERVICE and one.size == size.name]
    processes = sorted({process for one in of_service for process in one.cpu})
    table = Table(
        title=f"{size.name}: a problem, by kind of request (medians; ms of CPU at 1 conn.)"
    )
    table.add_column("request")
    counts = sorted({one.connections for one in of_service})
    headings = [
        *("library CPU", "scheduling", "plain CPU"),
        *(f"{process} CPU" for process in processes),
        *("service CPU", "beyond library", "p50 ms", "p99 ms"),
        *(f"plain /s, {count} conn." for count in counts),
        *(f"service /s, {count} conn." for count in counts),
    ]
    for heading in headings:
        table.add_column(heading, justify="right")
    for kind in dict.fromkeys(one.kind for one in of_service):
        cells = _cells(size.name, kind, runs, processes, counts)
        table.add_row(kind, *(f"{value:.3g}" for value in cells))
    return table


def _cells(
    size: str, kind: str, runs: Sequence[Run], processes: Sequence[str], counts: Sequence[int]
) -> list[float]:
    library = chosen_runs(runs, LIBRARY, size, kind, 0)
    plain = chosen_runs(runs, PLAIN, size, kind, 1)
    service = chosen_runs(runs, SERVICE, size, kind, 1)

    def rates(target: str) -> list[float]:
        return [
            _median([one.rate for one in chosen_runs(runs, target, size, kind, count)])
            for count in counts
        ]

    return [
        _median([one.whole_cpu for one in library]),
        _median([one.scheduling or 0.0 for one in library]),
        _median([one.whole_cpu for one in plain]),
        *(_median([one.cpu.get(process, 0.0) for one in service]) for process in processes),
        _median([one.whole_cpu for one in service]),
        beyond(runs, size, kind),
        _median([one.p50 for one in service]),
        _median([one.p99 for one in service]),
        *rates(PLAIN),
        *rates(SERVICE),
    ]


def _median(values: Sequence[Any]) -> float:
    return statistics.median(values) if values else float("nan")
