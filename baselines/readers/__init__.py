"""Workflow files of every known format as problems. The format is found by content.

To add a format, write a module with `NAME` (what `--format` calls it), `TITLE`, `recognise` and
`read` (and `SUFFIXES` for text files), and enter it in one of the two tables below.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, Protocol

from deepsched.baselines.errors import InvalidInput, UnknownName
from deepsched.baselines.readers import (
    alibaba,
    dax,
    dot,
    dslab,
    explicit,
    gml,
    gocj,
    graphml,
    hcsp,
    job_shop,
    jobs_csv,
    node_link,
    pegasus,
    saga,
    stg,
    tgff,
    wfformat,
)
from deepsched.baselines.readers._values import an_object
from deepsched.baselines.readers.explicit import problem_document, write_problem
from deepsched.baselines.readers.files import decode, parse_json, read_bytes, shown_path
from deepsched.baselines.readers.hcsp import HcspSolution, read_hcsp_solution
from deepsched.baselines.readers.machines_file import read_machines
from deepsched.baselines.readers.networkx_graph import from_networkx, to_networkx
from deepsched.baselines.readers.options import ReadOptions
from deepsched.baselines.readers.packed import plain_name
from deepsched.baselines.readers.strangers import MACHINES_GIVEN, known_stranger

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


class JsonFormat(Protocol):
    """A module that reads one family of JSON documents."""

    NAME: str
    TITLE: str

    def recognise(self, document: dict[str, Any], /) -> bool: ...

    def read(self, document: dict[str, Any], where: str, options: ReadOptions, /) -> Problem: ...


class TextFormat(Protocol):
    """A module that reads one kind of text file."""

    NAME: str
    TITLE: str
    SUFFIXES: tuple[str, ...]

    def recognise(self, text: str, /) -> bool: ...

    def read(self, text: str, where: str, options: ReadOptions, /) -> Problem: ...


# The first that recognises a document or text reads it.
JSON_FORMATS: tuple[JsonFormat, ...] = (explicit, wfformat, saga, node_link)
TEXT_FORMATS: tuple[TextFormat, ...] = (
    graphml,
    dax,
    dot,
    gml,
    tgff,
    pegasus,
    dslab,
    alibaba,
    jobs_csv,
    job_shop,
    hcsp,
    stg,
    gocj,
)
FORMATS = (
    *(module.NAME for module in JSON_FORMATS),
    *(module.NAME for module in TEXT_FORMATS),
)
TITLES = (
    *(module.TITLE for module in JSON_FORMATS),
    *(module.TITLE for module in TEXT_FORMATS),
)


def read_problem(path: str | PathLike[str], options: ReadOptions | None = None) -> Problem:
    """Return the problem in a file of any known format, plain, gzip, bz2, xz or alone in a zip.

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

    Warns
    -----
    InputWarning
        Where the file may not mean what its author meant.
    """
    return problem_from_bytes(read_bytes(path), shown_path(path), options)


def problem_from_bytes(data: bytes, where: str, options: ReadOptions | None = None) -> Problem:
    """Return the problem in the bytes of a file, as `read_problem`; `where` names their source."""
    text = decode(data, where)
    chosen = options or ReadOptions()
    name = plain_name(where).lower()
    if chosen.format is not None:
        if chosen.format not in FORMATS:
            raise UnknownName("format", chosen.format, FORMATS)
        wanted = next((one for one in TEXT_FORMATS if chosen.format == one.NAME), None)
        if wanted is not None:
            return _read_text(wanted, text, where, chosen)
        return problem_from_json(parse_json(text, where), where, chosen)
    if name.endswith(".json") or text.lstrip().startswith(("{", "[")):
        return problem_from_json(parse_json(text, where), where, chosen)
    for module in TEXT_FORMATS:
        if module.recognise(text):
            return _read_text(module, text, where, chosen)
    stranger = known_stranger(text)
    if stranger:
        raise InvalidInput(f"{where}: {stranger}")
    # Content tells nothing: let the reader that the name asks for say what is wrong.
    for module in TEXT_FORMATS:
        if name.endswith(module.SUFFIXES):
            return _read_text(module, text, where, chosen)
    raise InvalidInput(
        f"{where}: unknown format; known: {', '.join(TITLES)}; --format NAME names one"
    )


def problem_from_json(document: Any, where: str, options: ReadOptions | None = None) -> Problem:
    """Return the problem of a parsed JSON document, as `read_problem`."""
    given = an_object(document, f"{where}: the document")
    chosen = options or ReadOptions()
    if chosen.format is not None and chosen.format not in FORMATS:
        raise UnknownName("format", chosen.format, FORMATS)
    for module in JSON_FORMATS:
        if chosen.format == module.NAME or (chosen.format is None and module.recognise(given)):
            if module is not wfformat:
                _refuse_trace_machines(module.TITLE, where, chosen)
            return _named(module.read(given, where, chosen), module.TITLE)
    if "machines" in given and "tasks" not in given:
        raise InvalidInput(f"{where}: {MACHINES_GIVEN}")
    known = ", ".join(TITLES[: len(JSON_FORMATS)])
    raise InvalidInput(
        f"{where}: unknown JSON format, without the keys 'format', 'schemaVersion', 'task_graph' "
        f"or 'nodes'; known: {known}"
    )


def _refuse_trace_machines(title: str, where: str, options: ReadOptions) -> None:
    if options.trace_machines:
        raise InvalidInput(
            f"{where}: the machines of the trace are asked for, and only {wfformat.TITLE} records "
            f"machines; this is {title}"
        )


def _read_text(module: TextFormat, text: str, where: str, options: ReadOptions) -> Problem:
    _refuse_trace_machines(module.TITLE, where, options)
    return _named(module.read(text, where, options), module.TITLE)


def _named(problem: Problem, title: str) -> Problem:
    return dataclasses.replace(problem, format=title)
