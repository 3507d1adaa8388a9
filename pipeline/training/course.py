"""From settings to a course: the problems, and the plan of the steps."""

from __future__ import annotations

from typing import TYPE_CHECKING

from deepsched.pipeline.dataset.storage import Dataset
from deepsched.pipeline.training.items import DatasetItems, GeneratedItems, training_sizes
from deepsched.pipeline.training.loop import Course
from deepsched.pipeline.training.steps import DatasetSteps, EndlessSteps

if TYPE_CHECKING:
    from deepsched.pipeline.training.config import TrainConfig


def make_course(data: str | None, config: TrainConfig) -> Course:
    """Return the course of a training.

    Parameters
    ----------
    data : a dataset; None: generated problems.
    config : complete.
    """
    if data is None:
        steps = EndlessSteps(
            total=int(config.steps or 0),
            micro=config.micro_batches,
            problems=config.problems_per_micro_batch,
            check_every=int(config.check_every or 1),
        )
        return Course(config=config, items=GeneratedItems(config), steps=steps)
    dataset = Dataset.open(data)
    sizes = training_sizes(dataset, config)
    shards = [dataset.shard_of(size.sample_id) for size in sizes]
    return Course(
        config=config,
        items=DatasetItems(data, config),
        steps=DatasetSteps(sizes, shards, config),
    )
