"""A schedule as a CSV table."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING

from deepsched.baselines.atomic import write_text

if TYPE_CHECKING:
    import os

    from deepsched.baselines.problem import Problem
    from deepsched.baselines.schedule import Schedule

COLUMNS = ("task", "machine", "start", "finish", "arrival", "waiting", "turnaround")


def write_csv(
    path: str | os.PathLike[str],
    problem: Problem,
    schedule: Schedule,
    seconds: float | None = None,
) -> None:
    """Write one row a task in the problem's order, all times in s and exact.

    Columns: task and machine (ids), start, finish, arrival, waiting (start - arrival), turnaround
    (finish - arrival). `seconds`, which scheduling took, has no place in the table.

    Raises
    ------
    UnwritableOutput
        If the file cannot be written.
    """
    ids = problem.machines.ids
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(COLUMNS)
    table.writerows(
        zip(
            problem.task_ids,
            [ids[machine] for machine in schedule.proc],
            schedule.ast.tolist(),
            schedule.aft.tolist(),
            problem.arrival.tolist(),
            (schedule.ast - problem.arrival).tolist(),
            (schedule.aft - problem.arrival).tolist(),
            strict=True,
        )
    )
    write_text(path, text.getvalue())
