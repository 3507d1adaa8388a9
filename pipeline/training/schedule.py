"""The step size over a training, and the step itself."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import nn

if TYPE_CHECKING:
    from deepsched.pipeline.training.config import TrainConfig
    from deepsched.pipeline.training.state import State

LEAST_RATE = 0.02  # share of the learning rate that is left at the end


def take_step(state: State, config: TrainConfig, steps: int) -> None:
    """Take the optimiser's step along the parameters' `grad`, and move the running mean.

    Parameters
    ----------
    steps : of the whole training.
    """
    if config.gradient_clip:
        nn.utils.clip_grad_norm_(state.network.parameters(), config.gradient_clip)
    rate = learning_rate(config, state.step, steps)
    for group in state.optimizer.param_groups:
        group["lr"] = rate
    state.optimizer.step()
    with torch.no_grad():
        for mean, newest in zip(state.mean.parameters(), state.network.parameters(), strict=True):
            mean.lerp_(newest, float(config.ema or 1))


def learning_rate(config: TrainConfig, step: int, steps: int) -> float:
    """Return the step size of a step, counted from 0: it rises over the warm-up and then falls."""
    warm = config.warmup_steps
    rate = float(config.learning_rate or 0)
    if step < warm:
        return rate * (step + 1) / warm
    return rate * share_left(str(config.schedule), (step - warm) / max(steps - warm, 1))


def share_left(schedule: str, done: float) -> float:
    """Return the share of the learning rate that is left after a share of the steps."""
    if schedule == "root":
        return max(math.sqrt(1.0 - done), LEAST_RATE)
    if schedule == "cosine":
        return max(0.5 * (1.0 + math.cos(math.pi * done)), LEAST_RATE)
    return 1.0
