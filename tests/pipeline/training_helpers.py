"""Small trainings, small datasets and an attentive reporter, for tests of training and tuning."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from unittest import mock

import numpy as np
from safetensors.torch import load_file

from deepsched.baselines.generate import GeneratorSpec, generate
from deepsched.model.checkpoint_files import WEIGHTS
from deepsched.pipeline.labelling.run import label
from deepsched.pipeline.labelling.spec import LabelSpec
from deepsched.pipeline.training import loop, state
from deepsched.pipeline.training.config import TrainConfig, complete, make_config
from deepsched.pipeline.training.peers import Peers
from deepsched.pipeline.training.state import new_state
from tests.pipeline.label_helpers import Even

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    import torch

    from deepsched.baselines.problem import Problem
    from deepsched.pipeline.training.history import History, Record

# Small enough for a test, large enough for schedules that get shorter.
SMALL: dict[str, Any] = {
    "network_options": {"width": 8, "rounds": 1},
    "rollouts": 4,
    "problems_per_micro_batch": 2,
    "most_tasks": 30,
    "development": 4,
}
GENERATED: dict[str, Any] = {**SMALL, "steps": 4, "check_every": 2}
PAPER: dict[str, Any] = {
    "network": "paper",
    "network_options": {"width": 8, "recurrent_width": 8},
    "tasks_per_micro_batch": 64,
    "learning_rate": 0.01,
    "development": 4,
}
UNSTEADY = ("seconds", "tasks_per_second", "busy", "shares")


@dataclass(frozen=True)
class TinySource(Even):
    """Layered problems of 8 to 20 tasks on 3 machines; or a failure in place of each."""

    fails: bool = False
    first: int = 0

    def problem(self, sample_id: int) -> Problem:
        if self.fails:
            raise ValueError("no problem today")
        return tiny_problem(self.first + sample_id)

    def label(self, sample_id: int) -> str:
        return f"tiny {sample_id}"

    def document(self) -> dict[str, Any]:
        return {"kind": "tiny", "fails": self.fails, "first": self.first}


def tiny_problem(seed: int) -> Problem:
    spec = GeneratorSpec(family="layered", tasks=8 + 3 * (seed % 5), machines=3)
    return generate(spec, seed)


def tiny_dataset(
    folder: Path,
    samples: int,
    *,
    fails: bool = False,
    shard_size: int = 10,
    first: int = 0,
    teachers: tuple[str, ...] = ("heft",),
) -> str:
    """Label a dataset in this process, or add teachers to it, and return its URI."""
    spec = LabelSpec(
        out=str(folder),
        source=TinySource(fails=fails, first=first),
        samples=samples,
        shard_bytes=shard_size,
        seed=0,
        teachers=teachers,
    )
    label(spec)
    return str(folder)


def config(base: Mapping[str, Any] = GENERATED, **changes: Any) -> TrainConfig:
    """Return settings with all defaults filled in."""
    generated = base is GENERATED
    return complete(make_config({**base, **changes}, where="test"), generated=generated)


class Notebook:
    """A reporter that writes everything down, and may break off after a step, unsaved.

    Each validation is saved; with `every_step`, so is the state after each step.
    """

    def __init__(
        self, folder: Path, *, stop_after: int | None = None, every_step: bool = False
    ) -> None:
        self.folder = folder
        self.stop_after = stop_after
        self.every_step = every_step
        self.steps: list[int] = []
        self.measures: list[dict[str, float]] = []
        self.records: History = []
        self.tasks = 0
        self.discarded: int | None = None

    def step(self, step: int, measures: Mapping[str, float], tasks: int) -> None:
        self.tasks = tasks
        self.steps.append(step)
        self.measures.append(dict(measures))
        if step == self.stop_after:
            raise KeyboardInterrupt

    def wants_checkpoint(self) -> bool:
        return self.every_step

    def checkpoint(
        self, step: int, record: Record | None, files: Callable[[], dict[str, bytes]]
    ) -> None:
        if record is not None:
            self.records.append(record)
        folder = self.at(step)
        folder.mkdir(parents=True, exist_ok=True)
        for name, data in files().items():
            (folder / name).write_bytes(data)

    def discard(self, after: int) -> None:
        self.discarded = after

    def at(self, step: int) -> Path:
        """Return the folder of the state after a step."""
        return self.folder / f"step-{step}"


def files_in(folder: Path) -> dict[str, bytes]:
    """Return the files of a state that a notebook has written."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@dataclass(frozen=True, kw_only=True)
class ThreadPeers(Peers):
    """Peers in one process, which meet at a barrier."""

    barrier: threading.Barrier
    board: dict[int, Any]

    def together(self, rows: Mapping[int, np.ndarray], n: int, width: int) -> np.ndarray:
        mine = np.full((n, width), np.nan)
        for k, row in rows.items():
            mine[k] = row
        self.board[self.rank] = [k in rows for k in range(n)], mine
        self.barrier.wait(timeout=20)
        tables = [self.board[rank] for rank in range(self.world)]
        self.barrier.wait(timeout=20)
        given = np.array([has for has, _ in tables])
        assert (given.sum(axis=0) == 1).all()  # each row once
        return np.array([tables[given[:, k].argmax()][1][k] for k in range(n)]).reshape(n, width)

    def add_up(self, values: torch.Tensor) -> None:
        self.board[self.rank] = values.clone()
        self.barrier.wait(timeout=20)
        total = sum(self.board[rank] for rank in range(self.world))
        self.barrier.wait(timeout=20)
        values.copy_(total)


def in_unison(world: int, work: Callable[[ThreadPeers], Any]) -> list[Any]:
    """Run `work` as every rank at once; what it raises is returned."""
    lock = threading.Lock()  # threads share torch's generator, which processes do not

    def one_at_a_time(*args: Any) -> state.State:
        with lock:
            return new_state(*args)

    barrier, board = threading.Barrier(world), dict[int, Any]()
    results: list[Any] = [None] * world

    def run(rank: int) -> None:
        try:
            results[rank] = work(ThreadPeers(rank=rank, world=world, barrier=barrier, board=board))
        except Exception as error:
            results[rank] = error

    threads = [threading.Thread(target=run, args=(rank,)) for rank in range(world)]
    with (
        mock.patch.object(loop, "new_state", one_at_a_time),
        mock.patch.object(state, "new_state", one_at_a_time),
    ):
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    return results


def weights(folder: Path) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = load_file(folder / WEIGHTS)
    return found


def same_weights(one: Path, other: Path) -> bool:
    """Return whether two checkpoints hold the same weights, bit for bit."""
    a, b = weights(one), weights(other)
    assert a.keys() == b.keys()
    return all(a[key].numpy().tobytes() == b[key].numpy().tobytes() for key in a)


def without_seconds(history: History) -> History:
    """Leave out what is never the same twice."""
    return [{k: v for k, v in record.items() if k not in UNSTEADY} for record in history]
