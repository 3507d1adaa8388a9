"""WfFormat 1.5: measured workflow executions of the WfCommons project.

Tasks of `workflow.specification` are joined by id with their measurements in
`workflow.execution.tasks`; measurements of other ids are ignored. A task's work is its measured
runtime (alpha 0: a task is sequential), its memory is `memoryInBytes`.

An edge exists where the parent lists the child or the child lists the parent: traces are known that
give only one side. Listed twice, it is still one edge. Its bytes are the sum over the files that
the parent outputs and the child inputs; inputs that nobody produces cost nothing.

References
----------
Coleman et al. (2022), doi:10.1016/j.future.2021.09.043; https://github.com/wfcommons/WfFormat
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

import numpy as np

from deepsched.baselines.errors import InvalidInput
from deepsched.baselines.readers._tasks import optional_column
from deepsched.baselines.readers._values import (
    Rule,
    a_list,
    an_object,
    column,
    echo,
    entries,
    names,
    positions,
    required,
)
from deepsched.baselines.readers.options import ReadOptions, chosen_machines, modelled_problem

if TYPE_CHECKING:
    from deepsched.baselines.arrays import FloatArray
    from deepsched.baselines.problem import Edges, Problem

NAME = "WfFormat 1.5"
VERSION = "1.5"
ALPHA = 0.0
MB = 1e6  # bytes
SPECIFICATION = "workflow.specification."
EXECUTION = "workflow.execution."


def recognise(document: dict[str, Any]) -> bool:
    """Tell whether a JSON document is of this family, of whatever version."""
    return "schemaVersion" in document or "workflow" in document


def read(document: dict[str, Any], where: str, options: ReadOptions) -> Problem:
    """Return the problem of a trace, on the machines of the options.

    Raises
    ------
    InvalidInput, InvalidProblem
        Naming the place, such as `workflow.specification.tasks[3].parents[0]`.
    """
    version = required(document, "schemaVersion", where)
    if version != VERSION:
        raise InvalidInput(
            f"{where}: WfFormat version {echo(version)} is not known, only {VERSION}"
        )
    workflow = an_object(required(document, "workflow", where), f"{where}: workflow")
    parts = {}
    for key in ("specification", "execution"):
        part = required(workflow, key, where, "workflow.")
        parts[key] = an_object(part, f"{where}: workflow.{key}")
    tasks = entries(parts["specification"], "tasks", where, SPECIFICATION)
    ids = _ids(tasks, f"{where}: {SPECIFICATION}tasks")
    runtime, priority, memory = _measured(parts["execution"], ids, where)
    return modelled_problem(
        work=runtime,
        alpha=ALPHA,
        machines=chosen_machines(options, tasks=len(ids)),
        options=options,
        where=where,
        task_ids=ids,
        edges=_edges(tasks, ids, parts["specification"], where),
        priority=priority,
        memory=memory,
    )


def _ids(items: list[dict[str, Any]], place: str) -> list[str]:
    for k, item in enumerate(items):
        if "id" not in item:
            raise InvalidInput(f"{place}[{k}].id is missing")
    return names([item["id"] for item in items], lambda k: f"{place}[{k}].id")


def _measured(
    execution: dict[str, Any], ids: list[str], where: str
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return each task's runtime (s), priority and memory (MB)."""
    items = entries(execution, "tasks", where, EXECUTION)

    def place(k: int) -> str:
        return f"{where}: {EXECUTION}tasks[{k}]"

    index = {name: k for k, name in enumerate(_ids(items, f"{where}: {EXECUTION}tasks"))}
    missing = [name for name in ids if name not in index]
    if missing:
        raise InvalidInput(f"{where}: {EXECUTION}tasks has no entry for task {echo(missing[0])}")
    rows = [index[name] for name in ids]
    measured = [items[row] for row in rows]
    for row, item in zip(rows, measured, strict=True):
        if "runtimeInSeconds" not in item:
            raise InvalidInput(f"{place(row)}.runtimeInSeconds is missing")

    def measured_place(k: int) -> str:
        return place(rows[k])

    runtime = column(
        [item["runtimeInSeconds"] for item in measured],
        Rule.COST,
        lambda k: f"{measured_place(k)}.runtimeInSeconds",
    )
    priority = optional_column(measured, "priority", Rule.FINITE, measured_place)
    memory = optional_column(measured, "memoryInBytes", Rule.COST, measured_place)
    return runtime, priority, memory / MB


def _edges(
    tasks: list[dict[str, Any]], ids: list[str], specification: dict[str, Any], where: str
) -> Edges:
    index = {name: i for i, name in enumerate(ids)}

    def listed(i: int, key: str) -> list[Any]:
        found = tasks[i].get(key, [])
        if type(found) is list:  # spelling the place takes longer than looking
            return found
        return a_list(found, f"{where}: {SPECIFICATION}tasks[{i}].{key}")

    def relatives(i: int, key: str) -> list[int]:
        place = f"{where}: {SPECIFICATION}tasks[{i}].{key}"
        return positions(listed(i, key), index, lambda k: f"{place}[{k}]")

    def files(i: int, key: str) -> dict[str, None]:
        found = listed(i, key)
        for k, name in enumerate(found):
            if type(name) is not str:
                place = f"{where}: {SPECIFICATION}tasks[{i}].{key}[{k}]"
                raise InvalidInput(f"{place} is {echo(name)}; it must be a file id")
        return dict.fromkeys(found)

    carried: dict[tuple[int, int], float] = {}
    for i in range(len(ids)):
        carried.update(((parent, i), 0) for parent in relatives(i, "parents"))
        carried.update(((i, child), 0) for child in relatives(i, "children"))
    producers = defaultdict(list)
    for i in range(len(ids)):
        for name in files(i, "outputFiles"):
            producers[name].append(i)
    sizes = _file_sizes(specification, where)
    for child in range(len(ids)):
        for name in files(child, "inputFiles"):
            for parent in producers.get(name, ()):
                if (parent, child) in carried:
                    if name not in sizes:
                        raise InvalidInput(
                            f"{where}: {SPECIFICATION}files has no entry for {echo(name)}, which "
                            f"task {echo(ids[child])} gets from {echo(ids[parent])}"
                        )
                    carried[parent, child] += sizes[name]
    pairs = np.array(list(carried), dtype=np.int64).reshape(-1, 2)
    size = column(
        list(carried.values()),
        Rule.COST,
        lambda k: f"{where}: bytes from {echo(ids[pairs[k, 0]])} to {echo(ids[pairs[k, 1]])}",
    )
    return pairs[:, 0], pairs[:, 1], size


def _file_sizes(specification: dict[str, Any], where: str) -> dict[str, float]:
    if "files" not in specification:
        return {}
    items = entries(specification, "files", where, SPECIFICATION)
    place = f"{where}: {SPECIFICATION}files"
    ids = _ids(items, place)
    sizes = [
        required(item, "sizeInBytes", where, f"{SPECIFICATION}files[{k}].")
        for k, item in enumerate(items)
    ]
    column(sizes, Rule.COST, lambda k: f"{place}[{k}].sizeInBytes")
    # Kept as written: sums of whole numbers are exact in any order.
    return dict(zip(ids, sizes, strict=True))
