"""What runs in each training process of Ray Train, and how the driver hears of it."""

from __future__ import annotations

import os
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import ray
import ray.train
from ray.train.torch import get_device

from deepsched.baselines.errors import DeepSchedError
from deepsched.pipeline.training.checkpoints import Checkpoints, Superseded
from deepsched.pipeline.training.course import make_course
from deepsched.pipeline.training.keeper import Keeper
from deepsched.pipeline.training.loop import fit
from deepsched.pipeline.training.peers import Peers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from deepsched.baselines.arrays import FloatArray
    from deepsched.model.learning import RolloutJob
    from deepsched.pipeline.training.config import TrainConfig
    from deepsched.pipeline.training.history import History, Record

NOTE_SECONDS = 0.5  # least time between two notes of a step
LONGEST_REASON = 300  # characters
PARENT_SECONDS = 1.0  # between two looks at whether the raylet still lives


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkerSpec:
    """What a training process is told.

    Attributes
    ----------
    data : URI of a dataset; None: generated problems.
    states : URI of the states on the way.
    meta : to be kept in checkpoints.
    """

    data: str | None
    states: str
    config: TrainConfig
    meta: dict[str, Any]


class RemoteBoard:
    """A `Board` that is an actor; steps are noted now and then."""

    def __init__(self, actor: Any) -> None:
        self._actor = actor
        self._noted = float("-inf")

    def begin(self, step: int, history: History, notes: list[str], world: int) -> bool:
        """Note a start."""
        return bool(ray.get(self._actor.begin.remote(step, history, notes, world)))

    def step(self, step: int, measures: dict[str, float], tasks: int) -> None:
        """Note a step, if the last note is old enough."""
        if time.monotonic() - self._noted >= NOTE_SECONDS:
            self._noted = time.monotonic()
            self._actor.step.remote(step, measures, tasks)

    def validation(self, record: Record) -> None:
        """Note a validation."""
        ray.get(self._actor.validation.remote(record))


def train_worker(task: dict[str, Any]) -> None:
    """Train as one of the processes of a Ray Train run, from the newest state if there is one.

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
    config = spec.config
    keeper = Keeper(
        Checkpoints.at(spec.states), RemoteBoard(board), config.checkpoint_seconds, peers
    )
    try:
        fit(
            make_course(spec.data, config),
            reporter=keeper,
            peers=peers,
            start=keeper.begin(),
            meta=spec.meta,
            rollouts=ray_rollouts if config.rollout_workers else None,
        )
    except Superseded:
        raise  # no matter of the board's, on which others note their progress by now
    except DeepSchedError as error:
        ray.get(board.fail.remote(str(error)))
        if world > 1:
            raise  # the others may be waiting for this process: only Ray Train can end them
    except Exception as error:
        ray.get(board.died.remote(short_reason(error)))
        raise


def short_reason(error: Exception) -> str:
    """Return an error's kind and the first line of what it says; of a Ray task, its own."""
    error = getattr(error, "cause", None) or error
    lines = str(error).strip().splitlines()
    said = f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
    return said if len(said) <= LONGEST_REASON else said[: LONGEST_REASON - 1] + "…"


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
