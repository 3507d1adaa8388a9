"""A schedule as a graph for Graphviz: the tasks of each machine in a box of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from deepsched.baselines.atomic import write_text
from deepsched.baselines.schedule import check_belongs
from deepsched.baselines.writers.names import legible
from deepsched.baselines.writers.palette import COLOURS
from deepsched.baselines.writers.panels import origin_of
from deepsched.baselines.writers.svg_elements import seconds as time
from deepsched.baselines.writers.svg_elements import short

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator

    from deepsched.baselines.problem import Problem
    from deepsched.baselines.schedule import Schedule

LONGEST = 60  # characters of a label


def write_dot(
    path: str | os.PathLike[str],
    problem: Problem,
    schedule: Schedule,
    seconds: float | None = None,
) -> None:
    r"""Write a `digraph` with a cluster a machine and in it its tasks by start, in one colour.

    Nodes are named as the tasks, and have machine, start, finish and runtime, s, exactly; edges
    have bytes. In names `"` and `\` have a backslash before them, and what cannot be seen stands as
    \n, \x1b and the like. `seconds`, which scheduling took, has no place in the file.

    References
    ----------
    The DOT language, https://graphviz.org/doc/info/lang.html.

    Raises
    ------
    InvalidInput
        If the schedule is none of this problem's.
    UnwritableOutput
        If the file cannot be written.
    """
    check_belongs(problem, schedule)
    title = f"{short(problem.name, LONGEST)}, {schedule.scheduler}, {time(schedule.makespan)}"
    origin = origin_of([schedule])
    if origin:
        title += f", 0 is {origin!r} s"
    lines = [
        f"digraph {_quoted(problem.name)} {{",
        f"graph [label={_label(title)}, rankdir=LR];",
        'node [shape=box, style="filled,rounded"];',
        *_nodes(problem, schedule, origin),
        *_clusters(problem, schedule),
        *_edges(problem),
        "}",
    ]
    write_text(path, "\n".join(lines) + "\n")


def _nodes(problem: Problem, schedule: Schedule, origin: float) -> Iterator[str]:
    """Yield all nodes outside of the clusters, where readers such as pydot's look for them."""
    machines = [_quoted(name) for name in problem.machines.ids]
    colours = [COLOURS[k % len(COLOURS)] for k in range(len(machines))]
    columns = zip(
        problem.task_ids,
        schedule.proc.tolist(),
        schedule.ast.tolist(),
        schedule.aft.tolist(),
        strict=True,
    )
    for task, machine, start, finish in columns:
        fill, ink = colours[machine]
        about = f"{time(start - origin)} to {time(finish - origin)}"
        values = {
            "label": f'{_label(short(task, LONGEST))[:-1]}\\n{about}"',
            "fillcolor": f'"{fill}"',
            # Graphviz knows no colours of three digits.
            "fontcolor": f'"#{"".join(2 * digit for digit in ink[1:])}"',
            "machine": machines[machine],
            "start": f'"{start!r}"',
            "finish": f'"{finish!r}"',
            "runtime": f'"{finish - start!r}"',
        }
        yield f"{_quoted(task)} [{', '.join(f'{key}={text}' for key, text in values.items())}];"


def _clusters(problem: Problem, schedule: Schedule) -> Iterator[str]:
    on: list[list[str]] = [[] for _ in problem.machines.ids]
    for i in np.lexsort((schedule.aft, schedule.ast)).tolist():
        on[schedule.proc[i]].append(_quoted(problem.task_ids[i]))
    for k, (name, tasks) in enumerate(zip(problem.machines.ids, on, strict=True)):
        yield f'subgraph "cluster_{k}" {{'
        yield f"graph [label={_label(short(name, LONGEST))}];"
        yield from (f"{task};" for task in tasks)
        yield "}"


def _edges(problem: Problem) -> Iterator[str]:
    names = [_quoted(name) for name in problem.task_ids]
    for parent, child, size in zip(*(part.tolist() for part in problem.edge_list()), strict=True):
        yield f'{names[parent]} -> {names[child]} [bytes="{size!r}"];'


def _quoted(text: str) -> str:
    """Return a string of DOT, one for each text; a backslash is doubled, lest it take the quote."""
    parts = text.split("\\")
    return '"' + "\\\\".join(legible(part).replace('"', '\\"') for part in parts) + '"'


def _label(text: str) -> str:
    """Return the same where Graphviz takes backslashes for itself: they are doubled once more."""
    return '"' + legible(text).replace("\\", "\\\\").replace('"', '\\"') + '"'
