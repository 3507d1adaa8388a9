"""What a labelling run would make and cost, from a few samples of all sizes."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from deepsched.baselines.registry import get_scheduler, teacher_rng
from deepsched.baselines.schedule import violations
from deepsched.pipeline.dataset.files import sha256
from deepsched.pipeline.dataset.schema import LABELS, PROBLEMS, RowWriter, label_row, problem_row
from deepsched.pipeline.dataset.stores import without_secret
from deepsched.pipeline.labelling.shard import warm_up
from deepsched.pipeline.labelling.spec import plan_shards

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from deepsched.pipeline.labelling.spec import LabelSpec

LOOKED_AT = 1000  # samples whose sizes are looked at
STRATA = 5  # samples that are made for a plan
GIGABYTE = 1e9
HOUR = 3600.0  # s


@dataclass(frozen=True, kw_only=True)
class Projection:
    """Means over samples of all sizes, and what they make of the whole.

    Attributes
    ----------
    samples : of the whole dataset.
    measured : sample ids that were made, smallest first.
    seconds : mean of one sample, s by what was done: "generate", "encode problem", and for each
        teacher "TEACHER: schedule", "TEACHER: check" and "TEACHER: encode".
    bytes : mean of one sample's problem and of each teacher's label, compressed.
    """

    samples: int
    measured: tuple[int, ...]
    seconds: dict[str, float]
    bytes: dict[str, float]

    @property
    def core_hours(self) -> float:
        """Core-hours of the whole dataset."""
        return self.samples * sum(self.seconds.values()) / HOUR

    @property
    def gigabytes(self) -> float:
        """GB of the whole dataset."""
        return self.samples * sum(self.bytes.values()) / GIGABYTE

    def hours_by_step(self) -> dict[str, float]:
        """Return the core-hours of each step."""
        return {step: self.samples * s / HOUR for step, s in self.seconds.items()}


def project(
    spec: LabelSpec, strata: int, on_sample: Callable[[int], None] = lambda sample_id: None
) -> Projection:
    """Make one sample out of each of so many equally large groups by size, and write nothing.

    Parameters
    ----------
    on_sample : called with the id of each sample when it is done.
    """
    for teacher in spec.teachers:
        warm_up(teacher)
    chosen = spread(spec, strata)
    spec.source.problem(chosen[0])  # what is loaded once a process
    seconds: dict[str, list[float]] = {}
    sizes: dict[str, list[float]] = {}
    for sample_id in chosen:
        clock = _Clock(seconds)
        problem = spec.source.problem(sample_id)
        clock.lap("generate")
        row = problem_row(
            sample_id, spec.source.label(sample_id), problem, spec.source.shared_machines
        )
        writer = RowWriter(PROBLEMS)
        writer.add(row)
        data = writer.finish()
        sha256(data)
        clock.lap("encode problem")
        sizes.setdefault("problems", []).append(data.size)
        for teacher in spec.teachers:
            schedule = get_scheduler(teacher)(problem, teacher_rng(spec.seed, sample_id, teacher))
            clock.lap(f"{teacher}: schedule")
            violations(problem, schedule)
            clock.lap(f"{teacher}: check")
            writer = RowWriter(LABELS)
            writer.add(label_row(sample_id, problem, schedule))
            data = writer.finish()
            sha256(data)
            clock.lap(f"{teacher}: encode")
            sizes.setdefault(teacher, []).append(data.size)
        on_sample(sample_id)
    return Projection(
        samples=spec.samples,
        measured=tuple(chosen),
        seconds={step: float(np.mean(values)) for step, values in seconds.items()},
        bytes={name: float(np.mean(values)) for name, values in sizes.items()},
    )


def spread(spec: LabelSpec, strata: int) -> Sequence[int]:
    """Return the middle sample of each of so many equally large groups by size."""
    step = max(1, spec.samples // LOOKED_AT)
    by_size = sorted(range(0, spec.samples, step), key=lambda k: (spec.source.size(k), k))
    groups = np.array_split(by_size, min(strata, len(by_size)))
    return [int(group[len(group) // 2]) for group in groups]


def plan(spec: LabelSpec) -> str:
    """Return what a run would make and cost, in a few lines."""
    shards = plan_shards(spec.source, spec.samples, spec.shard_bytes)
    found = project(spec, STRATA)
    steps = {step.partition(": ")[0] if ": " in step else "problems": 0.0 for step in found.seconds}
    for step, hours in found.hours_by_step().items():
        steps[step.partition(": ")[0] if ": " in step else "problems"] += hours
    costs = ", ".join(f"{name} {hours:.3g}" for name, hours in steps.items())
    lines = {
        "dataset": without_secret(spec.out),
        "samples": f"{spec.samples} in {len(shards)} shards",
        "teachers": ", ".join(spec.teachers),
        "files": f"{len(shards) * (1 + len(spec.teachers))} of about {found.gigabytes:.3g} GB",
        "time": f"about {found.core_hours:.3g} core-hours on this machine: {costs}",
        "from": f"{len(found.measured)} samples made here, one of each size group; nothing written",
    }
    return "\n".join(f"{name:<9} {text}" for name, text in lines.items())


class _Clock:
    def __init__(self, seconds: dict[str, list[float]]) -> None:
        self._seconds = seconds
        self._last = time.perf_counter()

    def lap(self, step: str) -> None:
        now = time.perf_counter()
        self._seconds.setdefault(step, []).append(now - self._last)
        self._last = now
