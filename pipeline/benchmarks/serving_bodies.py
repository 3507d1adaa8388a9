"""The problems that a service is asked about, and the requests that carry them."""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from deepsched.baselines.generate import GeneratorSpec, generate
from deepsched.baselines.problem import make_problem
from deepsched.baselines.readers import problem_document
from deepsched.pipeline.wire.arrow import problems_to_stream
from deepsched.pipeline.wire.machines import machines_bytes
from deepsched.pipeline.wire.streams import CONTENT_TYPE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from deepsched.baselines.machines import Machines
    from deepsched.baselines.problem import Problem

SEED = 20
JSON = "application/json"
BATCH = 16  # problems in a request of several
ONE_PASS = "one pass"  # in a request's name
_OF_MACHINES = ("machines", "bandwidth", "latency")  # in a document


@dataclass(frozen=True, kw_only=True, slots=True)
class Size:
    """One kind of problem.

    Attributes
    ----------
    noise : 0: a task is one number, its work. Else it has a time for each machine.
    """

    tasks: int
    machines: int
    noise: float = 0.0

    @property
    def name(self) -> str:
        """Such as `486 x 188, ETC`."""
        return f"{self.tasks:,} x {self.machines}, {'ETC' if self.noise else 'work'}"

    def problem(self, seed: int = SEED) -> Problem:
        """Return a layered graph of this size."""
        spec = GeneratorSpec(
            family="layered", tasks=self.tasks, machines=self.machines, noise=self.noise
        )
        return generate(spec, seed)


SMALL = Size(tasks=50, machines=16, noise=0.2)
MIDDLE = Size(tasks=486, machines=188, noise=0.2)
MIDDLE_WORK = Size(tasks=486, machines=188)
LARGE = Size(tasks=84_654, machines=188)


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """One request without its target.

    Attributes
    ----------
    name : what it is called in tables.
    problems : in it.
    """

    name: str
    path: str = "/v1/schedule"
    method: str = "POST"
    data: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    problems: int = 1

    def raw(self, host: str) -> bytes:
        """Return what is sent, with the headers; they say how long it is, unless it is to lie."""
        length = {"Content-Length": str(len(self.data))} if self.data else {}
        headers = {"Host": host, **length, **self.headers}
        lines = [f"{self.method} {self.path} HTTP/1.1", *(f"{k}: {v}" for k, v in headers.items())]
        return "\r\n".join([*lines, "", ""]).encode() + self.data

    def written(self, folder: Path, host: str) -> str:
        """Write what is sent to a new file of the folder, and return its path."""
        path = folder / f"request-{sum(1 for _ in folder.iterdir())}"
        path.write_bytes(self.raw(host))
        return str(path)


def on_same_machines(size: Size, count: int) -> list[Problem]:
    """Return problems of a size on the machines of the first."""
    first = size.problem(SEED)
    others = [_moved(size.problem(SEED + k), first.machines) for k in range(1, count)]
    return [first, *others]


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


def machines_request(machines: Machines) -> Request:
    """Return the request that makes machines known."""
    return Request(
        name="machines",
        method="PUT",
        path="/v1/machines",
        data=machines_bytes(machines),
        headers={"Content-Type": JSON},
    )


def one_pass(request: Request) -> Request:
    """Return the same request for one pass of the network, without the samples of the default."""
    mark = "&" if "?" in request.path else "?"
    return replace(
        request, name=f"{request.name}, {ONE_PASS}", path=f"{request.path}{mark}samples=1"
    )


def json_request(problem: Problem, *, query: str = "", name: str = "JSON") -> Request:
    """Return a request of one document."""
    return Request(
        name=name,
        path=f"/v1/schedule{query}",
        data=_text(problem_document(problem)),
        headers={"Content-Type": JSON},
    )


def gzip_request(problem: Problem) -> Request:
    """Return the same, packed."""
    return Request(
        name="JSON, gzip",
        data=gzip.compress(_text(problem_document(problem)), 6, mtime=0),
        headers={"Content-Type": JSON, "Content-Encoding": "gzip"},
    )


def json_batch(problems: Sequence[Problem]) -> Request:
    """Return one request of several problems on the same machines, which are in it once."""
    whole = [problem_document(problem) for problem in problems]
    shared = {key: whole[0][key] for key in _OF_MACHINES}
    each = [{k: v for k, v in one.items() if k not in _OF_MACHINES} for one in whole]
    return Request(
        name=f"JSON, {len(problems)} at once",
        path="/v1/schedule:batch",
        data=_text({**shared, "problems": each}),
        headers={"Content-Type": JSON},
        problems=len(problems),
    )


def arrow_request(problem: Problem, machines: str | None = None) -> Request:
    """Return a request of one row; with the hash of its machines it leaves them out."""
    return Request(
        name="Arrow" if machines is None else "Arrow, known machines",
        path=f"/v1/schedule{_known(machines)}",
        data=problems_to_stream([problem], shared=problem.machines if machines else None),
        headers={"Content-Type": CONTENT_TYPE, "Accept": CONTENT_TYPE},
    )


def arrow_batch(problems: Sequence[Problem], machines: str) -> Request:
    """Return one request of several rows on machines that are known."""
    return Request(
        name=f"Arrow, {len(problems)} at once",
        path=f"/v1/schedule:batch{_known(machines)}",
        data=problems_to_stream(problems, shared=problems[0].machines),
        headers={"Content-Type": CONTENT_TYPE, "Accept": CONTENT_TYPE},
        problems=len(problems),
    )


def _known(machines: str | None) -> str:
    return "" if machines is None else f"?machines_sha256={machines}"


def _text(value: Any) -> bytes:
    return json.dumps(value, allow_nan=False, separators=(",", ":")).encode()
