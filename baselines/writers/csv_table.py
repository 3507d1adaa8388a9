"""A schedule as a CSV table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from deepsched.baselines.atomic import write_text
from deepsched.baselines.schedule import check_belongs

if TYPE_CHECKING:
    import os

    from deepsched.baselines.problem import Problem
    from deepsched.baselines.schedule import Schedule

COLUMNS = ("task", "machine", "start", "finish", "arrival", "waiting", "turnaround", "winner")
# A spreadsheet takes a cell that begins so for a formula, also the wide forms, also in quotes.
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
TEXT = "'"  # what tells it that a text follows


def write_csv(
    path: str | os.PathLike[str],
    problem: Problem,
    schedule: Schedule,
    seconds: float | None = None,
) -> None:
    """Write one row a task in the problem's order, all times in s and exact.

    Columns: task and machine (ids), start, finish, arrival, waiting (start - arrival), turnaround
    (finish - arrival), winner (whose schedule it is, the same in each row). `seconds`, which
    scheduling took, has no place in the table.

    An id that a spreadsheet would take for a formula, and one that begins with an apostrophe, has
    an apostrophe before it; :func:`name_of` takes it away. Any other stands as it is.

    Raises
    ------
    InvalidInput
        If the schedule is none of this problem's.
    UnwritableOutput
        If the file cannot be written.
    """
    check_belongs(problem, schedule)
    machines = [_cell(name) for name in problem.machines.ids]
    numbers = (
        schedule.ast,
        schedule.aft,
        problem.arrival,
        schedule.ast - problem.arrival,
        schedule.aft - problem.arrival,
    )
    rows = zip(
        map(_cell, problem.task_ids),
        [machines[machine] for machine in schedule.proc.tolist()],
        *(map(repr, column.tolist()) for column in numbers),
        [_cell(schedule.winner)] * problem.n_tasks,
        strict=True,
    )
    lines = [COLUMNS, *rows]
    write_text(path, "".join(f"{','.join(line)}\n" for line in lines))


def name_of(cell: str) -> str:
    """Return the id that a cell of a table stands for, without what makes it safe.

    Examples
    --------
    >>> name_of("'=A1"), name_of("=A1"), name_of("a'b")
    ('=A1', '=A1', "a'b")
    """
    return cell.removeprefix(TEXT)


def safe_cell(text: str) -> str:
    """Return a text that no spreadsheet takes for a formula; :func:`name_of` undoes it."""
    return TEXT + text if text.startswith((TEXT, *FORMULA)) else text


def _cell(name: str) -> str:
    """Return an id, safe and quoted where it must be."""
    safe = safe_cell(name)
    # Also in quotes: what readers would trim or end a line at, whichever they know.
    plain = safe.isprintable() and safe == safe.strip() and not set(safe) & set('",;')
    return safe if plain else '"' + safe.replace('"', '""') + '"'
