"""Part `time`: CPU seconds to schedule one problem, beside those that the paper published."""

from __future__ import annotations

import functools
import time
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.table import Table

from deepsched.baselines.generate import GeneratorSpec, generate
from deepsched.baselines.genetic import genetic
from deepsched.baselines.heft import heft
from deepsched.baselines.registry import teacher_rng
from deepsched.model.networks import build_network
from deepsched.model.networks.paper.scheduler import PaperScheduler
from deepsched.pipeline.benchmarks.claims.cells import Cell
from deepsched.pipeline.benchmarks.claims.part import Part
from deepsched.pipeline.common.paper_figures import PAPER_SECONDS
from deepsched.pipeline.labelling.paper_preset import N_MACHINES

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from deepsched.baselines.problem import Problem
    from deepsched.pipeline.benchmarks.claims.part import Extent

REPEATS = 5
ENOUGH = 5.0  # s
NETWORK = "paper"


def _cells(extent: Extent) -> list[Cell]:
    padded = max(extent.sizes, default=0)
    return [
        Cell(
            name=f"time-{tasks}",
            settings={"tasks": tasks, "machines": N_MACHINES, "padded": padded},
            make=functools.partial(_timed, tasks, padded),
        )
        for tasks in extent.sizes
    ]


def _timed(tasks: int, padded: int, folder: Path) -> dict[str, Any]:
    problem, small = _problem(tasks), _problem(20)
    own = PaperScheduler(build_network(NETWORK, {}), NETWORK)
    config = {"max_tasks": padded, "max_machines": N_MACHINES}
    fixed = PaperScheduler(build_network(NETWORK, config), NETWORK)
    schedulers: dict[str, Callable[[Problem], object]] = {
        "HEFT": heft,
        "GA": lambda problem: genetic(problem, teacher_rng(0, tasks, "ga")),
        f"network {NETWORK}, of the problem's size": own,
        f"network {NETWORK}, padded to {padded:,} tasks": fixed,
    }
    for scheduler in (heft, schedulers["GA"], own):
        scheduler(small)  # compiled code is read now
    return {name: _seconds(scheduler, problem) for name, scheduler in schedulers.items()}


def _problem(tasks: int) -> Problem:
    return generate(GeneratorSpec(family="layered", tasks=tasks, machines=N_MACHINES), 0)


def _seconds(scheduler: Callable[[Problem], object], problem: Problem) -> float:
    """Return the median time of some runs, or that of one where it is long.

    CPU seconds are counted, on one thread, so that whoever else shares the machine disturbs little.
    """
    found: list[float] = []
    while len(found) < REPEATS and sum(found) < ENOUGH:
        begin = time.process_time()
        scheduler(problem)
        found.append(time.process_time() - begin)
    return float(np.median(found))


def _tables(extent: Extent, results: Mapping[str, dict[str, Any]]) -> Sequence[Table]:
    shown = Table(title=f"CPU seconds to schedule, {N_MACHINES} machines")
    shown.add_column("scheduler")
    for tasks in extent.sizes:
        shown.add_column(f"{tasks:,} tasks", justify="right")
    for name in next(iter(results.values())):
        shown.add_row(name, *(f"{found[name]:.3g}" for found in results.values()))
    for name, published in PAPER_SECONDS.items():
        row = [f"{published[n]:g}" if n in published else "" for n in extent.sizes]
        shown.add_row(f"{name} (published by the paper)", *row)
    return [shown]


SECONDS = Part(cells=_cells, tables=_tables)
