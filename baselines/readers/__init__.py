"""Workflow files of every known format as problems. The format is found by content.

To add a format, write a module with `NAME`, `recognise` and `read` (and `SUFFIX` for text files),
and enter it in one of the two tables below.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from deepsched.baselines.errors import InvalidInput
from deepsched.baselines.readers import explicit, gocj, hcsp, jobs_csv, machines_file, stg, wfformat
from deepsched.baselines.readers._values import an_object
from deepsched.baselines.readers.explicit import problem_document, write_problem
from deepsched.baselines.readers.files import decode, parse_json, read_bytes, shown_path
from deepsched.baselines.readers.hcsp import HcspSolution, read_hcsp_solution
from deepsched.baselines.readers.machines_file import read_machines
from deepsched.baselines.readers.networkx_graph import from_networkx, to_networkx
from deepsched.baselines.readers.options import ReadOptions

if TYPE_CHECKING:
    from os import PathLike

    from deepsched.baselines.problem import Problem

__all__ = [
    "FORMATS",
    "HcspSolution",
    "ReadOptions",
    "from_networkx",
    "problem_document",
    "problem_from_bytes",
    "problem_from_json",
    "read_hcsp_solution",
    "read_machines",
    "read_problem",
    "to_networkx",
    "write_problem",
]

HEAD_LINES = 2  # lines of a text file that its format is known by
HEAD_CHARACTERS = 100_000  # where they are looked for


class JsonFormat(Protocol):
    """A module that reads one family of JSON documents."""

    NAME: str

    def recognise(self, document: dict[str, Any], /) -> bool: ...

    def read(self, document: dict[str, Any], where: str, options: ReadOptions, /) -> Problem: ...


class TextFormat(Protocol):
    """A module that reads one kind of text file, known by the fields of its first two lines."""

    NAME: str
    SUFFIX: str

    def recognise(self, head: list[list[str]], /) -> bool: ...

    def read(self, text: str, where: str, options: ReadOptions, /) -> Problem: ...


# The first that recognises a document or text reads it.
JSON_FORMATS: tuple[JsonFormat, ...] = (explicit, wfformat)
TEXT_FORMATS: tuple[TextFormat, ...] = (jobs_csv, hcsp, stg, gocj)
FORMATS = (
    *(module.NAME for module in JSON_FORMATS),
    *(module.NAME for module in TEXT_FORMATS),
)


def read_problem(path: str | PathLike[str], options: ReadOptions | None = None) -> Problem:
    """Return the problem in a file of any known format, plain or gzip.

    Parameters
    ----------
    options : machines, links and noise for a source that gives one figure a task; by default
        `DEFAULT_MACHINES` drawn machines with seed 0, no noise.

    Raises
    ------
    InvalidInput
        If the file cannot be read or is of no known format, naming the line or the JSON path.
    InvalidProblem
        If its parts do not make a problem, naming the task, machine or edge.
    """
    return problem_from_bytes(read_bytes(path), shown_path(path), options)


def problem_from_bytes(data: bytes, where: str, options: ReadOptions | None = None) -> Problem:
    """Return the problem in the bytes of a file, as `read_problem`; `where` names their source."""
    text = decode(data, where)
    chosen = options or ReadOptions()
    name = where.removesuffix(".gz")
    if name.endswith(".json") or text.lstrip().startswith(("{", "[")):
        return problem_from_json(parse_json(text, where), where, chosen)
    head = _head(text)
    for module in TEXT_FORMATS:
        if module.recognise(head):
            return module.read(text, where, chosen)
    if head and machines_file.COLUMNS[0] in jobs_csv.cells(head[0]):
        raise InvalidInput(f"{where}: a list of machines, not a problem; give it as the machines")
    # Content tells nothing: let the reader that the name asks for say what is wrong.
    for module in TEXT_FORMATS:
        if name.endswith(module.SUFFIX):
            return module.read(text, where, chosen)
    raise InvalidInput(f"{where}: unknown format; known: {', '.join(FORMATS)}")


def problem_from_json(document: Any, where: str, options: ReadOptions | None = None) -> Problem:
    """Return the problem of a parsed JSON document, explicit or WfFormat; as `read_problem`."""
    given = an_object(document, f"{where}: the document")
    for module in JSON_FORMATS:
        if module.recognise(given):
            return module.read(given, where, options or ReadOptions())
    known = ", ".join(module.NAME for module in JSON_FORMATS)
    raise InvalidInput(
        f"{where}: unknown JSON format, without the key 'format' or 'schemaVersion'; known: {known}"
    )


def _head(text: str) -> list[list[str]]:
    """Return the fields of the first lines that hold more than a comment."""
    head: list[list[str]] = []
    for line in text[:HEAD_CHARACTERS].splitlines():
        fields = line.split("#", 1)[0].split()
        if fields:
            head.append(fields)
        if len(head) == HEAD_LINES:
            break
    return head
