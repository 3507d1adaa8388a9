"""What decides an improvement; without torch, so that the command's help is quick."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from deepsched.model.networks.deepsched.options import TRAINING_NOISE, NoiseScales

if TYPE_CHECKING:
    from deepsched.model.networks.deepsched.config import DeepSchedConfig

CHECKPOINT = "checkpoint"  # the best network's folder in that of the improvement


@dataclass(frozen=True, kw_only=True)
class TurnSpec:
    """How a turn is made.

    Attributes
    ----------
    network : settings.
    seed : of all problems and changes.
    problems : for each piece of work.
    changes : tried for each problem; even, since each is tried both ways.
    tasks : least and most of a problem.
    noise : of the changes.
    turnaround : share of the problems whose objective is the mean turnaround.
    imitate : turns at the start in which the network does as a teacher does.
    teacher : a scheduler; what it makes short is the makespan, whatever a problem's objective.
    """

    network: DeepSchedConfig
    seed: int = 0
    problems: int = 8
    changes: int = 32
    tasks: tuple[int, int] = (20, 500)
    noise: NoiseScales = TRAINING_NOISE
    turnaround: float = 0.3
    imitate: int = 0
    teacher: str = "best-of"


@dataclass(frozen=True, kw_only=True)
class ImproveSpec:
    """What an improvement is made of.

    Attributes
    ----------
    turn : how a turn is made.
    turns : how many.
    pieces : of work in a turn, done in parallel; part of what is computed, unlike the workers.
    learning_rate : of Adam, at the start; it falls with the root of what is left.
    check_every : turns between two looks at the development problems.
    development : how many of those.
    """

    turn: TurnSpec
    turns: int = 3000
    pieces: int = 2
    learning_rate: float = 1e-3
    check_every: int = 250
    development: int = 200
