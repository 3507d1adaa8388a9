"""What a part of the measurement is, and what it is told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from deepsched.pipeline.labelling.paper_preset import TASKS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from rich.table import Table

    from deepsched.pipeline.benchmarks.claims.cells import Cell

SAMPLES = 70  # ten a family, about


@dataclass(frozen=True, kw_only=True)
class Extent:
    """How much is measured.

    Attributes
    ----------
    samples : problems that schedulers without training are tried on, for each number of machines.
    largest : most tasks that such a problem has.
    steps : of each training.
    sizes : tasks of the problems that are timed.
    """

    samples: int = SAMPLES
    largest: int = TASKS[1]
    steps: int = 6_000
    sizes: tuple[int, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Part:
    """One part: its cells, and the tables that are made of their results, by the cell's name."""

    cells: Callable[[Extent], Sequence[Cell]]
    tables: Callable[[Extent, Mapping[str, dict[str, Any]]], Sequence[Table]]
