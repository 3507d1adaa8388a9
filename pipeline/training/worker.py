"""What runs in each training process of Ray Train, and how the driver hears of it."""

from __future__ import annotations

import contextlib
import os
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ray
import ray.train
from ray.train import Checkpoint
from ray.train.torch import get_device

from deepsched.baselines.errors import DeepSchedError
from deepsched.pipeline.training.course import make_course
from deepsched.pipeline.training.loop import fit
from deepsched.pipeline.training.peers import Peers
from deepsched.pipeline.training.state import progress

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from deepsched.baselines.arrays import FloatArray
    from deepsched.model.learning import RolloutJob
    from deepsched.pipeline.training.config import TrainConfig
    from deepsched.pipeline.training.state import Record

NOTE_SECONDS = 0.5  # least time between two notes of a step
PARENT_SECONDS = 1.0  # between two looks at whether the raylet still lives
WORST = 1e30  # the score of a checkpoint that no validation came with; JSON knows no infinity


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkerSpec:
    """What a training process is told: the problems, the settings, what to keep in checkpoints."""

    data: str | None
    config: TrainConfig
    meta: dict[str, Any]


class RayReporter:
    """Reports to Ray Train, from every process equally often, and to the board from the first."""

    def __init__(self, board: Any, peers: Peers, checkpoint_seconds: float) -> None:
        self._board = board
        self._first = peers.rank == 0
        self._every = checkpoint_seconds
        self._noted = self._saved = time.monotonic()

    def step(self, step: int, measures: Mapping[str, float]) -> None:
        """Note the step, now and then."""
        if self._first and time.monotonic() - self._noted >= NOTE_SECONDS:
            self._noted = time.monotonic()
            self._board.step.remote(step, dict(measures))

    def wants_checkpoint(self) -> bool:
        """Return whether the last one is old enough."""
        return time.monotonic() - self._saved >= self._every

    def checkpoint(self, record: Record | None, save: Callable[[Path], None]) -> None:
        """Hand the state of the training to Ray Train, with its score if it was validated."""
        self._saved = time.monotonic()
        metrics = {"score": record["score"] if record else WORST}
        with contextlib.ExitStack() as stack:
            checkpoint = None
            if self._first:
                folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
                save(folder)
                checkpoint = Checkpoint.from_directory(folder)
            ray.train.report(metrics, checkpoint=checkpoint)
        if self._first and record:
            ray.get(self._board.validation.remote(record))


def train_worker(task: dict[str, Any]) -> None:
    """Train as one of the processes of a Ray Train run, from its last checkpoint if it has one.

    Parameters
    ----------
    task : "spec", a `WorkerSpec`, and "board", the actor.
    """
    end_with_parent()
    spec: WorkerSpec = task["spec"]
    board = task["board"]
    context = ray.train.get_context()
    rank, world = context.get_world_rank(), context.get_world_size()
    peers = Peers(rank=rank, world=world, device=get_device())
    if ray.get(board.status.remote()).error:
        return  # restarted after an error that would only come again
    try:
        with contextlib.ExitStack() as stack:
            last = ray.train.get_checkpoint()
            start = Path(stack.enter_context(last.as_directory())) if last else None
            if rank == 0 and not ray.get(board.begin.remote(*progress(start))):
                raise RuntimeError("too many crashes")  # the next start ends at once
            config = spec.config
            fit(
                make_course(spec.data, config),
                reporter=RayReporter(board, peers, config.checkpoint_seconds),
                peers=peers,
                start=start,
                meta=spec.meta,
                rollouts=ray_rollouts if config.rollout_workers else None,
            )
    except DeepSchedError as error:
        ray.get(board.fail.remote(str(error)))
        if world > 1:
            raise  # the others may be waiting for this process: only Ray Train can end them


def end_with_parent() -> None:
    """Let this process end when its parent is gone: a raylet that was killed ends nobody else."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(PARENT_SECONDS)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def run_job(job: RolloutJob) -> FloatArray:
    """Run the rollouts of one problem."""
    return job.decode(job)


def ray_rollouts(jobs: Sequence[RolloutJob]) -> Sequence[FloatArray]:
    """Run rollouts as Ray tasks, on any CPU of the cluster, in the order of the jobs."""
    task: Any = ray.remote(num_cpus=1, max_retries=-1)(run_job)
    found: Sequence[FloatArray] = ray.get([task.remote(job) for job in jobs])
    return found
