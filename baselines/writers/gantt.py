"""Schedules as a Gantt chart: one HTML file that works offline."""

from __future__ import annotations

import base64
import html
import json
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from deepsched.baselines.atomic import write_text
from deepsched.baselines.bounds import lower_bound
from deepsched.baselines.chain import critical_chain
from deepsched.baselines.errors import InvalidInput
from deepsched.baselines.metrics import mean_turnaround, mean_waiting
from deepsched.baselines.writers.kinds import task_kinds
from deepsched.baselines.writers.names import legible
from deepsched.baselines.writers.palette import COLOURS
from deepsched.baselines.writers.panels import Panel, origin_of, panels_of, rows_of

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from deepsched.baselines.problem import Problem
    from deepsched.baselines.schedule import Schedule

# In this order, as one script: each uses what stands before it.
SCRIPTS = ("data.js", "view.js", "chart.js", "graph.js", "pointing.js", "words.js")


def write_gantt(
    path: str | os.PathLike[str],
    problem: Problem,
    *schedules: Schedule,
    seconds: Sequence[float | None] | None = None,
    kinds: Mapping[str, str] | None = None,
    groups: Sequence[str] | None = None,
) -> None:
    """Write the chart: a canvas to zoom, pan and search, with each task's parents and children.

    Several schedules stand one above the other on one time axis and move together; a task that is
    searched or pinned is marked in all of them. What explains each makespan (`critical_chain`) is
    outlined and listed. Up to 2,000 tasks the graph stands beside the chart.

    Parameters
    ----------
    schedules : of this problem, at least one; makespans are compared with that of the first.
    seconds : what scheduling took, one number a schedule, None where it is not known.
    kinds : of tasks by their ids, for the colours, such as the programs that they run; without it,
        and for tasks that it leaves out, kinds are read off the names.
    groups : (n_machines,) a label each, such as the node that a slot belongs to; machines of one
        label stand together under it.

    Raises
    ------
    InvalidInput
        If there is no schedule, one is none of this problem's, or the numbers of schedules and of
        seconds, or of machines and of groups, differ.
    UnwritableOutput
        If the file cannot be written.
    """
    write_text(path, gantt_page(problem, *schedules, seconds=seconds, kinds=kinds, groups=groups))


def gantt_page(
    problem: Problem,
    *schedules: Schedule,
    seconds: Sequence[float | None] | None = None,
    kinds: Mapping[str, str] | None = None,
    groups: Sequence[str] | None = None,
) -> str:
    """Return the chart as HTML that loads nothing from anywhere.

    Times are embedded as float64, so that what the page shows is what was scheduled.
    """
    data = chart_data(problem, *schedules, seconds=seconds, kinds=kinds, groups=groups)
    names = ", ".join(panel["name"] for panel in data["panels"])
    parts = {
        "title": html.escape(legible(f"{problem.name} · {names}")),
        "style": _part("page.css"),
        "data": embeddable(data),
        "script": "\n".join(_part(name) for name in SCRIPTS),
    }
    page, rest = "", _part("page.html")
    for name, text in parts.items():  # in the order of the page, so that no text is searched
        before, _, rest = rest.partition(f"<!--{name}-->")
        page += before + text
    return page + rest


def _part(name: str) -> str:
    return files(__package__).joinpath("gantt_page", name).read_text(encoding="utf-8")


def chart_data(
    problem: Problem,
    *schedules: Schedule,
    seconds: Sequence[float | None] | None = None,
    kinds: Mapping[str, str] | None = None,
    groups: Sequence[str] | None = None,
) -> dict[str, Any]:
    """Return what the page holds, JSON-ready; arrays as base64 of little-endian bytes.

    `origin` is where the axis begins, s; all times count from the problem's own 0. `groups` are
    label, first row and number of rows.

    Arrays of the problem: row int32, each machine's; arrival float64, kind uint8, each one a task;
    parents of task i as int32 in `pred[pred_ptr[i]:pred_ptr[i + 1]]`. Of each panel: machine int32,
    start, finish float64; winner: whose schedule it is, where not the scheduler's; chain: step,
    task, parent, reason, cause, start and finish of each link.
    """
    panels = panels_of(problem, schedules)
    if seconds is not None and len(seconds) != len(panels):
        raise InvalidInput(f"{len(seconds)} scheduling times for {len(panels)} schedules")
    names, kind = task_kinds(problem.task_ids, kinds)
    row, blocks = rows_of(problem, groups)
    return {
        "problem": problem.name,
        "origin": origin_of(schedules),
        "lower_bound": lower_bound(problem, "strong"),
        "tasks": list(problem.task_ids),
        "machines": list(problem.machines.ids),
        "row": _packed(row, "<i4"),
        "groups": blocks,
        "kinds": names,
        "colours": COLOURS[: len(names)],
        "kind": _packed(kind, "u1"),
        "arrival": _packed(problem.arrival, "<f8"),
        "pred_ptr": _packed(problem.pred_ptr, "<i4"),
        "pred": _packed(problem.pred, "<i4"),
        "panels": [
            _panel_data(problem, panel, None if seconds is None else seconds[k])
            for k, panel in enumerate(panels)
        ],
    }


def _panel_data(problem: Problem, panel: Panel, seconds: float | None) -> dict[str, Any]:
    schedule = panel.schedule
    busy = float((schedule.aft - schedule.ast).sum())
    capacity = schedule.makespan * problem.n_machines
    return {
        "name": panel.name,
        "difference": panel.difference,
        "against": panel.against,
        "winner": schedule.winner if schedule.winner != schedule.scheduler else "",
        "summary": {
            "makespan": schedule.makespan,
            "mean_turnaround": mean_turnaround(problem, schedule),
            "mean_waiting": mean_waiting(problem, schedule),
            "utilisation": busy / capacity if capacity > 0 else 0.0,
            **({} if seconds is None else {"seconds": seconds}),
        },
        "machine": _packed(schedule.proc, "<i4"),
        "start": _packed(schedule.ast, "<f8"),
        "finish": _packed(schedule.aft, "<f8"),
        "chain": [
            [link.step, link.task, link.parent, link.reason, link.cause, link.start, link.finish]
            for link in critical_chain(problem, schedule)
        ],
    }


def embeddable(data: dict[str, Any]) -> str:
    """Return JSON that is safe inside a script element, whatever the names in it."""
    text = json.dumps(data, allow_nan=False, separators=(",", ":"))
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _packed(array: NDArray[Any], dtype: str) -> str:
    return base64.b64encode(array.astype(dtype).tobytes()).decode("ascii")
