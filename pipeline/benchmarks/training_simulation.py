"""How evenly many processes share the steps of a planned training, by what micro-batches cost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from deepsched.pipeline.benchmarks.training_costs import fitted, measured, size_row
from deepsched.pipeline.dataset.storage import SampleSize
from deepsched.pipeline.labelling.paper_preset import N_MACHINES, PaperSource
from deepsched.pipeline.labelling.sources import stored_bytes
from deepsched.pipeline.training.steps import DatasetSteps, dealt

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from deepsched.baselines.arrays import FloatArray
    from deepsched.pipeline.benchmarks.training_costs import CostFit
    from deepsched.pipeline.training.config import TrainConfig

SHARD = 250  # samples in a file
LIKE = 8  # measured micro-batches of like size whose errors a simulated one may have


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Simulation:
    """The steps of a training, their planned costs, and the seconds that they take.

    Attributes
    ----------
    costs : by which the micro-batches of each step are dealt.
    seconds : that each takes by the fit.
    disturbed : likewise, off by the fit's error of a measured micro-batch of like size.
    """

    costs: Sequence[FloatArray]
    seconds: Sequence[FloatArray]
    disturbed: Sequence[FloatArray]

    def busy(self, world: int) -> dict[str, float]:
        """Return the busy share of so many processes, by each notion of what micro-batches take."""
        taken = {"plan": self.costs, "fit": self.seconds, "disturbed": self.disturbed}
        return {name: busy_share(self.costs, values, world) for name, values in taken.items()}


def paper_sizes(samples: int) -> list[SampleSize]:
    """Return the sizes of the first samples of the preset `paper`, whose edges are not counted."""
    source, per_task = PaperSource(seed=0), stored_bytes(1, N_MACHINES, matrix=False)
    return [
        SampleSize(
            sample_id=k,
            source="",
            n_tasks=source.size(k) // per_task,
            n_machines=N_MACHINES,
            n_edges=0,
        )
        for k in range(samples)
    ]


def paper_plan(sizes: Sequence[SampleSize], config: TrainConfig) -> DatasetSteps:
    """Return the plan of a training on samples in files of `SHARD`."""
    return DatasetSteps(sizes, [k // SHARD for k in range(len(sizes))], config)


def fit_of_plan(
    plan: DatasetSteps,
    sizes: Mapping[int, SampleSize],
    config: TrainConfig,
    limit: float,
    *,
    number: Callable[[int], int] = lambda sample_id: sample_id,
    on_time: Callable[[float], None] = lambda _: None,
) -> CostFit:
    """Measure micro-batches of a plan, and fit their cost.

    Parameters
    ----------
    sizes : by sample id.
    limit : s of measuring.
    number : of a sample in the preset `paper`.
    on_time : called with the seconds so far.
    """
    batches = [
        (max(sizes[k].n_tasks for k in batch), tuple(map(number, batch)))
        for step in range(plan.total)
        for batch in plan.micro_batches(step)
    ]
    return fitted(*measured(config, batches, limit, on_time=on_time))


def simulated(plan: DatasetSteps, sizes: Mapping[int, SampleSize], fit: CostFit) -> Simulation:
    """Return the steps of a plan and their seconds by a fit."""
    rng = np.random.default_rng(0)
    costs, seconds, disturbed = [], [], []
    for step in range(plan.total):
        own = np.array(
            [
                size_row((sizes[k].n_tasks, sizes[k].n_machines) for k in batch)
                for batch in plan.micro_batches(step)
            ]
        )
        apart = np.abs(np.log(own[:, 1:2] / fit.tasks))
        like = np.argsort(apart, axis=1, kind="stable")[:, :LIKE]
        drawn = like[np.arange(len(own)), rng.integers(like.shape[1], size=len(own))]
        costs.append(np.array(plan.costs(step)))
        seconds.append(fit.seconds(own))
        disturbed.append(seconds[-1] * fit.ratios[drawn])
    return Simulation(costs=costs, seconds=seconds, disturbed=disturbed)


def busy_share(costs: Iterable[FloatArray], seconds: Iterable[FloatArray], world: int) -> float:
    """Return the work of all steps / the time of all processes until each step's slowest ends.

    The optimiser's step, which each process takes for itself within milliseconds, is left out.

    Parameters
    ----------
    costs, seconds : of the micro-batches of each step: by the former they are dealt.
    """
    work = time = 0.0
    for cost, taken in zip(costs, seconds, strict=True):
        ranks = dealt(cost.tolist(), world)
        load = np.bincount(ranks, weights=taken, minlength=world)
        work += load.sum()
        time += load.max() * world
    return float(work / time)
