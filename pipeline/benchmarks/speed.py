"""How long compiled schedulers take at the paper's three sizes, on one core, and in what memory."""

from __future__ import annotations

import json
import math
import os
import statistics
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import click
import numpy as np
from rich.table import Table

from deepsched.baselines.atomic import write_text
from deepsched.baselines.errors import TooLarge
from deepsched.baselines.genetic import genetic
from deepsched.baselines.machines import make_machines
from deepsched.baselines.problem import Problem, make_problem
from deepsched.baselines.registry import SCHEDULERS, Scheduler, teacher_rng
from deepsched.model.load import PRETRAINED, resolve_scheduler
from deepsched.pipeline.benchmarks.memory import peak_megabytes
from deepsched.pipeline.common.cli import progress_bar, results
from deepsched.pipeline.common.numbers import Wholes
from deepsched.pipeline.common.paper_figures import PAPER_SECONDS
from deepsched.pipeline.common.ray_session import python_path
from deepsched.pipeline.common.strict_json import json_text

if TYPE_CHECKING:
    from collections.abc import Iterator

SIZES = (486, 10_000, 84_654)
MACHINES = 188
WIDE = 2_000
PARENTS = 3
REPEATS = 5
# The network without the guard, all machines being candidates of a task, or some.
UNGUARDED = {"deepsched-no-guard": "full", "deepsched-topk": "topk"}
SEED = 20


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """One thing to time."""

    scheduler: str
    tasks: int
    width: int
    machines: int = MACHINES
    workers: int = 1  # threads, for the schedulers that can use them

    @property
    def graph(self) -> str:
        """The graph's name in tables and files."""
        return f"layered, width {self.width}"

    @property
    def label(self) -> str:
        """The scheduler's name in tables and files."""
        return self.scheduler if self.workers == 1 else f"{self.scheduler}, {self.workers} threads"


def layered_problem(tasks: int, width: int, machines: int, seed: int) -> Problem:
    """Return a layered graph of three parents a task, all from the layer before.

    The ETC is unrelated, uniform over 1–100 s; links are uniform over 0.5–2 × 125 MB/s, a full
    matrix; bytes are uniform and make the mean transfer about as long as the mean task.
    """
    rng = np.random.default_rng([seed, tasks, width, machines])
    child = np.repeat(np.arange(width, tasks), PARENTS)
    # Three different parents: a drawn one and two further ones at different distances from it.
    inner = tasks - width
    distance = 1 + np.sort(
        np.stack([rng.integers(0, width - 2, inner), rng.integers(0, width - 1, inner)]), axis=0
    )
    distance[1] += distance[0] == distance[1]
    offsets = np.stack([np.zeros(inner, dtype=np.int64), *distance], axis=1).reshape(-1)
    drawn = np.repeat(rng.integers(0, width, inner), PARENTS)
    parent = (child // width - 1) * width + (drawn + offsets) % width
    etc = rng.uniform(1, 100, (tasks, machines))
    bandwidth = rng.uniform(0.5, 2.0, (machines, machines)) * 125e6
    return make_problem(
        machines=make_machines(machines, bandwidth=bandwidth),
        etc=etc,
        edges=(parent, child, rng.uniform(0, 2 * 50.5 * 125e6, child.size)),
        name=f"layered-{tasks}x{machines}-width-{width}",
    )


def measure(case: Case, repeats: int = REPEATS) -> dict[str, object] | None:
    """Time one case in this process: `repeats` runs after one that compiles.

    Returns
    -------
    scheduler, graph, tasks, machines; seconds (median), runs (each), peak_mb (of the whole process,
    problem included, MB = 10^6 bytes). None where the scheduler is not offered for this size.
    """
    if case.workers == 1 and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    scheduler = _scheduler(case.scheduler)
    small = layered_problem(50, 8, 4, SEED)
    scheduler(small, teacher_rng(SEED, 0, case.scheduler))
    problem = layered_problem(case.tasks, case.width, case.machines, SEED)
    runs = []
    for _ in range(repeats):
        rng = teacher_rng(SEED, 0, case.scheduler)
        start = time.perf_counter()
        try:
            if case.workers > 1:
                genetic(problem, rng, workers=case.workers)
            else:
                scheduler(problem, rng)
        except TooLarge:
            return None
        runs.append(time.perf_counter() - start)
    return {
        "scheduler": case.label,
        "graph": case.graph,
        "tasks": case.tasks,
        "machines": case.machines,
        "seconds": statistics.median(runs),
        "peak_mb": peak_megabytes(),
        "runs": runs,
    }


def measure_apart(case: Case) -> dict[str, object] | None:
    """Do as :func:`measure` in a fresh process, so that peak memory is that of this case alone."""
    program = (
        "import json, sys; from deepsched.pipeline.benchmarks.speed import Case, measure; "
        "print(json.dumps(measure(Case(**json.loads(sys.argv[1])))))"
    )
    environment = os.environ | {"PYTHONPATH": python_path()}
    done = subprocess.run(
        [sys.executable, "-c", program, json.dumps(asdict(case))],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )
    if done.returncode != 0:
        raise RuntimeError(f"measuring {case.label} failed:\n{done.stderr}")
    row: dict[str, object] | None = json.loads(done.stdout)
    return row


def growth_exponent(tasks: list[int], seconds: list[float]) -> float:
    """Return the least-squares slope of log seconds over log tasks."""
    return float(np.polyfit(np.log(tasks), np.log(seconds), 1)[0])


def widths(tasks: int) -> list[int]:
    """Return the widths that are timed: √n, and 2,000 where there are as many tasks."""
    return [math.isqrt(tasks)] + ([WIDE] if tasks >= WIDE else [])


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--schedulers",
    default="heft,ga",
    show_default=True,
    help=f"Names, separated by commas, or 'all'; {', '.join(UNGUARDED)} are two more.",
)
@click.option(
    "--sizes",
    "counts",
    default=",".join(str(n) for n in SIZES),
    show_default=True,
    type=Wholes(least=16),  # of a layered graph
    help="Numbers of tasks, separated by commas.",
)
@click.option("--json", "json_path", type=click.Path(), help="Also write the rows to this file.")
def command(schedulers: str, counts: tuple[int, ...], json_path: str | None) -> None:
    """Time compiled schedulers at the paper's sizes on 188 machines, one core.

    Layered graphs of width √n and 2,000, three parents a task, unrelated float64 ETC, a full
    188 x 188 bandwidth matrix. Ranking and sorting are included, compiling is not. Each figure is
    the median of 5 runs in a process of its own. In the printed table the worse width counts.
    """
    every = [*SCHEDULERS, PRETRAINED, *UNGUARDED]
    names = every if schedulers == "all" else schedulers.split(",")
    for name in names:
        _scheduler(name)
    cases = list(_cases(names, [*counts]))
    rows: list[dict[str, object]] = []
    with progress_bar() as bar:
        task = bar.add_task("timing", total=len(cases))
        for case in cases:
            bar.update(task, description=f"{case.label}, {case.tasks:,} tasks, {case.graph}")
            row = measure_apart(case)
            if row is not None:
                rows.append(row)
            bar.advance(task)
    if json_path is not None:
        write_text(json_path, json_text(rows) + "\n")
    results.print_table(_table(rows, [*counts]))
    results.print(_growth(rows))


def _scheduler(name: str) -> Scheduler:
    if name in UNGUARDED:
        options = {"guard": False, "samples": 1, "decode": UNGUARDED[name]}
        return resolve_scheduler(PRETRAINED, options=options)
    return resolve_scheduler(name, options={"samples": 1} if name == PRETRAINED else None)


def _cases(names: list[str], sizes: list[int]) -> Iterator[Case]:
    for name in names:
        for tasks in sizes:
            for width in widths(tasks):
                yield Case(scheduler=name, tasks=tasks, width=width)
                cores = os.cpu_count() or 1
                if name == "ga" and cores > 1:
                    yield Case(scheduler=name, tasks=tasks, width=width, workers=cores)


def _worst(rows: list[dict[str, object]], scheduler: str, tasks: int, key: str) -> float | None:
    values = [
        float(str(row[key]))
        for row in rows
        if row["scheduler"] == scheduler and row["tasks"] == tasks
    ]
    return max(values, default=None)


def _table(rows: list[dict[str, object]], sizes: list[int]) -> Table:
    table = Table(title=f"Seconds to schedule on {MACHINES} machines (median of {REPEATS})")
    for heading in ("tasks", "scheduler", "seconds", "peak MB", "paper's Table I"):
        table.add_column(heading, justify="left" if heading == "scheduler" else "right")
    names = list(dict.fromkeys(str(row["scheduler"]) for row in rows))
    for tasks in sizes:
        for name in names:
            seconds = _worst(rows, name, tasks, "seconds")
            peak = _worst(rows, name, tasks, "peak_mb")
            if seconds is None or peak is None:
                continue
            paper = PAPER_SECONDS.get(name.upper(), {}).get(tasks)
            cells = (f"{tasks:,}", name, f"{seconds:.4g}", f"{peak:.0f}")
            table.add_row(*cells, "-" if paper is None else f"{paper:g}")
    return table


def _growth(rows: list[dict[str, object]]) -> str:
    lines = []
    for name in dict.fromkeys(str(row["scheduler"]) for row in rows):
        sizes = sorted({int(str(row["tasks"])) for row in rows if row["scheduler"] == name})
        if len(sizes) > 1:
            seconds = [_worst(rows, name, tasks, "seconds") or math.nan for tasks in sizes]
            slope = growth_exponent(sizes, seconds)
            lines.append(f"{name}: time grows as tasks^{slope:.2f} (least squares)")
    lines.append("The paper's figures are its authors' on an Intel i5-6600K; ours are compiled.")
    return "\n".join(lines)
