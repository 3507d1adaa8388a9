"""What the outcomes of `quality` add up to: ratios to a reference, leads, and their tables."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from rich.table import Table

from deepsched.pipeline.benchmarks.quality_methods import BEST

if TYPE_CHECKING:
    from deepsched.pipeline.benchmarks.quality_methods import Outcome

CONFIDENCE = 1.96  # standard errors of a 95 % interval


def ratios(
    outcomes: list[Outcome],
) -> dict[str, dict[str, tuple[float, float, float]]]:
    """Return method to cell to (mean ratio to the reference, half a 95 % interval, median s).

    The reference is the best known value where there is one, else HEFT.

    The cell "all" weighs every cell the same; its interval follows from theirs.
    """
    reference = BEST if BEST in outcomes[0].values else "heft"
    cells: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        cells.setdefault(outcome.cell, []).append(outcome)
    found: dict[str, dict[str, tuple[float, float, float]]] = {}
    for cell, members in cells.items():
        for method in members[0].values:
            values = np.array([o.values[method] / o.values[reference] for o in members])
            spread = values.std(ddof=1) / math.sqrt(values.size) if values.size > 1 else math.nan
            seconds = float(np.median([o.seconds.get(method, 0.0) for o in members]))
            own = found.setdefault(method, {})
            own[cell] = (float(values.mean()), CONFIDENCE * float(spread), seconds)
    for own in found.values():
        parts = np.array(list(own.values()))
        half = float(np.sqrt((parts[:, 1] ** 2).sum()) / len(parts))
        own["all"] = (float(parts[:, 0].mean()), half, float(np.median(parts[:, 2])))
    return found


def lead(outcomes: list[Outcome], own: str, other: str) -> tuple[float, float]:
    """Return by how much the ratio of one method to HEFT is below another's, and half an interval.

    Differences are taken problem by problem; every cell counts the same.
    """
    cells: dict[str, list[float]] = {}
    for o in outcomes:
        cells.setdefault(o.cell, []).append((o.values[other] - o.values[own]) / o.values["heft"])
    means = [float(np.mean(values)) for values in cells.values()]
    errors = [np.var(values, ddof=1) / len(values) for values in cells.values()]
    return float(np.mean(means)), CONFIDENCE * math.sqrt(sum(errors)) / len(cells)


def table(title: str, outcomes: list[Outcome], *, cells: bool) -> Table:
    """Return the mean ratios to HEFT, a row a method, with the median seconds and the worst cell.

    Where there is a lower bound, the share of HEFT's distance to it that a method closes is shown.
    """
    found = ratios(outcomes)
    bounds = found.get("lower bound")
    shown = Table(title=f"{title} ({len(found['heft']) - 1} cells)")
    shown.add_column("method")
    reference = "best" if BEST in outcomes[0].values else "HEFT"
    closed = ["closed"] if bounds else []
    for column in (f"x {reference}", "±", *closed, "s", "worst cell"):
        shown.add_column(column, justify="left" if column == "worst cell" else "right")
    for method, own in found.items():
        mean, half, seconds = own["all"]
        parts = {cell: value[0] for cell, value in own.items() if cell != "all"}
        worst = max(parts, key=lambda cell: parts[cell])
        bound = float(np.mean([bounds[cell][0] for cell in parts])) if bounds else math.nan
        shown.add_row(
            method,
            f"{mean:.4f}",
            f"{half:.4f}",
            *([f"{100 * (1 - mean) / (1 - bound):.1f} %"] if bounds else []),
            f"{seconds:.2g}",
            f"{parts[worst]:.3f} {worst.replace(' x ', 'x')}" if cells else "",
        )
    return shown


def by_ccr(outcomes: list[Outcome], least: float) -> list[Outcome]:
    """Return those of cells whose communication is at least so heavy."""
    return [o for o in outcomes if float(o.cell.rpartition("CCR ")[2]) >= least]
