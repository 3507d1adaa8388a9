"""Measuring what starting costs: imports, and a first schedule, each in processes of its own."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

import click
from rich.table import Table

from deepsched.baselines.atomic import write_text
from deepsched.pipeline.common.cli import progress_bar, results
from deepsched.pipeline.common.strict_json import json_text

ROUNDS = 9
REFERENCE = "import numpy, numba"
TINY = "deepsched.problem(etc=[[1, 2], [2, 1]], edges=[(0, 1, 1.0)])"
PROGRAMS = {
    "python": "pass",
    "numpy and numba": REFERENCE,
    "import deepsched": "import deepsched",
    "import deepsched, and its functions": "import deepsched; deepsched.schedule",
    "the first HEFT schedule": f"import deepsched; deepsched.schedule({TINY}, 'heft')",
    "the first schedule of the network": f"import deepsched; deepsched.schedule({TINY})",
}


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--json", "json_path", type=click.Path(), help="Also write the medians to this file.")
def command(json_path: str | None) -> None:
    """Time whole processes that import the package, beside one that imports numpy and numba.

    Each figure is the median of 9 rounds, in which all are run once; the first round is not
    counted. Compiled code comes from its cache.
    """
    seconds: dict[str, list[float]] = {name: [] for name in PROGRAMS}
    with progress_bar() as bar:
        for k in bar.track(range(ROUNDS + 1), description="starting"):
            for name, program in PROGRAMS.items():
                begin = time.perf_counter()
                subprocess.run([sys.executable, "-c", program], check=True)
                if k:
                    seconds[name].append(time.perf_counter() - begin)
    median = {name: statistics.median(values) for name, values in seconds.items()}
    table = Table("process", "ms", "x numpy and numba")
    for name, value in median.items():
        table.add_row(name, f"{1e3 * value:.0f}", f"{value / median['numpy and numba']:.2f}")
    results.print_table(table)
    if json_path is not None:
        write_text(json_path, json_text(median) + "\n")
