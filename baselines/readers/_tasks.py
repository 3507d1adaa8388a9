"""Task and machine entries, as the explicit format and networkx graphs hold them."""

from __future__ import annotations

import difflib
import math
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np

from deepsched.baselines.errors import InvalidInput
from deepsched.baselines.machines import (
    DEFAULT_BANDWIDTH,
    DEFAULT_LATENCY,
    REFERENCE_FREQUENCY,
    Machines,
)
from deepsched.baselines.problem import make_problem
from deepsched.baselines.readers._slots import expanded, slot_count
from deepsched.baselines.readers._values import (
    Place,
    Rule,
    a_list,
    column,
    echo,
    entries,
    names,
    naming,
    number,
)
from deepsched.baselines.readers.columns import TASK_RULES, TaskColumns
from deepsched.baselines.readers.options import ReadOptions, modelled_problem, refuse_noise

if TYPE_CHECKING:
    from deepsched.baselines.arrays import FloatArray
    from deepsched.baselines.problem import Edges, Problem

TASK_KEYS = ("id", "etc", "work", "arrival", "priority", "memory")
MACHINE_KEYS = ("id", "cores", "frequency", "memory", "slots", "node")
SIMILAR = 0.8  # difflib's ratio above which an unknown key is taken for a slip of the pen


def task_columns(tasks: list[dict[str, Any]], place: Place) -> TaskColumns:
    """Check task entries; `place(k)` names the k-th.

    Raises
    ------
    InvalidInput
        If a task gives neither etc nor work, or both, or a value is illegal.
    """
    check_keys(tasks, TASK_KEYS, place)
    etc, timed = [], np.zeros(len(tasks), dtype=bool)
    for k, task in enumerate(tasks):
        if "id" not in task:
            raise InvalidInput(f"{place(k)}.id is missing")
        if ("etc" in task) == ("work" in task):
            have = "both etc and work" if "etc" in task else "neither etc nor work"
            raise InvalidInput(f"{place(k)} has {have}; give one of them")
        if "etc" in task:
            timed[k] = True
            etc.append(a_list(task["etc"], f"{place(k)}.etc"))
    return TaskColumns(
        ids=names([task["id"] for task in tasks], lambda k: f"{place(k)}.id"),
        etc=etc,
        timed=timed,
        **{key: optional_column(tasks, key, rule, place) for key, rule in TASK_RULES.items()},
        place=place,
    )


def assemble(
    tasks: TaskColumns,
    machines: Machines,
    edges: Edges,
    *,
    alpha: float,
    options: ReadOptions,
    where: str,
    name: str,
    noise: FloatArray | None = None,
) -> Problem:
    """Put the problem together; factors are kept where no task gives times of its own.

    Parameters
    ----------
    noise : (n_tasks, n_machines) factors that the source states; else the options may draw them.
    """
    if noise is None and not tasks.timed.any():
        return modelled_problem(
            work=tasks.work,
            alpha=alpha,
            machines=machines,
            options=options,
            where=where,
            name=name,
            task_ids=tasks.ids,
            edges=edges,
            arrival=tasks.arrival,
            priority=tasks.priority,
            memory=tasks.memory,
        )
    refuse_noise(options, where)
    timed = bool(tasks.timed.any())
    with naming(where):
        return make_problem(
            machines=machines,
            etc=tasks.times(machines, alpha) if timed else None,
            work=None if timed else tasks.work,
            alpha=alpha,
            noise=noise,
            edges=edges,
            task_ids=tasks.ids,
            arrival=tasks.arrival,
            priority=tasks.priority,
            memory=tasks.memory,
            name=name,
        )


def optional_column(
    items: list[dict[str, Any]], key: str, rule: Rule, place: Place, default: float = 0.0
) -> FloatArray:
    """Return (len(items),) numbers, `default` where an entry has no such key."""
    values = [item.get(key, default) for item in items]
    return column(values, rule, lambda k: f"{place(k)}.{key}")


def check_keys(items: list[dict[str, Any]], known: tuple[str, ...], place: Place) -> None:
    """Refuse a key that is nearly a known one: left out of account it would change the answer.

    Other unknown keys are the writer's own business.
    """
    judged = set(known)
    if judged.issuperset(chain.from_iterable(items)):  # as nearly always, and several times as fast
        return
    for k, item in enumerate(items):
        if judged.issuperset(item):
            continue
        for key in item:
            if key not in judged and isinstance(key, str):
                close = difflib.get_close_matches(key[:40], known, 1, SIMILAR)
                if close:
                    raise InvalidInput(
                        f"{place(k)}: unknown key {echo(key)}; {close[0]!r} is meant?"
                    )
                judged.add(key)


def parse_machines(document: dict[str, Any], where: str, *, speeds_needed: str = "") -> Machines:
    """Return the machines and links of a document; `speeds_needed` says why, if they are.

    An entry with `slots` is a node of that many machines; one with `node` is a slot of that node.
    Rows and columns of links are those of the entries. Machines that several documents share stand
    in them as `Machines`, read before with their links.

    Raises
    ------
    InvalidInput, InvalidProblem
    """
    if isinstance(document.get("machines"), Machines):
        shared: Machines = document["machines"]
        return shared
    items = entries(document, "machines", where)
    if not items:
        raise InvalidInput(f"{where}: machines is empty: there is no machine; give at least one")

    def place(k: int) -> str:
        return f"{where}: machines[{k}]"

    check_keys(items, MACHINE_KEYS, place)
    for k, item in enumerate(items):
        needed = ("id", "cores", "frequency") if speeds_needed else ("id",)
        for key in needed:
            if key not in item:
                why = f"; {speeds_needed}" if key != "id" else ""
                raise InvalidInput(f"{place(k)}.{key} is missing{why}")
    n = len(items)
    unlimited = [item.get("memory") is None for item in items]
    capped = [0.0 if free else item["memory"] for item, free in zip(items, unlimited, strict=True)]
    memory = column(capped, Rule.COST, lambda k: f"{place(k)}.memory")
    memory[unlimited] = np.inf
    ids = names([item["id"] for item in items], lambda k: f"{place(k)}.id")
    slots = [
        slot_count(item["slots"], f"{place(k)}.slots") if "slots" in item else 1
        for k, item in enumerate(items)
    ]
    nodes = list(ids)
    for k, item in enumerate(items):
        if "node" in item:
            if "slots" in item:
                raise InvalidInput(f"{place(k)} has both slots and node; a slot has no slots")
            nodes[k] = names([item["node"]], lambda _, k=k: f"{place(k)}.node")[0]  # type: ignore[misc]
    # Without a number of cores each slot has one.
    cores = [item.get("cores", float(count)) for item, count in zip(items, slots, strict=True)]
    return expanded(
        ids,
        slots,
        where,
        cores=column(cores, Rule.POSITIVE, lambda k: f"{place(k)}.cores"),
        frequency=optional_column(items, "frequency", Rule.POSITIVE, place, REFERENCE_FREQUENCY),
        memory=memory,
        bandwidth=_links(document, "bandwidth", n, Rule.POSITIVE, DEFAULT_BANDWIDTH, where),
        latency=_links(document, "latency", n, Rule.COST, DEFAULT_LATENCY, where),
        nodes=nodes,
    )


def _links(
    document: dict[str, Any], key: str, n: int, rule: Rule, default: float, where: str
) -> FloatArray | float:
    value = document.get(key, default)

    def link(entry: object, place: str) -> float:
        if entry is None and key == "bandwidth":
            return math.inf
        return number(entry, rule, place)

    if not isinstance(value, list):
        return link(value, f"{where}: {key}")
    if len(value) != n:
        raise InvalidInput(f"{where}: {key} has {len(value)} rows for {n} machines")
    matrix = np.ones((n, n))
    for p, row in enumerate(value):
        if len(a_list(row, f"{where}: {key}[{p}]")) != n:
            raise InvalidInput(f"{where}: {key}[{p}] has {len(row)} entries for {n} machines")
        for q, entry in enumerate(row):
            if p != q:  # the diagonal is ignored, whatever stands there
                matrix[p, q] = link(entry, f"{where}: {key}[{p}][{q}]")
    return matrix
