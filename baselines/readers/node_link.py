"""Node-link JSON, as networkx writes it: `nodes` and `edges` (before version 3.4 `links`).

Attributes are those of `from_networkx`; a file of another program may call times and bytes
otherwise, see `_graph_files`.

References
----------
https://networkx.org/documentation/stable/reference/readwrite/json_graph.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from deepsched.baselines.errors import InvalidInput
from deepsched.baselines.readers._graph_files import parsing, problem_of_graph
from deepsched.baselines.readers._values import echo, entries

if TYPE_CHECKING:
    from deepsched.baselines.problem import Problem
    from deepsched.baselines.readers.options import ReadOptions

NAME = "node-link"
TITLE = "node-link JSON"
ENDS = ("source", "target")


def recognise(document: dict[str, Any]) -> bool:
    """Tell whether a document has nodes and edges."""
    return "nodes" in document and ("edges" in document or "links" in document)


def read(document: dict[str, Any], where: str, options: ReadOptions) -> Problem:
    """Return the problem of a graph.

    Raises
    ------
    InvalidInput, InvalidProblem
        Naming the node or edge.
    """
    import networkx as nx

    key = "edges" if "edges" in document else "links"
    nodes = entries(document, "nodes", where)
    edges = entries(document, key, where)
    for k, node in enumerate(nodes):
        _check_id(node, "id", f"{where}: nodes[{k}]")
    ids = [node["id"] for node in nodes]
    known = set(ids)
    if len(known) < len(ids):
        seen: set[Any] = set()
        for k, name in enumerate(ids):
            if name in seen:
                raise InvalidInput(f"{where}: nodes[{k}].id: {echo(name)} is given twice")
            seen.add(name)
    pairs = set()
    for k, edge in enumerate(edges):
        place = f"{where}: {key}[{k}]"
        for end in ENDS:
            _check_id(edge, end, place)
            if edge[end] not in known:
                raise InvalidInput(f"{place}.{end}: there is no node {echo(edge[end])}")
        pair = (edge[ENDS[0]], edge[ENDS[1]])
        if pair in pairs:
            raise InvalidInput(f"{place}: edge {echo(pair[0])} -> {echo(pair[1])} is given twice")
        pairs.add(pair)
    if document.get("directed") is False:
        raise InvalidInput(f"{where}: an undirected graph; a workflow's edges have a direction")
    with parsing(where, "node-link JSON"):
        graph = nx.node_link_graph(document, directed=True, multigraph=False, edges=key)
        if not graph.name:
            graph.graph.pop("name", None)
    return problem_of_graph(graph, where, options)


def _check_id(item: dict[str, Any], key: str, place: str) -> None:
    if key not in item:
        raise InvalidInput(f"{place}.{key} is missing")
    value = item[key]
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise InvalidInput(f"{place}.{key} is {echo(value)}; it must be a string or whole number")
