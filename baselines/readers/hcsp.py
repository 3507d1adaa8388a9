"""HCSP: ETC matrices of independent tasks after Braun et al., and their best known schedules.

An ETC file holds `n_tasks n_machines 0`, then the seconds of the first task on every machine, of
the second, and so on. A `.sol` file holds the machine of every task, from 0; its name ends in the
makespan, with a comma for the decimal point.

References
----------
Braun et al. (2001), doi:10.1006/jpdc.2000.1714; https://www.fing.edu.uy/inco/grupos/cecal/hpc/HCSP
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from deepsched.baselines.arrays import FloatArray, IntArray, frozen_int
from deepsched.baselines.errors import InvalidInput
from deepsched.baselines.machines import make_machines
from deepsched.baselines.problem import Problem, make_problem
from deepsched.baselines.readers._values import Rule, count, decimal, is_count, naming, text_lines
from deepsched.baselines.readers.files import decode, read_bytes, shown_path
from deepsched.baselines.readers.options import ReadOptions, own_machines, refuse_noise, source_name

if TYPE_CHECKING:
    from os import PathLike

NAME = "hcsp"
TITLE = "HCSP ETC matrix"
SUFFIXES: tuple[str, ...] = (".hcsp",)
FORCE = "--format hcsp reads it all the same"
MAKESPAN_IN_NAME = re.compile(r"_(\d+),(\d+)\.sol", re.ASCII)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class HcspSolution:
    """A published schedule of an HCSP instance.

    Attributes
    ----------
    proc : (n_tasks,) machine index of each task.
    makespan : s, as the file's name states it, to one decimal.
    """

    proc: IntArray
    makespan: float


def recognise(text: str) -> bool:
    """Tell whether the file begins with two or three whole numbers, as no other known one does."""
    head = next((line.split() for line in text_lines(text) if line.strip()), [])
    return len(head) in (2, 3) and all(map(is_count, head))


def read(text: str, where: str, options: ReadOptions) -> Problem:
    """Return the independent tasks; machines have no speed of their own beside the times.

    Raises
    ------
    InvalidInput, InvalidProblem
        Naming the line.
    """
    lines = text_lines(text)
    start = next(k for k, line in enumerate(lines) if line.strip())
    header = lines[start].split()
    if len(header) not in (2, 3):
        raise InvalidInput(f"{where}: line {start + 1}: the header must be: tasks machines 0")
    place = f"{where}: line {start + 1}"
    n = count(header[0], f"{place}: the number of tasks")
    p = count(header[1], f"{place}: the number of machines")
    if n == 0 or p == 0:
        raise InvalidInput(f"{place}: {n} tasks on {p} machines; there must be at least one each")
    if options.format != NAME:
        _check_layout(lines, start, len(header), n, p, where)
    etc = _numbers(lines, start + 1, where)
    if etc.size != n * p:
        raise InvalidInput(
            f"{where}: line {len(lines)}: {n} tasks x {p} machines need {n * p} times, "
            f"the file holds {etc.size}"
        )
    refuse_noise(options, where)
    machines = own_machines(make_machines(p), options, where)
    with naming(where):
        return make_problem(machines=machines, etc=etc.reshape(n, p), name=source_name(where))


def _check_layout(lines: list[str], start: int, n_header: int, n: int, p: int, where: str) -> None:
    """Refuse numbers that are as many as the header says, and something else all the same.

    Files of other problems begin with two numbers too, such as those of project scheduling; their
    rows are of different lengths.
    """
    if n_header == 3 and lines[start].split()[2] != "0":
        raise InvalidInput(
            f"{where}: line {start + 1}: the header must be: tasks machines 0; {FORCE}"
        )
    widths = [(k, len(line.split())) for k, line in enumerate(lines[start + 1 :], start + 2)]
    rows = [(k, width) for k, width in widths if width]
    if len(rows) == 1 and rows[0][1] == n * p:  # all in one line
        return
    if any(all(found == width for _, found in rows) for width in (1, p)):
        return  # whether they are enough is said below
    odd = next((k for k, found in rows if found not in (1, p)), rows[0][0])
    raise InvalidInput(
        f"{where}: line {odd}: rows of an ETC matrix have one number each or {p}, one a machine; "
        "this looks like another format, maybe one of project scheduling (several resources are "
        f"outside the model); {FORCE}"
    )


def _numbers(lines: list[str], start: int, where: str) -> FloatArray:
    body = " ".join(lines[start:])
    # Only plain digits: float() would also take nan, inf and 1_000.
    if re.fullmatch(r"[\d.eE+\s]*", body, re.ASCII):
        try:
            values = np.array(body.split(), dtype=np.float64)
        except ValueError:
            pass  # found again below, with its line
        else:
            if Rule.COST.holds(values):
                return values
    return np.array(
        [
            decimal(token, Rule.COST, f"{where}: line {k}: a time")
            for k, line in enumerate(lines[start:], start=start + 1)
            for token in line.split()
        ]
    )


def read_hcsp_solution(path: str | PathLike[str]) -> HcspSolution:
    """Return the machine of every task and the makespan in the file's name.

    Raises
    ------
    InvalidInput
        If an entry is not a machine index, or the name states no makespan.
    """
    where = shown_path(path)
    found = MAKESPAN_IN_NAME.search(Path(path).name)
    if found is None:
        raise InvalidInput(
            f"{where}: the file's name does not end in _MAKESPAN.sol, as _73202,1.sol"
        )
    tokens = decode(read_bytes(path), where).split()
    proc = [count(token, f"{where}: the machine of task {i}") for i, token in enumerate(tokens)]
    return HcspSolution(proc=frozen_int(proc), makespan=float(f"{found[1]}.{found[2]}"))
