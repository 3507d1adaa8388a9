"""A schedule as JSON."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from deepsched.baselines.atomic import write_text

if TYPE_CHECKING:
    import os

    from deepsched.baselines.problem import Problem
    from deepsched.baselines.schedule import Schedule


def write_json(
    path: str | os.PathLike[str],
    problem: Problem,
    schedule: Schedule,
    seconds: float | None = None,
) -> None:
    """Write what `schedule.to_json` returns, one task a line; strict JSON, times exact.

    Raises
    ------
    InvalidInput
        If the schedule is none of this problem's.
    UnwritableOutput
        If the file cannot be written.
    """
    document = schedule.to_json(problem, seconds)
    tasks = document.pop("tasks")
    head = [f"{json.dumps(key)}: {_strict(value)}" for key, value in document.items()]
    lines = ",\n    ".join(_strict(task) for task in tasks)
    body = ",\n  ".join([*head, f'"tasks": [\n    {lines}\n  ]'])
    write_text(path, f"{{\n  {body}\n}}\n")


def _strict(value: object) -> str:
    return json.dumps(value, allow_nan=False)
