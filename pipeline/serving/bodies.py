"""The body of a request: unpacked, measured, and read as problems."""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from deepsched.baselines.errors import DeepSchedError, InvalidInput
from deepsched.baselines.machines import DEFAULT_MACHINES, Machines
from deepsched.baselines.readers import problem_from_bytes, problem_from_json
from deepsched.baselines.readers.columns import EdgeColumns, TaskColumns
from deepsched.baselines.readers.explicit import TITLE, shared_machines
from deepsched.baselines.readers.files import parse_json
from deepsched.baselines.readers.packed import is_packed
from deepsched.pipeline.serving.json_bodies import parse_body
from deepsched.pipeline.serving.refusals import RequestError, TooSlow
from deepsched.pipeline.serving.settings import MEGABYTE
from deepsched.pipeline.wire.arrow import problems_from_stream

if TYPE_CHECKING:
    from collections.abc import Iterator

    from deepsched.baselines.problem import Problem
    from deepsched.pipeline.serving.query import Query
    from deepsched.pipeline.serving.quick_limit import QuickLimit
    from deepsched.pipeline.serving.settings import ServeArgs

Kind = Literal["json", "arrow", "file"]
JSON = "application/json"
ARROW = "application/vnd.apache.arrow.stream"
FORM = "application/x-www-form-urlencoded"  # what curl --data-binary says
# Bytes that are a workflow file of whatever format, found by content.
FILES = ("application/gzip", "application/octet-stream", "application/x-gzip", "application/xml")

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
EDGE_PLACES = ("edges", "links", "task_graph.dependencies")
OF_MACHINES = {"machines", "bandwidth", "latency"}  # keys of the explicit format
# What may stand in place of a list, read before.
LISTS = (list, dict, Machines, TaskColumns, EdgeColumns)
MACHINE_PLACES = ("machines", "graph.machines", "network.nodes", "tasks.0.etc", "nodes.0.etc")


def kind_of(content_type: str) -> Kind:
    """Return how a body is to be read, by its `Content-Type`.

    Raises
    ------
    RequestError
        415, naming the types there are.
    """
    name = content_type.partition(";")[0].strip().lower()
    if name in ("", JSON, FORM) or name.endswith("+json"):
        return "json"
    if name == ARROW:
        return "arrow"
    if name in FILES or name.startswith("text/"):
        return "file"
    raise RequestError(
        415,
        f"Content-Type {name[:60]!r}; send {JSON}, {ARROW}, or a workflow file as text/plain or "
        "application/octet-stream",
    )


@dataclass(frozen=True, kw_only=True)
class Reading:
    """How the body of one request is read.

    Attributes
    ----------
    shared : the machines that the query names by their hash.
    limit : for a request that has to be quick: how much it may take.
    """

    query: Query
    args: ServeArgs
    shared: Machines | None = None
    limit: QuickLimit | None = None

    def problems(
        self, data: bytes, kind: Kind, *, many: bool = False
    ) -> list[Problem | DeepSchedError]:
        """Return the problems of an unpacked body; a wrong one of several is the error instead.

        Parameters
        ----------
        many : whether the body holds a list of problems; else it holds one.

        Raises
        ------
        DeepSchedError
            If the body as a whole is too large or wrong, or its only problem is.
        TooSlow
            If it has to be quick, and is not.
        """
        if kind == "arrow":
            found = self._of_stream(data, many=many)
        elif many:
            found = list(self._each(data, kind))
        elif kind == "json" or data.lstrip()[:1] in (b"{", b"["):
            document = parse_body(data, WHERE, self.args, by_column=True)
            found = [self._of_document(document, WHERE)]
        else:
            found = [self._of_file(data)]
        for problem in found:
            if isinstance(problem, TooSlow) or (not many and isinstance(problem, DeepSchedError)):
                raise problem
        return found

    def _of_stream(self, data: bytes, *, many: bool) -> list[Problem | DeepSchedError]:
        if self.query.settings.machines is not None:
            raise RequestError(400, "query parameter machines: not for Arrow, whose rows have them")

        def check(tasks: int, machines: int, edges: int) -> None:
            check_counts(tasks, machines, edges, self.query, self.args)
            if self.limit is not None:
                self.limit.add(tasks, machines)

        most = self.args.max_problems if many else 1
        return problems_from_stream(data, self.shared, WHERE, check=check, most_rows=most)

    def _of_document(self, document: Any, where: str) -> Problem:
        tasks, machines = check_size(document, self.query, self.args, self.shared)
        if self.limit is not None:
            self.limit.check(tasks, machines)
        options = self.query.settings.read_options(self.shared)
        return self._within(problem_from_json(document, where, options))

    def _of_file(self, data: bytes) -> Problem:
        if is_packed(data):  # it would unpack to whatever it likes
            raise RequestError(415, f"{WHERE}: compressed, and not by gzip; send gzip or none")
        options = self.query.settings.read_options(self.shared)
        return self._within(problem_from_bytes(data, WHERE, options))

    def _within(self, problem: Problem) -> Problem:
        n, p = problem.n_tasks, problem.n_machines
        check_counts(n, p, problem.n_edges, self.query, self.args)
        if self.limit is not None:
            self.limit.add(n, p)
        return problem

    def _each(self, data: bytes, kind: Kind) -> Iterator[Problem | DeepSchedError]:
        """Yield the problems of a document that lists several."""
        if kind != "json":
            raise RequestError(415, f"several problems come as {JSON} or {ARROW}")
        document = parse_body(data, WHERE, self.args)
        problems = document.pop("problems", None) if isinstance(document, dict) else None
        if not isinstance(problems, list) or not problems:
            raise InvalidInput(f"{WHERE}: 'problems' must be a list of at least one document")
        most = self.args.max_problems
        if len(problems) > most:
            raise RequestError(413, f"{len(problems)} problems; this service takes {most}")
        machines = self._shared_machines(document)
        for k, problem in enumerate(problems):
            where = f"{WHERE}: problems[{k}]"
            if not isinstance(problem, dict):
                yield InvalidInput(f"{where} must be an object")
                continue
            whole = {**document, **problem}
            if machines and OF_MACHINES.isdisjoint(problem) and whole.get("format") == TITLE:
                whole["machines"] = machines
            try:
                yield self._of_document(whole, where)
            except DeepSchedError as error:
                yield error

    def _shared_machines(self, document: dict[str, Any]) -> Machines | None:
        """Return the machines that stand in a list of problems once, read once.

        None if that fails: read for each problem, it is said what is wrong, if the problem minds.
        """
        if "machines" not in document or _machines(document) > self.args.max_machines:
            return None
        try:
            return shared_machines(document, WHERE)
        except DeepSchedError:
            return None


def check_encoding(encoding: str) -> None:
    """Refuse a `Content-Encoding` that is not read.

    Raises
    ------
    RequestError
        415
    """
    if encoding not in ("", "identity", "gzip", "x-gzip"):
        raise RequestError(415, f"Content-Encoding {encoding[:40]!r}; send gzip or none")


def unpack(body: bytes, encoding: str, limit: int) -> bytes:
    """Return the body, gunzipped where it is gzip data, up to `limit` bytes.

    Raises
    ------
    RequestError
        413 if it unpacks to more, 400 if it is not whole gzip data, 415 for another encoding.
    """
    check_encoding(encoding)
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


def check_size(
    document: Any, query: Query, args: ServeArgs, shared: Machines | None = None
) -> tuple[int, int]:
    """Refuse a document whose problem would be too large, before anything is built from it.

    Counts what is there; whether it has the right form is left to the reader.

    Returns
    -------
    How many tasks and machines there are, as far as it can be seen.

    Raises
    ------
    RequestError
        413, naming the limit.
    """
    tasks = max(_count(document, place) for place in TASK_PLACES)
    known = query.settings.machines or len(shared or ()) or DEFAULT_MACHINES
    machines = _machines(document) or known
    edges = max(_count(document, place) for place in EDGE_PLACES)
    check_counts(tasks, machines, edges, query, args)
    return tasks, machines


def _machines(document: Any) -> int:
    """Return how many machines there are, as far as it can be seen."""
    return max(
        *(_count(document, place) for place in MACHINE_PLACES),
        *(_slots(document, place) for place in SLOT_PLACES),
    )


def check_counts(tasks: int, machines: int, edges: int, query: Query, args: ServeArgs) -> None:
    """Refuse a problem of a size that is too large.

    Raises
    ------
    RequestError
        413, naming the limit.
    """
    if tasks > args.max_tasks:
        raise RequestError(413, f"{tasks} tasks; this service takes {args.max_tasks}")
    if machines > args.max_machines:
        raise RequestError(413, f"{machines} machines; this service takes {args.max_machines}")
    if edges > args.max_edges:
        raise RequestError(413, f"{edges} edges; this service takes {args.max_edges}")
    if tasks * machines > args.max_cells:
        raise RequestError(
            413, f"{tasks} tasks x {machines} machines; this service takes {args.max_cells}"
        )
    samples = query.samples(tasks, machines)
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
    return len(value) if isinstance(value, LISTS) else 0
