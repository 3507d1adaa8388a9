#!/usr/bin/env python3
"""`deepsched label`: problems, each scheduled by several teachers, as a dataset."""

from __future__ import annotations

if __name__ == "__main__":  # run as a file, maybe from a checkout that is not installed
    import importlib
    import sys
    from pathlib import Path

    sys.path[0] = str(Path(__file__).resolve().parent.parent)
    from deepsched.pipeline.common.cli import run_command

    # Not this module's own: what Ray pickles must belong to a module that can be imported.
    run_command(importlib.import_module("deepsched.pipeline.label").command)

import math
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from deepsched.baselines.errors import InvalidInput
from deepsched.baselines.machines import DEFAULT_BANDWIDTH, DEFAULT_LATENCY, DEFAULT_MACHINES
from deepsched.baselines.plugins import register_named
from deepsched.baselines.readers import ReadOptions
from deepsched.baselines.registry import OPTIONAL, SCHEDULERS, get_scheduler
from deepsched.pipeline.common.cli import EXIT_FAILED, messages, results
from deepsched.pipeline.common.options import CONTEXT_SETTINGS, split_names
from deepsched.pipeline.common.ray_session import under_ray_job
from deepsched.pipeline.labelling.metrics import Metrics
from deepsched.pipeline.labelling.paper_preset import NAME as PAPER
from deepsched.pipeline.labelling.paper_preset import PaperSource
from deepsched.pipeline.labelling.plan import plan
from deepsched.pipeline.labelling.presets import (
    PresetSource,
    get_preset,
    preset_names,
    preset_samples,
    preset_source,
)
from deepsched.pipeline.labelling.report import Totals, list_some, progress, summary
from deepsched.pipeline.labelling.run import Workers, label
from deepsched.pipeline.labelling.shard import LabelSpec, ShardReport
from deepsched.pipeline.labelling.traces import (
    MachineChoice,
    TraceSource,
    find_traces,
    machine_choice,
)

if TYPE_CHECKING:
    from deepsched.pipeline.labelling.sources import Source

DEFAULT_SHARDS = 32  # as many, so that progress shows and no worker waits long at the end
SHARD_BYTES = (20_000, 64_000_000)  # of problems, uncompressed; the default stays within
MEGABYTE = 1_000_000
LOOKED_AT = 1000  # samples whose sizes decide the default


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
    type=click.IntRange(min=1),
    help="How many problems.  [default: one a trace file, or as many as the preset says]",
)
@click.option(
    "--fraction",
    type=click.FloatRange(min=0, max=1, min_open=True),
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
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Everything random follows from it.",
)
@click.option(
    "--machines",
    metavar="N|FILE",
    multiple=True,
    help="Machines of the traces that bring none: a number, whose speeds are drawn, or a machines "
    "file. Repeat it, or separate by commas, to let each sample choose.  "
    f"[default: {DEFAULT_MACHINES}, or the preset's]",
)
@click.option(
    "--machine-seed",
    type=click.IntRange(min=0),
    help="Draw one set of machines with this seed.  [default: each sample draws its own]",
)
@click.option(
    "--noise",
    type=click.FloatRange(min=0),
    help="Sigma of the lognormal factor between task and machine.  [default: 0, or the preset's]",
)
@click.option(
    "--bandwidth",
    type=click.FloatRange(min=0, min_open=True),
    help=f"Bytes/s of every link, for traces.  [default: the file's, or {DEFAULT_BANDWIDTH:g}]",
)
@click.option(
    "--latency",
    type=click.FloatRange(min=0),
    help="Seconds before every transfer, for traces.  "
    f"[default: the file's, or {DEFAULT_LATENCY:g}]",
)
@click.option(
    "--workers",
    type=click.IntRange(min=0),
    help="Shards made at once; 0: in this process, without Ray.  [default: as many as the cluster "
    "has room for]",
)
@click.option(
    "--cpus-per-task",
    type=click.FloatRange(min=0, min_open=True),
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
    type=click.FloatRange(min=0, min_open=True),
    help=f"MB of problems a file, before compression.  [default: a {DEFAULT_SHARDS}nd of all, at "
    f"most {SHARD_BYTES[1] // MEGABYTE}]",
)
@click.option(
    "--timeout",
    metavar="SECONDS",
    type=click.FloatRange(min=0, min_open=True),
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
    check_destination(out)
    teachers = [register_named(name) for name in split_names(schedulers)]
    if not teachers:
        raise InvalidInput("--schedulers names none")
    for teacher in teachers:
        get_scheduler(teacher)
    choices = tuple(machine_choice(text) for given in machines for text in split_names(given))
    if bool(traces) == (preset is not None):
        raise InvalidInput("give either --traces or --preset")
    if preset is not None:
        for option, value in {
            "--machine-seed": machine_seed,
            "--bandwidth": bandwidth,
            "--latency": latency,
        }.items():
            if value is not None:
                raise InvalidInput(f"{option} is for --traces; a preset draws its own")
        source: Source = adapted_preset(preset, seed, choices, noise)
        if samples is not None and fraction is not None:
            raise InvalidInput("give either --samples or --fraction")
        samples = samples or max(1, round((fraction or 1) * preset_samples(preset)))
    else:
        if fraction is not None:
            raise InvalidInput("--fraction is for --preset; with --traces give --samples")
        found = trace_source(
            traces,
            samples,
            seed=seed,
            machines=choices or (MachineChoice(name="default"),),
            machine_seed=machine_seed,
            noise=noise or 0.0,
            bandwidth=bandwidth,
            latency=latency,
        )
        source, samples = found, samples or len(found.files)
    spec = LabelSpec(
        out=out,
        source=source,
        samples=samples,
        shard_bytes=(
            round(shard_mb * MEGABYTE) if shard_mb else default_shard_bytes(source, samples)
        ),
        seed=seed,
        teachers=tuple(teachers),
        timeout=timeout,
    )
    where = Workers(
        count=workers, address=address, cpus=cpus_per_task, resources=read_resources(resources)
    )
    if dry_run:
        results.print(plan(spec), markup=False)
        return 0
    return run(spec, where, force=force, retry_failed=retry_failed)


def default_shard_bytes(source: Source, samples: int) -> int:
    """Return the bytes a shard; it follows from the samples alone, so that equal commands agree."""
    looked_at = range(0, samples, max(1, samples // LOOKED_AT))
    total = sum(source.size(k) for k in looked_at) * samples / len(looked_at)
    least, most = SHARD_BYTES
    return max(least, min(most, round(total / DEFAULT_SHARDS)))


def read_resources(pairs: tuple[str, ...]) -> dict[str, float]:
    """Read NAME=N pairs.

    Raises
    ------
    InvalidInput
    """
    found = {}
    for pair in pairs:
        name, _, amount = pair.partition("=")
        try:
            found[name] = float(amount)
        except ValueError:
            found[name] = math.nan
        if not name or not 0 < found[name] < math.inf:
            raise InvalidInput(f"--resource {pair!r} is not NAME=N with a number N above 0")
    return found


def check_destination(out: str) -> None:
    """Refuse a relative path where it would end up in a folder that nobody finds.

    Raises
    ------
    InvalidInput
    """
    if under_ray_job() and "://" not in out and not Path(out).expanduser().is_absolute():
        raise InvalidInput(
            f"--out {out!r} is relative: under a Ray job it would lie in Ray's private copy of the "
            "working directory and vanish with it; give an absolute path or a URI"
        )


def trace_source(
    paths: tuple[Path, ...],
    samples: int | None,
    *,
    seed: int,
    machines: tuple[MachineChoice, ...],
    machine_seed: int | None = None,
    noise: float = 0.0,
    bandwidth: float | None = None,
    latency: float | None = None,
) -> TraceSource:
    """Find the traces and say what was left out, and which of them stay the same in every round."""

    def trial(choice: MachineChoice, seed: int) -> ReadOptions:
        return ReadOptions(
            machines=choice.table,
            n_machines=choice.count,
            machine_seed=seed if machine_seed is None else machine_seed,
            noise=noise,
            noise_seed=seed,
            bandwidth=bandwidth,
            latency=latency,
        )

    # Each choice of machines once, and two different draws in any case.
    trials = [trial(choice, k) for k, choice in enumerate(machines)]
    if len(trials) == 1:
        trials.append(trial(machines[0], 1))
    with messages.status("reading the traces"):
        found = find_traces(paths, trials, samples)
    source = TraceSource(
        files=found.files,
        seed=seed,
        machines=machines,
        machine_seed=machine_seed,
        noise=noise,
        bandwidth=bandwidth,
        latency=latency,
    )
    list_some(found.left_out, "left out")
    rounds = (samples or 0) / len(found.files)
    if rounds > 1 and not source.draws:
        messages.print(
            f"{samples} samples of {len(found.files)} files: problems repeat, since neither "
            "machines nor noise are drawn anew"
        )
    elif rounds > 1 and found.fixed:
        messages.print(
            f"{len(found.fixed)} of {len(found.files)} files bring their own times and are the "
            f"same problem each time they are used, {found.fixed[0]} for one",
            markup=False,
        )
    return source


def adapted_preset(
    name: str, seed: int, machines: tuple[MachineChoice, ...], noise: float | None
) -> PresetSource | PaperSource:
    """Return the preset, with the user's numbers of machines and noise in place of its own.

    Raises
    ------
    UnknownName, InvalidInput
    """
    if name == PAPER:
        if machines or noise is not None:
            raise InvalidInput(
                f"--preset {PAPER} has its own machines, without noise; leave out --machines and "
                "--noise"
            )
        return preset_source(name, seed)
    preset = get_preset(name)
    counts = tuple(choice.count for choice in machines if choice.count is not None)
    if len(counts) < len(machines):
        raise InvalidInput("--machines FILE is for --traces; with a preset give numbers")
    if counts:
        preset = replace(preset, machines=counts)
    if noise is not None:
        preset = replace(preset, noise=(noise,))
    return PresetSource(name=name, seed=seed, preset=preset)


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

        manifest = label(spec, workers, force=force, retry_failed=retry_failed, on_report=on_report)
    results.print(summary(spec, manifest, totals, time.perf_counter() - begin), markup=False)
    list_some([line for _, line in totals.failures], "without a label", totals.failed)
    return EXIT_FAILED if totals.failed else 0
