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
from deepsched.baselines.readers._values import Rule, decimal, is_number, text_lines
from deepsched.baselines.readers.options import ReadOptions, chosen_machines, modelled_problem

if TYPE_CHECKING:
    from deepsched.baselines.problem import Problem

NAME = "GoCJ list"
SUFFIX = ".txt"
ALPHA = 1.0


def recognise(head: list[list[str]]) -> bool:
    """Tell whether the first two lines hold one field each, of which one at least is a number.

    A number alone in a file could begin a list of any kind.
    """
    return (
        len(head) == 2
        and all(len(fields) == 1 for fields in head)
        and any(is_number(fields[0]) for fields in head)
    )


def read(text: str, where: str, options: ReadOptions) -> Problem:
    """Return the jobs as independent tasks, named by their place in the list, from 0.

    Raises
    ------
    InvalidInput, InvalidProblem
        Naming the line.
    """
    lengths = []
    for line_number, line in enumerate(text_lines(text), start=1):
        fields = line.split("#", 1)[0].split()
        if len(fields) > 1:
            raise InvalidInput(f"{where}: line {line_number}: one number a line is expected")
        for field in fields:
            lengths.append(decimal(field, Rule.COST, f"{where}: line {line_number}: the length"))
    return modelled_problem(
        work=np.array(lengths) / GOCJ_MI_PER_SECOND,
        alpha=ALPHA,
        machines=chosen_machines(options, tasks=len(lengths)),
        options=options,
        where=where,
        task_ids=[str(i) for i in range(len(lengths))],
    )
