"""What the network `deepsched` can be asked for: the one description of its options."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from deepsched.baselines.settings import Settings, setting

NAME = "deepsched"
OBJECTIVES = ("makespan", "turnaround")
# Which machines are looked at closely for a task: all; where inputs are, and the best ones at a
# glance; the one where it costs least.
DECODES = ("full", "topk", "argmax")

# Tasks x machines, and how many samples cost about 20 ms on two cores up to there.
EFFORTS = ((64_000, 32), (100_000, 8))


def default_samples(n_tasks: int, n_machines: int) -> int:
    """Return how many samples are decoded where nobody says a number."""
    cells = n_tasks * n_machines
    return next((samples for most, samples in EFFORTS if cells <= most), 1)


@dataclass(frozen=True, kw_only=True)
class DeepSchedOptions(Settings):
    """How the trained network schedules."""

    objective: str = setting(
        OBJECTIVES[0],
        "What is made short: the makespan, or the mean turnaround.",
        choices=OBJECTIVES,
    )
    decode: str | None = setting(
        None,
        "Candidate machines of a task: all, a few promising ones, or only the one where it costs "
        "least; if nothing is said, as the network was trained.",
        choices=DECODES,
    )
    samples: int | None = setting(
        None,
        "Schedules decoded from one forward pass; the best is kept. If nothing is said, "
        f"{EFFORTS[0][1]} up to {EFFORTS[0][0]:,} tasks x machines, {EFFORTS[1][1]} up to "
        f"{EFFORTS[1][0]:,}, else one.",
        at_least=1,
        metavar="K",
    )
    budget: float = setting(
        0.0,
        "Seconds for everything, of which what is left after the samples goes into a search from "
        "the best of them; 0: no search.",
        at_least=0,
        metavar="SECONDS",
    )
    guard: bool = setting(True, "Run HEFT too and return the better of the two schedules.")
    threads: int | None = setting(
        None,
        "Threads that decode; if nothing is said, one a CPU.",
        at_least=1,
        public=False,
    )
    compiling: bool = setting(
        False, "Try constants beside the network on problems of any size.", public=False
    )


class NoiseScales(NamedTuple):
    """Standard deviations of what perturbs the network's outputs."""

    own: float  # for each task by itself
    shared: float  # what follows from the task's hidden state, so that like tasks share it
    common: float  # the same for all tasks


SAMPLING_NOISE = NoiseScales(own=0.15, shared=0.15, common=0.3)
TRAINING_NOISE = NoiseScales(own=0.3, shared=0.2, common=0.2)
