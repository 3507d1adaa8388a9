"""Part `untrained`: what schedulers reach that have learned nothing, and what an oracle would."""

from __future__ import annotations

import functools
from itertools import islice
from typing import TYPE_CHECKING, Any

from rich.table import Table

from deepsched.pipeline.benchmarks.claims.cells import Cell
from deepsched.pipeline.benchmarks.claims.means import both_means, geometric_mean, written
from deepsched.pipeline.benchmarks.claims.part import Part
from deepsched.pipeline.benchmarks.claims.problems import (
    FEW_MACHINES,
    SEED,
    SMALL,
    family,
    sample_ids,
    source,
)
from deepsched.pipeline.benchmarks.claims.simple import SIMPLE, simple_ratios
from deepsched.pipeline.labelling.paper_preset import GRAPHS, N_MACHINES, TASKS
from deepsched.pipeline.labelling.sources import stored_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from deepsched.pipeline.benchmarks.claims.part import Extent

SCALES = {N_MACHINES: TASKS, FEW_MACHINES: SMALL}  # machines → tasks of a problem


def _cells(extent: Extent) -> list[Cell]:
    return [
        cell
        for machines in SCALES
        for cell in islice(_of_scale(machines, extent.largest), extent.samples)
    ]


def _of_scale(machines: int, largest: int) -> Iterator[Cell]:
    """Yield a cell for each sample of the test split that is not too large."""
    tasks = SCALES[machines]
    most = stored_bytes(max(largest, tasks[0]), machines, matrix=False)
    made = source(machines, tasks)
    for sample_id in sample_ids("test"):
        if made.size(sample_id) <= most:
            yield Cell(
                name=f"untrained-{machines}-{sample_id}",
                settings={"machines": machines, "tasks": tasks, "sample": sample_id, "seed": SEED},
                make=functools.partial(_measured, machines, sample_id),
            )


def _measured(machines: int, sample_id: int, folder: Path) -> dict[str, Any]:
    problem = source(machines, SCALES[machines]).problem(sample_id)
    return {
        "tasks": problem.n_tasks,
        "family": family(problem),
        "ratios": simple_ratios(problem, sample_id),
    }


def _tables(extent: Extent, results: Mapping[str, dict[str, Any]]) -> Sequence[Table]:
    by_machines = {
        machines: [found for name, found in results.items() if f"-{machines}-" in name]
        for machines in SCALES
    }
    return [
        _means(by_machines),
        *(_families(machines, found) for machines, found in by_machines.items()),
    ]


def _means(by_machines: Mapping[int, Sequence[dict[str, Any]]]) -> Table:
    shown = Table(title="mean turnaround / HEFT's, without training: arithmetic, geometric mean")
    shown.add_column("scheduler")
    for machines, found in by_machines.items():
        tasks = [one["tasks"] for one in found]
        head = f"{machines} machines, {min(tasks):,}-{max(tasks):,} tasks ({len(found)})"
        shown.add_column(head, justify="right")
        shown.add_column("geom.", justify="right")
    for name in SIMPLE:
        means = [
            cell
            for found in by_machines.values()
            for cell in both_means([one["ratios"][name] for one in found])
        ]
        shown.add_row(name, *means)
    return shown


def _families(machines: int, found: Sequence[dict[str, Any]]) -> Table:
    shown = Table(title=f"the same by family, {machines} machines: geometric means")
    shown.add_column("scheduler")
    groups = {name: [one for one in found if one["family"] == name] for name in GRAPHS}
    groups = {name: group for name, group in groups.items() if group}
    for name, group in groups.items():
        shown.add_column(f"{name} ({len(group)})", justify="right")
    for name in SIMPLE:
        means = [geometric_mean([one["ratios"][name] for one in g]) for g in groups.values()]
        shown.add_row(name, *map(written, means))
    return shown


UNTRAINED = Part(cells=_cells, tables=_tables)
