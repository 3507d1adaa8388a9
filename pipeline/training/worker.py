"""What runs in each training process of Ray Train, and how the driver hears of it."""

from __future__ import annotations

import contextlib
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ray
import ray.train
from ray.train import Checkpoint
from ray.train.torch import get_device

from deepsched.baselines.errors import DeepSchedError
from deepsched.pipeline.training.data import Share, Windows, read_share
from deepsched.pipeline.training.loop import TrainingData, fit
from deepsched.pipeline.training.state import History, load_history
from deepsched.pipeline.training.steps import Peers

if TYPE_CHECKING:
    from collections.abc import Callable

    from deepsched.pipeline.training.config import TrainConfig

NOTE_SECONDS = 0.5  # least time between two notes of a step


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkerSpec:
    """What a training process is told: the dataset, the settings, what to keep in checkpoints."""

    data: str
    config: TrainConfig
    meta: dict[str, Any]


class RayReporter:
    """Reports to Ray Train, from every process equally often, and to the board from the first."""

    def __init__(self, board: Any, peers: Peers) -> None:
        self._board = board
        self._first = peers.rank == 0
        self._world = peers.world
        self._noted = time.monotonic()

    def step(self, epoch: int, samples: int) -> None:
        """Note the step, now and then."""
        if self._first and time.monotonic() - self._noted >= NOTE_SECONDS:
            self._noted = time.monotonic()
            self._board.step.remote(samples * self._world)

    def epoch(self, history: History, save: Callable[[Path], None]) -> None:
        """Hand the metrics of the epoch to Ray Train, and the state of the training with them."""
        with contextlib.ExitStack() as stack:
            checkpoint = None
            if self._first:
                folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
                save(folder)
                checkpoint = Checkpoint.from_directory(folder)
            ray.train.report(history[-1], checkpoint=checkpoint)
        if self._first:
            ray.get(self._board.epoch.remote(history))


def train_worker(task: dict[str, Any]) -> None:
    """Train as one of the processes of a Ray Train run, from its last checkpoint if it has one.

    Parameters
    ----------
    task : "spec", a `WorkerSpec`, and "board", the actor.
    """
    spec: WorkerSpec = task["spec"]
    board = task["board"]
    context = ray.train.get_context()
    rank, world = context.get_world_rank(), context.get_world_size()
    peers = Peers(rank=rank, world=world, device=get_device())
    if ray.get(board.status.remote()).error:
        return  # restarted after a mistake of the user
    try:
        with contextlib.ExitStack() as stack:
            last = ray.train.get_checkpoint()
            start = Path(stack.enter_context(last.as_directory())) if last else None
            if rank == 0:
                ray.get(board.begin.remote(load_history(start) if start else []))
            fit(
                spec.config,
                training_data(spec.data, spec.config, Share(rank=rank, world=world)),
                reporter=RayReporter(board, peers),
                peers=peers,
                start=start,
                meta=spec.meta,
            )
    except DeepSchedError as error:
        ray.get(board.fail.remote(str(error)))
        if world > 1:
            raise  # the others may be waiting for this process: only Ray Train can end them


def training_data(data: str, config: TrainConfig, share: Share) -> TrainingData:
    """Return one process's share of the training and of the validation samples."""

    def windows(split: str) -> Windows:
        def read() -> Any:
            return read_share(data, config.teacher, split, share, config.limit_samples)

        return Windows(read, config.cache_mb * 1_000_000)

    return TrainingData(train=windows("train"), val=windows("val"))
