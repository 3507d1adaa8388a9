"""What labelling the paper's database costs, and what Ray adds to it."""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click
from rich.table import Table

from deepsched.baselines.atomic import write_text
from deepsched.pipeline.benchmarks.memory import peak_megabytes
from deepsched.pipeline.common.cli import messages, progress_bar, results
from deepsched.pipeline.common.numbers import Whole
from deepsched.pipeline.common.ray_session import ROOT, ray_session
from deepsched.pipeline.common.strict_json import json_text
from deepsched.pipeline.labelling.paper_preset import NAME, SAMPLES
from deepsched.pipeline.labelling.plan import Projection, project
from deepsched.pipeline.labelling.presets import preset_source
from deepsched.pipeline.labelling.run import IN_THIS_PROCESS, Workers, label
from deepsched.pipeline.labelling.shard import label_shard
from deepsched.pipeline.labelling.spec import LabelSpec, Shard

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

REPEATS = 5
SHARD_BYTES = 1_000_000  # of the runs that are timed: some thirty shards
STRATA = {"heft": 40, "ga": 8}  # samples of all sizes from which the whole is projected
DRIVER_SAMPLES = (300, 3000)

Rows = list[dict[str, Any]]


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--samples",
    type=Whole(min=2),
    default=40,
    show_default=True,
    help="Samples of the preset `paper` that the timed runs label.",
)
@click.option(
    "--repeats", type=Whole(min=1), default=REPEATS, show_default=True, help="Timed runs."
)
@click.option("--no-ga", is_flag=True, help="Leave the genetic algorithm out of the projection.")
@click.option("--json", "json_path", type=click.Path(), help="Also write the rows to this file.")
def command(samples: int, repeats: int, no_ga: bool, json_path: str | None) -> None:
    """Time labelling on Ray, and project the paper's whole database from a measured part.

    (a) One Ray worker against a plain loop over the same shards, (b) two workers against one: in
    turns, in one warm Ray, medians. (c) Peak memory of a process that makes the largest sample,
    and of the driver with few and many samples. (d) Core-hours and GB of all 100,000 samples, from
    samples of all sizes that are made in this process, step by step.
    """
    rows = [*_throughput(samples, repeats), *_memory()]
    for teacher in ["heft"] if no_ga else ["heft", "ga"]:
        rows += _projected(teacher)
    if json_path is not None:
        write_text(json_path, json_text(rows) + "\n")
    table = Table(title="Labelling the preset `paper`")
    for heading in ("measure", "value", "unit"):
        table.add_column(heading, justify="right" if heading == "value" else "left")
    for row in rows:
        table.add_row(row["measure"], f"{row['value']:.4g}", row["unit"])
    results.print_table(table)


def paper_spec(out: str, samples: int, teacher: str = "heft") -> LabelSpec:
    """Return what labels the first samples of the preset `paper`."""
    return LabelSpec(
        out=out,
        source=preset_source(NAME, 0),
        samples=samples,
        shard_bytes=SHARD_BYTES,
        seed=0,
        teachers=(teacher,),
    )


def _row(measure: str, value: float, unit: str, **more: Any) -> dict[str, Any]:
    return {"measure": measure, "value": value, "unit": unit, **more}


def _throughput(samples: int, repeats: int) -> Rows:
    where = {"plain loop": IN_THIS_PROCESS, "1 worker": Workers(count=1)}
    times: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder, progress_bar() as bar, ray_session(num_cpus=2):
        where["2 workers"] = Workers(count=2)
        task = bar.add_task("timing", total=(repeats + 1) * len(where))
        for k in range(repeats + 1):
            for name, workers in where.items():
                bar.update(task, description=f"run {k} of {repeats}, {name}")
                spec = paper_spec(f"{folder}/{k}-{name}", samples)
                begin = time.perf_counter()
                label(spec, workers)
                # The first round starts processes and loads what is compiled.
                if k > 0:
                    times.setdefault(name, []).append(time.perf_counter() - begin)
                bar.advance(task)
    rows = [
        _row(f"{samples} samples, {name}", statistics.median(runs), "s", runs=runs)
        for name, runs in times.items()
    ]
    ratios = {
        "(a) one Ray worker / plain loop": ("plain loop", "1 worker"),
        "(b) two workers / one": ("1 worker", "2 workers"),
    }
    for name, (slow, fast) in ratios.items():
        pairs = [a / b for a, b in zip(times[slow], times[fast], strict=True)]
        rows.append(_row(name, statistics.median(pairs), "x throughput", runs=pairs))
    return rows


def _memory() -> Rows:
    spec = paper_spec("", SAMPLES)
    largest = max(range(0, SAMPLES, 10), key=spec.source.size)
    rows = [_row("(c) worker, largest sample", _apart(make_largest, largest), "MB peak")]
    for samples in DRIVER_SAMPLES:
        peak = _apart(drive, samples)
        rows.append(_row(f"(c) driver, {samples:,} samples", peak, "MB peak"))
    return rows


def make_largest(sample_id: int) -> float:
    """Label one sample in this process and return its peak memory, MB."""
    with tempfile.TemporaryDirectory() as folder:
        label_shard(
            Shard(index=0, first=sample_id, stop=sample_id + 1), paper_spec(folder, SAMPLES)
        )
    return peak_megabytes()


def drive(samples: int) -> float:
    """Label so many small samples on one Ray worker and return the driver's peak memory, MB."""
    with tempfile.TemporaryDirectory() as folder:
        spec = paper_spec(folder, samples)
        source = preset_source("small", 0)
        label(replace(spec, source=source, shard_bytes=20_000), Workers(count=1))
    return peak_megabytes()


def _apart(measure: Callable[[int], float], argument: int) -> float:
    """Return what a function of this module says in a process of its own."""
    program = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r}); "
        f"from {__name__} import {measure.__name__} as f; print(f({argument}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise RuntimeError(f"{measure.__name__}({argument}) failed:\n{done.stderr}")
    return float(done.stdout.split()[-1])


def _projected(teacher: str) -> Rows:
    spec = paper_spec("", SAMPLES, teacher)
    with progress_bar() as bar:
        task = bar.add_task(f"projecting {teacher}", total=STRATA[teacher])
        found = project(spec, STRATA[teacher], on_sample=lambda _: bar.advance(task))
    messages.print(
        f"{teacher}: {len(found.measured)} samples of "
        f"{_tasks(found.measured[0]):,} to {_tasks(found.measured[-1]):,} tasks were made"
    )
    return [*_whole(teacher, found), *_steps(teacher, found.hours_by_step())]


def _tasks(sample_id: int) -> int:
    return preset_source(NAME, 0).problem(sample_id).n_tasks


def _whole(teacher: str, found: Projection) -> Rows:
    return [
        _row(f"(d) all {SAMPLES:,} samples, {teacher}", found.core_hours, "core-hours"),
        _row(f"(d) all {SAMPLES:,} samples, {teacher}", found.gigabytes, "GB"),
    ]


def _steps(teacher: str, hours: Mapping[str, float]) -> Rows:
    return [_row(f"    {teacher}: {step}", value, "core-hours") for step, value in hours.items()]
