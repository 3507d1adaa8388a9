"""GoCJ: lengths of Google-like cloud jobs in million instructions, one a line.

One core at 2000 MHz does 1000 million instructions a second, and a job uses all cores (alpha 1).

References
----------
Hussain, Aleem (2018), doi:10.3390/data3040038
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from deepsched.baselines.errors import InvalidInput
from deepsched.baselines.machines import GOCJ_MI_PER_SECOND
from deepsched.baselines.readers._values import Rule, decimal, is_count, text_lines
from deepsched.baselines.readers.options import ReadOptions, chosen_machines, modelled_problem

if TYPE_CHECKING:
    from deepsched.baselines.problem import Problem

NAME = "gocj"
TITLE = "GoCJ list"
SUFFIXES: tuple[str, ...] = (".txt",)
ALPHA = 1.0
PUBLISHED = (15_000, 900_000)  # the shortest and the longest job of the published lists

FORCE = "--format gocj reads it all the same"


def recognise(text: str) -> bool:
    """Tell whether each line holds a whole number alone, and most are as long as published jobs.

    Numbers one a line could be anything; an ETC matrix without its header looks the same.
    """
    found = [line.split("#", 1)[0].split() for line in text_lines(text)]
    rows = [fields for fields in found if fields]
    if len(rows) < 2 or not all(len(row) == 1 and is_count(row[0]) for row in rows):
        return False
    return _as_published([float(row[0]) for row in rows])


def _as_published(lengths: list[float]) -> bool:
    within = sum(PUBLISHED[0] <= length <= PUBLISHED[1] for length in lengths)
    return 2 * within >= len(lengths)


def read(text: str, where: str, options: ReadOptions) -> Problem:
    """Return the jobs as independent tasks, named by their place in the list, from 0.

    Raises
    ------
    InvalidInput, InvalidProblem
        Naming the line. Unless the options name this format, lengths must be whole, and half of
        them at least within the published range.
    """
    lengths = []
    for line_number, line in enumerate(text_lines(text), start=1):
        fields = line.split("#", 1)[0].split()
        if len(fields) > 1:
            raise InvalidInput(f"{where}: line {line_number}: one number a line is expected")
        for field in fields:
            length = decimal(field, Rule.COST, f"{where}: line {line_number}: the length")
            if not length.is_integer() and options.format != NAME:
                raise InvalidInput(
                    f"{where}: line {line_number}: {field} is not a whole number, as lengths of "
                    "jobs in million instructions are; an ETC matrix without its header? "
                    f"{FORCE}"
                )
            lengths.append(length)
    if lengths and options.format != NAME and not _as_published(lengths):
        raise InvalidInput(
            f"{where}: most numbers are not lengths of jobs in million instructions "
            f"({PUBLISHED[0]:,} to {PUBLISHED[1]:,}); an ETC matrix without its header? {FORCE}"
        )
    return modelled_problem(
        work=np.array(lengths) / GOCJ_MI_PER_SECOND,
        alpha=ALPHA,
        machines=chosen_machines(options, tasks=len(lengths)),
        options=options,
        where=where,
        task_ids=[str(i) for i in range(len(lengths))],
    )
