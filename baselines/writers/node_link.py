"""A schedule as the node-link JSON of networkx."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from deepsched.baselines.atomic import write_text
from deepsched.baselines.readers.explicit import problem_document
from deepsched.baselines.schedule import check_belongs

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator

    from deepsched.baselines.problem import Problem
    from deepsched.baselines.schedule import Schedule


def write_node_link(
    path: str | os.PathLike[str],
    problem: Problem,
    schedule: Schedule,
    seconds: float | None = None,
) -> None:
    """Write what `networkx.node_link_graph` reads: a node a task, a link an edge, one a line.

    Nodes have what `from_networkx` takes (etc or work, arrival, priority, memory), so that it makes
    the same problem of the graph, and `machine` (its id), `start` and `finish`, s. Graph attributes
    are those of the explicit format beside name, alpha, scheduler, makespan and, where it is known,
    `scheduling`, the seconds that took. Links are under `edges`, as networkx from 3.6 on has it.

    Raises
    ------
    InvalidInput
        If the schedule is none of this problem's.
    UnwritableOutput
        If the file cannot be written.
    """
    check_belongs(problem, schedule)
    document = problem_document(problem)
    alpha = 1.0 if any("work" in task for task in document["tasks"]) else problem.alpha
    attributes = {
        "name": problem.name,
        "alpha": alpha,
        **{key: document[key] for key in ("machines", "bandwidth", "latency")},
        "scheduler": schedule.scheduler,
        "makespan": schedule.makespan,
        **({} if seconds is None else {"scheduling": float(seconds)}),
    }
    lines = [
        f'{{"directed": true, "multigraph": false, "graph": {_text(attributes)}, "nodes": [',
        ",\n".join(map(_text, _nodes(problem, schedule, document["tasks"]))),
        '], "edges": [',
        ",\n".join(
            _text({"source": edge["from"], "target": edge["to"], "bytes": edge["bytes"]})
            for edge in document["edges"]
        ),
        "]}",
    ]
    write_text(path, "\n".join(lines) + "\n")


def _nodes(
    problem: Problem, schedule: Schedule, tasks: list[dict[str, Any]]
) -> Iterator[dict[str, Any]]:
    ids = problem.machines.ids
    placed = zip(
        tasks, schedule.proc.tolist(), schedule.ast.tolist(), schedule.aft.tolist(), strict=True
    )
    for task, machine, start, finish in placed:
        yield {**task, "machine": ids[machine], "start": start, "finish": finish}


def _text(value: object) -> str:
    return json.dumps(value, allow_nan=False)
