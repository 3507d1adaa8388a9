#!/usr/bin/env python3
"""`deepsched label`: problems, each scheduled by several teachers, as a dataset."""

from __future__ import annotations

if __name__ == "__main__":  # run as a file, maybe from a checkout that is not installed
    import importlib
    import sys
    from pathlib import Path

    sys.path[0] = str(Path(__file__).resolve().parent.parent)
    from pipeline.cli import run_command

    # Not this module's own: what Ray pickles must belong to a module that can be imported.
    run_command(importlib.import_module("pipeline.label").command)

import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from baselines.errors import InvalidInput
from baselines.machines import DEFAULT_BANDWIDTH, DEFAULT_LATENCY, DEFAULT_MACHINES
from baselines.readers import ReadOptions
from baselines.registry import SCHEDULERS, get_scheduler
from pipeline.cli import EXIT_FAILED, messages, results
from pipeline.labelling.presets import PRESETS, PresetSource, get_preset
from pipeline.labelling.report import list_some, progress, summary
from pipeline.labelling.run import label
from pipeline.labelling.shard import LabelSpec, ShardReport
from pipeline.labelling.traces import MachineChoice, TraceSource, find_traces, machine_choice
from pipeline.options import CONTEXT_SETTINGS, split_names
from pipeline.ray_session import under_ray_job

if TYPE_CHECKING:
    from pipeline.labelling.sources import Source

DEFAULT_SHARDS = 32  # as many, so that progress shows and no worker waits long at the end
SHARD_SIZES = (4, 256)  # samples; the default shard size stays within


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
    help=f"Generated problems instead: {', '.join(PRESETS)}.",
)
@click.option("--out", metavar="URI", required=True, help="Folder of the dataset; file://, s3://.")
@click.option(
    "--samples",
    type=click.IntRange(min=1),
    help="How many problems.  [default: one a trace file, or as many as the preset says]",
)
@click.option(
    "--schedulers",
    metavar="NAMES",
    default="heft",
    show_default=True,
    help=f"Teachers, separated by commas, out of: {', '.join(SCHEDULERS)}.",
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
    help="Shards made at once; 0: in this process, without Ray.  [default: one a CPU]",
)
@click.option(
    "--shard-size",
    type=click.IntRange(min=1),
    help=f"Samples a file.  [default: a {DEFAULT_SHARDS}nd of all, within "
    f"{SHARD_SIZES[0]} to {SHARD_SIZES[1]}]",
)
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
    workers: int | None,
    shard_size: int | None,
    address: str | None,
    force: bool,
) -> int:
    """Make a dataset: problems, and what each teacher makes of them.

    With more samples than trace files the files are used again, each time on other machines and
    with other noise; a file with its own machines and times stays the same problem. Sample ids
    ending in 9 are for testing, in 8 for validation.

    The same command again goes on where it was stopped; with another scheduler added, only that
    one's labels are made. Exit code 1: some samples have no schedule.

    \b
    Examples:
      deepsched label --traces wfinstances --machines 4,16 --samples 1000 --out runs/data
      deepsched label --preset small --schedulers heft,ga --out runs/small
      deepsched label --preset demo --out s3://bucket/data?region=eu-west-1
    """  # noqa: D301 - click needs the backspace
    check_destination(out)
    teachers = split_names(schedulers)
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
        samples = samples or get_preset(preset).samples
        source: Source = preset_source(preset, seed, choices, noise)
    else:
        source = trace_source(
            traces,
            samples,
            seed=seed,
            machines=choices or (MachineChoice(name="default"),),
            machine_seed=machine_seed,
            noise=noise or 0.0,
            bandwidth=bandwidth,
            latency=latency,
        )
        samples = samples or len(source.files)
    spec = LabelSpec(
        out=out,
        source=source,
        samples=samples,
        shard_size=shard_size or default_shard_size(samples),
        seed=seed,
        teachers=tuple(teachers),
    )
    return run(spec, workers=workers, address=address, force=force)


def default_shard_size(samples: int) -> int:
    """Return the samples a shard; depends on nothing else, so that equal commands agree."""
    least, most = SHARD_SIZES
    return max(least, min(most, samples // DEFAULT_SHARDS))


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


def preset_source(
    name: str, seed: int, machines: tuple[MachineChoice, ...], noise: float | None
) -> PresetSource:
    """Return the preset, with the user's numbers of machines and noise in place of its own.

    Raises
    ------
    UnknownName, InvalidInput
    """
    preset = get_preset(name)
    counts = tuple(choice.count for choice in machines if choice.count is not None)
    if len(counts) < len(machines):
        raise InvalidInput("--machines FILE is for --traces; with a preset give numbers")
    if counts:
        preset = replace(preset, machines=counts)
    if noise is not None:
        preset = replace(preset, noise=(noise,))
    return PresetSource(name=name, seed=seed, preset=preset)


def run(spec: LabelSpec, *, workers: int | None, address: str | None, force: bool) -> int:
    """Label with a progress bar and print a summary; the exit code tells of missing labels."""
    reports: list[ShardReport] = []
    begin = time.perf_counter()
    with progress(spec) as advance:

        def on_report(report: ShardReport) -> None:
            reports.append(report)
            advance(report.problems.part.rows)

        manifest = label(spec, workers=workers, address=address, force=force, on_report=on_report)
    results.print(summary(spec, manifest, reports, time.perf_counter() - begin), markup=False)
    failures = [
        f"sample {failure.sample_id}, {part}: {failure.status}: {failure.error}"
        for report in sorted(reports, key=lambda report: report.shard)
        for part, record in [("problem", report.problems), *report.labels.items()]
        for failure in record.failures
    ]
    list_some(failures, "without a label")
    return EXIT_FAILED if failures else 0
