#!/usr/bin/env python3
"""`deepsched compare`: several schedulers on several workflow files, side by side."""

from __future__ import annotations

if __name__ == "__main__":  # run as a file, maybe from a checkout that is not installed
    import runpy
    from pathlib import Path

    runpy.run_path(str(Path(__file__).resolve().parent / "common/as_file.py"))["run_file"](__file__)

import csv
import io
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich import box
from rich.table import Table
from rich.text import Text

from deepsched.baselines.atomic import write_text
from deepsched.baselines.comparison import Comparison, ComparisonRow, compare_schedulers
from deepsched.baselines.errors import InvalidInput
from deepsched.baselines.plugins import register_named
from deepsched.baselines.readers import read_problem
from deepsched.baselines.writers.csv_table import safe_cell
from deepsched.model.load import PRETRAINED, known_schedulers, resolve_scheduler
from deepsched.model.networks.deepsched.options import DeepSchedOptions
from deepsched.pipeline.common.cli import messages, progress_bar, results
from deepsched.pipeline.common.numbers import SEED
from deepsched.pipeline.common.options import (
    CONTEXT_SETTINGS,
    machine_options,
    settings_options,
    split_names,
)
from deepsched.pipeline.common.outputs import check_outputs
from deepsched.pipeline.common.strict_json import json_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from deepsched.baselines.readers import ReadOptions
    from deepsched.baselines.registry import Scheduler

DEFAULT = ("deepsched", "heft", "peft", "cpop", "mct")  # fast at every size
LONGEST = 40  # problems that are printed one by one; more are in the files only

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>DeepSched: schedulers compared</title>
<style>
:root {{ color-scheme: light dark; }}
body {{ font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 70rem;
  padding: 0 1rem; }}
table {{ border-collapse: collapse; margin: 1rem 0; }}
th, td {{ padding: .2rem .7rem; text-align: right; border-bottom: 1px solid #8884; }}
th:first-child, td:first-child {{ text-align: left; }}
tbody tr:hover {{ background: #8882; }}
</style></head><body>
<h1>Schedulers compared</h1>
<p>Makespan / HEFT's of the same problem: below 1 is shorter. {about}</p>
{tables}
</body></html>
"""


@click.command(context_settings=CONTEXT_SETTINGS)
@click.argument("files", nargs=-1, required=True)
@machine_options
@click.option(
    "--schedulers",
    metavar="NAMES",
    default=",".join(DEFAULT),
    show_default=True,
    help=f"Separated by commas; heft is always there. Known: {', '.join(known_schedulers())}; or "
    "one of your own as FILE.py:function or module:function.",
)
@click.option(
    "--checkpoint",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help=f"Folder with the network that {PRETRAINED} uses.  [default: the pretrained one]",
)
@settings_options(DeepSchedOptions, "network_options", "Of the network: ")
@click.option(
    "--seed", type=SEED, default=0, show_default=True, help="Of schedulers that draw at random."
)
@click.option("--csv", "csv_out", metavar="FILE", help="Write one row a file and scheduler.")
@click.option("--json", "json_out", metavar="FILE", help="Write rows and summary as JSON.")
@click.option("--html", "html_out", metavar="FILE", help="Write both tables as a page.")
def command(
    files: tuple[str, ...],
    read_options: ReadOptions,
    schedulers: str,
    checkpoint: Path | None,
    network_options: dict[str, Any],
    seed: int,
    csv_out: str | None,
    json_out: str | None,
    html_out: str | None,
) -> None:
    r"""Compare schedulers on workflow FILES of any format that `deepsched schedule` reads.

    Each file: HEFT's makespan, and the others' as a ratio to it. In the mean over the files: the
    ratio with its 95 % interval, the gap to the lower bound, how often each is shorter than HEFT,
    and the time it takes, without compiling.

    \b
    Examples:
      deepsched compare traces/*.json.gz --machines 16 --noise 0.2
      deepsched compare a.json b.stg --schedulers deepsched,peft,ga --csv compared.csv
      deepsched compare a.json --schedulers deepsched,own.py:mine --samples 32 --html compared.html
    """
    names = [register_named(name) for name in split_names(schedulers)]
    if not names:
        raise InvalidInput("--schedulers names none")
    given = {"--csv": csv_out, "--json": json_out, "--html": html_out}
    outputs = {option: path for option, path in given.items() if path is not None}
    for file in files:
        check_outputs(file, outputs)
    runs = _resolved(names, checkpoint, network_options)
    with progress_bar() as bar:
        task = bar.add_task("reading", total=len(files))
        problems = []
        for file in files:
            problems.append(read_problem(Path(file), read_options))
            bar.advance(task)
        count = len(runs) + ("heft" not in runs)
        task = bar.add_task("scheduling", total=len(problems) * count)
        found = compare_schedulers(problems, runs, seed=seed, on_done=lambda: bar.advance(task))
    if csv_out is not None:
        write_text(Path(csv_out), _csv(found))
    if json_out is not None:
        write_text(Path(json_out), json_text(found.to_json()) + "\n")
    if html_out is not None:
        about = f"{len(files)} file{'' if len(files) == 1 else 's'}, σ {read_options.noise:g}."
        write_text(Path(html_out), PAGE.format(about=about, tables=found._repr_html_()))
    _print(found, len(files))
    for option, path in outputs.items():
        messages.print(f"{option[2:]} written to {path}", markup=False)


def _resolved(
    names: Sequence[str], checkpoint: Path | None, options: Mapping[str, Any]
) -> dict[str, Scheduler]:
    if (checkpoint or options) and PRETRAINED not in names:
        raise InvalidInput(f"--checkpoint and options of the network are for {PRETRAINED}")
    return {
        name: resolve_scheduler(name, checkpoint, options)
        if name == PRETRAINED
        else resolve_scheduler(name)
        for name in names
    }


def _print(found: Comparison, files: int) -> None:
    if files <= LONGEST:
        headings, rows = found.problem_table()
        results.print(_table("makespan / HEFT's, file by file", headings, rows))
        results.print()
    summary = found.table()
    title = f"{files} file{'' if files == 1 else 's'}: makespan / HEFT's in the mean"
    results.print(_table(title, list(summary[0]), [list(one.values()) for one in summary]))


def _table(title: str, headings: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    table = Table(
        title=title, title_justify="left", box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False
    )
    for k, heading in enumerate(headings):
        # Names give way, numbers never.
        widest = max(len(text) for text in (heading, *(row[k] for row in rows)))
        least = widest if k else min(widest, 12)
        table.add_column(
            heading,
            justify="right" if k else "left",
            no_wrap=bool(k),
            min_width=least,
            overflow="fold",
        )
    for row in rows:
        table.add_row(*map(Text, row))
    return table


def _csv(found: Comparison) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(field.name for field in fields(ComparisonRow))
    for row in found.rows:
        cells = asdict(row).values()
        writer.writerow(
            "" if cell is None else safe_cell(cell) if isinstance(cell, str) else repr(cell)
            for cell in cells
        )
    return out.getvalue()
