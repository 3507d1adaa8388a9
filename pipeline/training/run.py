"""A training as a Ray Train run, and its result put in place."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ray
from ray.train.torch import TorchTrainer
from ray.train.v2.api.config import (
    CheckpointConfig,
    FailureConfig,
    LoggingConfig,
    RunConfig,
    ScalingConfig,
)

from deepsched.baselines.errors import DeepSchedError, InvalidInput
from deepsched.model.checkpoint_files import CONFIG, WEIGHTS
from deepsched.pipeline.common.provenance import provenance
from deepsched.pipeline.dataset.files import open_folder
from deepsched.pipeline.training.board import Board
from deepsched.pipeline.training.course import make_course
from deepsched.pipeline.training.loop import fit
from deepsched.pipeline.training.plan import (
    CHECKPOINT,
    HISTORY,
    Plan,
    Trained,
    note_training,
    plan_workers,
    write_json,
)
from deepsched.pipeline.training.state import STATE, progress
from deepsched.pipeline.training.validation import SCORE
from deepsched.pipeline.training.worker import WorkerSpec, train_worker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from deepsched.pipeline.training.board import Status
    from deepsched.pipeline.training.state import History, Record

LAST, BEST = "last", "best"  # of a training without Ray, in its storage
KEPT = 3  # checkpoints on the way
POLL_SECONDS = 0.3  # how often the driver looks at the board


class TrainingFailed(DeepSchedError, RuntimeError):
    """The training processes crashed more often than the settings allow."""


def run_training(plan: Plan, *, on_status: Callable[[Status], None]) -> Trained:
    """Train on the Ray that runs, and publish the best network and the history in `plan.out`.

    Parameters
    ----------
    on_status : called a few times a second.

    Raises
    ------
    InvalidInput
        If the training met a mistake of the user: it diverged, or a problem is too large.
    TrainingFailed
        If its processes crashed more often than allowed.
    """
    note_training(plan)
    workers, gpu = plan_workers(plan.config.workers, ray.cluster_resources())
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
    board = ray.remote(num_cpus=0)(Board).remote(plan.config.max_failures)
    spec = WorkerSpec(
        data=plan.data, config=plan.config, meta=provenance(data=plan.data, dataset=plan.dataset)
    )
    run_config: Any = RunConfig(
        name=plan.run,
        storage_path=plan.storage,
        # The board counts them, by the hour.
        failure_config=FailureConfig(max_failures=-1),
        # The best ones, and always the last one too.
        checkpoint_config=CheckpointConfig(
            num_to_keep=KEPT, checkpoint_score_attribute="score", checkpoint_score_order="min"
        ),
        logging_config=LoggingConfig(log_level="ERROR"),
    )
    trainer = TorchTrainer(
        train_worker,
        train_loop_config={"spec": spec, "board": board},
        scaling_config=ScalingConfig(num_workers=workers, use_gpu=gpu),
        run_config=run_config,
    )
    result = _fit(trainer, board, on_status)
    with result.checkpoint.as_directory() as folder:
        _, history = progress(Path(folder))
    best = min(result.best_checkpoints, key=lambda found: found[1]["score"])[0]
    with best.as_directory() as folder:
        return _publish(Path(folder), history, plan.out)


def train_here(plan: Plan, *, on_status: Callable[[Status], None]) -> Trained:
    """Train in this process, without Ray, and publish the best network and the history likewise.

    Raises
    ------
    InvalidInput
        If the training diverged.
    """
    note_training(plan)
    folder = Path(plan.storage) / plan.run
    reporter = LocalReporter(folder, plan.config.checkpoint_seconds, on_status)
    start = reporter.last()
    reporter.begin(start)
    meta = provenance(data=plan.data, dataset=plan.dataset)
    history = fit(make_course(plan.data, plan.config), reporter=reporter, start=start, meta=meta)
    return _publish(folder / BEST, history, plan.out)


class LocalReporter:
    """Keeps the last state and the best one in a folder, and tells of the progress."""

    def __init__(
        self, folder: Path, checkpoint_seconds: float, on_status: Callable[[Status], None]
    ) -> None:
        self._folder, self._every, self._tell = folder, checkpoint_seconds, on_status
        self._saved = time.monotonic()
        self._board = Board(max_failures=0)

    def last(self) -> Path | None:
        """Return the folder of the last state, if there is one."""
        return self._folder / LAST if (self._folder / LAST / STATE).exists() else None

    def begin(self, start: Path | None) -> None:
        """Tell where the training goes on."""
        self._board.begin(*progress(start))
        self._tell(self._board.status())

    def step(self, step: int, measures: Mapping[str, float]) -> None:
        """Tell of a step."""
        self._board.step(step, dict(measures))
        self._tell(self._board.status())

    def wants_checkpoint(self) -> bool:
        """Return whether the last one is old enough."""
        return time.monotonic() - self._saved >= self._every

    def checkpoint(self, record: Record | None, save: Callable[[Path], None]) -> None:
        """Save the state; as the best too if no validation before it had so good a score."""
        self._saved = time.monotonic()
        if record is not None:
            if all(record[SCORE] < other[SCORE] for other in self._board.status().history):
                save(self._folder / BEST)
            self._board.validation(record)
            self._tell(self._board.status())
        save(self._folder / LAST)


def _fit(trainer: TorchTrainer, board: Any, on_status: Callable[[Status], None]) -> Any:
    """Run the trainer, while a thread shows the progress; Ctrl-C ends it as usual."""
    in_main_thread = threading.current_thread() is threading.main_thread()
    handler = signal.getsignal(signal.SIGINT)
    failure: Exception | None = None
    with _watching(board, on_status):
        try:
            result = trainer.fit()
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
    return result


@contextlib.contextmanager
def _watching(board: Any, on_status: Callable[[Status], None]) -> Iterator[None]:
    stop = threading.Event()

    def watch() -> None:
        # A Ray that is gone ends the training with an error of its own.
        with contextlib.suppress(ray.exceptions.RayError):
            while not stop.wait(POLL_SECONDS):
                on_status(ray.get(board.status.remote()))

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _publish(source: Path, history: History, out: Path) -> Trained:
    """Put a checkpoint's two files in place of an older one, as a whole, and the history beside."""
    target = out / CHECKPOINT
    fresh, old = (target.with_name(f".{target.name}.{kind}") for kind in ("new", "old"))
    for leftover in (fresh, old):
        shutil.rmtree(leftover, ignore_errors=True)
    folder = open_folder(str(fresh))
    for name in (WEIGHTS, CONFIG):
        folder.write(name, (source / name).read_bytes())
    if target.exists():
        target.rename(old)
    fresh.rename(target)
    shutil.rmtree(old, ignore_errors=True)
    write_json(out, HISTORY, history)  # last: it marks the training as finished
    return Trained(history=history, checkpoint=target)
