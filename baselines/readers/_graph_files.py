"""Graphs in files of other programs: what they call times and bytes, as networkx graphs have it."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from deepsched.baselines.errors import InvalidInput
from deepsched.baselines.readers._dataflow import given_runtime, warn, warn_of_no_edges
from deepsched.baselines.readers._values import clipped, echo
from deepsched.baselines.readers.networkx_graph import from_networkx
from deepsched.baselines.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    import networkx as nx

    from deepsched.baselines.problem import Problem
    from deepsched.baselines.readers.options import ReadOptions

# Other names, the surest first. Their unit is a guess that is told.
RUNTIMES = ("runtime", "duration", "weight", "cost", "time")
BYTES = ("size", "weight", "data", "cost", "volume")
FLOPS = "size"  # of a node, in graphs that daggen and SimGrid write, beside edges with a size
FLOPS_PER_SECOND = 1e9  # of a machine of speed 1


def problem_of_graph(
    graph: nx.DiGraph, where: str, options: ReadOptions, *, flops: bool = False
) -> Problem:
    """Return the problem of a graph in a file: as `from_networkx`, with other names understood.

    A node without `etc` and `work` may give its time as one of `RUNTIMES`, an edge without `bytes`
    its bytes as one of `BYTES`; that is warned of. Numbers may be texts.

    Parameters
    ----------
    flops : whether a node's `size` is its floating-point operations, 1e9 of them a second.

    Raises
    ------
    InvalidInput, InvalidProblem
        Naming the node or edge.
    """
    if not graph.is_directed():
        raise InvalidInput(f"{where}: an undirected graph; a workflow's edges have a direction")
    if graph.is_multigraph():
        graph = _without_parallel_edges(graph, where)
    lacking: list[Any] = []
    used: dict[tuple[str, str], None] = {}
    for node, attributes in graph.nodes(data=True):
        _numbers(attributes, ("work", "arrival", "priority", "memory", *RUNTIMES, FLOPS))
        if "etc" in attributes or "work" in attributes:
            continue
        name = next((name for name in RUNTIMES if name in attributes), None)
        if name is not None:
            attributes["work"] = attributes.pop(name)
            if name != "runtime":
                used["nodes", name] = None
        elif flops and FLOPS in attributes:
            size = attributes.pop(FLOPS)
            attributes["work"] = size / FLOPS_PER_SECOND if isinstance(size, float) else size
        else:
            lacking.append(node)
    if lacking:
        text = f"node {echo(lacking[0])} has none of {', '.join(('etc', 'work', *RUNTIMES))}"
        names = [str(node) for node in lacking]
        runtime = given_runtime(names, options.runtime, where, text)
        for node in lacking:
            graph.nodes[node]["work"] = runtime
    for _, _, attributes in graph.edges(data=True):
        _numbers(attributes, ("bytes", *BYTES))
        name = next((name for name in BYTES if name in attributes), None)
        if "bytes" not in attributes and name is not None:
            attributes["bytes"] = attributes.pop(name)
            if name != "size":
                used["edges", name] = None
    for kind, name in used:
        meaning = "seconds on a machine of speed 1" if kind == "nodes" else "bytes"
        warn(f"{where}: {echo(name)} of {kind} is read as {meaning}")
    warn_of_no_edges(graph.number_of_nodes(), graph.number_of_edges(), where)
    return from_networkx(graph, options, where=where)


@contextlib.contextmanager
def parsing(where: str, kind: str) -> Iterator[None]:
    """Say in one line what a parser of another library complains about, whatever it raises."""
    try:
        yield
    except InvalidInput:
        raise
    except RecursionError:
        raise InvalidInput(f"{where}: nested too deeply to be a problem") from None
    except Exception as error:  # parsers raise what happens to them on bad input
        said = " ".join(str(error).split()) or type(error).__name__
        raise InvalidInput(f"{where}: not {kind}: {clipped(printable(said), 300)}") from None


def _numbers(attributes: dict[str, Any], names: tuple[str, ...]) -> None:
    for name in names:
        value = attributes.get(name)
        if isinstance(value, str):
            with contextlib.suppress(ValueError):
                attributes[name] = float(value.strip('" '))
        elif isinstance(value, int) and not isinstance(value, bool):
            with contextlib.suppress(OverflowError):
                attributes[name] = float(value)


def _without_parallel_edges(graph: Any, where: str) -> nx.DiGraph:
    import networkx as nx

    simple = nx.DiGraph(**graph.graph)
    simple.add_nodes_from(graph.nodes(data=True))
    for parent, child, attributes in graph.edges(data=True):
        if simple.has_edge(parent, child):
            raise InvalidInput(f"{where}: edge {echo(parent)} -> {echo(child)} is given twice")
        simple.add_edge(parent, child, **attributes)
    return simple
