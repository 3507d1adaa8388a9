"""A real training in two processes beside the simulation of the very same plan."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deepsched.pipeline.benchmarks.training_simulation import (
    fit_of_plan,
    paper_sizes,
    simulated,
)
from deepsched.pipeline.dataset.storage import Dataset
from deepsched.pipeline.labelling.paper_preset import PaperSource
from deepsched.pipeline.labelling.run import label
from deepsched.pipeline.labelling.spec import LabelSpec
from deepsched.pipeline.training.config import complete, make_config
from deepsched.pipeline.training.items import training_sizes
from deepsched.pipeline.training.plan import plan_training
from deepsched.pipeline.training.steps import DatasetSteps

if TYPE_CHECKING:
    from collections.abc import Callable

    from deepsched.baselines.problem import Problem
    from deepsched.pipeline.benchmarks.training_costs import CostFit
    from deepsched.pipeline.training.config import TrainConfig
    from deepsched.pipeline.training.plan import Plan, Trained

WORLD = 2
SAMPLES, MOST_TASKS = 80, 8_000  # of the dataset
SHARD_BYTES = 2_000_000
MICRO_BATCHES = 16
LEAST_STEPS = 4
LEARNING_RATE = 1e-6  # nothing is to be learned, and nothing can diverge


@dataclass(frozen=True, kw_only=True)
class SmallPaper(PaperSource):
    """The first problems of the preset `paper` that have at most so many tasks."""

    numbers: tuple[int, ...]

    @classmethod
    def first(cls, samples: int, most: int) -> SmallPaper:
        """Return so many of them."""
        fitting = [one.sample_id for one in paper_sizes(20 * samples) if one.n_tasks <= most]
        return cls(seed=0, numbers=tuple(fitting[:samples]))

    def size(self, sample_id: int) -> int:
        """Return about how many bytes the stored problem has."""
        return super().size(self.numbers[sample_id])

    def problem(self, sample_id: int) -> Problem:
        """Draw the problem."""
        return super().problem(self.numbers[sample_id])

    def label(self, sample_id: int) -> str:
        """Return the preset and the family."""
        return super().label(self.numbers[sample_id])

    def document(self) -> dict[str, Any]:
        """Return the preset's, and which of its problems these are."""
        return {**super().document(), "numbers": list(self.numbers)}


def compared(
    options: dict[str, Any],
    seconds: float,
    train: Callable[[Plan], Trained],
    *,
    samples: int = SAMPLES,
    on_time: Callable[[float], None] = lambda _: None,
) -> tuple[CostFit, dict[str, float]]:
    """Train on a small dataset of the preset `paper`, and simulate that training.

    Parameters
    ----------
    options : settings of the training, such as its network.
    seconds : that measuring may take, and that the training takes by what was measured.
    train : carries a plan out, with two processes.
    samples : of the dataset.
    on_time : called with the seconds of measuring so far.

    Returns
    -------
    The fit, and the busy shares: "real", "fit", "disturbed" (see `Simulation`) and "plan"; beside
    them "steps" and "seconds" of the training.
    """
    source = SmallPaper.first(samples, MOST_TASKS)
    options = {
        "teacher": "heft",
        "micro_batches": MICRO_BATCHES,
        "learning_rate": LEARNING_RATE,
        **options,
    }
    with tempfile.TemporaryDirectory() as folder:
        uri = str(Path(folder, "data"))
        label(
            LabelSpec(
                out=uri,
                source=source,
                samples=samples,
                shard_bytes=SHARD_BYTES,
                seed=0,
                teachers=("heft",),
            )
        )
        config = complete(make_config({**options, "epochs": 1}, where="benchmark"), generated=False)
        sizes = {size.sample_id: size for size in training_sizes(Dataset.open(uri), config)}
        epoch = _steps(uri, config)
        fit = fit_of_plan(
            epoch, sizes, config, seconds, number=source.numbers.__getitem__, on_time=on_time
        )
        work = sum(float(taken.sum()) for taken in simulated(epoch, sizes, fit).seconds)
        steps = max(LEAST_STEPS, round(seconds * WORLD * epoch.total / work))
        options |= {"steps": steps, "check_every": steps, "development": 1, "workers": WORLD}
        plan = plan_training(uri, Path(folder, "run"), options=options)
        record = train(plan).history[-1]
        shares = simulated(_steps(uri, plan.config), sizes, fit).busy(WORLD)
    return fit, {
        "real": float(record["busy"]),
        **shares,
        "steps": float(steps),
        "seconds": float(record["seconds"]),
    }


def _steps(uri: str, config: TrainConfig) -> DatasetSteps:
    dataset = Dataset.open(uri)
    sizes = training_sizes(dataset, config)
    return DatasetSteps(sizes, [dataset.shard_of(size.sample_id) for size in sizes], config)
