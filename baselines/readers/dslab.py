"""DSLab DAG: task graphs of the simulator DSLab in YAML.

A task takes `flops` in Gflop, of which a machine of speed 1 does one a second; memory and the sizes
of outputs are MB. Here a task is sequential, `max_cores` and what depends on it are left out, and a
restriction to some resources is refused, since it numbers those of another file. Inputs of the
whole graph cost nothing.

References
----------
Sukhoroslov et al. (2022), doi:10.1007/978-3-031-22941-1_28; https://github.com/osukhoroslov/dslab
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np

from deepsched.baselines.errors import InvalidInput
from deepsched.baselines.readers._dataflow import edge_bytes, given_runtime
from deepsched.baselines.readers._tasks import optional_column
from deepsched.baselines.readers._values import (
    Place,
    Rule,
    a_list,
    an_object,
    echo,
    entries,
    names,
    number,
    required,
)
from deepsched.baselines.readers._yaml import parse_yaml
from deepsched.baselines.readers.options import ReadOptions, chosen_machines, modelled_problem

if TYPE_CHECKING:
    from deepsched.baselines.problem import Problem

NAME = "dslab"
TITLE = "DSLab YAML"
SUFFIXES: tuple[str, ...] = (".yaml", ".yml")
ALPHA = 0.0
MB = 1e6  # bytes
TASKS = re.compile(r"^tasks\s*:", re.MULTILINE)
FLOPS = re.compile(r"^\s+(-\s+)?flops\s*:", re.MULTILINE)


def recognise(text: str) -> bool:
    """Tell whether the text has the key `tasks` at its top level, and `flops` below."""
    return TASKS.search(text) is not None and FLOPS.search(text) is not None


def read(text: str, where: str, options: ReadOptions) -> Problem:
    """Return the problem of a graph, on the machines of the options.

    Raises
    ------
    InvalidInput, InvalidProblem
        Naming the place, such as `tasks[3].outputs[0].size`.
    NotInstalled
        Without the extra `formats`.
    """
    document = an_object(parse_yaml(text, where), f"{where}: the document")
    tasks = entries(document, "tasks", where)
    for k, task in enumerate(tasks):
        required(task, "name", where, f"tasks[{k}].")
        if task.get("resource_restriction") is not None:
            raise InvalidInput(
                f"{where}: tasks[{k}].resource_restriction: restrictions to resources of another "
                "file are not read"
            )
    ids = names([task["name"] for task in tasks], lambda k: f"{where}: tasks[{k}].name")

    def place(k: int) -> str:
        return f"{where}: tasks[{k}]"

    known = _outputs([document], "inputs", lambda _: f"{where}: the document")[0]  # of all
    sizes: dict[str, float] = dict.fromkeys(known, 0.0)
    written = _outputs(tasks, "outputs", place)
    producer: dict[str, int] = {}
    for k, outputs in enumerate(written):
        for name, size in outputs.items():
            if name in producer or name in known:
                raise InvalidInput(f"{place(k)}.outputs: {echo(name)} is written by another too")
            producer[name] = k
            sizes[name] = size * MB
    read_: list[dict[str, None]] = []
    edges: dict[tuple[int, int], None] = {}
    for k, task in enumerate(tasks):
        found: dict[str, None] = {}
        for n, name in enumerate(a_list(task.get("inputs", []), f"{place(k)}.inputs")):
            if not isinstance(name, str) or name not in sizes:
                raise InvalidInput(f"{place(k)}.inputs[{n}]: nothing writes {echo(name)}")
            found[name] = None
            if name in producer:
                edges[producer[name], k] = None
        read_.append(found)
    lacking = [k for k, task in enumerate(tasks) if task.get("flops") is None]
    flops = np.array(
        [
            0.0
            if task.get("flops") is None
            else number(task["flops"], Rule.COST, f"{place(k)}.flops")
            for k, task in enumerate(tasks)
        ]
    )
    if lacking:
        text = f"tasks[{lacking[0]}].flops is missing"
        flops[lacking] = given_runtime([ids[k] for k in lacking], options.runtime, where, text)
    return modelled_problem(
        work=flops,
        alpha=ALPHA,
        machines=chosen_machines(options, tasks=len(ids)),
        options=options,
        where=where,
        task_ids=ids,
        edges=edge_bytes(
            ids,
            list(edges),
            written,
            read_,
            sizes,
            where,
            missing="",
        ),
        memory=optional_column(tasks, "memory", Rule.COST, place),
    )


def _outputs(items: list[dict[str, Any]], key: str, place: Place) -> list[dict[str, float]]:
    """Return the size in MB of each thing that an item lists, by name."""
    found = []
    for k, item in enumerate(items):
        sizes = {}
        for n, value in enumerate(a_list(item.get(key) or [], f"{place(k)}.{key}")):
            at = f"{place(k)}.{key}[{n}]"
            entry = an_object(value, at)
            name = entry.get("name")
            if not isinstance(name, str):
                raise InvalidInput(f"{at}.name is {echo(name)}; it must be a string")
            sizes[name] = number(entry.get("size"), Rule.COST, f"{at}.size")
        found.append(sizes)
    return found
