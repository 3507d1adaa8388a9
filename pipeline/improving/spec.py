"""What decides an improvement; without torch, so that the command's help is quick."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from model.config import DeepSchedConfig

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
    own_noise : standard deviation of what is drawn for each task by itself.
    shared_noise : the same of what follows from the task's hidden state, alike for like tasks.
    common_noise : the same of what is alike for all tasks.
    turnaround : share of the problems whose objective is the mean turnaround.
    imitate : turns at the start in which the network does as a teacher does.
    teacher : a scheduler; what it makes short is the makespan, whatever a problem's objective.
    times : weight of the error of predicted starts and finishes.
    """

    network: DeepSchedConfig
    seed: int = 0
    problems: int = 8
    changes: int = 32
    tasks: tuple[int, int] = (20, 500)
    own_noise: float = 0.2
    shared_noise: float = 0.2
    common_noise: float = 0.2
    turnaround: float = 0.3
    imitate: int = 0
    teacher: str = "best-of"
    times: float = 0.0


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
