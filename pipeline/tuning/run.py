"""A hyperparameter search as a Ray Tune experiment of plain training functions."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ray
from ray import tune
from ray.tune.logger import JsonLoggerCallback
from ray.tune.schedulers import ASHAScheduler
from ray.tune.search import BasicVariantGenerator

from deepsched.baselines.errors import DeepSchedError
from deepsched.pipeline.training.course import make_course
from deepsched.pipeline.training.history import SCORE
from deepsched.pipeline.training.loop import fit
from deepsched.pipeline.training.peers import Peers
from deepsched.pipeline.training.state import progress
from deepsched.pipeline.tuning.plan import Search, note_search
from deepsched.pipeline.tuning.results import TrialResult, best_first, publish_results
from deepsched.pipeline.tuning.search_space import search_space, trial_config

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from deepsched.pipeline.training.history import Record

EXPERIMENT = "search"  # Tune's own folder in the storage
REDUCTION = 3  # of the trials that reach a rung of ASHA, one in so many goes on
WORST = 1e30  # score of a trial that diverged; ASHA interpolates between scores: not infinite
# Last checkpoints of a trial. With only one, a kill may fall between its deletion and the next note
# of where the search is.
KEPT = 3
MAX_REASON = 300  # characters of a crash's reason that are shown
MAX_CRASHES = 3  # of a trial's process, each of which goes on from its last epoch

# Tune takes these from the environment only.
TUNE_SETTINGS = {
    # Ctrl-C is ours: Tune's handler would make an interrupted search look like a finished one.
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    # Progress is ours too.
    "RAY_AIR_NEW_OUTPUT": "0",
    # No files for CSV and TensorBoard, which nobody reads; those in JSON Tune reads itself.
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    # The state is saved often on purpose: a restart goes on from it, and from the checkpoints that
    # it names, of which no more than the last few are kept.
    "TUNE_GLOBAL_CHECKPOINT_S": "1",
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
}


class SearchFailed(DeepSchedError, RuntimeError):
    """Trials crashed, or none of them came to a result."""


def run_search(
    search: Search, *, concurrent: int | None, on_trial: Callable[[str, int, bool], None]
) -> list[TrialResult]:
    """Run the search, or what is left of it, on the Ray that runs, and publish its results.

    Parameters
    ----------
    concurrent : trials at a time; None: as many as there are CPUs, or GPUs where there are any.
    on_trial : told of a trial's name, its steps so far, and whether it has ended.

    Returns
    -------
    The trials, the best one first.

    Raises
    ------
    SearchFailed
        If trials crashed, which a restored search tries again, or all of them diverged.
    """
    note_search(search)
    for name, value in TUNE_SETTINGS.items():
        os.environ.setdefault(name, value)
    gpus = int(ray.cluster_resources().get("GPU", 0))
    trainable = tune.with_resources(
        tune.with_parameters(run_trial, search=search),
        {"cpu": 1, "gpu": 1 if gpus else 0},
    )
    path = f"{search.storage}/{EXPERIMENT}"
    _Listeners.on_trial = on_trial
    if tune.Tuner.can_restore(path):
        tuner = tune.Tuner.restore(
            path, trainable=trainable, resume_unfinished=True, restart_errored=True
        )
    else:
        tuner = _new_tuner(search, trainable, concurrent)
    grid = tuner.fit()
    if grid.num_errors:
        reason = " ".join(str(grid.errors[0]).split()) or type(grid.errors[0]).__name__
        raise SearchFailed(
            f"{grid.num_errors} of {len(grid)} trials crashed; the same command tries them again; "
            f"the first one: {reason[-MAX_REASON:]}"
        )
    results = best_first(_trial_result(grid[k]) for k in range(len(grid)))
    if results[0].score is None:
        raise SearchFailed(f"no trial came to a result; one of them: {results[0].error}")
    publish_results(search, results)
    return results


def run_trial(params: dict[str, Any], search: Search) -> None:
    """Train one trial as a function of Tune, from its last checkpoint if it has one."""
    last = tune.get_checkpoint()
    config = trial_config(search.config, params, where="trial")
    gpu = bool(ray.get_gpu_ids())
    try:
        start: dict[str, bytes] = {}
        if last:
            with last.as_directory() as folder:
                start = {path.name: path.read_bytes() for path in Path(folder).iterdir()}
        fit(
            make_course(search.data, config),
            reporter=TuneReporter(start),
            peers=Peers(device="cuda" if gpu else "cpu"),
            start=start,
            meta={"data": search.data, "dataset": search.dataset},
        )
    except DeepSchedError as error:
        # Reported, not raised: Tune would try it again.
        tune.report({"score": WORST, "error": str(error)})


class TuneReporter:
    """Reports each validation to Tune, with the best one so far and the state of the training."""

    def __init__(self, start: Mapping[str, bytes]) -> None:
        scores = [record[SCORE] for record in progress(start)[1]]
        self._best = min(scores, default=WORST)

    def step(self, step: int, measures: Mapping[str, float], tasks: int) -> None:
        """Say nothing: a trial is looked at when it is validated."""

    def wants_checkpoint(self) -> bool:
        """Return False: a validation comes soon enough."""
        return False

    def checkpoint(
        self, step: int, record: Record | None, files: Callable[[], dict[str, bytes]]
    ) -> None:
        """Report a validation."""
        if record is None:
            return
        self._best = min(self._best, record[SCORE])
        metrics = {"score": record[SCORE], "step": step, "best_score": self._best}
        with tempfile.TemporaryDirectory() as folder:
            for name, data in files().items():
                (Path(folder) / name).write_bytes(data)
            tune.report(metrics, checkpoint=tune.Checkpoint.from_directory(folder))

    def discard(self, after: int) -> None:
        """Leave it: a trial that diverges is not tried again."""


class _Listeners(tune.Callback):
    """Passes on what Tune says of its trials.

    Tune pickles it with the experiment and restores it from there, so that it can hold no screen:
    the receiver is kept in the class, i.e. in this process.
    """

    on_trial: Callable[[str, int, bool], None]

    def on_trial_result(
        self, iteration: int, trials: Any, trial: Any, result: Any, **_: Any
    ) -> None:
        _Listeners.on_trial(trial.trial_id, int(result.get("step", 0)), False)

    def on_trial_complete(self, iteration: int, trials: Any, trial: Any, **_: Any) -> None:
        """Pass on the end of a trial."""
        _Listeners.on_trial(trial.trial_id, 0, True)


def _new_tuner(search: Search, trainable: Any, concurrent: int | None) -> tune.Tuner:
    validations = validations_of(search)
    return tune.Tuner(
        trainable,
        param_space=search_space(search.config, search.ranges),
        tune_config=tune.TuneConfig(
            metric="score",
            mode="min",
            num_samples=search.trials,
            search_alg=BasicVariantGenerator(
                random_state=search.config.seed, max_concurrent=concurrent or 0
            ),
            scheduler=ASHAScheduler(
                max_t=validations,
                grace_period=max(1, validations // REDUCTION**2),
                reduction_factor=REDUCTION,
            ),
        ),
        run_config=tune.RunConfig(
            name=EXPERIMENT,
            storage_path=search.storage,
            verbose=0,
            callbacks=[JsonLoggerCallback(), _Listeners()],
            failure_config=tune.FailureConfig(max_failures=MAX_CRASHES),
            checkpoint_config=tune.CheckpointConfig(num_to_keep=KEPT),
        ),
    )


def validations_of(search: Search) -> int:
    """Return how often a trial that is not stopped early is validated."""
    steps = make_course(search.data, search.config).steps
    return sum(steps.checked(step) for step in range(steps.total))


def _trial_result(result: Any) -> TrialResult:
    metrics = result.metrics or {}
    error = metrics.get("error")
    score = metrics.get("best_score")
    return TrialResult(
        trial=str(metrics.get("trial_id", "")),
        params=dict(result.config or {}),
        steps=int(metrics.get("step", 0)),
        score=None if error else score,
        error=error,
    )
