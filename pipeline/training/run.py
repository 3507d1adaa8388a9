"""A training as a Ray Train run, and its result put in place."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import threading
import uuid
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import ray
from ray.train.torch import TorchTrainer
from ray.train.v2.api.config import (
    FailureConfig,
    LoggingConfig,
    RunConfig,
    ScalingConfig,
)
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from deepsched.baselines.errors import DeepSchedError, InvalidInput
from deepsched.model.checkpoint_files import CONFIG, WEIGHTS
from deepsched.pipeline.common.provenance import provenance
from deepsched.pipeline.common.ticking import every
from deepsched.pipeline.dataset.files import open_folder
from deepsched.pipeline.training.board import Board
from deepsched.pipeline.training.checkpoints import Checkpoints
from deepsched.pipeline.training.course import make_course
from deepsched.pipeline.training.curves import Curves
from deepsched.pipeline.training.history import best_record
from deepsched.pipeline.training.keeper import Keeper
from deepsched.pipeline.training.loop import fit
from deepsched.pipeline.training.peers import Peers
from deepsched.pipeline.training.plan import (
    CHECKPOINT,
    HISTORY,
    Plan,
    Trained,
    note_training,
    plan_workers,
    write_json,
)
from deepsched.pipeline.training.state import progress
from deepsched.pipeline.training.worker import WorkerSpec, train_worker

if TYPE_CHECKING:
    from collections.abc import Callable

    from deepsched.pipeline.dataset.files import Folder
    from deepsched.pipeline.training.board import Status
    from deepsched.pipeline.training.history import History, Record

POLL_SECONDS = 0.3  # how often the driver looks at the board


class TrainingFailed(DeepSchedError, RuntimeError):
    """The training processes crashed more often than the settings allow."""


def run_training(plan: Plan, *, on_status: Callable[[Status], None], grows: bool = True) -> Trained:
    """Train on the Ray that runs, and publish the best network and the history in `plan.out`.

    Parameters
    ----------
    grows : whether it may still come to have as many GPUs, or CPUs, as are wanted.
    on_status : called a few times a second.

    Raises
    ------
    InvalidInput
        If the training met a mistake of the user: it diverged, a problem is too large, or more GPUs
        or CPUs are wanted than there will be.
    TrainingFailed
        If its processes crashed more often than allowed.
    """
    note_training(plan)
    workers, gpu = plan_workers(plan.config, ray.cluster_resources())
    notes = _waiting(workers, gpu)
    if notes and not grows:
        kind = "GPUs" if gpu else "CPUs"
        raise InvalidInput(f"--workers {workers}: more than the {kind} of this machine")
    cpus = int(ray.cluster_resources().get("CPU", 0))
    if plan.config.rollout_workers and cpus <= workers:
        raise InvalidInput(
            f"--rollout-workers: the cluster has {cpus} CPUs, which {workers} training processes "
            "take; rollouts would wait for ever"
        )
    # Ray's default of 2 s would add several seconds to a training of a minute.
    os.environ.setdefault("RAY_TRAIN_HEALTH_CHECK_INTERVAL_S", "0.5")
    if len(ray.nodes()) == 1:
        # No node to go on with if this one is reclaimed; the watcher is one process less to start.
        os.environ.setdefault("RAY_TRAIN_ENABLE_PREEMPTION_WATCHER", "0")
    board = start_board(plan.config.max_failures, notes)
    spec = WorkerSpec(data=plan.data, states=plan.states, config=plan.config, meta=_meta(plan))
    most, folder = plan.config.max_workers, open_folder(plan.states)
    run_config = _run_config(folder)
    trainer = TorchTrainer(
        train_worker,
        train_loop_config={"spec": spec, "board": board},
        scaling_config=ScalingConfig(
            num_workers=(workers, most) if most and most > workers else workers, use_gpu=gpu
        ),
        run_config=run_config,
    )
    try:
        with Curves(plan.out) as curves:
            _fit(trainer, board, _drawn(curves, on_status))
    finally:
        with contextlib.suppress(OSError):
            folder.filesystem.delete_dir(f"{folder.root}/{run_config.name}")
    return _publish(plan)


def start_board(max_failures: int, notes: list[str]) -> Any:
    """Return a `Board` as an actor on this node, which no other node that dies takes along."""
    node = ray.get_runtime_context().get_node_id()
    here: Any = NodeAffinitySchedulingStrategy(node, soft=False)
    actor: Any = ray.remote(num_cpus=0, scheduling_strategy=here)(Board)
    return actor.remote(max_failures, notes)


def train_here(plan: Plan, *, on_status: Callable[[Status], None]) -> Trained:
    """Train in this process, without Ray, and publish the best network and the history likewise.

    Raises
    ------
    InvalidInput
        If the training diverged.
    """
    note_training(plan)
    with Curves(plan.out) as curves:
        board = _ToldBoard(_drawn(curves, on_status))
        keeper = Keeper(Checkpoints.at(plan.states), board, plan.config.checkpoint_seconds, Peers())
        fit(
            make_course(plan.data, plan.config),
            reporter=keeper,
            start=keeper.begin(),
            meta=_meta(plan),
        )
    return _publish(plan)


class _ToldBoard(Board):
    """A board in this process, which tells of everything that it is told."""

    def __init__(self, tell: Callable[[Status], None]) -> None:
        super().__init__(max_failures=0)
        self._tell = tell

    def begin(self, step: int, history: History, notes: list[str], world: int) -> bool:
        may = super().begin(step, history, notes, world)
        self._tell(self.status())
        return may

    def step(self, step: int, measures: dict[str, float], tasks: int) -> None:
        super().step(step, measures, tasks)
        self._tell(self.status())

    def validation(self, record: Record) -> None:
        super().validation(record)
        self._tell(self.status())


def _drawn(curves: Curves, on_status: Callable[[Status], None]) -> Callable[[Status], None]:
    """Let curves be drawn of each status, before others hear of it and of how that went."""

    def tell(status: Status) -> None:
        curves.note(status)
        if curves.failure:
            status = replace(status, notes=[*status.notes, curves.failure])
        on_status(status)

    return tell


def _waiting(workers: int, gpu: bool) -> list[str]:
    """Return a note if the training processes have to wait for a cluster that grows."""
    kind = "GPU" if gpu else "CPU"
    there = int(ray.cluster_resources().get(kind, 0))
    if workers <= there:
        return []
    return [f"{workers} training processes wait for as many {kind}s; the cluster has {there} now"]


def _meta(plan: Plan) -> dict[str, Any]:
    return provenance(data=plan.data, dataset=plan.dataset)


def _run_config(folder: Folder) -> Any:
    """Return how Ray Train runs it: it keeps nothing that a restart needs.

    Ray's own notes of a run are written in place, so that a kill can leave them in halves; each
    start of the command is therefore a new run to it, and states are ours.
    """
    return RunConfig(
        name=f"ray-{uuid.uuid4().hex[:12]}",
        storage_path=folder.root,
        storage_filesystem=None if folder.local else folder.filesystem,
        failure_config=FailureConfig(max_failures=-1),  # the board counts them, by the hour
        logging_config=LoggingConfig(log_level="ERROR"),
    )


def _fit(trainer: TorchTrainer, board: Any, on_status: Callable[[Status], None]) -> None:
    """Run the trainer, while a thread shows the progress; Ctrl-C ends it as usual."""
    in_main_thread = threading.current_thread() is threading.main_thread()
    handler = signal.getsignal(signal.SIGINT)
    failure: Exception | None = None

    def look() -> None:
        # A Ray that is gone ends the training with an error of its own.
        with contextlib.suppress(ray.exceptions.RayError):
            on_status(ray.get(board.status.remote()))

    with every(POLL_SECONDS, look):
        try:
            trainer.fit()
        except SystemExit:
            # Train's own handler has ended the training processes.
            raise KeyboardInterrupt from None
        except Exception as error:
            failure = error
        finally:
            if in_main_thread:
                signal.signal(signal.SIGINT, handler)
    status: Status = ray.get(board.status.remote())
    on_status(status)
    if status.gave_up:
        raise TrainingFailed(status.error)
    if status.error:
        raise InvalidInput(status.error)
    if failure:
        reason = str(failure).strip().splitlines()
        raise TrainingFailed(
            f"the training failed after step {status.step}: {type(failure).__name__}: "
            f"{reason[-1] if reason else 'no reason given'}"
        ) from failure


def _publish(plan: Plan) -> Trained:
    """Put the best state's network in place of an older one, as a whole, and the history beside."""
    states = Checkpoints.at(plan.states)
    _, files, _ = states.newest()
    _, history = progress(files)
    best = states.read(int(best_record(history)["step"]))
    target = plan.out / CHECKPOINT
    fresh, old = (target.with_name(f".{target.name}.{kind}") for kind in ("new", "old"))
    for leftover in (fresh, old):
        shutil.rmtree(leftover, ignore_errors=True)
    folder = open_folder(str(fresh))
    for name in (WEIGHTS, CONFIG):
        folder.write(name, best[name])
    if target.exists():
        target.rename(old)
    fresh.rename(target)
    shutil.rmtree(old, ignore_errors=True)
    write_json(plan.out, HISTORY, history)  # last: it marks the training as finished
    return Trained(history=history, checkpoint=target)
