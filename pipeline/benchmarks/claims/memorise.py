"""Parts `memorise`, `padded`: whether the network learns by heart what HEFT did."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from rich.table import Table

from deepsched.pipeline.benchmarks.claims.means import both_means, written
from deepsched.pipeline.benchmarks.claims.part import Part
from deepsched.pipeline.benchmarks.claims.problems import FEW_MACHINES
from deepsched.pipeline.benchmarks.claims.training import Training, training_cell
from deepsched.pipeline.labelling.paper_preset import N_MACHINES

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from deepsched.pipeline.benchmarks.claims.cells import Cell
    from deepsched.pipeline.benchmarks.claims.part import Extent

COUNTS = (1, 5, 20)
SEEDS = (0, 1, 2)  # of the row at the paper's number of machines


def trainings(extent: Extent) -> dict[str, Training]:
    """Return the trainings without a size by the name of their cells."""
    few = [
        Training(
            problems=problems,
            machines=FEW_MACHINES,
            times=times,
            memorised=True,
            steps=extent.steps,
        )
        for problems in COUNTS
        for times in ("literal", "residual")
    ]
    many = [
        Training(problems=1, machines=N_MACHINES, memorised=True, steps=extent.steps, seed=seed)
        for seed in SEEDS
    ]
    return {_name(one): one for one in (*few, *many)}


def padded_trainings(extent: Extent) -> dict[str, Training]:
    """Return the same on few machines with the network of a fixed size."""
    few = [one for one in trainings(extent).values() if one.machines == FEW_MACHINES]
    return {_name(one): one for one in (replace(one, padded=True) for one in few)}


def _name(one: Training) -> str:
    form = "padded" if one.padded else "memorise"
    return f"{form}-{one.machines}-{one.problems}-{one.times}-{one.seed}"


def _part(trainings: Callable[[Extent], dict[str, Training]]) -> Part:
    def cells(extent: Extent) -> list[Cell]:
        return [training_cell(name, one) for name, one in trainings(extent).items()]

    def tables(extent: Extent, results: Mapping[str, dict[str, Any]]) -> list[Table]:
        return [_means(trainings(extent), results), _curves(extent, results)]

    return Part(cells=cells, tables=tables)


def _means(trainings: Mapping[str, Training], results: Mapping[str, dict[str, Any]]) -> Table:
    shown = Table(title="the network paper learns by heart: mean turnaround / HEFT's")
    for column in ("problems", "machines", "times", "form", "seed"):
        shown.add_column(column)
    for column in ("seen", "geom.", "HEFT's machine", "last quarter", "unseen", "geom."):
        shown.add_column(column, justify="right")
    for name, one in trainings.items():
        found = results[name]
        shown.add_row(
            f"{one.problems}",
            f"{one.machines}",
            one.times,
            "padded" if one.padded else "size-free",
            f"{one.seed}",
            *both_means(found["seen"]),
            f"{100 * found['seen_accuracy']:.1f} %",
            f"{100 * found['last_quarter']:.1f} %",
            *both_means(found["unseen"]),
        )
    return shown


def _curves(extent: Extent, results: Mapping[str, dict[str, Any]]) -> Table:
    shown = Table(title="the same while it learns: mean turnaround / HEFT's on the seen problems")
    shown.add_column("training")
    shares = (0.1, 0.25, 0.5, 0.75, 1.0)
    for share in shares:
        shown.add_column(f"{100 * share:g} % of {extent.steps:,} steps", justify="right")
    for name, found in results.items():
        curve = [point["turnaround"] for point in found["curve"]]
        places = [max(round(share * len(curve)) - 1, 0) for share in shares]
        shown.add_row(name, *(written(curve[k]) for k in places))
    return shown


MEMORISE = _part(trainings)
PADDED = _part(padded_trainings)
