"""STG: random graphs of the Standard Task Graph set.

A file holds the number of tasks without the zero-length entry and exit, then for every task, those
two included, one row `id time n_predecessors predecessor…`, then comments after `#`. There is no
communication. The set's optima are for equal machines, so that a number of machines given means
that many machines of speed 1.

References
----------
Tobita, Kasahara (2002), doi:10.1002/jos.116; https://www.kasahara.cs.waseda.ac.jp/schedule/
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np

from deepsched.baselines.errors import InvalidInput
from deepsched.baselines.readers._values import Rule, count, decimal, echo, is_count, text_lines
from deepsched.baselines.readers.options import ReadOptions, chosen_machines, modelled_problem

if TYPE_CHECKING:
    from deepsched.baselines.problem import Problem

NAME = "stg"
TITLE = "Standard Task Graph"
SUFFIXES: tuple[str, ...] = (".stg",)
ALPHA = 0.0
DUMMIES = 2


def recognise(text: str) -> bool:
    """Tell whether a whole number alone is followed by a row of several fields."""
    rows = (line.split("#", 1)[0].split() for line in text_lines(text))
    head = list(itertools.islice((row for row in rows if row), 2))
    return len(head) == 2 and len(head[0]) == 1 and is_count(head[0][0]) and len(head[1]) > 1


def read(text: str, where: str, options: ReadOptions) -> Problem:
    """Return the graph, its entry and exit included, tasks named by their numbers.

    Raises
    ------
    InvalidInput, InvalidProblem
        Naming the line.
    """
    rows = [
        (line_number, fields)
        for line_number, line in enumerate(text_lines(text), start=1)
        if (fields := line.split("#", 1)[0].split())
    ]
    if not rows:
        raise InvalidInput(f"{where}: there is no task count, only comments")
    line_number, fields = rows[0]
    if len(fields) != 1:
        raise InvalidInput(f"{where}: line {line_number}: the number of tasks must stand alone")
    n = count(fields[0], f"{where}: line {line_number}: the number of tasks") + DUMMIES
    if len(rows) - 1 != n:
        raise InvalidInput(
            f"{where}: line {rows[-1][0]}: {n - DUMMIES} tasks, an entry and an exit "
            f"are announced, {len(rows) - 1} rows follow"
        )
    work, parents, children = np.empty(n), [], []
    for i, (line_number, fields) in enumerate(rows[1:]):
        place = f"{where}: line {line_number}"
        if fields[0] != str(i):
            raise InvalidInput(f"{place}: task {echo(fields[0])} stands where task {i} is due")
        if len(fields) < 3:
            raise InvalidInput(f"{place}: task {i} needs a time and a number of predecessors")
        work[i] = decimal(fields[1], Rule.COST, f"{place}: the time of task {i}")
        n_preds = count(fields[2], f"{place}: the number of predecessors of task {i}")
        if len(fields) - 3 != n_preds:
            raise InvalidInput(
                f"{place}: task {i} announces {n_preds} predecessors and names {len(fields) - 3}"
            )
        for field in fields[3:]:
            parent = count(field, f"{place}: a predecessor of task {i}")
            if parent >= n:
                raise InvalidInput(f"{place}: task {i} follows task {parent}, which does not exist")
            parents.append(parent)
            children.append(i)
    return modelled_problem(
        work=work,
        alpha=ALPHA,
        machines=chosen_machines(options, tasks=n, equal=True),
        options=options,
        where=where,
        task_ids=[str(i) for i in range(n)],
        edges=(parents, children, np.zeros(len(parents))),
    )
