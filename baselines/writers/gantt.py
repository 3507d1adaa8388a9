"""A schedule as a Gantt chart: one HTML file that works offline."""

from __future__ import annotations

import base64
import html
import json
import re
from collections import Counter
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import numpy as np

from deepsched.baselines.atomic import write_text
from deepsched.baselines.metrics import lower_bound, mean_turnaround, mean_waiting

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from deepsched.baselines.problem import Problem
    from deepsched.baselines.schedule import Schedule

MAX_KINDS = 8  # colours that can be told apart; rarer kinds of task share one more


def write_gantt(
    path: str | os.PathLike[str], problem: Problem, schedule: Schedule, seconds: float
) -> None:
    """Write the chart: a canvas to zoom, pan and search, with each task's parents and children.

    Raises
    ------
    UnwritableOutput
        If the file cannot be written.
    """
    write_text(path, gantt_page(problem, schedule, seconds))


def gantt_page(problem: Problem, schedule: Schedule, seconds: float) -> str:
    """Return the chart as HTML that loads nothing from anywhere.

    Times are embedded as float64, so that what the page shows is what was scheduled.
    """
    template = files(__package__).joinpath("gantt.html").read_text(encoding="utf-8")
    head, _, rest = template.partition("<!--title-->")
    middle, _, foot = rest.partition("<!--data-->")
    title = html.escape(f"{problem.name} · {schedule.scheduler}")
    data = embeddable(chart_data(problem, schedule, seconds))
    return f"{head}{title}{middle}{data}{foot}"


def chart_data(problem: Problem, schedule: Schedule, seconds: float) -> dict[str, Any]:
    """Return what the page holds, JSON-ready; arrays as base64 of little-endian bytes.

    Arrays: machine int32, start, finish, arrival float64, kind uint8, each one a task; parents of
    task i as int32 in `pred[pred_ptr[i]:pred_ptr[i + 1]]`.
    """
    kinds, kind = task_kinds(problem.task_ids)
    busy = float((schedule.aft - schedule.ast).sum())
    capacity = schedule.makespan * problem.n_machines
    return {
        "problem": problem.name,
        "scheduler": schedule.scheduler,
        "summary": {
            "makespan": schedule.makespan,
            "lower_bound": lower_bound(problem),
            "mean_turnaround": mean_turnaround(problem, schedule),
            "mean_waiting": mean_waiting(problem, schedule),
            "utilisation": busy / capacity if capacity > 0 else 0.0,
            "seconds": float(seconds),
        },
        "tasks": list(problem.task_ids),
        "machines": list(problem.machines.ids),
        "kinds": kinds,
        "kind": _packed(kind, "u1"),
        "machine": _packed(schedule.proc, "<i4"),
        "start": _packed(schedule.ast, "<f8"),
        "finish": _packed(schedule.aft, "<f8"),
        "arrival": _packed(problem.arrival, "<f8"),
        "pred_ptr": _packed(problem.pred_ptr, "<i4"),
        "pred": _packed(problem.pred, "<i4"),
    }


def task_kinds(task_ids: Sequence[str]) -> tuple[list[str], NDArray[np.uint8]]:
    """Group tasks by their names, for the colours.

    Names that differ only in a number at their end (`bwa_ID0007`) are of one kind; where that makes
    more kinds than colours, names that agree up to their first digit are.

    Returns
    -------
    The kinds, most frequent first (then by name), beyond the eighth as one "other", and just "task"
    where there is but one; and (n_tasks,) which of them each task is.
    """
    stems = [re.sub(r"[\W_]*(?:ID)?[\W_]*\d+$", "", name) for name in task_ids]
    if len(set(stems)) > MAX_KINDS:
        stems = [re.split(r"[\W_]*\d", name, maxsplit=1)[0] for name in task_ids]
    counts = sorted(Counter(stems).items(), key=lambda item: (-item[1], item[0]))
    names = [stem or "task" for stem, _ in counts]
    if len(names) == 1:
        names = ["task"]
    if len(names) > MAX_KINDS:
        names = [*names[:MAX_KINDS], "other"]
    number = {stem: min(k, MAX_KINDS) for k, (stem, _) in enumerate(counts)}
    return names, np.array([number[stem] for stem in stems], dtype=np.uint8)


def embeddable(data: dict[str, Any]) -> str:
    """Return JSON that is safe inside a script element, whatever the names in it."""
    text = json.dumps(data, allow_nan=False, separators=(",", ":"))
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _packed(array: NDArray[Any], dtype: str) -> str:
    return base64.b64encode(array.astype(dtype).tobytes()).decode("ascii")
