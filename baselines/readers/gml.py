"""GML: graphs as networkx, igraph and others write them; attributes as in node-link JSON.

References
----------
Himsolt (1997), GML: a portable graph file format; https://networkx.org/documentation/stable
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from deepsched.baselines.readers._graph_files import parsing, problem_of_graph
from deepsched.baselines.readers._values import text_lines

if TYPE_CHECKING:
    from deepsched.baselines.problem import Problem
    from deepsched.baselines.readers.options import ReadOptions

NAME = "gml"
TITLE = "GML"
SUFFIXES: tuple[str, ...] = (".gml",)
BEGINNING = re.compile(r"\s*(#.*\s+|(Creator|comment)\s+\"[^\"]*\"\s+|Version\s+\S+\s+)*graph\s*\[")
HEAD = 10_000  # characters within which the graph begins


def recognise(text: str) -> bool:
    """Tell whether the text begins with `graph [`."""
    return BEGINNING.match(text[:HEAD]) is not None


def read(text: str, where: str, options: ReadOptions) -> Problem:
    """Return the problem of a graph; nodes are named by their labels, where all have one.

    Raises
    ------
    InvalidInput, InvalidProblem
        Naming the line, the node or the edge.
    """
    import networkx as nx

    with parsing(where, "GML"):
        lines = text_lines(text)
        try:
            graph = nx.parse_gml(lines)
        except nx.NetworkXError as error:
            if "label" not in str(error):
                raise
            graph = nx.parse_gml(lines, label="id")
    return problem_of_graph(graph, where, options)
