"""What a problem is sent as."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from deepsched.baselines.errors import InvalidInput
from deepsched.baselines.problem import Problem
from deepsched.baselines.text import printable
from deepsched.pipeline.wire.arrow import MOST_ROWS

if TYPE_CHECKING:
    from collections.abc import Iterator

Asked: TypeAlias = Problem | str | PathLike[str] | bytes | Mapping[str, Any]

JSON = "application/json"
FILE = "application/octet-stream"  # a workflow file of any format, found by its content
# Options of how a file is read.
OF_READING = ("machines", "machine_seed", "noise", "noise_seed", "bandwidth", "latency")
MOST_BYTES = 16_000_000  # of the arrays that go in one request


class Body(NamedTuple):
    """Bytes and their `Content-Type`."""

    content: bytes
    kind: str


def document_body(asked: str | PathLike[str] | bytes | Mapping[str, Any]) -> Body:
    """Return a file, or a document, as it is sent: as it is.

    Raises
    ------
    InvalidInput
        If the file cannot be read, or the document is none of JSON.
    """
    if isinstance(asked, bytes | bytearray | memoryview):
        return Body(bytes(asked), FILE)
    if isinstance(asked, Mapping):
        try:
            return Body(json.dumps(asked, allow_nan=False).encode(), JSON)
        except (TypeError, ValueError, RecursionError) as error:
            raise InvalidInput(f"the document is not JSON: {error}") from None
    if not isinstance(asked, str | PathLike):
        raise InvalidInput(
            f"a problem is a Problem, a path, bytes or a dict, not {type(asked).__name__}"
        )
    try:
        return Body(Path(asked).read_bytes(), FILE)
    except (OSError, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or error
        raise InvalidInput(f"{printable(asked)}: {reason}") from None


def query_of(options: Mapping[str, Any], asked: object = None) -> dict[str, str]:
    """Return options as the query of a request; None is not given.

    Raises
    ------
    InvalidInput
        If an option is only for what is read by the service, and `asked` is a problem.
    """
    given = {name: value for name, value in options.items() if value is not None}
    for name in OF_READING:
        if name in given and isinstance(asked, Problem):
            raise InvalidInput(f"{name} is for a file or a document: a Problem has all of it")
    return {
        name: str(value).lower() if isinstance(value, bool) else str(value)
        for name, value in given.items()
    }


def chunks(problems: Sequence[Problem]) -> Iterator[Sequence[Problem]]:
    """Divide problems, in their order, into as many as one request may have."""
    first, size = 0, 0
    for number, problem in enumerate(problems):
        own = _bytes_of(problem)
        if number > first and (size + own > MOST_BYTES or number - first >= MOST_ROWS):
            yield problems[first:number]
            first, size = number, 0
        size += own
    if first < len(problems):
        yield problems[first:]


def _bytes_of(problem: Problem) -> int:
    costs = problem.etc if problem.work is None else problem.noise
    vectors = 4 * problem.arrival.nbytes + 16 * problem.n_edges
    return vectors + (0 if costs is None else costs.nbytes)
