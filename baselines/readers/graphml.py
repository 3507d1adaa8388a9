"""GraphML: graphs as networkx and others write them; attributes as in node-link JSON.

References
----------
Brandes et al. (2002), doi:10.1007/3-540-45848-4_59; http://graphml.graphdrawing.org
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from deepsched.baselines.readers._graph_files import parsing, problem_of_graph
from deepsched.baselines.readers._xml import parse_xml, root_name

if TYPE_CHECKING:
    from deepsched.baselines.problem import Problem
    from deepsched.baselines.readers.options import ReadOptions

NAME = "graphml"
TITLE = "GraphML"
SUFFIXES: tuple[str, ...] = (".graphml",)


def recognise(text: str) -> bool:
    """Tell whether the root element is `graphml`."""
    return root_name(text) == "graphml"


def read(text: str, where: str, options: ReadOptions) -> Problem:
    """Return the problem of the file's first graph.

    Raises
    ------
    InvalidInput, InvalidProblem
        Naming the node or edge.
    """
    import networkx as nx

    parse_xml(text, where)  # refuses what the reader below would follow
    with parsing(where, "GraphML"):
        graph = nx.parse_graphml(text.lstrip())
    for key, elements in (("node_default", graph.nodes), ("edge_default", graph.edges)):
        defaults = graph.graph.pop(key, {})
        for _, attributes in elements.items():
            for name, value in defaults.items():
                attributes.setdefault(name, value)
    return problem_of_graph(graph, where, options)
