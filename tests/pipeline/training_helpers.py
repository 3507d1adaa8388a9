"""Small datasets and an attentive reporter, for the tests of training and tuning."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from deepsched.baselines.generate import GeneratorSpec, generate
from deepsched.baselines.heft import heft
from deepsched.model.networks.paper.features import Sample, encode
from deepsched.pipeline.labelling.run import label
from deepsched.pipeline.labelling.spec import LabelSpec
from tests.pipeline.label_helpers import Even

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from deepsched.baselines.problem import Problem
    from deepsched.pipeline.training.state import History

# Small enough for a test, large enough for a loss that falls.
SMALL: dict[str, Any] = {
    "network_options": {"width": 8, "recurrent_width": 8},
    "tasks_per_batch": 64,
    "learning_rate": 0.01,
}


@dataclass(frozen=True)
class TinySource(Even):
    """Layered problems of 8 to 20 tasks on 3 machines; or a failure in place of each."""

    fails: bool = False

    def problem(self, sample_id: int) -> Problem:
        if self.fails:
            raise ValueError("no problem today")
        return tiny_problem(sample_id)

    def label(self, sample_id: int) -> str:
        return f"tiny {sample_id}"

    def document(self) -> dict[str, Any]:
        return {"kind": "tiny", "fails": self.fails}


def tiny_problem(seed: int) -> Problem:
    spec = GeneratorSpec(family="layered", tasks=8 + 3 * (seed % 5), machines=3)
    return generate(spec, seed)


def tiny_samples(n: int, first: int = 0) -> list[Sample]:
    """Return encoded samples of different sizes."""
    found = [tiny_problem(seed) for seed in range(first, first + n)]
    return [encode(problem, heft(problem)) for problem in found]


def tiny_dataset(folder: Path, samples: int, *, fails: bool = False, shard_size: int = 10) -> str:
    """Label a dataset in this process and return its URI."""
    spec = LabelSpec(
        out=str(folder),
        source=TinySource(fails=fails),
        samples=samples,
        shard_bytes=shard_size,
        seed=0,
        teachers=("heft",),
    )
    label(spec)
    return str(folder)


class Notebook:
    """A reporter that writes everything down, saves each epoch, and may break off after one."""

    def __init__(self, folder: Path, stop_after: int | None = None) -> None:
        self.folder = folder
        self.stop_after = stop_after
        self.steps: list[tuple[int, int]] = []
        self.histories: list[History] = []

    def step(self, epoch: int, samples: int) -> None:
        self.steps.append((epoch, samples))

    def epoch(self, history: History, save: Callable[[Path], None]) -> None:
        self.histories.append(history)
        save(self.folder / f"epoch-{len(history)}")
        if len(history) == self.stop_after:
            raise KeyboardInterrupt


def without_seconds(history: History) -> History:
    """Leave out what is never the same twice."""
    return [{k: v for k, v in record.items() if k != "seconds"} for record in history]
