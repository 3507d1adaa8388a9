"""The paper's claims, measured: its network against HEFT and the GA, in turnaround and in time."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from deepsched.pipeline.benchmarks.claims.cells import result, stored
from deepsched.pipeline.benchmarks.claims.data import DATA
from deepsched.pipeline.benchmarks.claims.decoders import DECODING
from deepsched.pipeline.benchmarks.claims.memorise import MEMORISE, PADDED
from deepsched.pipeline.benchmarks.claims.part import SAMPLES, Extent, Part
from deepsched.pipeline.benchmarks.claims.seconds import SECONDS
from deepsched.pipeline.benchmarks.claims.untrained import UNTRAINED
from deepsched.pipeline.common.cli import progress_bar, results
from deepsched.pipeline.common.numbers import Whole, Wholes
from deepsched.pipeline.common.outputs import make_folder
from deepsched.pipeline.common.paper_figures import PAPER_SECONDS
from deepsched.pipeline.labelling.paper_preset import TASKS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rich.table import Table

PARTS: Mapping[str, Part] = {
    "untrained": UNTRAINED,
    "memorise": MEMORISE,
    "padded": PADDED,
    "data": DATA,
    "decoders": DECODING,
    "time": SECONDS,
}


@click.command(name="claims")
@click.option(
    "--out",
    required=True,
    metavar="DIR",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder of what was measured; the same command goes on where it was stopped.",
)
@click.option(
    "--part",
    "parts",
    multiple=True,
    type=click.Choice(list(PARTS), case_sensitive=False),
    help="Only this one; may be repeated.",
)
@click.option(
    "--samples",
    default=SAMPLES,
    show_default=True,
    type=Whole(min=1),
    help="Problems that are scheduled without training, for each number of machines.",
)
@click.option(
    "--largest",
    default=TASKS[1],
    show_default=True,
    type=Whole(min=TASKS[0]),
    help="Most tasks that such a problem has.",
)
@click.option(
    "--steps",
    default=Extent.steps,
    show_default=True,
    type=Whole(min=1),
    help="Steps of each training.",
)
@click.option(
    "--sizes",
    default=",".join(map(str, PAPER_SECONDS["HEFT"])),
    show_default=True,
    type=Wholes(least=1),
    help="Tasks of the problems that are timed, separated by commas.",
)
def command(
    out: Path,
    parts: tuple[str, ...],
    samples: int,
    largest: int,
    steps: int,
    sizes: tuple[int, ...],
) -> None:
    """Hold the paper's network against HEFT and the GA, on the preset `paper`.

    `untrained` has schedulers that learn nothing, and an oracle that is right about HEFT's machines
    so often; `memorise` trains on few problems, for how well the network learns them by heart, and
    `padded` does so with the network of a fixed size; `data` trains on more and more problems;
    `decoders` makes schedules of what two of these networks say in several ways; `time` has the
    seconds that one schedule takes.
    """
    extent = Extent(samples=samples, largest=largest, steps=steps, sizes=sizes)
    folder = make_folder(out, f"--out {out}")
    chosen = {name: part for name, part in PARTS.items() if name in (parts or PARTS)}
    tables: list[Table] = []
    with progress_bar() as bar:
        for name, part in chosen.items():
            cells = part.cells(extent)
            done = sum(stored(cell, folder) is not None for cell in cells)
            task = bar.add_task(name, total=len(cells), completed=done)
            found = {}
            for cell in cells:
                was_there = stored(cell, folder) is not None
                found[cell.name] = result(cell, folder)
                bar.advance(task, 0 if was_there else 1)
            tables += part.tables(extent, found)
    for table in tables:
        results.print_table(table)
