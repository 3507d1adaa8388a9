"""Rollouts of a training: what they are drawn from, and running them in this process."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from deepsched.pipeline.labelling.sources import stream

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from deepsched.baselines.arrays import FloatArray
    from deepsched.model.learning import RolloutJob
    from deepsched.pipeline.training.config import TrainConfig
    from deepsched.pipeline.training.steps import MicroBatch

    Rollouts = Callable[[Sequence[RolloutJob]], Sequence[FloatArray]]


def rollout_streams(config: TrainConfig, step: int, batch: MicroBatch) -> list[np.random.Generator]:
    """Return what the perturbations of a micro-batch's problems are drawn from, one for each."""
    return [np.random.default_rng([config.seed, step, k, stream("rollouts")]) for k in batch]


def run_here(jobs: Sequence[RolloutJob]) -> Sequence[FloatArray]:
    """Run rollouts one after the other."""
    return [job.decode(job) for job in jobs]
