#!/usr/bin/env python3
"""`deepsched label`: problems, each scheduled by several teachers, as a dataset."""

from __future__ import annotations

if __name__ == "__main__":  # run as a file, maybe from a checkout that is not installed
    import runpy
    from pathlib import Path

    runpy.run_path(str(Path(__file__).resolve().parent / "common/as_file.py"))["run_file"](__file__)

import contextlib
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from deepsched.baselines.machines import DEFAULT_BANDWIDTH, DEFAULT_LATENCY, DEFAULT_MACHINES
from deepsched.baselines.registry import OPTIONAL, SCHEDULERS
from deepsched.baselines.waiting import loading, waiting
from deepsched.pipeline.common.cli import EXIT_FAILED, failures, messages, progress_bar, results
from deepsched.pipeline.common.numbers import (
    AMOUNT,
    AT_LEAST_0,
    LEAST_SHARE,
    MOST_PROCESSES,
    POSITIVE,
    SEED,
    Real,
    Whole,
)
from deepsched.pipeline.common.options import CONTEXT_SETTINGS
from deepsched.pipeline.common.outputs import check_destination
from deepsched.pipeline.labelling.metrics import Metrics
from deepsched.pipeline.labelling.plan import plan
from deepsched.pipeline.labelling.presets import preset_names
from deepsched.pipeline.labelling.report import Totals, first_lines, summary
from deepsched.pipeline.labelling.request import (
    DEFAULT_SHARDS,
    MEGABYTE,
    SHARD_BYTES,
    LabelRequest,
    label_spec,
    read_resources,
)
from deepsched.pipeline.labelling.run import Workers, label

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from deepsched.pipeline.labelling.spec import LabelSpec, ShardReport

MOST_SAMPLES = 100_000_000
PROGRESS_EVERY = 10.0  # s, between lines of progress where there is no terminal


@click.command(context_settings=CONTEXT_SETTINGS)
@click.option(
    "--traces",
    metavar="PATH",
    multiple=True,
    type=click.Path(path_type=Path),
    help="A workflow file, or a folder that is searched for them; repeat it for more.",
)
@click.option(
    "--preset",
    metavar="NAME",
    help=f"Generated problems instead: {', '.join(preset_names())}.",
)
@click.option("--out", metavar="URI", required=True, help="Folder of the dataset; file://, s3://.")
@click.option(
    "--samples",
    type=Whole(min=1, most=MOST_SAMPLES),
    help="How many problems. Fewer than trace files: spread evenly over the folders they lie in.  "
    "[default: one a trace file, or as many as the preset says]",
)
@click.option(
    "--fraction",
    type=Real(min=0, max=1, min_open=True),
    help="This part of the preset's samples instead, from the first one on.",
)
@click.option(
    "--schedulers",
    metavar="NAMES",
    default="heft",
    show_default=True,
    help=f"Teachers, separated by commas, out of: {', '.join((*SCHEDULERS, *OPTIONAL))}; or "
    "of your own, FILE.py:function or module:function.",
)
@click.option(
    "--seed",
    type=SEED,
    default=0,
    show_default=True,
    help="Everything random follows from it.",
)
@click.option(
    "--machines",
    metavar="N|FILE|trace",
    multiple=True,
    help="Machines of the traces that bring none: a number, whose speeds are drawn, a machines "
    "file, or trace: the nodes that each was recorded on. Repeat it, or separate by commas, to let "
    "each sample choose.  "
    f"[default: {DEFAULT_MACHINES}, or the preset's]",
)
@click.option(
    "--machine-seed",
    type=SEED,
    help="Draw one set of machines with this seed.  [default: each sample draws its own]",
)
@click.option(
    "--noise",
    type=AT_LEAST_0,
    help="Sigma of the lognormal factor between task and machine.  [default: 0, or the preset's]",
)
@click.option(
    "--bandwidth",
    type=POSITIVE,
    help=f"Bytes/s of every link, for traces.  [default: the file's, or {DEFAULT_BANDWIDTH:g}]",
)
@click.option(
    "--latency",
    type=AT_LEAST_0,
    help="Seconds before every transfer, for traces.  "
    f"[default: the file's, or {DEFAULT_LATENCY:g}]",
)
@click.option(
    "--workers",
    type=Whole(min=0, most=MOST_PROCESSES),
    help="Shards made at once; 0: in this process, without Ray.  [default: as many as the cluster "
    "has room for]",
)
@click.option(
    "--cpus-per-task",
    type=Real(min=LEAST_SHARE),
    default=1.0,
    show_default=True,
    help="CPUs that Ray sets aside for a shard.",
)
@click.option(
    "--resource",
    "resources",
    metavar="NAME=N",
    multiple=True,
    help="Custom Ray resource that a shard needs; repeat it for more.",
)
@click.option(
    "--shard-mb",
    type=AMOUNT,
    help=f"MB of problems a file, before compression.  [default: a {DEFAULT_SHARDS}nd of all, at "
    f"most {SHARD_BYTES[1] // MEGABYTE}]",
)
@click.option(
    "--timeout",
    metavar="SECONDS",
    type=AMOUNT,
    help="Limit for one schedule; what takes longer gets no label.  [default: none]",
)
@click.option("--retry-failed", is_flag=True, help="Try the labels that failed once more.")
@click.option("--dry-run", is_flag=True, help="Show what would be made, how much and how long.")
@click.option("--address", help="Ray cluster to join.  [default: $RAY_ADDRESS, or a local Ray]")
@click.option("--force", is_flag=True, help="Replace a dataset that another command made.")
def command(
    traces: tuple[Path, ...],
    preset: str | None,
    out: str,
    samples: int | None,
    schedulers: str,
    seed: int,
    machines: tuple[str, ...],
    machine_seed: int | None,
    noise: float | None,
    bandwidth: float | None,
    latency: float | None,
    fraction: float | None,
    workers: int | None,
    cpus_per_task: float,
    resources: tuple[str, ...],
    shard_mb: float | None,
    timeout: float | None,
    retry_failed: bool,
    dry_run: bool,
    address: str | None,
    force: bool,
) -> int:
    """Make a dataset: problems, and what each teacher makes of them.

    With more samples than trace files the files are used again, each time on other machines and
    with other noise; a file with its own machines and times stays the same problem. Sample ids
    ending in 9 are for testing, in 8 for validation.

    The same command again goes on where it was stopped; with another scheduler added, only that
    one's labels are made. With more samples than before it is another dataset. Exit code 1: some
    samples have no schedule.

    \b
    Examples:
      deepsched label --traces wfinstances --machines 4,16 --samples 1000 --out runs/data
      deepsched label --preset small --schedulers heft,ga --out runs/small
      deepsched label --preset paper --fraction 0.001 --dry-run --out runs/paper
      deepsched label --preset demo --out s3://bucket/data?region=eu-west-1
    """  # noqa: D301 - click needs the backspace
    if workers != 0 and not dry_run:
        loading("ray")  # said before what else takes its time
    check_destination(out)
    request = LabelRequest(
        out=out,
        traces=traces,
        preset=preset,
        samples=samples,
        fraction=fraction,
        schedulers=schedulers,
        seed=seed,
        machines=machines,
        machine_seed=machine_seed,
        noise=noise,
        bandwidth=bandwidth,
        latency=latency,
        shard_mb=shard_mb,
        timeout=timeout,
    )
    if traces:
        waiting("reading the traces")
    spec, notes = label_spec(request)
    say(notes)
    where = Workers(
        count=workers, address=address, cpus=cpus_per_task, resources=read_resources(resources)
    )
    if dry_run:
        results.print(plan(spec), markup=False)
        return 0
    return run(spec, where, force=force, retry_failed=retry_failed)


def run(spec: LabelSpec, workers: Workers, *, force: bool, retry_failed: bool) -> int:
    """Label with a progress bar and print a summary; the exit code tells of missing labels."""
    totals = Totals()
    begin = time.perf_counter()
    with progress(spec) as advance:
        metrics = Metrics(spec)

        def on_report(report: ShardReport) -> None:
            totals.add(report)
            metrics.add(report)
            advance(report.problems.part.rows)

        manifest = label(
            spec,
            workers,
            force=force,
            retry_failed=retry_failed,
            on_report=on_report,
            on_wait=lambda line: say([line]),
        )
    results.print(summary(spec, manifest, totals, time.perf_counter() - begin), markup=False)
    for line in first_lines(
        [line for _, line in totals.failures], "without a label", totals.failed
    ):
        failures.print(line)
    return EXIT_FAILED if totals.failed else 0


@contextlib.contextmanager
def progress(spec: LabelSpec) -> Iterator[Callable[[int], None]]:
    """Show samples done and an estimate: a bar on a terminal, a line now and then in a log."""
    if messages.is_terminal:
        with progress_bar() as bar:
            task = bar.add_task("labelling", total=spec.samples)
            yield lambda samples: bar.advance(task, samples)
        return
    begin = said = time.perf_counter()
    done = first = 0

    def advance(samples: int) -> None:
        nonlocal begin, said, done, first
        done += samples
        now = time.perf_counter()
        if first == 0:  # Ray's start and compilation say nothing about the rate
            begin, first = now, done
        elif now - said >= PROGRESS_EVERY or done == spec.samples:
            said, rate = now, (done - first) / (now - begin)
            messages.print(
                f"labelling: {done}/{spec.samples} samples, {rate:.1f}/s, "
                f"{(spec.samples - done) / rate:.0f} s left"
            )

    yield advance


def say(lines: Iterable[str]) -> None:
    """Print lines that are no result."""
    for line in lines:
        messages.print(line, markup=False)
