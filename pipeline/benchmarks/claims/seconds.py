"""Part `time`: seconds to schedule one problem, beside those that the paper published."""

from __future__ import annotations

import functools
import time
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.table import Table

from deepsched.baselines.generate import GeneratorSpec, generate
from deepsched.baselines.heft import heft
from deepsched.baselines.registry import SCHEDULERS, teacher_rng
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

REPEATS = 3
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
    problem = generate(GeneratorSpec(family="layered", tasks=tasks, machines=N_MACHINES), 0)
    own = PaperScheduler(build_network(NETWORK, {}), NETWORK)
    return {
        "HEFT": _seconds(lambda: heft(problem)),
        "GA": _seconds(lambda: SCHEDULERS["ga"](problem, teacher_rng(0, tasks, "ga"))),
        f"network {NETWORK}, of the problem's size": _seconds(lambda: own(problem)),
        f"network {NETWORK}, padded to {padded:,} tasks": _padded_seconds(problem, padded),
    }


def _padded_seconds(problem: Problem, tasks: int) -> float:
    config = {"max_tasks": tasks, "max_machines": N_MACHINES}
    scheduler = PaperScheduler(build_network(NETWORK, config), NETWORK)
    return _seconds(lambda: scheduler(problem))


def _seconds(run: Callable[[], object]) -> float:
    """Return the median time of some runs after a first one, in which code may be compiled."""
    run()
    found = []
    for _ in range(REPEATS):
        begin = time.perf_counter()
        run()
        found.append(time.perf_counter() - begin)
    return float(np.median(found))


def _tables(extent: Extent, results: Mapping[str, dict[str, Any]]) -> Sequence[Table]:
    shown = Table(title=f"seconds to schedule, {N_MACHINES} machines")
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
