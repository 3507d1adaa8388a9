"""What decides an improvement; without torch, so that the command's help is quick."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from deepsched.model.networks.deepsched.options import TRAINING_NOISE, NoiseScales

if TYPE_CHECKING:
    from deepsched.model.networks.deepsched.config import DeepSchedConfig

CHECKPOINT = "checkpoint"  # the best network's folder in that of the improvement


@dataclass(frozen=True, kw_only=True)
class StepSpec:
    """How a step is made.

    Attributes
    ----------
    network : settings.
    seed : of all problems and perturbations.
    problems : for each micro-batch.
    rollouts : perturbed decodes of each problem; even, since each perturbation is tried both ways.
    tasks : least and most of a problem.
    noise : of the perturbations.
    turnaround : share of the problems whose objective is the mean turnaround.
    imitation_steps : steps at the start in which the network does as a teacher does.
    teacher : a scheduler; what it makes short is the makespan, whatever a problem's objective.
    """

    network: DeepSchedConfig
    seed: int = 0
    problems: int = 8
    rollouts: int = 32
    tasks: tuple[int, int] = (20, 500)
    noise: NoiseScales = TRAINING_NOISE
    turnaround: float = 0.3
    imitation_steps: int = 0
    teacher: str = "best-of"


@dataclass(frozen=True, kw_only=True)
class ImproveSpec:
    """What an improvement is made of.

    Attributes
    ----------
    step : how a step is made.
    steps : how many.
    micro_batches : of a step, done in parallel; part of what is computed, as workers are not.
    learning_rate : of Adam, at the start; it falls with the root of what is left.
    check_every : steps between two looks at the development problems.
    development : how many of those.
    """

    step: StepSpec
    steps: int = 3000
    micro_batches: int = 2
    learning_rate: float = 1e-3
    check_every: int = 250
    development: int = 200
