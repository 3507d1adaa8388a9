"""What a training learns from: endless generated problems, or the samples of a dataset."""

from __future__ import annotations

import itertools
from collections import OrderedDict
from typing import TYPE_CHECKING, Protocol

import numpy as np

from deepsched.baselines.errors import InvalidInput
from deepsched.baselines.heft import heft
from deepsched.baselines.objectives import MEASURES
from deepsched.baselines.registry import get_scheduler, teacher_rng
from deepsched.model.learning import TrainingItem
from deepsched.pipeline.dataset.storage import Dataset
from deepsched.pipeline.labelling.sources import stream
from deepsched.pipeline.labelling.training_preset import TrainingSource

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from deepsched.baselines.problem import Problem
    from deepsched.baselines.schedule import Schedule
    from deepsched.pipeline.dataset.storage import SampleSize
    from deepsched.pipeline.training.config import TrainConfig

HEFT = "heft"


class Items(Protocol):
    """Problems to learn from and problems to choose the best network by."""

    def item(self, sample_id: int, *, imitated: bool) -> TrainingItem:
        """Return one to learn from, with a teacher's schedule if it is to be `imitated`."""
        ...

    def validation(self) -> Sequence[TrainingItem]:
        """Return those that nothing is learned from, for the makespan; always the same."""
        ...


class GeneratedItems:
    """The problems of the preset `training`, made when they are asked for."""

    def __init__(self, config: TrainConfig) -> None:
        self._config = config
        self._source = TrainingSource(
            seed=config.seed, tasks=(config.least_tasks, config.most_tasks)
        )

    def item(self, sample_id: int, *, imitated: bool) -> TrainingItem:
        """Draw a problem; HEFT and, if it is imitated, the teacher schedule it."""
        problem = self._source.problem(sample_id)
        target = None
        if imitated:
            target = _schedule(self._config, problem, sample_id, str(self._config.teacher))
        return make_item(self._config, sample_id, problem, heft(problem), target)

    def validation(self) -> Sequence[TrainingItem]:
        """Draw the development problems, which no seed of a training changes."""
        tasks = (self._config.least_tasks, self._config.most_tasks)
        source = TrainingSource(seed=0, tasks=tasks, development=True)
        return [
            validation_item(k, problem := source.problem(k), heft(problem))
            for k in range(self._config.development)
        ]


class DatasetItems:
    """Samples of a dataset with the schedules that it holds; a shard is read at a time.

    HEFT's schedules are those of the dataset where it has them, and made where it has not.
    """

    def __init__(self, uri: str, config: TrainConfig) -> None:
        self._config = config
        self._dataset = Dataset.open(uri)
        self._teacher = str(config.teacher)
        self._shards: OrderedDict[int, dict[int, TrainingItem]] = OrderedDict()
        self._bytes = 0

    def item(self, sample_id: int, *, imitated: bool) -> TrainingItem:
        """Read a sample's shard, if it is not among those that were read last."""
        shard = self._dataset.shard_of(sample_id)
        if shard not in self._shards:
            self._shards[shard] = {
                k: make_item(self._config, k, problem, reference, target)
                for k, problem, reference, target in self._rows(shard, "train")
            }
            self._bytes += sum(_bytes(one) for one in self._shards[shard].values())
            while len(self._shards) > 1 and self._bytes > self._config.cache_mb * 1_000_000:
                _, gone = self._shards.popitem(last=False)
                self._bytes -= sum(_bytes(one) for one in gone.values())
        self._shards.move_to_end(shard)
        return self._shards[shard][sample_id]

    def validation(self) -> Sequence[TrainingItem]:
        """Read the first samples of the validation split."""
        rows = itertools.chain.from_iterable(
            self._rows(shard, "val") for shard in range(self._dataset.n_shards)
        )
        limit = min(self._config.development, self._config.limit_samples or 2**62)
        return [
            validation_item(sample_id, problem, reference)
            for sample_id, problem, reference, _ in itertools.islice(rows, limit)
        ]

    def _rows(
        self, shard: int, split: str
    ) -> Iterator[tuple[int, Problem, Schedule, Schedule | None]]:
        """Yield sample, problem, HEFT's schedule and the teacher's, where that did not fail."""
        labels = {
            name: dict(self._dataset.schedules(name, split, shards=[shard]))
            for name in sorted({HEFT, self._teacher} & set(self._dataset.teachers))
        }
        for sample_id, problem in self._dataset.problems(split, shards=[shard]):
            target = labels.get(self._teacher, {}).get(sample_id)
            if target is not None or self._teacher not in labels:
                reference = labels.get(HEFT, {}).get(sample_id) or heft(problem)
                yield sample_id, problem, reference, target


def training_sizes(dataset: Dataset, config: TrainConfig, split: str = "train") -> list[SampleSize]:
    """Return the samples of a split that can be learned from, and their sizes; reads no problem.

    Raises
    ------
    InvalidInput
        If the teacher is to be imitated and the dataset has no labels of it.
    """
    failed: set[int] = set()
    if str(config.teacher) in dataset.teachers:
        failed = set(dataset.failures(str(config.teacher)))
    elif config.objective == "imitation" or config.imitation_steps:
        known = ", ".join(dataset.teachers) or "none"
        raise InvalidInput(
            f"{dataset.folder.uri}: no labels of {config.teacher!r}; it has: {known}"
        )
    # Samples whose problem could not be made have no row of sizes.
    sizes = [size for size in dataset.sizes(split) if size.sample_id not in failed]
    return sizes[: config.limit_samples]


def make_item(
    config: TrainConfig,
    sample_id: int,
    problem: Problem,
    reference: Schedule,
    target: Schedule | None,
) -> TrainingItem:
    """Return an item whose objective is drawn, for this sample alone."""
    rng = np.random.default_rng([config.seed, sample_id, stream("objective")])
    objective = "turnaround" if rng.random() < float(config.turnaround or 0) else "makespan"
    return TrainingItem(
        sample_id=sample_id,
        problem=problem,
        objective=objective,
        reference=MEASURES[objective](problem, reference),
        target=target,
    )


def validation_item(sample_id: int, problem: Problem, reference: Schedule) -> TrainingItem:
    """Return an item with HEFT's schedule as its target, against which ratios are taken."""
    return TrainingItem(
        sample_id=sample_id,
        problem=problem,
        objective="makespan",
        reference=reference.makespan,
        target=reference,
    )


def _schedule(config: TrainConfig, problem: Problem, sample_id: int, teacher: str) -> Schedule:
    return get_scheduler(teacher)(problem, teacher_rng(config.seed, sample_id, teacher))


def _bytes(item: TrainingItem) -> int:
    return item.problem.etc.nbytes + 24 * item.problem.n_edges
