"""The paper's job lists: independent jobs with arrival, run time, priority and memory.

Columns `job_id,arrival_time,burst_time,priority,mem_util`: seconds, seconds on a machine of speed
1, larger is more urgent, MB. A job is sequential (alpha 0). The machines lie in a file of their
own, which `read_machines` reads; it is used where it is given, not because it lies beside the jobs.
Columns may be separated by commas, semicolons, tabs or bars, and be in any order and case.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from deepsched.baselines.errors import InvalidInput
from deepsched.baselines.readers._csv import cell_place, header_of, parse_table, unique_ids
from deepsched.baselines.readers._values import Rule, decimal
from deepsched.baselines.readers.options import ReadOptions, chosen_machines, modelled_problem

if TYPE_CHECKING:
    from deepsched.baselines.arrays import FloatArray
    from deepsched.baselines.problem import Problem

NAME = "jobs-csv"
TITLE = "job list (CSV)"
SUFFIXES: tuple[str, ...] = (".csv", ".tsv")
ALPHA = 0.0
COLUMNS = ("job_id", "arrival_time", "burst_time", "priority", "mem_util")
RULES = {
    "arrival_time": Rule.COST,
    "burst_time": Rule.COST,
    "priority": Rule.FINITE,
    "mem_util": Rule.COST,
}


def recognise(text: str) -> bool:
    """Tell whether the first line names at least one of the columns."""
    return bool(header_of(text, COLUMNS))


def read(text: str, where: str, options: ReadOptions) -> Problem:
    """Return the jobs as independent tasks.

    Raises
    ------
    InvalidInput, InvalidProblem
        Naming the line.
    """
    table = parse_table(text, COLUMNS, where, options.delimiter)
    if not table.lines:
        raise InvalidInput(f"{where}: there is no job below the header")
    columns: dict[str, FloatArray] = {
        name: np.array(
            [
                decimal(field, rule, cell_place(name, line, field, where))
                for line, field in zip(table.lines, table.columns[name], strict=True)
            ]
        )
        for name, rule in RULES.items()
    }
    return modelled_problem(
        work=columns["burst_time"],
        alpha=ALPHA,
        machines=chosen_machines(options, tasks=len(columns["burst_time"])),
        options=options,
        where=where,
        task_ids=unique_ids(table, "job_id", where),
        arrival=columns["arrival_time"],
        priority=columns["priority"],
        memory=columns["mem_util"],
    )
