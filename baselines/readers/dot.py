"""DOT: graphs of Graphviz, daggen, SimGrid and `snakemake --dag`.

A node's time is its `work`, or as in node-link JSON; a node's `size` is floating-point operations,
1e9 of them a second. An edge's `bytes` or `size` is what it transfers. Nodes are named by the file,
not by their labels, which may repeat.

References
----------
https://graphviz.org/doc/info/lang.html; https://github.com/frs69wq/daggen
"""

from __future__ import annotations

import re
import threading
from typing import TYPE_CHECKING, Any

from deepsched.baselines.errors import InvalidInput, extra_for
from deepsched.baselines.readers._graph_files import parsing, problem_of_graph
from deepsched.baselines.readers._values import echo

if TYPE_CHECKING:
    import networkx as nx

    from deepsched.baselines.problem import Problem
    from deepsched.baselines.readers.options import ReadOptions

NAME = "dot"
TITLE = "DOT"
SUFFIXES: tuple[str, ...] = (".dot", ".gv")
BEGINNING = re.compile(
    r"(?:\s|//[^\n]*\n|\#[^\n]*\n|/\*.*?\*/)*(strict\s+)?(di)?graph\b\s*(\"[^\"]*\"|[\w.-]+)?\s*\{",
    re.IGNORECASE | re.DOTALL,
)
HEAD = 10_000  # characters within which the graph begins
EXPONENT = re.compile(r"[eE]\d*|[+-]?\d+")
PARSING = threading.Lock()  # pydot parses one text at a time
DRAWING = ("node", "edge", "graph")  # statements that set how things look


def recognise(text: str) -> bool:
    """Tell whether the text begins with `digraph {`."""
    return BEGINNING.match(text[:HEAD]) is not None


def read(text: str, where: str, options: ReadOptions) -> Problem:
    """Return the problem of the file's graph, subgraphs and clusters included.

    Raises
    ------
    InvalidInput, InvalidProblem
        Naming the node or edge.
    NotInstalled
        Without the extra `formats`.
    """
    import networkx as nx

    with extra_for(f"{where}: reading DOT"):
        import pyparsing
        from pydot.dot_parser import GraphParser
    with parsing(where, "DOT"), PARSING:
        try:
            found = GraphParser.parser.parse_string(text, parse_all=True)
        except pyparsing.ParseException as error:
            raise InvalidInput(
                f"{where}: line {error.lineno} column {error.col}: not DOT: {error.msg}"
            ) from None
    if len(found) != 1:
        raise InvalidInput(f"{where}: {len(found)} graphs; give a file with one")
    (drawn,) = found
    if drawn.get_type() != "digraph":
        raise InvalidInput(f"{where}: an undirected graph; a workflow is a digraph")
    graph = nx.DiGraph()
    with parsing(where, "DOT"):
        _add(graph, drawn, where)
    return problem_of_graph(graph, where, options, flops=True)


def _add(graph: nx.DiGraph, drawn: Any, where: str) -> None:
    """Add the nodes and edges of a graph and its subgraphs."""
    listed = drawn.get_nodes()
    defaults: dict[str, dict[str, str]] = {}
    for item in listed:
        name = _plain(item.get_name())
        if name in DRAWING:
            defaults[name] = _attributes(item, f"{where}: {name}")
    for item in listed:
        name = _plain(item.get_name())
        if name not in DRAWING:
            attributes = _attributes(item, f"{where}: node {echo(name)}")
            graph.add_node(name, **{**defaults.get("node", {}), **attributes})
    for part in drawn.get_subgraphs():
        _add(graph, part, where)
    for edge in drawn.get_edges():
        for parent in _ends(edge.get_source(), where):
            for child in _ends(edge.get_destination(), where):
                place = f"{where}: edge {echo(parent)} -> {echo(child)}"
                if graph.has_edge(parent, child):
                    raise InvalidInput(f"{place} is given twice")
                for name in (parent, child):
                    if name not in graph:
                        graph.add_node(name, **defaults.get("node", {}))
                attributes = _attributes(edge, place)
                graph.add_edge(parent, child, **{**defaults.get("edge", {}), **attributes})


def _ends(end: Any, where: str) -> list[str]:
    """Return the nodes that an edge's end means: one, or all of a subgraph."""
    if isinstance(end, str | int):
        return [_plain(str(end).split(":")[0] if not str(end).startswith('"') else str(end))]
    nodes = end.get("nodes") if hasattr(end, "get") else None
    if nodes is None:
        raise InvalidInput(f"{where}: an edge with an end that is no node")
    return [_plain(name) for name in nodes]


def _attributes(item: Any, place: str) -> dict[str, str]:
    found = {_plain(key): value for key, value in item.get_attributes().items()}
    for key, value in found.items():
        # DOT has no exponents: 2.5e6 is the number 2.5 and then a name.
        if value is None and EXPONENT.fullmatch(key):
            raise InvalidInput(f'{place}: numbers with an exponent must be in quotes, as "2.5e6"')
    return {key: _plain(value) for key, value in found.items()}


def _plain(text: Any) -> str:
    """Return an identifier without its quotes."""
    found = str(text)
    if len(found) >= 2 and found[0] == found[-1] == '"':
        return found[1:-1].replace('\\"', '"').replace("\\\n", "")
    return found
