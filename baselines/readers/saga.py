"""SAGA: a task graph and a network as JSON of the library Scheduling Algorithms Gathered.

`{"task_graph": {"tasks": [{"name", "cost"}], "dependencies": [{"source", "target", "size"}]},
"network": {"nodes": [{"name", "speed"}], "edges": [{"source", "target", "speed"}]}}`, or a task
graph alone, which runs on the machines of the options. A task takes cost / speed, a transfer size /
speed of the link, which is the same both ways. A link that is not listed has no speed in SAGA, so
that nothing could ever come over it; here that is an error.

References
----------
Coleman, Krishnamachari (2024), doi:10.48550/arXiv.2403.07120; https://github.com/ANRGUSC/saga
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from deepsched.baselines.errors import InvalidInput
from deepsched.baselines.machines import REFERENCE_FREQUENCY, make_machines
from deepsched.baselines.readers._dataflow import warn_of_no_edges
from deepsched.baselines.readers._values import (
    Rule,
    an_object,
    column,
    echo,
    entries,
    names,
    naming,
    number,
    positions,
    required,
)
from deepsched.baselines.readers.options import (
    ReadOptions,
    chosen_machines,
    modelled_problem,
    own_machines,
    source_name,
)

if TYPE_CHECKING:
    from deepsched.baselines.machines import Machines
    from deepsched.baselines.problem import Problem

NAME = "saga"
TITLE = "SAGA"
ALPHA = 0.0


def recognise(document: dict[str, Any]) -> bool:
    """Tell whether a document has a task graph with dependencies, or is one."""
    graph = document.get("task_graph")
    return isinstance(graph, dict) or ("tasks" in document and "dependencies" in document)


def read(document: dict[str, Any], where: str, options: ReadOptions) -> Problem:
    """Return the problem of an instance.

    Raises
    ------
    InvalidInput, InvalidProblem
        Naming the place, such as `task_graph.tasks[3].cost`.
    """
    graph, parent = document, ""
    if "task_graph" in document:
        graph = an_object(document["task_graph"], f"{where}: task_graph")
        parent = "task_graph."
    tasks = entries(graph, "tasks", where, parent)
    dependencies = entries(graph, "dependencies", where, parent)

    def task_place(k: int) -> str:
        return f"{where}: {parent}tasks[{k}]"

    def place(k: int) -> str:
        return f"{where}: {parent}dependencies[{k}]"

    for k, task in enumerate(tasks):
        for key in ("name", "cost"):
            required(task, key, where, f"{parent}tasks[{k}].")
    for k, edge in enumerate(dependencies):
        for key in ("source", "target", "size"):
            required(edge, key, where, f"{parent}dependencies[{k}].")
    ids = names([task["name"] for task in tasks], lambda k: f"{task_place(k)}.name")
    index = {name: i for i, name in enumerate(ids)}
    parents, children = (
        positions([edge[key] for edge in dependencies], index, lambda k: f"{place(k)}.{key}")  # noqa: B023 - used at once
        for key in ("source", "target")
    )
    size = column([edge["size"] for edge in dependencies], Rule.COST, lambda k: f"{place(k)}.size")
    cost = column([task["cost"] for task in tasks], Rule.COST, lambda k: f"{task_place(k)}.cost")
    if document.get("network") is None:
        machines = chosen_machines(options, tasks=len(ids))
    else:
        machines = own_machines(network_machines(document["network"], where), options, where)
    warn_of_no_edges(len(ids), len(parents), where)
    name = document.get("name")
    return modelled_problem(
        work=cost,
        alpha=ALPHA,
        machines=machines,
        options=options,
        where=where,
        task_ids=ids,
        edges=(parents, children, size),
        name=name if isinstance(name, str) and name else source_name(where),
    )


def network_machines(value: Any, where: str, parent: str = "network") -> Machines:
    """Return the machines of a network.

    Raises
    ------
    InvalidInput, InvalidProblem
        Naming the place, such as `network.edges[3].speed`.
    """
    dot = f"{parent}." if parent else ""
    network = an_object(value, f"{where}: {parent or 'the document'}")
    nodes = entries(network, "nodes", where, dot)
    edges = entries(network, "edges", where, dot)
    for k, node in enumerate(nodes):
        for key in ("name", "speed"):
            required(node, key, where, f"{dot}nodes[{k}].")
    ids = names([node["name"] for node in nodes], lambda k: f"{where}: {dot}nodes[{k}].name")
    speed = column(
        [node["speed"] for node in nodes],
        Rule.POSITIVE,
        lambda k: f"{where}: {dot}nodes[{k}].speed",
    )
    index = {name: i for i, name in enumerate(ids)}
    n = len(ids)
    if n == 0:
        raise InvalidInput(f"{where}: {dot}nodes is empty: there is no machine; give at least one")
    bandwidth = np.zeros((n, n))
    for k, edge in enumerate(edges):
        place = f"{where}: {dot}edges[{k}]"
        ends = [required(edge, key, where, f"{dot}edges[{k}].") for key in ("source", "target")]
        p, q = positions(ends, index, lambda j: f"{place}.{('source', 'target')[j]}", "node")  # noqa: B023 - used at once
        if p == q:
            continue
        if bandwidth[p, q]:
            raise InvalidInput(f"{place}: link {echo(ids[p])} - {echo(ids[q])} is given twice")
        given = edge.get("speed")
        # JSON has no infinity: null and the literal stand for it.
        free = given is None or (isinstance(given, float) and given == math.inf)
        value = math.inf if free else number(given, Rule.POSITIVE, f"{place}.speed")
        bandwidth[p, q] = bandwidth[q, p] = value
    np.fill_diagonal(bandwidth, math.inf)
    missing = np.argwhere(bandwidth == 0)
    if missing.size:
        p, q = missing[0].tolist()
        raise InvalidInput(
            f"{where}: {dot}edges has no link {echo(ids[p])} - {echo(ids[q])}: nothing could ever "
            "be sent between them"
        )
    with naming(where):
        return make_machines(n, ids=ids, frequency=speed * REFERENCE_FREQUENCY, bandwidth=bandwidth)
