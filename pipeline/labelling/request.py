"""What the user of `label` asks for, checked, and made into what a run takes."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from deepsched.baselines.errors import InvalidInput, known_name
from deepsched.baselines.memory import check_problem_memory
from deepsched.baselines.plugins import register_named
from deepsched.baselines.readers import ReadOptions
from deepsched.baselines.registry import get_scheduler
from deepsched.baselines.text import plain
from deepsched.pipeline.common.numbers import LEAST_SHARE, MOST
from deepsched.pipeline.common.options import split_names
from deepsched.pipeline.labelling.paper_preset import NAME as PAPER
from deepsched.pipeline.labelling.presets import (
    PresetSource,
    get_preset,
    preset_names,
    preset_samples,
    preset_source,
)
from deepsched.pipeline.labelling.report import first_lines
from deepsched.pipeline.labelling.spec import LabelSpec
from deepsched.pipeline.labelling.traces import (
    MachineChoice,
    TraceSource,
    find_traces,
    machine_choice,
)
from deepsched.pipeline.labelling.training_preset import NAME as TRAINING

if TYPE_CHECKING:
    from pathlib import Path

    from deepsched.pipeline.labelling.sources import Source

DEFAULT_SHARDS = 32  # as many, so that progress shows and no worker waits long at the end
SHARD_BYTES = (20_000, 64_000_000)  # of problems, uncompressed; the default stays within
MEGABYTE = 1_000_000
LOOKED_AT = 1000  # samples whose sizes decide the default


@dataclass(frozen=True, kw_only=True)
class LabelRequest:
    """The options of `label` that decide what is made, as they were given; None: not given.

    Attributes
    ----------
    traces, preset : workflow files and folders, or the name of a preset: one of the two.
    fraction : of the preset's samples, instead of their number.
    schedulers : names of the teachers, separated by commas.
    machines : numbers and files, each maybe several, separated by commas.
    shard_mb : of problems a file, before compression, MB.
    timeout : for one schedule, s.
    """

    out: str
    traces: tuple[Path, ...] = ()
    preset: str | None = None
    samples: int | None = None
    fraction: float | None = None
    schedulers: str = "heft"
    seed: int = 0
    machines: tuple[str, ...] = ()
    machine_seed: int | None = None
    noise: float | None = None
    bandwidth: float | None = None
    latency: float | None = None
    shard_mb: float | None = None
    timeout: float | None = None


def label_spec(request: LabelRequest) -> tuple[LabelSpec, list[str]]:
    """Check what was asked for and find the traces; writes nothing.

    Returns
    -------
    What a run makes, and lines that the user should read first.

    Raises
    ------
    InvalidInput, InvalidProblem, UnknownName, NotInstalled
        Naming the option, the file or the scheduler.
    """
    teachers = [register_named(name) for name in split_names(request.schedulers)]
    if not teachers:
        raise InvalidInput("--schedulers names none")
    for teacher in teachers:
        get_scheduler(teacher)
    machines = tuple(
        machine_choice(text) for each in request.machines for text in split_names(each)
    )
    if bool(request.traces) == (request.preset is not None):
        raise InvalidInput("give either --traces or --preset")
    source: Source
    notes: list[str] = []
    if request.preset is not None:
        preset = known_name("preset", request.preset, preset_names())
        source, samples = _of_preset(request, preset, machines)
    else:
        source, samples, notes = _of_traces(request, machines)
    shard_bytes = default_shard_bytes(source, samples)
    if request.shard_mb:
        shard_bytes = round(request.shard_mb * MEGABYTE)
    spec = LabelSpec(
        out=request.out,
        source=source,
        samples=samples,
        shard_bytes=shard_bytes,
        seed=request.seed,
        teachers=tuple(teachers),
        timeout=request.timeout,
    )
    return spec, notes


def _of_preset(
    request: LabelRequest, name: str, machines: tuple[MachineChoice, ...]
) -> tuple[Source, int]:
    """Return the problems of a preset, and how many."""
    for option, value in {
        "--machine-seed": request.machine_seed,
        "--bandwidth": request.bandwidth,
        "--latency": request.latency,
    }.items():
        if value is not None:
            raise InvalidInput(f"{option} is for --traces; a preset draws its own")
    source = adapted_preset(name, request.seed, machines, request.noise)
    if request.samples is not None and request.fraction is not None:
        raise InvalidInput("give either --samples or --fraction")
    part = max(1, round((request.fraction or 1) * preset_samples(name)))
    return source, request.samples or part


def _of_traces(
    request: LabelRequest, machines: tuple[MachineChoice, ...]
) -> tuple[Source, int, list[str]]:
    """Return the problems of workflow files, how many, and what to say about them."""
    if request.fraction is not None:
        raise InvalidInput("--fraction is for --preset; with --traces give --samples")
    source, notes = trace_source(
        request.traces,
        request.samples,
        seed=request.seed,
        machines=machines or (MachineChoice(name="default"),),
        machine_seed=request.machine_seed,
        noise=request.noise or 0.0,
        bandwidth=request.bandwidth,
        latency=request.latency,
    )
    return source, request.samples or len(source.files), notes


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
) -> tuple[TraceSource, list[str]]:
    """Find the traces.

    Returns
    -------
    The source, and lines on what was left out and what stays the same in every round.

    Raises
    ------
    InvalidInput, InvalidProblem
        If one cannot be read, or there are none.
    """

    def trial(choice: MachineChoice, seed: int) -> ReadOptions:
        return ReadOptions(
            machines=choice.table,
            trace_machines=choice.trace,
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
    notes = first_lines(found.left_out, "left out")
    rounds = (samples or 0) / len(found.files)
    if rounds > 1 and not source.draws:
        notes.append(
            f"{samples} samples of {len(found.files)} files: problems repeat, since neither "
            "machines nor noise are drawn anew"
        )
    elif rounds > 1 and found.fixed:
        notes.append(
            f"{len(found.fixed)} of {len(found.files)} files bring their own times and are the "
            f"same problem each time they are used, {found.fixed[0]} for one"
        )
    return source, notes


def adapted_preset(
    name: str, seed: int, machines: tuple[MachineChoice, ...], noise: float | None
) -> Source:
    """Return the preset, with the user's numbers of machines and noise in place of its own.

    Raises
    ------
    UnknownName, InvalidInput
    """
    if name in (PAPER, TRAINING):
        if machines or noise is not None:
            raise InvalidInput(
                f"--preset {name} has its own machines and noise; leave out --machines and --noise"
            )
        return preset_source(name, seed)
    preset = get_preset(name)
    counts = tuple(choice.count for choice in machines if choice.count is not None)
    if len(counts) < len(machines):
        raise InvalidInput("--machines FILE or trace is for --traces; with a preset give numbers")
    for count in counts:
        check_problem_memory(preset.tasks[1], count, noise=True, what="--machines: ")
    if counts:
        preset = replace(preset, machines=counts)
    if noise is not None:
        preset = replace(preset, noise=(noise,))
    return PresetSource(name=name, seed=seed, preset=preset)


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
        if name in ("CPU", "GPU"):
            raise InvalidInput(f"--resource {pair}: CPUs are --cpus-per-task; GPUs make no labels")
        if not name or name != plain(name) or not LEAST_SHARE <= found[name] <= MOST:
            raise InvalidInput(
                f"--resource {pair!r} is not NAME=N with a name in ASCII and a number N from "
                f"{LEAST_SHARE:g} to {MOST:g}"
            )
    return found
