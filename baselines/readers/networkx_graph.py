"""networkx.DiGraph as a problem, and back.

Nodes are tasks, in the graph's order, with attributes `etc` (seconds per machine; inf or None where
the task cannot run) or `work` (as in the explicit format) and maybe its `noise` factors, one per
machine; `arrival`, `priority` and `memory` are optional. Edges carry `bytes`, 0 where they have
none. Graph attributes: `machines` (a `Machines`, or a list as in the explicit format beside
`bandwidth` and `latency`), `alpha`, the exponent of the cores where tasks give work, and `name`.

A list may be its JSON text. `to_networkx` writes lists so, since GraphML has none, and GML and
GraphML no null.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from deepsched.baselines.errors import InvalidInput
from deepsched.baselines.machines import Machines, make_machines
from deepsched.baselines.readers._tasks import (
    assemble,
    check_keys,
    parse_machines,
    task_columns,
)
from deepsched.baselines.readers._values import Rule, a_list, column, echo, naming, number
from deepsched.baselines.readers.explicit import WORK_ALPHA, link_value, machine_entries
from deepsched.baselines.readers.options import (
    ReadOptions,
    chosen_machines,
    own_machines,
    source_name,
    with_links,
)

if TYPE_CHECKING:
    import networkx as nx

    from deepsched.baselines.problem import Problem
    from deepsched.baselines.readers.columns import TaskColumns


def from_networkx(
    graph: nx.DiGraph, options: ReadOptions | None = None, *, where: str = ""
) -> Problem:
    """Return the problem of a graph; a node that is not a string is named by its `str`.

    A graph without `machines` runs on those of the options where its tasks give work, and on as
    many equal machines as there are times where they give etc. `where` names the graph's source in
    messages; without it they name the graph.

    Raises
    ------
    InvalidInput, InvalidProblem
        Naming the node, edge or attribute.
    """
    import networkx as nx  # late, as a tenth of what starting a command takes

    options = options or ReadOptions()
    if not isinstance(graph, nx.DiGraph) or graph.is_multigraph():
        raise InvalidInput(f"a networkx.DiGraph is needed, not {type(graph).__name__}")
    if options.trace_machines:
        raise InvalidInput("the machines of the trace are asked for; a graph records none")
    name = str(graph.name or (source_name(where) if where else "graph"))
    where = where or (f"graph {str(graph.name)[:60]!r}" if graph.name else "graph")
    nodes = list(graph)

    def place(k: int) -> str:
        return f"{where}: node {echo(nodes[k])}"

    items = [
        {key: _plain(value) for key, value in attributes.items()} | {"id": _node_name(node)}
        for node, attributes in graph.nodes(data=True)
    ]
    for k, item in enumerate(items):
        for key in ("etc", "noise"):
            if key in item:
                item[key] = _from_text(item[key], f"{place(k)}.{key}")
        if isinstance(item.get("etc"), list):
            item["etc"] = [None if value == np.inf else value for value in item["etc"]]
    tasks = task_columns(items, place)
    machines = _machines(graph, tasks, options, where)
    index = {node: i for i, node in enumerate(nodes)}
    links = [(u, v, dict(attributes)) for u, v, attributes in graph.edges(data=True)]

    def edge_place(k: int) -> str:
        return f"{where}: edge {echo(links[k][0])} -> {echo(links[k][1])}"

    _check_edges([attributes for _, _, attributes in links], edge_place)
    size = column(
        [_plain(attributes.get("bytes", 0.0)) for _, _, attributes in links],
        Rule.COST,
        lambda k: f"{edge_place(k)}: bytes",
    )
    return assemble(
        tasks,
        machines,
        ([index[u] for u, _, _ in links], [index[v] for _, v, _ in links], size),
        alpha=number(_plain(graph.graph.get("alpha", WORK_ALPHA)), Rule.FINITE, f"{where}: alpha"),
        options=options,
        where=where,
        name=name,
        noise=_noise(items, len(machines), place),
    )


def to_networkx(problem: Problem) -> nx.DiGraph:
    """Return the problem as a graph that `from_networkx` turns into the same problem.

    All attributes are numbers and strings, lists among them as JSON text, so that it passes through
    node-link JSON, GML and GraphML.
    """
    import networkx as nx

    machines = problem.machines
    graph = nx.DiGraph(
        name=problem.name,
        machines=json.dumps(list(machine_entries(problem))),
        bandwidth=_as_text(link_value(machines, "bandwidth")),
        latency=_as_text(link_value(machines, "latency")),
        alpha=problem.alpha,
    )
    for i, name in enumerate(problem.task_ids):
        costs: dict[str, Any]
        if problem.work is None:
            row = problem.etc[i].tolist()
            costs = {"etc": json.dumps([None if value == np.inf else value for value in row])}
        else:
            costs = {"work": float(problem.work[i])}
            if problem.noise is not None:
                costs["noise"] = json.dumps(problem.noise[i].tolist())
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
        document = {
            key: _from_text(_plain(value), f"{where}: {key}")
            if key in ("machines", "bandwidth", "latency")
            else None
            for key, value in graph.graph.items()
        }
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


# What other libraries call the data of an edge: nobody should lose it for another word.
OTHER_NAMES = ("weight", "size", "data", "cost", "volume", "communication", "comm", "transfer")


def _check_edges(items: list[dict[str, Any]], place: Any) -> None:
    """Refuse an edge whose data has another name: it would cost nothing."""
    check_keys(items, ("bytes",), place)
    for k, item in enumerate(items):
        if "bytes" in item:
            continue
        for key in item:
            if isinstance(key, str) and key.lower().strip("_") in OTHER_NAMES:
                raise InvalidInput(
                    f"{place(k)}: {echo(key)} is not read; what is transferred is its 'bytes'"
                )


def _as_text(value: Any) -> Any:
    return value if isinstance(value, float) else json.dumps(value)


def _from_text(value: Any, place: str) -> Any:
    """Return what a JSON text says, or the value itself where it is none."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        raise InvalidInput(f"{place} is {echo(value)}; it must be a list, or its JSON") from None


def _node_name(node: object) -> str:
    return node if isinstance(node, str) else str(node)


def _plain(value: Any) -> Any:
    """Return numpy scalars and arrays, and tuples, as the values JSON has."""
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    return value
