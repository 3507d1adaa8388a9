"""A schedule as an executed workflow, in WfFormat 1.5."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime, timedelta
from decimal import ROUND_FLOOR, Decimal
from typing import TYPE_CHECKING, Any

import numpy as np

from deepsched.baselines.atomic import write_text
from deepsched.baselines.schedule import check_belongs

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Iterator, Sequence

    from deepsched.baselines.arrays import FloatArray
    from deepsched.baselines.problem import Problem
    from deepsched.baselines.schedule import Schedule

VERSION = "1.5"
MB = 1e6  # bytes
TIME_ZERO = datetime(1970, 1, 1, tzinfo=UTC)
LAST_DATE = 2.5e11  # s, in the year 9892; dates end with 9999
DIGITS = (6, 9, 12, 15)  # of a second's fraction: the first number that keeps starts apart
WHOLE = 2.0**53  # up to here a float is written as a whole number


def write_wfformat(
    path: str | os.PathLike[str],
    problem: Problem,
    schedule: Schedule,
    seconds: float | None = None,
) -> None:
    """Write the graph as the specification and the schedule as its execution, a task a line.

    A task's runtime is its time on the machine that it is scheduled on, so that a reader who takes
    equal machines finds that time on all of them. Each edge that carries bytes is a file of its
    own; fractions of a byte stay. Dates count from 1970-01-01, or from the first start where no
    date could be so late, and tasks have none where ten thousand years lie between them; each has
    its exact `startInSeconds` and `finishInSeconds`. WfFormat has no arrivals, nor times on
    machines where a task does not run.

    References
    ----------
    Coleman et al. (2022), doi:10.1016/j.future.2021.09.043; https://github.com/wfcommons/WfFormat

    Raises
    ------
    InvalidInput
        If the schedule is none of this problem's.
    UnwritableOutput
        If the file cannot be written.
    """
    check_belongs(problem, schedule)
    head = {
        "name": problem.name or "problem",
        "description": f"Schedule by {schedule.scheduler}, not measured; times from DeepSched.",
        "schemaVersion": VERSION,
    }
    first = float(schedule.ast.min())
    offset = first if schedule.makespan > LAST_DATE or first < 0 else 0.0
    dates = _dates(schedule.ast, offset)
    execution: dict[str, Any] = {
        "makespanInSeconds": schedule.makespan,
        "executedAt": _date(min(first, offset) - offset, DIGITS[0]),
        **({} if seconds is None else {"schedulingInSeconds": float(seconds)}),
        "machines": list(_machines(problem)),
    }
    lines = [
        "{",
        *(f"{_text(key)}: {_text(value)}," for key, value in head.items()),
        '"workflow": {"specification": {"tasks": [',
        _joined(_specified(problem)),
        '], "files": [',
        _joined(
            {"id": f"edge_{k}", "sizeInBytes": _number(size)}
            for k, size in enumerate(problem.succ_bytes.tolist())
            if size > 0
        ),
        ']}, "execution": {',
        *(f"{_text(key)}: {_text(value)}," for key, value in execution.items()),
        '"tasks": [',
        _joined(_executed(problem, schedule, dates)),
        "]}}}",
    ]
    write_text(path, "\n".join(lines) + "\n")


def _specified(problem: Problem) -> Iterator[dict[str, Any]]:
    ids = problem.task_ids
    parents, children, size = (part.tolist() for part in problem.edge_list())
    above: list[list[int]] = [[] for _ in ids]  # the edges of each task, by their numbers
    below: list[list[int]] = [[] for _ in ids]
    for k, (parent, child) in enumerate(zip(parents, children, strict=True)):
        above[child].append(k)
        below[parent].append(k)
    for i, name in enumerate(ids):
        yield {
            "name": name,
            "id": name,
            "parents": [ids[parents[k]] for k in above[i]],
            "children": [ids[children[k]] for k in below[i]],
            "inputFiles": [f"edge_{k}" for k in above[i] if size[k] > 0],
            "outputFiles": [f"edge_{k}" for k in below[i] if size[k] > 0],
        }


def _executed(
    problem: Problem, schedule: Schedule, dates: Iterable[str]
) -> Iterator[dict[str, Any]]:
    names = problem.machines.nodes
    runtime = problem.etc[np.arange(problem.n_tasks), schedule.proc].tolist()
    columns = zip(
        problem.task_ids,
        schedule.proc.tolist(),
        schedule.ast.tolist(),
        schedule.aft.tolist(),
        runtime,
        problem.priority.tolist(),
        problem.memory.tolist(),
        dates,
        strict=True,
    )
    for name, machine, start, finish, took, priority, memory, date in columns:
        entry = {
            "id": name,
            # Infinite where somebody's schedule put a task that cannot run there.
            "runtimeInSeconds": took if math.isfinite(took) else finish - start,
            **({"executedAt": date} if date else {}),
            "machines": [names[machine]],
            "startInSeconds": start,
            "finishInSeconds": finish,
        }
        if priority != 0:
            entry["priority"] = _number(priority)
        if memory > 0 and math.isfinite(memory * MB):
            entry["memoryInBytes"] = _number(memory * MB)
        yield entry


def _machines(problem: Problem) -> Iterator[dict[str, Any]]:
    machines = problem.machines
    for node, name in enumerate(dict.fromkeys(machines.nodes)):
        slots = np.flatnonzero(machines.node == node)
        k = int(slots[0])
        entry: dict[str, Any] = {"nodeName": name}
        memory = float(machines.memory[slots].max()) * MB
        if math.isfinite(memory):
            entry["memoryInBytes"] = _number(memory)
        entry["cpu"] = {
            "coreCount": _number(float(machines.cores[slots].sum())),
            "speedInMHz": _number(float(machines.frequency[k])),
        }
        yield entry


def _dates(starts: FloatArray, offset: float) -> Sequence[str]:
    """Return the date of each start, or of none where they are too far apart for dates."""
    after = (starts - offset).tolist()
    if max(after) > LAST_DATE:
        return [""] * len(after)
    apart = len(set(after))
    for digits in DIGITS:
        found = [_date(seconds, digits) for seconds in after]
        if len(set(found)) == apart:
            break
    return found


def _date(after: float, digits: int) -> str:
    """Return a date so many seconds after 1970, rounded down, as ISO 8601 has it."""
    unit = Decimal(1).scaleb(-digits)
    exact = Decimal(repr(after)).quantize(unit, rounding=ROUND_FLOOR)
    whole = int(exact)
    day = (TIME_ZERO + timedelta(seconds=whole)).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{day}.{int((exact - whole).scaleb(digits)):0{digits}d}+00:00"


def _number(value: float) -> float:
    return int(value) if value.is_integer() and abs(value) <= WHOLE else value


def _text(value: object) -> str:
    return json.dumps(value, allow_nan=False)


def _joined(entries: Iterable[dict[str, Any]]) -> str:
    return ",\n".join(map(_text, entries))
