"""Part `data`: what more problems bring, at equal steps, seen and unseen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.table import Table

from deepsched.pipeline.benchmarks.claims.means import both_means, written
from deepsched.pipeline.benchmarks.claims.part import Part
from deepsched.pipeline.benchmarks.claims.problems import FEW_MACHINES
from deepsched.pipeline.benchmarks.claims.training import Training, training_cell

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from deepsched.pipeline.benchmarks.claims.cells import Cell
    from deepsched.pipeline.benchmarks.claims.part import Extent

COUNTS = (20, 60, 200, 600)


def trainings(extent: Extent) -> dict[str, Training]:
    """Return the part's trainings by the name of their cells."""
    return {
        f"data-{problems}": Training(problems=problems, machines=FEW_MACHINES, steps=extent.steps)
        for problems in COUNTS
    }


def _cells(extent: Extent) -> list[Cell]:
    return [training_cell(name, one) for name, one in trainings(extent).items()]


def _tables(extent: Extent, results: Mapping[str, dict[str, Any]]) -> Sequence[Table]:
    title = f"more problems, {extent.steps:,} steps each: mean turnaround / HEFT's"
    shown = Table(title=f"{title}, {FEW_MACHINES} machines")
    shown.add_column("problems")
    for group in ("seen", "unseen"):
        for column in (group, "geom.", "HEFT's machine"):
            shown.add_column(column, justify="right")
    shown.add_column("best step", justify="right")
    shown.add_column("while it learns, on others", justify="right")
    for name, one in trainings(extent).items():
        found = results[name]
        curve = [point["turnaround"] for point in found["curve"]]
        places = (0, len(curve) // 4, len(curve) // 2, (3 * len(curve)) // 4, len(curve) - 1)
        shown.add_row(
            f"{one.problems}",
            *both_means(found["seen"]),
            f"{100 * found['seen_accuracy']:.1f} %",
            *both_means(found["unseen"]),
            f"{100 * found['unseen_accuracy']:.1f} %",
            f"{found['best_step']:,}",
            " ".join(written(curve[k]) for k in places),
        )
    return [shown]


DATA = Part(cells=_cells, tables=_tables)
