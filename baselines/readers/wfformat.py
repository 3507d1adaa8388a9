"""WfFormat 1.0 to 1.6: measured workflow executions of the WfCommons project.

From 1.5 on, tasks of `workflow.specification` are joined by id with their measurements in
`workflow.execution.tasks`; measurements of other ids are ignored. Before, a task of
`workflow.tasks` (`jobs` in 1.0) holds its measurements and its files itself, and names its parents
by their names or ids. A task's work is its measured runtime (alpha 0: a task is sequential).

With the machines of the trace, the nodes of its record have a slot for each core, and a runtime is
one on the node where it was measured: seconds = runtime · speed there / speed of the target, or
the runtime where one of the two is not recorded.

An edge exists where the parent lists the child or the child lists the parent: traces are known that
give only one side. Listed twice, it is still one edge. Its bytes are the sum over the files that
the parent outputs and the child inputs; inputs that nobody produces cost nothing.

References
----------
Coleman et al. (2022), doi:10.1016/j.future.2021.09.043; https://github.com/wfcommons/WfFormat
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from deepsched.baselines.errors import InvalidInput
from deepsched.baselines.machines import REFERENCE_FREQUENCY
from deepsched.baselines.memory import check_problem_memory
from deepsched.baselines.readers._dataflow import FileUses, edge_bytes, given_runtime
from deepsched.baselines.readers._execution_record import ExecutionRecord, read_record
from deepsched.baselines.readers._values import (
    Rule,
    a_list,
    an_object,
    column,
    echo,
    entries,
    names,
    number,
    positions,
    required,
)
from deepsched.baselines.readers.options import (
    ReadOptions,
    chosen_machines,
    modelled_problem,
    with_links,
)

if TYPE_CHECKING:
    from deepsched.baselines.arrays import FloatArray
    from deepsched.baselines.problem import Edges, Problem

NAME = "wfformat"
TITLE = "WfFormat"
ONE_LIST = ("1.0", "1.1", "1.2", "1.3", "1.4")  # versions in which a task holds all
TWO_LISTS = ("1.5", "1.6")
ALPHA = 0.0
MB = 1e6  # bytes
KB = 1e3  # bytes
SPECIFICATION = "workflow.specification."
EXECUTION = "workflow.execution."
# What a version may call a task's measurements; memory in bytes and in KB.
RUNTIMES = ("runtimeInSeconds", "runtime")
BYTES = ("sizeInBytes", "size")
LINKS = ("input", "output")


def recognise(document: dict[str, Any]) -> bool:
    """Tell whether a JSON document is of this family, of whatever version."""
    return "schemaVersion" in document or "workflow" in document


def read(document: dict[str, Any], where: str, options: ReadOptions) -> Problem:
    """Return the problem of a trace, on the machines of the options or of its own record.

    Raises
    ------
    InvalidInput, InvalidProblem
        Naming the place, such as `workflow.specification.tasks[3].parents[0]`.
    """
    version = _version(document, where)
    workflow = an_object(required(document, "workflow", where), f"{where}: workflow")
    if version in ONE_LIST:
        return _read_one_list(workflow, where, options)
    part = required(workflow, "specification", where, "workflow.")
    specification = an_object(part, f"{where}: workflow.specification")
    tasks = entries(specification, "tasks", where, SPECIFICATION)
    place = f"{where}: {SPECIFICATION}tasks"
    ids = _ids(tasks, place)
    index = {name: i for i, name in enumerate(ids)}
    written, read_ = (
        [_files(task, key, f"{place}[{i}].{key}") for i, task in enumerate(tasks)]
        for key in ("outputFiles", "inputFiles")
    )
    runtime, priority, memory, record = _measured(workflow, ids, options, where)
    return _problem(
        ids=ids,
        edges=edge_bytes(
            ids,
            _relatives(tasks, index, place),
            written,
            read_,
            _file_sizes(specification, where),
            where,
            missing=f"{SPECIFICATION}files has no entry for {{file}}, which task {{child}} gets "
            "from {parent}",
        ),
        runtime=runtime,
        priority=priority,
        memory=memory,
        options=options,
        where=where,
        record=record,
    )


def _version(document: dict[str, Any], where: str) -> str:
    version = required(document, "schemaVersion", where)
    known = (*ONE_LIST, *TWO_LISTS)
    # A number is what YAML and careless writers make of it; 1.5 is no other version than "1.5".
    found = str(version) if type(version) in (str, float) else ""
    if found not in known:
        raise InvalidInput(
            f"{where}: WfFormat version {echo(version)} is not known, only {', '.join(known)}"
        )
    return found


def _problem(
    *,
    ids: list[str],
    edges: Edges,
    runtime: FloatArray,
    priority: FloatArray,
    memory: FloatArray,
    options: ReadOptions,
    where: str,
    record: ExecutionRecord | None,
) -> Problem:
    machines, ratios = None, None
    if record is not None:
        machines = with_links(record.machines, options)
        check_problem_memory(len(ids), len(machines), noise=bool(options.noise), what=f"{where}: ")
        if np.isfinite(record.measured).all() and np.isfinite(record.speed).all():
            runtime = runtime * (record.measured / REFERENCE_FREQUENCY)
        elif np.isfinite(record.speed).any():
            ratios = record.ratios()
    return modelled_problem(
        work=runtime,
        ratios=ratios,
        alpha=ALPHA,
        machines=machines or chosen_machines(options, tasks=len(ids)),
        options=options,
        where=where,
        task_ids=ids,
        edges=edges,
        priority=priority,
        memory=memory,
    )


# Versions from 1.5 on.


def _ids(items: list[dict[str, Any]], place: str) -> list[str]:
    for k, item in enumerate(items):
        if "id" not in item:
            raise InvalidInput(f"{place}[{k}].id is missing")
    return names([item["id"] for item in items], lambda k: f"{place}[{k}].id")


def _measured(
    workflow: dict[str, Any], ids: list[str], options: ReadOptions, where: str
) -> tuple[FloatArray, FloatArray, FloatArray, ExecutionRecord | None]:
    """Return each task's runtime (s), priority and memory (MB), and the record of the nodes."""
    if "execution" not in workflow:
        if options.trace_machines:
            read_record({}, EXECUTION, [], None, where)
        given = given_runtime(
            ids, options.runtime, where, "workflow.execution is missing, so tasks have no runtimes"
        )
        return np.full(len(ids), given), np.zeros(len(ids)), np.zeros(len(ids)), None
    execution = an_object(workflow["execution"], f"{where}: workflow.execution")
    items = entries(execution, "tasks", where, EXECUTION)

    def place(k: int) -> str:
        return f"{where}: {EXECUTION}tasks[{k}]"

    index = {name: k for k, name in enumerate(_ids(items, f"{where}: {EXECUTION}tasks"))}
    rows = [index.get(name) for name in ids]
    measured = [{} if row is None else items[row] for row in rows]

    def measured_place(k: int) -> str:
        row = rows[k]
        return f"{where}: {EXECUTION}tasks" if row is None else place(row)

    def lacking(i: int) -> str:
        if rows[i] is None:
            return f"{EXECUTION}tasks has no entry for task {echo(ids[i])}"
        state = "null" if "runtimeInSeconds" in measured[i] else "missing"
        text = f"{place(rows[i] or 0)}.runtimeInSeconds is {state}"
        return text.removeprefix(f"{where}: ")

    runtime = _runtimes(
        [item.get("runtimeInSeconds") for item in measured],
        ids,
        options,
        where,
        lacking,
        measured_place,
    )
    priority = _optional(measured, "priority", Rule.FINITE, measured_place)
    memory = _optional(measured, "memoryInBytes", Rule.COST, measured_place)
    record = None
    if options.trace_machines:
        record = read_record(execution, EXECUTION, measured, measured_place, where)
    return runtime, priority, memory / MB, record


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


def _files(task: dict[str, Any], key: str, place: str) -> list[str]:
    found = task.get(key, [])
    if type(found) is not list:  # spelling the place takes longer than looking
        found = a_list(found, place)
    for k, name in enumerate(found):
        if type(name) is not str:
            raise InvalidInput(f"{place}[{k}] is {echo(name)}; it must be a file id")
    return list(dict.fromkeys(found))


# Versions before 1.5.


def _read_one_list(workflow: dict[str, Any], where: str, options: ReadOptions) -> Problem:
    key = "jobs" if "tasks" not in workflow and "jobs" in workflow else "tasks"
    tasks = entries(workflow, key, where, "workflow.")
    place = f"{where}: workflow.{key}"
    ids, index = _names_and_ids(tasks, place)
    files = FileUses(len(tasks))
    for i, task in enumerate(tasks):
        for k, item in enumerate(a_list(task.get("files", []), f"{place}[{i}].files")):
            at = f"{place}[{i}].files[{k}]"
            item = an_object(item, at)
            name = next((item[x] for x in ("id", "name") if x in item), None)
            if type(name) is not str:
                raise InvalidInput(f"{at}.name is {echo(name)}; it must be a file's name")
            link = item.get("link")
            if link not in LINKS:
                raise InvalidInput(f"{at}.link is {echo(link)}; it must be input or output")
            size_key = next((x for x in BYTES if x in item), None)
            size = None
            if size_key is not None:
                size = item[size_key]  # kept as written, see `_file_sizes`
                number(size, Rule.COST, f"{at}.{size_key}")
            files.note(i, name, link, size)

    def task_place(k: int) -> str:
        return f"{place}[{k}]"

    runtime_key = [next((x for x in RUNTIMES if x in task), RUNTIMES[0]) for task in tasks]

    def lacking(i: int) -> str:
        state = "null" if runtime_key[i] in tasks[i] else "missing"
        return f"workflow.{key}[{i}].{runtime_key[i]} is {state}"

    values = [task.get(name) for task, name in zip(tasks, runtime_key, strict=True)]
    memory = _optional(tasks, "memoryInBytes", Rule.COST, task_place) / MB
    memory = np.maximum(memory, _optional(tasks, "memory", Rule.COST, task_place) * KB / MB)
    return _problem(
        ids=ids,
        edges=edge_bytes(
            ids,
            _relatives(tasks, index, place),
            files.written,
            files.read,
            files.sizes,
            where,
            missing="",
        ),
        runtime=_runtimes(values, ids, options, where, lacking, task_place, runtime_key),
        priority=_optional(tasks, "priority", Rule.FINITE, task_place),
        memory=memory,
        options=options,
        where=where,
        record=read_record(workflow, "workflow.", tasks, task_place, where)
        if options.trace_machines
        else None,
    )


def _names_and_ids(tasks: list[dict[str, Any]], place: str) -> tuple[list[str], dict[str, int]]:
    """Return what tasks are called, and the position of each name and id.

    Parents and children are told by name in most files, by id in some.
    """
    lists = {}
    for key in ("id", "name"):
        if all(key in task for task in tasks):
            given = [task[key] for task in tasks]
            # Names may repeat where ids tell tasks apart.
            if key == "name" and "id" in lists and len({str(name) for name in given}) < len(given):
                continue
            lists[key] = names(given, lambda k, key=key: f"{place}[{k}].{key}")  # type: ignore[misc]
    if not lists:
        k = next(k for k, task in enumerate(tasks) if "name" not in task)
        raise InvalidInput(f"{place}[{k}].name is missing")
    index: dict[str, int] = {}
    for found in reversed(lists.values()):  # a name before an id, where both exist
        for i, name in enumerate(found):
            index.setdefault(name, i)
    return lists.get("id") or lists["name"], index


# All versions.


def _relatives(
    tasks: list[dict[str, Any]], index: dict[str, int], place: str
) -> list[tuple[int, int]]:
    def listed(i: int, key: str) -> list[int]:
        found = tasks[i].get(key, [])
        if type(found) is not list:
            found = a_list(found, f"{place}[{i}].{key}")
        return positions(found, index, lambda k: f"{place}[{i}].{key}[{k}]")

    edges: dict[tuple[int, int], None] = {}
    for i in range(len(tasks)):
        edges.update(((parent, i), None) for parent in listed(i, "parents"))
        edges.update(((i, child), None) for child in listed(i, "children"))
    return list(edges)


def _runtimes(
    values: list[Any],
    ids: list[str],
    options: ReadOptions,
    where: str,
    lacking: Any,
    place: Any,
    keys: list[str] | None = None,
) -> FloatArray:
    absent = [i for i, value in enumerate(values) if value is None]
    if absent:
        given = given_runtime([ids[i] for i in absent], options.runtime, where, lacking(absent[0]))
        for i in absent:
            values[i] = given
    return column(
        values, Rule.COST, lambda k: f"{place(k)}.{keys[k] if keys else 'runtimeInSeconds'}"
    )


def _optional(items: list[dict[str, Any]], key: str, rule: Rule, place: Any) -> FloatArray:
    """Return (len(items),) numbers, 0 where none was measured."""
    values = [0.0 if item.get(key) is None else item[key] for item in items]
    return column(values, rule, lambda k: f"{place(k)}.{key}")
