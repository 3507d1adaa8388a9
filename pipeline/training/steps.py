"""Which samples a global step learns from, and who works on them: planned before anything runs.

The plan follows from the seed and the settings alone. Training processes share the micro-batches of
a step, so that their number decides how long a step takes and nothing else.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from deepsched.pipeline.labelling.sources import stream

if TYPE_CHECKING:
    from collections.abc import Sequence

    from deepsched.pipeline.dataset.storage import SampleSize
    from deepsched.pipeline.training.config import TrainConfig

MicroBatch = tuple[int, ...]  # sample ids
SHARD_WINDOW = 8  # shards whose samples are mixed; a window is read whole


class Steps(Protocol):
    """The steps of a training, by their number from 0 on."""

    @property
    def total(self) -> int:
        """How many there are."""
        ...

    def micro_batches(self, step: int) -> Sequence[MicroBatch]:
        """Return the samples of a step's micro-batches."""
        ...

    def costs(self, step: int) -> Sequence[float]:
        """Return what each micro-batch costs, in any unit: who works on which follows from it."""
        ...

    def epoch(self, step: int) -> float:
        """Return the passes over all samples at the end of a step; 0 where there is no end."""
        ...

    def checked(self, step: int) -> bool:
        """Return whether the network is validated after a step."""
        ...


@dataclass(frozen=True, kw_only=True)
class EndlessSteps:
    """Generated problems, each used once: step, micro-batch and place in it give the number."""

    total: int
    micro: int
    problems: int
    check_every: int

    def micro_batches(self, step: int) -> Sequence[MicroBatch]:
        """Return the next numbers."""
        first = step * self.micro * self.problems
        return [
            tuple(range(first + k * self.problems, first + (k + 1) * self.problems))
            for k in range(self.micro)
        ]

    def costs(self, step: int) -> Sequence[float]:
        """Return equal costs: sizes are known only when the problems are drawn."""
        return [1.0] * self.micro

    def epoch(self, step: int) -> float:
        """Return 0."""
        return 0.0

    def checked(self, step: int) -> bool:
        """Return whether the step is a multiple of `check_every`, or the last."""
        return (step + 1) % self.check_every == 0 or step + 1 == self.total


class DatasetSteps:
    """Samples of a dataset in epochs.

    In an epoch shards are shuffled and taken in windows; the samples of a window are sorted by
    size, with some jitter, into micro-batches bounded by tasks and pairs, and micro-batches of like
    cost make a step, so that nobody waits for another. The steps are shuffled then.
    """

    def __init__(
        self, sizes: Sequence[SampleSize], shards: Sequence[int], config: TrainConfig
    ) -> None:
        """Prepare the plan.

        Parameters
        ----------
        sizes : of all samples to learn from.
        shards : of each of them, the shard that holds it.
        """
        self._sizes = {size.sample_id: size for size in sizes}
        self._shards: dict[int, list[int]] = {}
        for size, shard in zip(sizes, shards, strict=True):
            self._shards.setdefault(shard, []).append(size.sample_id)
        self._config = config
        self._starts = [0]  # the first step of each epoch that was planned
        if config.steps is not None:
            self.total = config.steps
        else:
            for epoch in range(int(config.epochs or 1)):
                self._starts.append(self._starts[-1] + len(self._plan(epoch)))
            self.total = self._starts[-1]

    def micro_batches(self, step: int) -> Sequence[MicroBatch]:
        """Return those of a step."""
        epoch, place = self._at(step)
        return self._plan(epoch)[place]

    def costs(self, step: int) -> Sequence[float]:
        """Return tasks and pairs, weighed as `cost` does."""
        return [sum(self._cost(k) for k in one) for one in self.micro_batches(step)]

    def epoch(self, step: int) -> float:
        """Return how many passes are done after a step, the present one's share included."""
        epoch, place = self._at(step)
        return epoch + (place + 1) / len(self._plan(epoch))

    def checked(self, step: int) -> bool:
        """Return whether a multiple of `check_every` or, without it, an epoch ends here."""
        if step + 1 == self.total:
            return True
        if self._config.check_every is not None:
            return (step + 1) % self._config.check_every == 0
        epoch, place = self._at(step)
        return place + 1 == len(self._plan(epoch))

    def _at(self, step: int) -> tuple[int, int]:
        while self._starts[-1] <= step:
            self._starts.append(self._starts[-1] + len(self._plan(len(self._starts) - 1)))
        epoch = int(np.searchsorted(self._starts, step, side="right")) - 1
        return epoch, step - self._starts[epoch]

    @functools.lru_cache(maxsize=2)  # noqa: B019 - lives as long as the training
    def _plan(self, epoch: int) -> list[list[MicroBatch]]:
        rng = np.random.default_rng([self._config.seed, epoch, stream("order")])
        shards = sorted(self._shards)
        order = [shards[k] for k in rng.permutation(len(shards))]
        steps: list[list[MicroBatch]] = []
        for first in range(0, len(order), SHARD_WINDOW):
            ids = [k for shard in order[first : first + SHARD_WINDOW] for k in self._shards[shard]]
            # From the dearest on: what is left over, maybe too little for all processes, is cheap.
            found = self._cut(ids, rng)[::-1]
            wide = self._config.micro_batches
            window = [found[k : k + wide] for k in range(0, len(found), wide)]
            steps += [window[k] for k in rng.permutation(len(window))]
        return steps

    def _cut(self, ids: list[int], rng: np.random.Generator) -> list[MicroBatch]:
        """Return micro-batches of samples of like size, in the order of their size."""
        # Sizes within about a tenth of each other count as alike and change places.
        jitter = np.exp(rng.uniform(-0.05, 0.05, len(ids)))
        order = np.argsort([self._cost(k) for k in ids] * jitter, kind="stable")
        config, batches = self._config, list[list[int]]()
        tasks = pairs = math.inf
        for sample_id in (ids[k] for k in order):
            size = self._sizes[sample_id]
            tasks += size.n_tasks
            pairs += size.n_tasks * size.n_machines
            if tasks > config.tasks_per_micro_batch or pairs > config.pairs_per_micro_batch:
                batches.append([])
                tasks, pairs = size.n_tasks, size.n_tasks * size.n_machines
            batches[-1].append(sample_id)
        return [tuple(batch) for batch in batches]

    def _cost(self, sample_id: int) -> float:
        size = self._sizes[sample_id]
        return cost(size.n_tasks, size.n_machines)


def cost(n_tasks: int, n_machines: int) -> float:
    """Return what a problem costs, in tasks: a pair costs about a 200th of a task.

    So measured for the network `paper`, and for `deepsched`, whose rollouts vary by as much again
    from problem to problem (`deepsched benchmark train --simulate`).
    """
    return n_tasks * (1.0 + n_machines / 200)


def dealt(costs: Sequence[float], world: int) -> list[int]:
    """Return which process works on each micro-batch: the dearest first, to who has least.

    Ties go to the lower number, so that everyone deals alike.
    """
    load = [0.0] * world
    rank = [0] * len(costs)
    for k in sorted(range(len(costs)), key=lambda k: (-costs[k], k)):
        rank[k] = load.index(min(load))
        load[rank[k]] += costs[k]
    return rank
