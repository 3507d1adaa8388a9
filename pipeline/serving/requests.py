"""What a request to the scheduling service asks for, and what it is answered; knows no Ray.

A request is a JSON document and a query; an answer is a status, headers and bytes. Everything a
client can do wrong becomes a 4xx answer with one short line, `{"error": "..."}`.
"""

from __future__ import annotations

import json
import math
import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from deepsched.baselines.errors import DeepSchedError, InvalidInput, TooLarge
from deepsched.baselines.machines import DEFAULT_MACHINES
from deepsched.baselines.readers import ReadOptions, problem_from_json
from deepsched.baselines.readers.files import as_text, parse_json
from deepsched.baselines.settings import Settings, parse_settings, setting, setting_infos
from deepsched.model.networks.deepsched.options import DeepSchedOptions, default_samples
from deepsched.pipeline.serving.settings import MEGABYTE

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from deepsched.baselines.problem import Problem
    from deepsched.baselines.schedule import Schedule
    from deepsched.pipeline.serving.settings import ServeArgs

LONGEST_MESSAGE = 400  # characters; an answer never echoes a request at length
RETRY_AFTER = 1  # s; what a refused client is told to wait
WHERE = "request body"
GZIP = b"\x1f\x8b"

# Where the formats have their tasks and machines; 0 is the first of a list.
TASK_PLACES = (
    "tasks",
    "nodes",
    "task_graph.tasks",
    "workflow.tasks",
    "workflow.jobs",
    "workflow.specification.tasks",
)
SLOT_PLACES = ("machines", "graph.machines")  # where an entry may be a node of several slots
MACHINE_PLACES = ("machines", "graph.machines", "network.nodes", "tasks.0.etc", "nodes.0.etc")

MAX_SAMPLES = 256
LARGEST_SEED = 2**63 - 1
OPTIONS = tuple(info.name for info in setting_infos(DeepSchedOptions) if info.public)


@dataclass(frozen=True, kw_only=True)
class QuerySettings(Settings):
    """The query of `POST /v1/schedule` but for the network's options."""

    scheduler: str | None = setting(None, "Name of the scheduler.")
    seed: int = setting(0, "Random stream of it.", at_least=0, at_most=LARGEST_SEED)
    machines: int | None = setting(None, "Machines to draw.", at_least=1)
    machine_seed: int = setting(0, "Seed of their speeds.", at_least=0, at_most=LARGEST_SEED)
    noise: float = setting(0.0, "Sigma of the lognormal task-machine factor.", at_least=0)
    noise_seed: int = setting(0, "Seed of that factor.", at_least=0, at_most=LARGEST_SEED)
    bandwidth: float | None = setting(None, "Bytes/s of every link.", at_least=0)
    latency: float | None = setting(None, "Seconds before every transfer.", at_least=0)

    def read_options(self) -> ReadOptions:
        """Return what the reader needs."""
        return ReadOptions(
            n_machines=self.machines,
            machine_seed=self.machine_seed,
            noise=self.noise,
            noise_seed=self.noise_seed,
            bandwidth=self.bandwidth,
            latency=self.latency,
        )


@dataclass(frozen=True, kw_only=True)
class Query:
    """What a query asks for; what is not given stays at its default.

    Attributes
    ----------
    settings : all but the network's options.
    options : those fields of `DeepSchedOptions` that were given, checked.
    """

    settings: QuerySettings = field(default_factory=QuerySettings)
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """What goes back to the client: the status, the JSON body, and headers beside its type."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


class RequestError(DeepSchedError):
    """The request cannot be served; `status` says why in HTTP's words."""

    def __init__(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.headers = dict(headers or {})


def busy(message: str) -> RequestError:
    """Return the refusal of a request for which there is no room now."""
    return RequestError(503, f"{message}; try again", {"Retry-After": str(RETRY_AFTER)})


def parse_query(pairs: Iterable[tuple[str, str]]) -> Query:
    """Return the checked query.

    Raises
    ------
    RequestError
        400, naming the parameter.
    """
    values: dict[str, str] = {}
    for key, value in pairs:
        if key in values:
            raise RequestError(400, f"query parameter {key!r} is given twice")
        values[key] = value
    asked = {name: text for name, text in values.items() if name in OPTIONS}
    others = {shorten(name, 40): text for name, text in values.items() if name not in OPTIONS}
    known = (*(info.name for info in setting_infos(QuerySettings)), *OPTIONS)
    for name in others:
        if name not in known:
            raise RequestError(400, f"unknown query parameter {name!r}; one of: {', '.join(known)}")
    try:
        settings = parse_settings(QuerySettings, others, "query", from_text=True)
        settings.read_options()
        checked = parse_settings(DeepSchedOptions, asked, "query", from_text=True)
    except InvalidInput as error:
        raise RequestError(400, str(error)) from None
    if checked.samples is not None and checked.samples > MAX_SAMPLES:
        raise RequestError(400, f"query: samples = {checked.samples}; at most {MAX_SAMPLES} here")
    return Query(settings=settings, options={name: getattr(checked, name) for name in asked})


def unpack(body: bytes, encoding: str, limit: int) -> bytes:
    """Return the body, gunzipped where it is gzip data, up to `limit` bytes.

    Raises
    ------
    RequestError
        413 if it unpacks to more, 400 if it is not whole gzip data, 415 for another encoding.
    """
    if encoding not in ("", "identity", "gzip", "x-gzip"):
        raise RequestError(415, f"Content-Encoding {encoding[:40]!r}; send gzip or none")
    if not (encoding.endswith("gzip") or body.startswith(GZIP)):
        return body
    parts: list[bytes] = []
    room, rest = limit, body
    while rest:  # gzip data may have several members
        member = zlib.decompressobj(wbits=31)
        try:
            parts.append(member.decompress(rest, room + 1))
        except zlib.error as error:
            raise RequestError(400, f"{WHERE}: damaged gzip: {error}") from None
        room -= len(parts[-1])
        if room < 0:
            raise RequestError(413, f"{WHERE} unpacks to more than {limit / MEGABYTE:g} MB")
        if not member.eof:
            raise RequestError(400, f"{WHERE}: truncated gzip; its compressed data stop early")
        rest = member.unused_data
    unpacked = b"".join(parts)
    if unpacked.startswith(GZIP):
        raise RequestError(400, f"{WHERE}: gzip data inside gzip data")
    return unpacked


def check_size(document: Any, query: Query, args: ServeArgs) -> None:
    """Refuse a document whose problem would be too large, before anything is built from it.

    Counts what is there; whether it has the right form is left to the reader.

    Raises
    ------
    RequestError
        413, naming the limit.
    """
    tasks = max(_count(document, place) for place in TASK_PLACES)
    machines = max(_count(document, place) for place in MACHINE_PLACES)
    machines = max(machines, *(_slots(document, place) for place in SLOT_PLACES))
    machines = machines or query.settings.machines or DEFAULT_MACHINES
    if tasks > args.max_tasks:
        raise RequestError(413, f"{tasks} tasks; this service takes {args.max_tasks}")
    if machines > args.max_machines:
        raise RequestError(413, f"{machines} machines; this service takes {args.max_machines}")
    if tasks * machines > args.max_cells:
        raise RequestError(
            413, f"{tasks} tasks x {machines} machines; this service takes {args.max_cells}"
        )
    samples = query.options.get("samples") or default_samples(tasks, machines)
    if samples > 1 and samples * tasks * machines > args.max_sampled_cells:
        raise RequestError(
            413,
            f"{samples} samples x {tasks} tasks x {machines} machines; this service takes "
            f"{args.max_sampled_cells}",
        )


def _at(document: Any, place: str) -> Any:
    value = document
    for key in place.split("."):
        if key == "0":
            value = value[0] if isinstance(value, list) and value else None
        else:
            value = value.get(key) if isinstance(value, dict) else None
    return value


def _slots(document: Any, place: str) -> int:
    """Return how many machines a list of them describes, or the text of one."""
    value = _at(document, place)
    if isinstance(value, str):
        try:
            value = parse_json(value, WHERE)
        except InvalidInput:
            return 0  # the reader says what is wrong
    entries = value if isinstance(value, list) else []
    total = 0
    for entry in entries:
        slots = entry.get("slots") if isinstance(entry, dict) else None
        counted = isinstance(slots, int | float) and 1 <= slots < math.inf
        total += int(slots) if counted else 1  # type: ignore[arg-type]
    return total


def _count(document: Any, place: str) -> int:
    """Return how many entries a list has, or the text of one at most; 0 where there is none."""
    value = _at(document, place)
    if isinstance(value, str):
        return value.count(",") + 1
    return len(value) if isinstance(value, list | dict) else 0


def read_request(body: bytes, encoding: str, query: Query, args: ServeArgs) -> Problem:
    """Return the problem that a request's body holds.

    Raises
    ------
    DeepSchedError
        If it is too large or not a valid problem; `refusal` makes the answer from it.
    """
    text = as_text(unpack(body, encoding, args.max_body), WHERE)
    document = parse_json(text, WHERE)
    check_size(document, query, args)
    return problem_from_json(document, WHERE, query.settings.read_options())


def schedule_answer(
    problem: Problem,
    schedule: Schedule,
    seconds: float,
    headers: Mapping[str, str] | None = None,
) -> Answer:
    """Return the answer that carries a schedule."""
    return json_answer(200, schedule.to_json(problem, seconds), headers)


def json_answer(status: int, value: Any, headers: Mapping[str, str] | None = None) -> Answer:
    """Return an answer that carries a JSON value."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    return Answer(status=status, body=text.encode(), headers=dict(headers or {}))


def refusal(error: DeepSchedError) -> Answer:
    """Return the 4xx (or 503) answer to a request that cannot be served, one line long."""
    if isinstance(error, RequestError):
        status, headers = error.status, error.headers
    else:
        status, headers = (413 if isinstance(error, TooLarge) else 400), {}
    return json_answer(status, {"error": shorten(str(error), LONGEST_MESSAGE)}, headers)


def shorten(text: str, longest: int) -> str:
    """Return the text on one line, cut where it is longer than `longest` characters."""
    # Cut before the split as well: the text may be megabytes long.
    line = " ".join(text[: 4 * longest].split())
    return line if len(line) <= longest else line[: longest - 3] + "..."
