"""Schedules as a Gantt chart: one HTML file that works offline."""

from __future__ import annotations

import base64
import html
import json
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from deepsched.baselines.atomic import write_text
from deepsched.baselines.bounds import lower_bound
from deepsched.baselines.errors import InvalidInput
from deepsched.baselines.metrics import mean_turnaround, mean_waiting
from deepsched.baselines.writers.names import legible
from deepsched.baselines.writers.kinds import task_kinds
from deepsched.baselines.writers.panels import Panel, origin_of, panels_of

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from deepsched.baselines.problem import Problem
    from deepsched.baselines.schedule import Schedule


def write_gantt(
    path: str | os.PathLike[str],
    problem: Problem,
    *schedules: Schedule,
    seconds: Sequence[float] | None = None,
) -> None:
    """Write the chart: a canvas to zoom, pan and search, with each task's parents and children.

    Several schedules stand one above the other on one time axis and move together; a task that is
    searched or pinned is marked in all of them.

    Parameters
    ----------
    schedules : of this problem, at least one; makespans are compared with that of the first.
    seconds : what scheduling took, one number a schedule; None leaves it out.

    Raises
    ------
    InvalidInput
        If there is no schedule, one is none of this problem's, or the numbers of schedules and of
        seconds differ.
    UnwritableOutput
        If the file cannot be written.
    """
    write_text(path, gantt_page(problem, *schedules, seconds=seconds))


def gantt_page(
    problem: Problem, *schedules: Schedule, seconds: Sequence[float] | None = None
) -> str:
    """Return the chart as HTML that loads nothing from anywhere.

    Times are embedded as float64, so that what the page shows is what was scheduled.
    """
    template = files(__package__).joinpath("gantt.html").read_text(encoding="utf-8")
    head, _, rest = template.partition("<!--title-->")
    middle, _, foot = rest.partition("<!--data-->")
    data = chart_data(problem, *schedules, seconds=seconds)
    names = ", ".join(panel["name"] for panel in data["panels"])
    title = html.escape(legible(f"{problem.name} · {names}"))
    return f"{head}{title}{middle}{embeddable(data)}{foot}"


def chart_data(
    problem: Problem, *schedules: Schedule, seconds: Sequence[float] | None = None
) -> dict[str, Any]:
    """Return what the page holds, JSON-ready; arrays as base64 of little-endian bytes.

    `origin` is where the axis begins, s; all times count from the problem's own 0.

    Arrays of the problem: arrival float64, kind uint8, each one a task; parents of task i as int32
    in `pred[pred_ptr[i]:pred_ptr[i + 1]]`. Of each panel: machine int32, start, finish float64.
    """
    panels = panels_of(problem, schedules)
    if seconds is not None and len(seconds) != len(panels):
        raise InvalidInput(f"{len(seconds)} scheduling times for {len(panels)} schedules")
    kinds, kind = task_kinds(problem.task_ids)
    return {
        "problem": problem.name,
        "origin": origin_of(schedules),
        "lower_bound": lower_bound(problem),
        "tasks": list(problem.task_ids),
        "machines": list(problem.machines.ids),
        "kinds": kinds,
        "kind": _packed(kind, "u1"),
        "arrival": _packed(problem.arrival, "<f8"),
        "pred_ptr": _packed(problem.pred_ptr, "<i4"),
        "pred": _packed(problem.pred, "<i4"),
        "panels": [
            _panel_data(problem, panel, None if seconds is None else float(seconds[k]))
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
    }


def embeddable(data: dict[str, Any]) -> str:
    """Return JSON that is safe inside a script element, whatever the names in it."""
    text = json.dumps(data, allow_nan=False, separators=(",", ":"))
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _packed(array: NDArray[Any], dtype: str) -> str:
    return base64.b64encode(array.astype(dtype).tobytes()).decode("ascii")
