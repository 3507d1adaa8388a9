"""A schedule as JSON."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from deepsched.baselines.atomic import write_text
from deepsched.baselines.metrics import lower_bound, mean_turnaround, mean_waiting

if TYPE_CHECKING:
    import os

    from deepsched.baselines.problem import Problem
    from deepsched.baselines.schedule import Schedule


def schedule_document(problem: Problem, schedule: Schedule, seconds: float) -> dict[str, Any]:
    """Return the schedule as JSON-ready values, tasks in the problem's order.

    Keys: scheduler, makespan, mean_turnaround, mean_waiting, lower_bound (on the makespan), seconds
    (which scheduling took), tasks: a list of id, machine (its id), start, finish. All times in s.
    """
    machine_ids = problem.machines.ids
    rows = zip(
        problem.task_ids,
        schedule.proc.tolist(),
        schedule.ast.tolist(),
        schedule.aft.tolist(),
        strict=True,
    )
    return {
        "scheduler": schedule.scheduler,
        "makespan": schedule.makespan,
        "mean_turnaround": mean_turnaround(problem, schedule),
        "mean_waiting": mean_waiting(problem, schedule),
        "lower_bound": lower_bound(problem),
        "seconds": float(seconds),
        "tasks": [
            {"id": task, "machine": machine_ids[machine], "start": start, "finish": finish}
            for task, machine, start, finish in rows
        ],
    }


def write_json(
    path: str | os.PathLike[str], problem: Problem, schedule: Schedule, seconds: float
) -> None:
    """Write :func:`schedule_document`, one task a line; strict JSON, times exact.

    Raises
    ------
    UnwritableOutput
        If the file cannot be written.
    """
    document = schedule_document(problem, schedule, seconds)
    tasks = document.pop("tasks")
    head = [f"{json.dumps(key)}: {_strict(value)}" for key, value in document.items()]
    lines = ",\n    ".join(_strict(task) for task in tasks)
    body = ",\n  ".join([*head, f'"tasks": [\n    {lines}\n  ]'])
    write_text(path, f"{{\n  {body}\n}}\n")


def _strict(value: object) -> str:
    return json.dumps(value, allow_nan=False)
