"""The project's own format, `deepsched-problem/1`: a problem as one JSON document.

Times are seconds, memory MB, frequency MHz, bytes bytes and bandwidth bytes/s. A task gives `etc`,
seconds per machine with null where it cannot run, or `work`: the seconds it takes on one core at
2000 MHz, which a machine divides by (frequency / 2000) · cores. null as a bandwidth, or as a
machine's memory, is no limit. Keys the format does not know are ignored unless they look like a
misspelt known one.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from deepsched.baselines.atomic import write_text
from deepsched.baselines.errors import InvalidInput
from deepsched.baselines.readers._tasks import assemble, check_keys, parse_machines, task_columns
from deepsched.baselines.readers._values import Place, column, echo, entries, positions
from deepsched.baselines.readers.columns import BYTES_RULE, EdgeColumns, TaskColumns
from deepsched.baselines.readers.options import (
    ReadOptions,
    own_machines,
    source_name,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from os import PathLike

    from deepsched.baselines.arrays import FloatArray
    from deepsched.baselines.machines import Machines
    from deepsched.baselines.problem import Problem

NAME = "deepsched"
TITLE = "deepsched-problem/1"
WORK_ALPHA = 1.0  # all cores of a machine share a task's `work`
KEYS = ("format", "tasks", "machines", "edges", "bandwidth", "latency")
EDGE_KEYS = ("from", "to", "bytes")


def recognise(document: dict[str, Any]) -> bool:
    """Tell whether a JSON document names a format of ours, of whatever version."""
    return "format" in document


def read(document: dict[str, Any], where: str, options: ReadOptions) -> Problem:
    """Return the problem of a document; its tasks and edges may be columns, read before.

    Raises
    ------
    InvalidInput, InvalidProblem
        Naming the place, such as `tasks[3].etc[1]`.
    """
    if document["format"] != TITLE:
        raise InvalidInput(f"{where}: unknown format {echo(document['format'])}; known: {TITLE}")
    check_keys([document], KEYS, lambda _: where)

    tasks, edges = document.get("tasks"), document.get("edges")
    if not isinstance(tasks, TaskColumns):
        tasks = _tasks(document, where)
    modelled = np.flatnonzero(~tasks.timed)
    reason = f"tasks[{modelled[0]}] gives work, not etc" if modelled.size else ""
    machines = own_machines(parse_machines(document, where, speeds_needed=reason), options, where)
    if not isinstance(edges, EdgeColumns):
        edges = _edges(document, tasks, where)
    return assemble(
        tasks,
        machines,
        (edges.parents, edges.children, edges.size),
        alpha=WORK_ALPHA,
        options=options,
        where=where,
        name=source_name(where),
    )


def task_place(where: str) -> Place:
    """Return how the k-th task of a document is called in messages."""
    return lambda k: f"{where}: tasks[{k}]"


def _tasks(document: dict[str, Any], where: str) -> TaskColumns:
    return task_columns(entries(document, "tasks", where), task_place(where))


def _edges(document: dict[str, Any], tasks: TaskColumns, where: str) -> EdgeColumns:
    def place(k: int, key: str) -> str:
        return f"{where}: edges[{k}].{key}"

    edges = entries(document, "edges", where)
    check_keys(edges, EDGE_KEYS, lambda k: f"{where}: edges[{k}]")
    columns = {}
    for key in EDGE_KEYS:
        try:
            columns[key] = [edge[key] for edge in edges]
        except KeyError:
            k = next(k for k, edge in enumerate(edges) if key not in edge)
            raise InvalidInput(f"{place(k, key)} is missing") from None
    index = {name: i for i, name in enumerate(tasks.ids)}
    return EdgeColumns(
        parents=positions(columns["from"], index, lambda k: place(k, "from")),
        children=positions(columns["to"], index, lambda k: place(k, "to")),
        size=column(columns["bytes"], BYTES_RULE, lambda k: place(k, "bytes")),
    )


def shared_machines(document: dict[str, Any], where: str) -> Machines:
    """Return the machines of a document, which may stand in others in place of their entries.

    Raises
    ------
    InvalidInput, InvalidProblem
        Also where an entry lacks what only tasks that give work need.
    """
    found = parse_machines(document, where, speeds_needed="some task may give work")
    return own_machines(found, ReadOptions(), where)


def problem_document(problem: Problem) -> dict[str, Any]:
    """Return the problem as a JSON document that `read` turns into the same problem.

    Every number comes back bit for bit. The format knows no noise and shares work over all cores;
    a problem whose ETC was modelled otherwise is written with its times.
    """
    return {
        "format": TITLE,
        "tasks": list(_task_entries(problem)),
        "machines": list(machine_entries(problem)),
        "edges": list(_edge_entries(problem)),
        "bandwidth": link_value(problem.machines, "bandwidth"),
        "latency": link_value(problem.machines, "latency"),
    }


def write_problem(path: str | PathLike[str], problem: Problem) -> None:
    """Write the problem's document, an entry a line.

    Raises
    ------
    UnwritableOutput
        What was at `path` before is still there.
    """
    write_text(path, "".join(_text(problem)))


def _text(problem: Problem) -> Iterator[str]:
    # Entry by entry: the whole document of a large problem is many times its arrays.
    yield f'{{"format": "{TITLE}"'
    for key, items in (
        ("machines", machine_entries(problem)),
        ("tasks", _task_entries(problem)),
        ("edges", _edge_entries(problem)),
    ):
        yield f',\n"{key}": ['
        for k, item in enumerate(items):
            yield ",\n" if k else "\n"
            yield json.dumps(item, allow_nan=False)
        yield "]"
    for key in ("bandwidth", "latency"):
        value = link_value(problem.machines, key)
        yield f',\n"{key}": {json.dumps(value, allow_nan=False)}'
    yield "}\n"


def _task_entries(problem: Problem) -> Iterator[dict[str, Any]]:
    machines = problem.machines
    as_work = (
        problem.work is not None
        and problem.noise is None
        and np.array_equal(machines.speed(problem.alpha), machines.speed(WORK_ALPHA))
    )
    extras = {key: getattr(problem, key).tolist() for key in ("arrival", "priority", "memory")}
    for i, name in enumerate(problem.task_ids):
        entry: dict[str, Any] = {"id": name}
        if as_work and problem.work is not None:
            entry["work"] = float(problem.work[i])
        else:
            row = problem.etc[i]
            times = row.tolist()
            entry["etc"] = times if np.isfinite(row).all() else _with_nulls(times)
        entry.update({key: values[i] for key, values in extras.items() if values[i] != 0})
        yield entry


def machine_entries(problem: Problem) -> Iterator[dict[str, Any]]:
    """Yield each machine as the format has it."""
    machines = problem.machines
    for k, name in enumerate(machines.ids):
        entry: dict[str, Any] = {
            "id": name,
            "cores": float(machines.cores[k]),
            "frequency": float(machines.frequency[k]),
        }
        if np.isfinite(machines.memory[k]):
            entry["memory"] = float(machines.memory[k])
        if machines.nodes[k] != name:
            entry["node"] = machines.nodes[k]
        yield entry


def _edge_entries(problem: Problem) -> Iterator[dict[str, Any]]:
    ids = problem.task_ids
    parents, children, size = (column.tolist() for column in problem.edge_list())
    for parent, child, data in zip(parents, children, size, strict=True):
        yield {"from": ids[parent], "to": ids[child], "bytes": data}


def link_value(machines: Machines, key: str) -> Any:
    """Return the "bandwidth" or "latency" as the format has it: one number, null, or rows."""
    matrix: FloatArray = getattr(machines, key)
    links = matrix[machines.node[:, None] != machines.node]
    if links.size == 0:
        return 1.0 if key == "bandwidth" else 0.0  # one node: there is no link to describe
    if (links == links[0]).all():
        return float(links[0]) if np.isfinite(links[0]) else None
    return [_with_nulls(row) for row in matrix.tolist()]


def _with_nulls(values: list[float]) -> list[float | None]:
    return [None if value == np.inf else value for value in values]
