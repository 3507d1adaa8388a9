"""networkx.DiGraph as a problem, and back.

Nodes are tasks, in the graph's order, with attributes `etc` (seconds per machine; inf or None where
the task cannot run) or `work` (as in the explicit format) and maybe its `noise` factors, one per
machine; `arrival`, `priority` and `memory` are optional. Edges carry `bytes`, 0 where they have
none. Graph attributes: `machines` (a `Machines`, or a list as in the explicit format beside
`bandwidth` and `latency`), `alpha`, the exponent of the cores where tasks give work, and `name`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from deepsched.baselines.errors import InvalidInput
from deepsched.baselines.machines import Machines, make_machines
from deepsched.baselines.readers._tasks import TaskColumns, assemble, parse_machines, task_columns
from deepsched.baselines.readers._values import Rule, a_list, column, echo, naming, number
from deepsched.baselines.readers.explicit import WORK_ALPHA
from deepsched.baselines.readers.options import (
    ReadOptions,
    chosen_machines,
    own_machines,
    with_links,
)

if TYPE_CHECKING:
    import networkx as nx

    from deepsched.baselines.problem import Problem


def from_networkx(graph: nx.DiGraph, options: ReadOptions | None = None) -> Problem:
    """Return the problem of a graph; a node that is not a string is named by its `str`.

    A graph without `machines` runs on those of the options where its tasks give work, and on as
    many equal machines as there are times where they give etc.

    Raises
    ------
    InvalidInput, InvalidProblem
        Naming the node, edge or attribute.
    """
    import networkx as nx  # late, as a tenth of what starting a command takes

    options = options or ReadOptions()
    if not isinstance(graph, nx.DiGraph) or graph.is_multigraph():
        raise InvalidInput(f"a networkx.DiGraph is needed, not {type(graph).__name__}")
    where = f"graph {str(graph.name)[:60]!r}" if graph.name else "graph"
    nodes = list(graph)

    def place(k: int) -> str:
        return f"{where}: node {echo(nodes[k])}"

    items = [
        {key: _plain(value) for key, value in attributes.items()} | {"id": _node_name(node)}
        for node, attributes in graph.nodes(data=True)
    ]
    for item in items:
        if isinstance(item.get("etc"), list):
            item["etc"] = [None if value == np.inf else value for value in item["etc"]]
    tasks = task_columns(items, place)
    machines = _machines(graph, tasks, options, where)
    index = {node: i for i, node in enumerate(nodes)}
    links = list(graph.edges(data="bytes", default=0.0))
    size = column(
        [_plain(data) for _, _, data in links],
        Rule.COST,
        lambda k: f"{where}: edge {echo(links[k][0])} -> {echo(links[k][1])}: bytes",
    )
    return assemble(
        tasks,
        machines,
        ([index[u] for u, _, _ in links], [index[v] for _, v, _ in links], size),
        alpha=number(_plain(graph.graph.get("alpha", WORK_ALPHA)), Rule.FINITE, f"{where}: alpha"),
        options=options,
        where=where,
        name=str(graph.name or "graph"),
        noise=_noise(items, len(machines), place),
    )


def to_networkx(problem: Problem) -> nx.DiGraph:
    """Return the problem as a graph that `from_networkx` turns into the same problem."""
    import networkx as nx

    graph = nx.DiGraph(name=problem.name, machines=problem.machines, alpha=problem.alpha)
    for i, name in enumerate(problem.task_ids):
        costs: dict[str, Any]
        if problem.work is None:
            costs = {"etc": problem.etc[i].tolist()}
        else:
            costs = {"work": float(problem.work[i])}
            if problem.noise is not None:
                costs["noise"] = problem.noise[i].tolist()
        graph.add_node(
            name,
            **costs,
            arrival=float(problem.arrival[i]),
            priority=float(problem.priority[i]),
            memory=float(problem.memory[i]),
        )
    ids = problem.task_ids
    for parent, child, data in zip(*(part.tolist() for part in problem.edge_list()), strict=True):
        graph.add_edge(ids[parent], ids[child], bytes=data)
    return graph


def _machines(graph: nx.DiGraph, tasks: TaskColumns, options: ReadOptions, where: str) -> Machines:
    given = graph.graph.get("machines")
    if isinstance(given, Machines):
        return own_machines(given, options, where)
    if given is not None:
        document = {key: _plain(value) for key, value in graph.graph.items()}
        reason = "" if tasks.timed.all() else "tasks give work"
        machines = parse_machines(document, where, speeds_needed=reason)
        return own_machines(machines, options, where)
    if not tasks.etc:
        return chosen_machines(options, tasks=tasks.timed.size)
    if options.machines is not None:
        return with_links(options.machines, options)
    with naming(where):
        return own_machines(make_machines(len(tasks.etc[0])), options, where)


def _noise(items: list[dict[str, Any]], p: int, place: Any) -> np.ndarray | None:
    if not any("noise" in item for item in items):
        return None
    rows = []
    for k, item in enumerate(items):
        if "noise" not in item or "work" not in item:
            raise InvalidInput(f"{place(k)}: noise goes with work, on every node or on none")
        row = a_list(item["noise"], f"{place(k)}.noise")
        if len(row) != p:
            raise InvalidInput(f"{place(k)}.noise has {len(row)} entries for {p} machines")
        rows.append(column(row, Rule.POSITIVE, lambda q, k=k: f"{place(k)}.noise[{q}]"))  # type: ignore[misc]
    return np.array(rows)


def _node_name(node: object) -> str:
    return node if isinstance(node, str) else str(node)


def _plain(value: Any) -> Any:
    """Return numpy scalars and arrays, and tuples, as the values JSON has."""
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    return value
