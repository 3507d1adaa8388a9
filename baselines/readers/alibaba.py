"""Alibaba cluster trace 2018: the batch tasks of one or several jobs, `batch_task.csv`.

The file has no header; its columns are task_name, instance_num, job_name, task_type, status,
start_time, end_time, plan_cpu, plan_mem. A task takes end - start seconds, whatever its instances.
Its name tells what it waits for: M3_1_2 is number 3 of its job and waits for 1 and 2; a name of
another form (task_abc) waits for nothing. A job arrives with its first task's start. Nothing is
known of what is transferred.

References
----------
https://github.com/alibaba/clusterdata/blob/master/cluster-trace-v2018/trace_2018.md
"""

from __future__ import annotations

import csv
import re
from typing import TYPE_CHECKING

import numpy as np

from deepsched.baselines.errors import InvalidInput
from deepsched.baselines.readers._dataflow import given_runtime, warn_of_no_edges
from deepsched.baselines.readers._values import Rule, decimal, echo, text_lines
from deepsched.baselines.readers.options import ReadOptions, chosen_machines, modelled_problem

if TYPE_CHECKING:
    from deepsched.baselines.problem import Problem

NAME = "alibaba"
TITLE = "Alibaba batch_task.csv"
SUFFIXES: tuple[str, ...] = ()
ALPHA = 0.0
FIELDS = 9
TASK, JOB, STATUS, START, END = 0, 2, 4, 5, 6
STATES = ("Terminated", "Failed", "Running", "Waiting", "Interrupted", "Ready")
DEPENDENT = re.compile(r"[A-Za-z]+(\d+)((?:_\d+)*)(?:_Stg\d+)?", re.ASCII)


def recognise(text: str) -> bool:
    """Tell whether the first line is a task of the trace."""
    first = next((line for line in text_lines(text[:10_000]) if line.strip()), "")
    fields = first.split(",")
    return len(fields) == FIELDS and fields[STATUS] in STATES


def read(text: str, where: str, options: ReadOptions) -> Problem:
    """Return the tasks of all jobs of the file, on the machines of the options.

    Raises
    ------
    InvalidInput, InvalidProblem
        Naming the line.
    """
    rows = _rows(text, where)
    numbers: dict[tuple[str, int], int] = {}
    waits: list[tuple[int, str, list[int]]] = []
    ids: list[str] = []
    seen: dict[str, int] = {}
    for i, (line, row) in enumerate(rows):
        place = f"{where}: line {line}"
        ids.append(f"{row[JOB]}/{row[TASK]}")
        if ids[i] in seen:
            raise InvalidInput(
                f"{place}: task {echo(ids[i])} is given twice, first in line {seen[ids[i]]}"
            )
        seen[ids[i]] = line
        found = DEPENDENT.fullmatch(row[TASK])
        if found is None:
            continue
        own, others = int(found[1]), [int(n) for n in found[2].split("_") if n]
        if (row[JOB], own) in numbers:
            raise InvalidInput(f"{place}: job {echo(row[JOB])} has two tasks of number {own}")
        numbers[row[JOB], own] = i
        waits.append((i, row[JOB], [other for other in others if other != own]))
    parents, children = [], []
    for i, job, others in waits:
        for other in dict.fromkeys(others):
            if (job, other) not in numbers:
                raise InvalidInput(
                    f"{where}: line {rows[i][0]}: {echo(ids[i])} waits for number {other} of its "
                    "job, which the file does not have"
                )
            parents.append(numbers[job, other])
            children.append(i)
    warn_of_no_edges(len(ids), len(parents), where)
    start, work = _times(rows, ids, options, where)
    arrival: dict[str, float] = {}
    for (_, row), at in zip(rows, start, strict=True):
        arrival[row[JOB]] = min(at, arrival.get(row[JOB], np.inf))
    first = min(arrival.values())
    return modelled_problem(
        work=work,
        alpha=ALPHA,
        machines=chosen_machines(options, tasks=len(ids)),
        options=options,
        where=where,
        task_ids=ids,
        edges=(parents, children, np.zeros(len(parents))),
        arrival=np.array([arrival[row[JOB]] - first for _, row in rows]),
    )


def _rows(text: str, where: str) -> list[tuple[int, list[str]]]:
    reader = csv.reader((f"{line}\n" for line in text_lines(text)), strict=True)
    rows = []
    try:
        for row in reader:
            if not any(field.strip() for field in row):
                continue
            if len(row) != FIELDS:
                raise InvalidInput(
                    f"{where}: line {reader.line_num}: {len(row)} fields for {FIELDS} columns"
                )
            fields = [field.strip() for field in row]
            if not fields[TASK] or not fields[JOB]:
                raise InvalidInput(f"{where}: line {reader.line_num}: a task or job without a name")
            rows.append((reader.line_num, fields))
    except csv.Error as error:
        raise InvalidInput(f"{where}: line {reader.line_num}: not CSV: {error}") from None
    return rows


def _times(
    rows: list[tuple[int, list[str]]], ids: list[str], options: ReadOptions, where: str
) -> tuple[np.ndarray, np.ndarray]:
    start, work = np.zeros(len(rows)), np.zeros(len(rows))
    lacking = []
    for i, (line, row) in enumerate(rows):
        place = f"{where}: line {line}"
        start[i] = decimal(row[START], Rule.COST, f"{place}: start_time")
        if row[END] in ("", "0") or row[STATUS] != "Terminated":  # it has not ended well
            lacking.append(i)
            continue
        end = decimal(row[END], Rule.COST, f"{place}: end_time")
        if end < start[i]:
            raise InvalidInput(f"{place}: end_time {row[END]} is before start_time {row[START]}")
        work[i] = end - start[i]
    if lacking:
        line, row = rows[lacking[0]]
        text = f"line {line}: the task is {echo(row[STATUS])}, so it has no runtime"
        work[lacking] = given_runtime([ids[i] for i in lacking], options.runtime, where, text)
    return start, work
