"""A training of the paper's network on small problems of the preset, as a cell."""

from __future__ import annotations

import functools
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from deepsched.baselines.heft import heft
from deepsched.model.checkpoint_files import CONFIG, WEIGHTS
from deepsched.model.networks.paper.scheduler import PaperScheduler
from deepsched.pipeline.benchmarks.claims.cells import Cell
from deepsched.pipeline.benchmarks.claims.problems import FEW_MACHINES, SMALL, small_problems
from deepsched.pipeline.benchmarks.claims.simple import ratio
from deepsched.pipeline.dataset.storage import SampleSize
from deepsched.pipeline.labelling.paper_preset import N_MACHINES
from deepsched.pipeline.training.config import complete, make_config
from deepsched.pipeline.training.history import SCORE, best_record
from deepsched.pipeline.training.items import validation_item
from deepsched.pipeline.training.loop import Course, Diverged, fit
from deepsched.pipeline.training.reporter import Silent
from deepsched.pipeline.training.steps import DatasetSteps

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from deepsched.baselines.problem import Problem
    from deepsched.model.learning import TrainingItem
    from deepsched.pipeline.training.config import TrainConfig
    from deepsched.pipeline.training.history import History, Record

NETWORK = "paper"
NETWORKS = "networks"  # folder of the checkpoints, one a cell
CHECKS = 20  # validations of a training
UNSEEN = 40  # problems of the test split
CHOOSING = 20  # problems of the validation split
SHOWN = 60  # seen problems that are scheduled at the end, at most
MSE_WEIGHT = {"literal": 1.0, "residual": 1000.0}
# As fast as it learns: with 4e-3 it never left the commonest machine of 188 (600 steps).
LEARNING_RATE = {FEW_MACHINES: 4e-3, N_MACHINES: 2e-3}
SETTINGS: Mapping[str, Any] = {
    "network": NETWORK,
    "objective": "imitation",
    "teacher": "heft",
    "turnaround": 1.0,  # what the best validation is chosen by
    "schedule": "cosine",
    "warmup_steps": 20,
    "tasks_per_micro_batch": 400,
    "micro_batches": 2,
    "workers": 0,
}


@dataclass(frozen=True, kw_only=True)
class Training:
    """One training.

    Attributes
    ----------
    problems : that are learned from.
    machines : of each of them.
    times : what the network predicts of start and finish, see `PaperConfig`.
    padded : of the fixed size that the largest problem needs; else without a size.
    memorised : the best validation is that on the problems learned from; else on others.
    steps : of the optimiser.
    seed : of the weights and the order; the problems are always the same.
    """

    problems: int
    machines: int
    times: str = "residual"
    padded: bool = False
    memorised: bool = False
    steps: int
    seed: int = 0


def training_cell(name: str, training: Training) -> Cell:
    """Return the cell of a training; its best network is kept below `NETWORKS`."""
    return Cell(
        name=name,
        settings={**asdict(training), "config": config_of(training).model_dump(mode="json")},
        make=functools.partial(_trained, name, training),
    )


def network_of(name: str, folder: Path) -> PaperScheduler:
    """Return the network that a training's cell has left.

    Raises
    ------
    InvalidInput
        If it is not there, or damaged.
    """
    return PaperScheduler.load(folder / NETWORKS / name)


def config_of(training: Training) -> TrainConfig:
    """Return the trainer's settings."""
    options: dict[str, Any] = {"times": training.times}
    if training.padded:
        options |= {"max_tasks": SMALL[1], "max_machines": training.machines}
    values = {
        **SETTINGS,
        "network_options": options,
        "learning_rate": LEARNING_RATE[training.machines],
        "mse_weight": MSE_WEIGHT[training.times],
        "steps": training.steps,
        "check_every": max(training.steps // CHECKS, 1),
        "seed": training.seed,
    }
    return complete(make_config(values, where="claims"), generated=False)


def last_quarter(curve: Sequence[float]) -> float:
    """Return by which share a curve changes over its last quarter, either way."""
    before = curve[(3 * len(curve)) // 4 - 1] if len(curve) >= 4 else curve[0]
    return abs(curve[-1] / before - 1.0)


def _trained(name: str, training: Training, folder: Path) -> dict[str, Any]:
    seen = small_problems("train", training.problems, training.machines)
    unseen = small_problems("test", UNSEEN, training.machines)
    choosing = seen if training.memorised else small_problems("val", CHOOSING, training.machines)
    config = config_of(training)
    items = _Listed(seen, choosing)
    steps = DatasetSteps(items.sizes(), [0] * len(seen), config)
    best = _Best()
    diverged = None
    try:
        fit(Course(config=config, items=items, steps=steps), reporter=best)
    except Diverged as error:
        if not best.history:
            raise
        diverged = str(error)
    place = folder / NETWORKS / name
    place.mkdir(parents=True, exist_ok=True)
    for file, data in best.files.items():
        (place / file).write_bytes(data)
    network = network_of(name, folder)
    curve = [record["val_turnaround"] for record in best.history]
    return {
        "curve": [
            {
                "step": record["step"],
                "loss": record["train_loss"],
                "accuracy": record["train_accuracy"],
                "turnaround": record["val_turnaround"],
            }
            for record in best.history
        ],
        "best_step": best_record(best.history)["step"],
        "last_quarter": last_quarter(curve),
        "diverged": diverged,
        **_measured(network, "seen", seen[:SHOWN]),
        **_measured(network, "unseen", unseen),
    }


def _measured(network: PaperScheduler, group: str, problems: Sequence[Problem]) -> dict[str, Any]:
    found = [network.agreement(problem, heft(problem)) for problem in problems]
    tasks = [one["tasks"] for one in found]
    return {
        group: [ratio(problem, network(problem)) for problem in problems],
        f"{group}_accuracy": float(np.average([one["accuracy"] for one in found], weights=tasks)),
    }


class _Best(Silent):
    """A reporter that keeps the network of the best validation."""

    def __init__(self) -> None:
        self.history: History = []
        self.files: dict[str, bytes] = {}

    def checkpoint(
        self, step: int, record: Record | None, files: Callable[[], dict[str, bytes]]
    ) -> None:
        """Keep the network if it is better than all before."""
        if record is None:
            return
        if not self.history or record[SCORE] < best_record(self.history)[SCORE]:
            self.files = {name: data for name, data in files().items() if name in (CONFIG, WEIGHTS)}
        self.history.append(record)


class _Listed:
    """Problems in memory, HEFT being their teacher."""

    def __init__(self, seen: Sequence[Problem], choosing: Sequence[Problem]) -> None:
        self._seen = [validation_item(k, one, heft(one)) for k, one in enumerate(seen)]
        self._choosing = [validation_item(k, one, heft(one)) for k, one in enumerate(choosing)]

    def item(self, sample_id: int, *, imitated: bool) -> TrainingItem:
        """Return one that is learned from."""
        return self._seen[sample_id]

    def validation(self) -> list[TrainingItem]:
        """Return those by which the best network is chosen."""
        return self._choosing

    def sizes(self) -> list[SampleSize]:
        """Return how large those are that are learned from."""
        return [
            SampleSize(
                sample_id=k,
                source="",
                n_tasks=one.problem.n_tasks,
                n_machines=one.problem.n_machines,
                n_edges=one.problem.n_edges,
            )
            for k, one in enumerate(self._seen)
        ]
