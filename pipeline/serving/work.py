"""The work of a request: from the bytes of its body to those of its answer; knows no Ray.

What a client can do wrong becomes a 4xx reply with one short line, `{"error": "..."}`.
"""

from __future__ import annotations

import functools
import logging
import math
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson

from deepsched.baselines.errors import DeepSchedError
from deepsched.baselines.heft import heft
from deepsched.baselines.machines import make_machines
from deepsched.baselines.problem import make_problem
from deepsched.baselines.readers import problem_document
from deepsched.baselines.readers.explicit import TITLE
from deepsched.baselines.registry import teacher_rng
from deepsched.baselines.schedule import violations
from deepsched.baselines.text import plain
from deepsched.model.networks.deepsched.concurrency import thread_count
from deepsched.model.networks.deepsched.report import Report
from deepsched.model.networks.deepsched.scheduler import DeepSchedScheduler
from deepsched.pipeline.serving import json_columns
from deepsched.pipeline.serving.bodies import ARROW, JSON, Kind, Reading, unpack
from deepsched.pipeline.serving.json_bodies import check_json
from deepsched.pipeline.serving.lanes import check_quick_bytes
from deepsched.pipeline.serving.parcels import NotHere, Parcel, contents
from deepsched.pipeline.serving.query import Query
from deepsched.pipeline.serving.quick_limit import QuickLimit
from deepsched.pipeline.serving.refusals import RequestError, TooSlow, line_of, status_of
from deepsched.pipeline.wire.arrow import answers_to_stream, problems_to_stream
from deepsched.pipeline.wire.machines import machines_from_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from deepsched.baselines.arrays import BoolArray
    from deepsched.baselines.machines import Machines
    from deepsched.baselines.problem import Problem
    from deepsched.baselines.schedule import Schedule
    from deepsched.pipeline.serving.networks import Chosen, Networks
    from deepsched.pipeline.serving.settings import ServeArgs

log = logging.getLogger("ray.serve")

SMALL = 20_000  # tasks x machines; up to there a batch's problems are scheduled one by one
FREED = 30_000_000  # bytes; up to 32 MiB count
MOST_KEPT = 16  # sets of machines that a process keeps, each at most some MB
# Statuses of replies that are none: among the slow ones; the body did not come along.
TOO_SLOW, NOT_HERE = 0, -1


@dataclass(frozen=True, kw_only=True, slots=True)
class Ask:
    """A request on its way to the process that works on it.

    Attributes
    ----------
    body : its bytes; large ones as a file in memory.
    many : whether the body lists several problems.
    arrow : whether the answer goes as Arrow.
    machines : document of the machines that the query names by their hash.
    size : bytes of the body.
    received, deadline : Unix time, s.
    """

    id: str
    body: bytes | Parcel
    kind: Kind
    encoding: str
    query: Query
    received: float
    deadline: float
    many: bool = False
    arrow: bool = False
    machines: bytes | Parcel | None = None
    size: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Reply:
    """What goes back: the status, the body, headers beside its type, and facts to count."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    media_type: str = JSON
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(kw_only=True, slots=True)
class Course:
    """How one request is told to end, and what it tells on its way.

    Attributes
    ----------
    stop : (1,) set by somebody else, it ends search.
    improved : called with each better makespan, s.
    begun : called with the problem and HEFT's makespan, s, before the search.
    """

    stop: BoolArray = field(default_factory=lambda: np.zeros(1, dtype=np.bool_))
    improved: Callable[[float], None] | None = None
    begun: Callable[[Problem, float], None] | None = None


def json_reply(status: int, value: Any, headers: Mapping[str, str] | None = None) -> Reply:
    """Return a reply that carries a JSON value."""
    return Reply(status=status, body=orjson.dumps(value), headers=dict(headers or {}))


def refusal(error: DeepSchedError) -> Reply:
    """Return the reply to a request that cannot be served, one line long."""
    headers = error.headers if isinstance(error, RequestError) else {}
    return json_reply(status_of(error), {"error": line_of(error)}, headers)


_kept: dict[str, Machines] = {}  # by the hash of their document
_keeping = threading.Lock()  # several threads work


def read_machines(document: bytes, args: ServeArgs) -> Machines:
    """Return the machines of a document.

    Raises
    ------
    DeepSchedError
        If it holds no legal machines, or too many.
    """

    def check(count: int) -> None:
        if count > args.max_machines:
            raise RequestError(413, f"{count} machines; this service takes {args.max_machines}")

    check_json(document, "machines", args)
    return machines_from_bytes(document, "machines", check=check)


def _machines(ask: Ask, args: ServeArgs) -> Machines | None:
    """Return the machines that a request names, kept for the next one that does."""
    sha256 = ask.query.settings.machines_sha256
    if sha256 is None or ask.machines is None:
        return None
    found = _kept.get(sha256)
    if found is None:
        found = read_machines(contents(ask.machines), args)
        with _keeping:
            while len(_kept) >= MOST_KEPT:
                del _kept[next(iter(_kept))]
            _kept[sha256] = found
    return found


@dataclass(frozen=True, kw_only=True, slots=True)
class Read:
    """The problems of one request, and when they were taken and read."""

    ask: Ask
    chosen: Chosen
    problems: Sequence[Problem | DeepSchedError]
    queue: float
    parse: float


def read(ask: Ask, networks: Networks, args: ServeArgs, *, quick: bool = False) -> Read:
    """Return a request's problems, and who schedules them.

    Raises
    ------
    DeepSchedError
        If the request as a whole is wrong.
    TooSlow
        If it has to be quick, and is not.
    """
    taken = time.time()
    begin = time.perf_counter()
    if taken > ask.deadline:
        raise RequestError(504, "there was no schedule in time")
    chosen = networks.choose(ask.query.settings.scheduler, ask.query.options)
    shared = _machines(ask, args)
    data = unpack(contents(ask.body), ask.encoding, args.max_body)
    if quick:
        check_quick_bytes(ask.kind, data)
    limit = QuickLimit(chosen.name, ask.query) if quick else None
    reading = Reading(query=ask.query, args=args, shared=shared, limit=limit)
    problems = reading.problems(data, ask.kind, many=ask.many)
    return Read(
        ask=ask,
        chosen=chosen,
        problems=problems,
        queue=max(0.0, taken - ask.received),
        parse=time.perf_counter() - begin,
    )


def work(ask: Ask, networks: Networks, args: ServeArgs, course: Course | None = None) -> Reply:
    """Return the reply to one request, whatever it is.

    Parameters
    ----------
    course : how it is told to end.
    """
    try:
        return solve(read(ask, networks, args), course or Course())
    except (DeepSchedError, MemoryError, NotHere) as error:
        return _reply_to(error)


def solve(found: Read, course: Course, made: Schedule | None = None, seconds: float = 0.0) -> Reply:
    """Return the reply that carries the schedules of all problems; each is validated before.

    Parameters
    ----------
    made : the schedule of the only problem, where it was made together with others.
    seconds : s which that took.
    """
    if not found.ask.many:
        [problem] = found.problems
        if isinstance(problem, DeepSchedError):
            raise problem
        return _encoded([_answer(problem, found, course, made, seconds)], found.ask)

    def answered(problem: Problem | DeepSchedError) -> dict[str, Any]:
        try:
            if isinstance(problem, DeepSchedError):
                raise problem
            return _answer(problem, found, course, None, 0.0)
        except DeepSchedError as error:
            return {"status": status_of(error), "error": line_of(error)}
        except RuntimeError:
            # An invalid schedule is withheld: a fault of ours, whose reason is not for all.
            log.exception("scheduler %s failed", found.chosen.name)
            return {"status": 500, "error": "the scheduler failed; the log says why"}

    sizes = [p.etc.size for p in found.problems if not isinstance(p, DeepSchedError)]
    # Threads take the GIL from each other where a problem is small.
    run = _together().map if max(sizes, default=0) > SMALL else map
    return _encoded(list(run(answered, found.problems)), found.ask)


@functools.cache
def _together() -> ThreadPoolExecutor:
    """Return the threads that schedule the problems of a batch, which needs no GIL."""
    return ThreadPoolExecutor(thread_count(), "batch")


def _answer(
    problem: Problem, found: Read, course: Course, schedule: Schedule | None, seconds: float
) -> dict[str, Any]:
    chosen, report = found.chosen, Report(improved=course.improved)
    heft_makespan = None
    if course.begun is not None:
        heft_makespan = heft(problem).makespan
        course.begun(problem, heft_makespan)
    if schedule is None:
        rng = teacher_rng(found.ask.query.settings.seed, 0, chosen.name)
        begin = time.perf_counter()
        if isinstance(chosen.run, DeepSchedScheduler):
            schedule = chosen.run(problem, rng, stop=course.stop, report=report)
        else:
            schedule = chosen.run(problem, rng)
        seconds = time.perf_counter() - begin
    broken = violations(problem, schedule)
    if broken:
        log.error("%s: invalid schedule of %s: %s", chosen.name, plain(problem.name), broken[0])
        raise RuntimeError("an invalid schedule is withheld")
    if schedule.scheduler == "heft":
        heft_makespan = schedule.makespan
    heft_makespan = heft_makespan or report.heft
    if heft_makespan is None:
        heft_makespan = heft(problem).makespan
    bound = "cheap" if report.bound is None else report.bound
    values = {
        "model": chosen.model,
        "model_version": chosen.version,
        "heft_makespan": heft_makespan,
        "timing": {
            "queue": found.queue,
            "parse": found.parse,
            "schedule": seconds,
            "network": report.network,
            "decode": report.decode,
        },
    }
    if found.ask.arrow:
        arrays = {"proc": schedule.proc, "ast": schedule.ast, "aft": schedule.aft}
        return schedule.summary(problem, seconds, bound) | values | arrays
    answer = schedule.to_json(problem, seconds, bound) | values
    if found.ask.query.settings.edges:
        parents, children, _ = problem.edge_list()
        answer["machines"] = list(problem.machines.ids)
        answer["arrivals"] = problem.arrival.tolist()
        answer["edges"] = np.column_stack((parents, children)).tolist()
    return answer


def _encoded(answers: list[dict[str, Any]], ask: Ask) -> Reply:
    facts = {"answers": [_facts(answer) for answer in answers]}
    if ask.arrow:
        return Reply(status=200, body=answers_to_stream(answers), media_type=ARROW, facts=facts)
    value = {"answers": answers} if ask.many else answers[0]
    return Reply(status=200, body=orjson.dumps(value), facts=facts)


def _facts(answer: Mapping[str, Any]) -> dict[str, Any]:
    if "error" in answer:
        return {"status": answer["status"]}
    return {
        "status": 200,
        "scheduler": answer["scheduler"],
        "winner": answer["winner"],
        "makespan": answer["makespan"],
        **answer["timing"],
    }


def work_together(asks: Sequence[Ask], networks: Networks, args: ServeArgs) -> list[Reply]:
    """Return the replies to several requests that came in one hop.

    Those for a network which takes many problems at once go through it together, in passes of at
    most `max_batch_tasks` tasks; a reply's `X-Batch-Requests` says how many shared its pass.
    """
    replies: dict[int, Reply] = {}
    waiting: list[tuple[int, Read]] = []
    for k, ask in enumerate(asks):
        try:
            found = read(ask, networks, args, quick=True)
            if found.chosen.together and not found.ask.many:
                waiting.append((k, found))
            else:
                replies[k] = solve(found, Course())
        except Exception as error:  # one request's fault is not the others'
            replies[k] = _reply_to(error)
    for group in _passes(waiting, args.max_batch_tasks):
        replies |= _pass(group)
    return [replies[k] for k in range(len(asks))]


def _passes(waiting: Sequence[tuple[int, Read]], most: int) -> list[list[tuple[int, Read]]]:
    """Deal requests to passes of at most so many tasks; a larger problem goes alone."""
    passes: list[list[tuple[int, Read]]] = []
    room = 0
    for k, found in waiting:
        [problem] = found.problems
        size = 0 if isinstance(problem, DeepSchedError) else problem.n_tasks
        if not passes or size > room:
            passes.append([])
            room = most
        passes[-1].append((k, found))
        room -= size
    return passes


def _pass(group: Sequence[tuple[int, Read]]) -> dict[int, Reply]:
    """Schedule the problems of a pass; if that fails each alone, so only the culprit fails."""
    problems: list[Any] = [found.problems[0] for _, found in group]
    network: Any = group[0][1].chosen.run
    begin = time.perf_counter()
    try:
        schedules = network.schedule_batch(problems)
    except Exception as error:
        if len(group) > 1:
            return {k: _pass([(k, found)])[k] for k, found in group}
        return {group[0][0]: _reply_to(error)}
    seconds = time.perf_counter() - begin
    replies = {}
    for (k, found), schedule in zip(group, schedules, strict=True):
        try:
            reply = solve(found, Course(), schedule, seconds)
            replies[k] = replace(reply, headers={"X-Batch-Requests": str(len(group))})
        except Exception as error:
            replies[k] = _reply_to(error)
    return replies


def _reply_to(error: Exception) -> Reply:
    """Return what becomes of a request that ended in an error."""
    if isinstance(error, TooSlow):
        return Reply(status=TOO_SLOW, body=b"")
    if isinstance(error, NotHere):
        return Reply(status=NOT_HERE, body=b"")
    if isinstance(error, DeepSchedError):
        return refusal(error)
    if isinstance(error, MemoryError):
        return refusal(RequestError(413, "the request needs more memory than it may have"))
    log.error("a request failed", exc_info=error)
    return json_reply(500, {"error": "internal error; the log says more"})


def _keep_freed_memory() -> None:
    """Have memory that requests free kept for the next ones: up to twice `FREED`.

    glibc gives it back at once above a size that grows with the largest block ever freed. A request
    of some MB would take its pages from the system anew, which costs it 1 to 2 ms.
    """
    np.empty(FREED, np.uint8)


def warm_up(networks: Networks, args: ServeArgs) -> None:
    """Compile or load all that a request needs, so that none waits for it."""
    _keep_freed_memory()
    networks.warm_up()
    tiny = make_problem(
        machines=make_machines(2), etc=[[1.0, 2.0], [2.0, 1.0]], edges=([0], [1], [1.0])
    )
    # Arrow's thread begins now, and not where a process is near its bound of memory.
    json_columns.read_columns(orjson.dumps({"format": TITLE}), "warm-up")
    bodies: dict[Kind, bytes] = {
        "json": orjson.dumps(problem_document(tiny)),
        "arrow": problems_to_stream([tiny]),
    }
    now = time.time()
    for kind, body in bodies.items():
        ask = Ask(
            id="warm-up",
            body=body,
            kind=kind,
            encoding="",
            query=Query(),
            received=now,
            deadline=math.inf,
            arrow=kind == "arrow",
        )
        work(ask, networks, args)
