"""TGFF: task graphs for free, the format of a generator of embedded systems' workloads.

The task graphs of a file are one problem. The bytes of an arc are the quantity of its type in
`@COMMUN_QUANT`. A task's time on each core is that of its type in a table whose columns name
`type` and `exec_time` or `task_time` (`@PROC`, `@CORE`, `@PE` and the like), a table a machine.
Without such tables tasks have no times: each is given one second, or what the options say, with a
warning. Periods and deadlines are left out.

References
----------
Dick, Rhodes, Wolf (1998), doi:10.1109/HSC.1998.666245
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from deepsched.baselines.errors import InvalidInput
from deepsched.baselines.machines import make_machines
from deepsched.baselines.memory import check_problem_memory
from deepsched.baselines.problem import make_problem
from deepsched.baselines.readers._dataflow import given_runtime, warn_of_no_edges
from deepsched.baselines.readers._values import Rule, count, decimal, echo, naming, text_lines
from deepsched.baselines.readers.options import (
    ReadOptions,
    chosen_machines,
    modelled_problem,
    own_machines,
    refuse_noise,
    source_name,
)

if TYPE_CHECKING:
    from deepsched.baselines.problem import Edges, Problem

NAME = "tgff"
TITLE = "TGFF"
SUFFIXES: tuple[str, ...] = (".tgff",)
ALPHA = 0.0
BLOCK = re.compile(r"@(\w+)(?:\s+(\S+?))?\s*(\{)?\s*$")
TIMES = ("exec_time", "task_time", "exec-time", "task-time")
VALID = "valid"  # a column: whether the machine can run the type
UNIT = 1.0  # s, where the file has no times
HEAD = 10_000  # characters within which the first block begins


@dataclass(kw_only=True)
class _File:
    tasks: dict[str, tuple[int, str]] = field(default_factory=dict)  # position and type
    arcs: list[tuple[int, str, str, str]] = field(default_factory=list)  # line, ends, type
    quantities: dict[str, float] = field(default_factory=dict)
    times: list[tuple[str, dict[str, float]]] = field(default_factory=list)  # a machine each


def recognise(text: str) -> bool:
    """Tell whether the text begins with a block of the format."""
    lines = (line.strip() for line in text[:HEAD].splitlines())
    first = next((line for line in lines if line and not line.startswith("#")), "")
    return re.match(r"@(HYPERPERIOD|COMMUN_QUANT|TASK_GRAPH|\w+\s+\d+\s*\{)", first) is not None


def read(text: str, where: str, options: ReadOptions) -> Problem:
    """Return the tasks of all graphs, on the machines of the tables or of the options.

    Raises
    ------
    InvalidInput, InvalidProblem
        Naming the line.
    """
    found = _parse(text, where)
    ids = list(found.tasks)
    edges = _edges(found, where)
    warn_of_no_edges(len(ids), len(found.arcs), where)
    if not found.times:
        runtime = given_runtime(
            ids or ["none"],
            UNIT if options.runtime is None else options.runtime,
            where,
            "tasks have no times",
        )
        return modelled_problem(
            work=np.full(len(ids), runtime),
            alpha=ALPHA,
            machines=chosen_machines(options, tasks=len(ids)),
            options=options,
            where=where,
            task_ids=ids,
            edges=edges,
        )
    refuse_noise(options, where)
    check_problem_memory(len(ids), len(found.times), what=f"{where}: ")
    types = [kind for _, kind in found.tasks.values()]
    etc = np.array([[times.get(kind, np.inf) for _, times in found.times] for kind in types])
    with naming(where):
        machines = make_machines(len(found.times), ids=[name for name, _ in found.times])
        return make_problem(
            machines=own_machines(machines, options, where),
            etc=etc.reshape(len(ids), len(found.times)),
            edges=edges,
            task_ids=ids,
            name=source_name(where),
        )


def _parse(text: str, where: str) -> _File:
    found = _File()
    kind = number = ""
    columns: list[str] | None = None  # of the table that is read
    table: dict[str, float] | None = None
    for line_number, line in enumerate(text_lines(text), start=1):
        place = f"{where}: line {line_number}"
        content = line.split("#", 1)[0].strip()
        if line.lstrip().startswith("#"):
            names = line.lstrip(" #\t").lower().split()
            if names and names[0] == "type" and kind:
                columns = names
                if table is None and any(name in names for name in TIMES):
                    table = {}
                    found.times.append((f"{kind.lower()}{number}", table))
            continue
        if not content:
            continue
        if content.startswith("@"):
            block = BLOCK.match(content)
            if block is None:
                raise InvalidInput(f"{place}: {echo(content)} is no block of TGFF")
            kind, number = (block[1].upper(), block[2] or "") if block[3] else ("", "")
            columns = table = None
        elif content == "}":
            kind = ""
        elif kind == "TASK_GRAPH":
            _note_graph(found, content.split(), line_number, place)
        elif kind.startswith("COMMUN"):
            fields = content.split()
            if len(fields) != 2:
                raise InvalidInput(f"{place}: a type and a quantity are expected")
            found.quantities[fields[0]] = decimal(fields[1], Rule.COST, f"{place}: the quantity")
        elif table is not None and columns is not None:
            _note_time(table, columns, content.split(), place)
    return found


def _note_graph(found: _File, fields: list[str], line: int, place: str) -> None:
    words = [field.upper() for field in fields]
    if words[0] == "TASK":
        if len(fields) < 4 or words[2] != "TYPE":
            raise InvalidInput(f"{place}: TASK name TYPE number is expected")
        if fields[1] in found.tasks:
            raise InvalidInput(f"{place}: task {echo(fields[1])} is given twice")
        found.tasks[fields[1]] = (len(found.tasks), fields[3])
        count(fields[3], f"{place}: the type")
    elif words[0] == "ARC":
        if len(fields) != 8 or (words[2], words[4], words[6]) != ("FROM", "TO", "TYPE"):
            raise InvalidInput(f"{place}: ARC name FROM task TO task TYPE number is expected")
        found.arcs.append((line, fields[3], fields[5], fields[7]))


def _note_time(table: dict[str, float], columns: list[str], fields: list[str], place: str) -> None:
    if len(fields) < len(columns):
        raise InvalidInput(f"{place}: {len(fields)} fields for {len(columns)} columns")
    row = dict(zip(columns, fields, strict=False))
    if row.get(VALID) == "0":
        return
    name = next(name for name in TIMES if name in row)
    value = decimal(row[name], Rule.COST, f"{place}: {name}")
    # Versions of a type: the fastest.
    table[row["type"]] = min(value, table.get(row["type"], np.inf))


def _edges(found: _File, where: str) -> Edges:
    parents, children, size = [], [], []
    for line, parent, child, kind in found.arcs:
        place = f"{where}: line {line}"
        for name in (parent, child):
            if name not in found.tasks:
                raise InvalidInput(f"{place}: there is no task {echo(name)}")
        if kind not in found.quantities:
            raise InvalidInput(f"{place}: no @COMMUN_QUANT has a quantity of type {echo(kind)}")
        parents.append(found.tasks[parent][0])
        children.append(found.tasks[child][0])
        size.append(found.quantities[kind])
    return parents, children, np.array(size)
