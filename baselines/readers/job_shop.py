"""Job shops in the standard layout: a line `jobs machines`, then a row a job.

A row has, operation by operation, the machine (from 0) and the time on it; each job visits each
machine once. An operation is a task that one machine can run, and follows the one before it in its
job; nothing is transferred. Lines that begin with # are comments.

References
----------
Taillard (1993), doi:10.1016/0377-2217(93)90182-M; https://github.com/tamy0612/JSPLIB
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from deepsched.baselines.errors import InvalidInput
from deepsched.baselines.machines import make_machines
from deepsched.baselines.memory import check_problem_memory
from deepsched.baselines.problem import make_problem
from deepsched.baselines.readers._values import Rule, count, decimal, is_count, naming, text_lines
from deepsched.baselines.readers.options import ReadOptions, own_machines, refuse_noise, source_name

if TYPE_CHECKING:
    from deepsched.baselines.problem import Problem

NAME = "jsp"
TITLE = "job shop"
SUFFIXES: tuple[str, ...] = (".jsp",)


def recognise(text: str) -> bool:
    """Tell whether two counts are followed by as many rows of pairs, each with every machine."""
    rows = _rows(text)
    if len(rows) < 2 or len(rows[0][1]) != 2 or not all(map(is_count, rows[0][1])):
        return False
    jobs, machines = map(int, rows[0][1])
    if len(rows) - 1 != jobs:
        return False
    every = {str(p) for p in range(min(machines, len(rows[1][1])))}
    return all(len(row) == 2 * machines and set(row[::2]) == every for _, row in rows[1:])


def read(text: str, where: str, options: ReadOptions) -> Problem:
    """Return the operations as tasks, `jJoK` being the K-th of job J, both from 0.

    Raises
    ------
    InvalidInput, InvalidProblem
        Naming the line.
    """
    rows = _rows(text)
    if not rows:
        raise InvalidInput(f"{where}: there is no line with the numbers of jobs and machines")
    line, header = rows[0]
    if len(header) != 2:
        raise InvalidInput(f"{where}: line {line}: the first line must be: jobs machines")
    place = f"{where}: line {line}"
    jobs = count(header[0], f"{place}: the number of jobs")
    machines = count(header[1], f"{place}: the number of machines")
    if not jobs or not machines:
        raise InvalidInput(f"{place}: {jobs} jobs on {machines} machines; at least one each")
    if len(rows) - 1 != jobs:
        raise InvalidInput(
            f"{where}: line {rows[-1][0]}: {jobs} jobs are announced, {len(rows) - 1} rows follow"
        )
    for job, (line, row) in enumerate(rows[1:]):
        if len(row) != 2 * machines:
            raise InvalidInput(
                f"{where}: line {line}: {len(row)} numbers; job {job} needs a machine and a time "
                f"for each of {machines} operations"
            )
    check_problem_memory(jobs * machines, machines, what=f"{where}: ")
    times = np.full((jobs * machines, machines), np.inf)
    for job, (line, row) in enumerate(rows[1:]):
        place = f"{where}: line {line}"
        seen: set[int] = set()
        for k in range(machines):
            machine = count(row[2 * k], f"{place}: the machine of operation {k}")
            if machine >= machines or machine in seen:
                what = "visited twice" if machine in seen else f"not one of {machines}, from 0"
                raise InvalidInput(f"{place}: machine {machine} of operation {k} is {what}")
            seen.add(machine)
            times[job * machines + k, machine] = decimal(
                row[2 * k + 1], Rule.COST, f"{place}: the time of operation {k}"
            )
    refuse_noise(options, where)
    first = np.arange(jobs * machines).reshape(jobs, machines)
    with naming(where):
        return make_problem(
            machines=own_machines(make_machines(machines), options, where),
            etc=times,
            edges=(
                first[:, :-1].ravel(),
                first[:, 1:].ravel(),
                np.zeros(jobs * (machines - 1)),
            ),
            task_ids=[f"j{job}o{k}" for job in range(jobs) for k in range(machines)],
            name=source_name(where),
        )


def _rows(text: str) -> list[tuple[int, list[str]]]:
    return [
        (number, fields)
        for number, line in enumerate(text_lines(text), start=1)
        if (fields := line.split("#", 1)[0].split())
    ]
