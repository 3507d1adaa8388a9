"""A hyperparameter search as a Ray Tune experiment of plain training functions."""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
import pickletools
import time
import uuid
from typing import TYPE_CHECKING, Any

import ray
from ray import tune
from ray.tune.stopper import Stopper

from deepsched.baselines.errors import DeepSchedError, InvalidInput
from deepsched.pipeline.dataset.files import open_folder
from deepsched.pipeline.training.checkpoints import Checkpoints
from deepsched.pipeline.training.course import make_course
from deepsched.pipeline.tuning.choices import PARAMS, make_scheduler, make_searcher
from deepsched.pipeline.tuning.plan import Search, note_search
from deepsched.pipeline.tuning.records import (
    ENDED,
    FAILED,
    FINISHED,
    RUNNING,
    STOPPED,
    TrialRecord,
    read_records,
    write_record,
)
from deepsched.pipeline.tuning.results import TrialResult, publish_results, trial_results
from deepsched.pipeline.tuning.trial import run_trial

if TYPE_CHECKING:
    from collections.abc import Callable

KEPT = 4  # states that Tune keeps of a trial of PBT: others may take over any but the oldest
MAX_REASON = 300  # characters of a crash's reason that are shown
MAX_CRASHES = 3  # of a trial's process, each of which goes on from its last validation
TUNER = "tuner.pkl"  # Ray's note of a search

# Tune takes these from the environment only.
TUNE_SETTINGS = {
    # Ctrl-C is ours: Tune's handler would make an interrupted search look like a finished one.
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    # Progress is ours too.
    "RAY_AIR_NEW_OUTPUT": "0",
    # No files for CSV, JSON and TensorBoard: the records are ours.
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
}


class SearchFailed(DeepSchedError, RuntimeError):
    """Trials crashed, or none of them came to a result."""


def run_search(
    search: Search,
    *,
    concurrent: int | None,
    workers: int,
    seconds: float | None,
    on_trial: Callable[[int, int, bool], None],
    on_note: Callable[[str], None],
) -> list[TrialResult]:
    """Run the search, or what is left of it, on the Ray that runs, and publish its results.

    Parameters
    ----------
    concurrent : trials at a time; None: as many as there is room for.
    workers : training processes of each trial.
    seconds : after which no trial begins, and those that run end with their next validation.
    on_trial : told of a trial's number, its steps so far, and whether it has ended.
    on_note : told of what the user should know, such as a file that was damaged.

    Returns
    -------
    The trials, the best one first.

    Raises
    ------
    InvalidInput
        If a trial would need more than the cluster has.
    SearchFailed
        If trials crashed, which the same search tries again, or all of them diverged.
    """
    note_search(search)
    needs = _resources(workers)
    known, wrong = read_records(search.out, search.trials)
    for note in wrong:
        on_note(note)
    _forget(search, known)
    for note in remove_older_runs(search):
        on_note(note)
    for record in known.values():
        on_trial(record.trial, record.steps, record.state in ENDED)
    left = [k for k in range(search.trials) if k not in known or known[k].state not in ENDED]
    left.sort(key=lambda number: (number not in known, number))
    watch = Watch(search, known, seconds, on_trial)
    if left:
        _tune(search, watch, left, concurrent, needs, workers)
    if watch.crashed:
        reason = " ".join(next(iter(watch.crashed.values())).split())
        raise SearchFailed(
            f"{len(watch.crashed)} of {search.trials} trials crashed; the same command tries them "
            f"again; the first one: {reason[-MAX_REASON:]}"
        )
    results = trial_results(known.values())
    if not results:
        raise SearchFailed("no trial was validated in time; give a longer --time-budget")
    if results[0].score is None:
        raise SearchFailed(f"no trial came to a result; one of them: {results[0].error}")
    publish_results(search, results)
    _remove(search.place(""))
    return results


def validations_of(search: Search) -> int:
    """Return how often a trial that is not stopped early is validated."""
    steps = make_course(search.data, search.config).steps
    return sum(steps.checked(step) for step in range(steps.total))


def _resources(workers: int) -> tune.PlacementGroupFactory:
    """Return what a trial takes: a CPU for each process, and a GPU where there are any."""
    there = ray.cluster_resources()
    gpus, cpus = int(there.get("GPU", 0)), int(there.get("CPU", 0))
    room, what = (gpus, "GPUs") if gpus else (cpus, "CPUs")
    if workers > room:
        raise InvalidInput(
            f"--workers-per-trial {workers}: the cluster has {room} {what}; trials would wait for "
            "ever"
        )
    bundle: dict[str, float] = {"CPU": 1, "GPU": 1} if gpus else {"CPU": 1}
    return tune.PlacementGroupFactory([dict(bundle) for _ in range(workers)])


def _tune(
    search: Search,
    watch: Watch,
    left: list[int],
    concurrent: int | None,
    needs: tune.PlacementGroupFactory,
    workers: int,
) -> None:
    for name, value in TUNE_SETTINGS.items():
        os.environ.setdefault(name, value)
    searcher, space, samples = make_searcher(search, watch.records, left, concurrent)
    numbers = itertools.chain(left)
    place = search.place("")
    folder = open_folder(place)
    _Listener.watch = watch
    # It warns that there are no files of loggers.
    logging.getLogger("ray.tune.analysis.experiment_analysis").setLevel(logging.ERROR)
    tune.Tuner(
        tune.with_resources(tune.with_parameters(run_trial, search=search, workers=workers), needs),
        param_space=space,
        tune_config=tune.TuneConfig(
            num_samples=samples,
            search_alg=searcher,
            scheduler=make_scheduler(search, watch.validations, watch.records),
            # PBT pauses trials: they need not wait for a new process each time.
            reuse_actors=search.scheduler == "pbt",
            # Tune creates them in this order.
            trial_name_creator=lambda _: f"{next(numbers):05d}",
            trial_dirname_creator=str,
        ),
        run_config=tune.RunConfig(
            name=f"ray-{uuid.uuid4().hex[:12]}",
            storage_path=folder.root,
            storage_filesystem=None if folder.local else folder.filesystem,
            verbose=0,
            stop=_Deadline(),
            callbacks=[_Listener()],
            failure_config=tune.FailureConfig(max_failures=MAX_CRASHES),
            checkpoint_config=tune.CheckpointConfig(num_to_keep=KEPT),
        ),
    ).fit()


class Watch:
    """Writes down what Tune says of trials, and knows when time is over."""

    def __init__(
        self,
        search: Search,
        records: dict[int, TrialRecord],
        seconds: float | None,
        on_trial: Callable[[int, int, bool], None],
    ) -> None:
        self._search, self._on_trial = search, on_trial
        self._deadline = None if seconds is None else time.monotonic() + seconds
        self._late: set[int] = set()
        self.records = records
        self.validations = validations_of(search)
        self.crashed: dict[int, str] = {}
        self.running = 0

    @property
    def over(self) -> bool:
        """Whether no trial may begin any more."""
        return self._deadline is not None and time.monotonic() >= self._deadline

    def begins(self, trial: Any) -> None:
        """Take note of a trial that begins, or goes on."""
        number = trial_number(trial)
        if self.over:
            self._late.add(number)
            return
        record = self.records.setdefault(
            number, TrialRecord(trial=number, params=dict(trial.config[PARAMS]))
        )
        record.state = RUNNING
        write_record(self._search.out, record)

    def validated(self, trial: Any, result: dict[str, Any]) -> None:
        """Take note of a validation, or of why there is none."""
        number = trial_number(trial)
        record = self.records.get(number)
        if record is None:  # it began too late
            return
        known = [(int(step), float(score)) for step, score in result.get("validations", ())]
        record.error = result.get("error")
        record.params = dict(result["config"][PARAMS])  # PBT may have changed the trial's since
        again = known == record.validations[: len(known)] and len(known) < len(record.validations)
        if not again:  # as it is where a trial repeats what it found before
            record.validations = known
        write_record(self._search.out, record)
        self._on_trial(number, record.steps, False)

    def ends(self, trial: Any) -> None:
        """Take note of the end of a trial."""
        record = self.records.get(trial_number(trial))
        if record is None or not (record.validations or record.error):
            return  # it has not begun
        if record.error:
            record.state = FAILED
        else:
            whole = len(record.validations) >= self.validations
            record.state = FINISHED if whole else STOPPED
        write_record(self._search.out, record)
        self._on_trial(record.trial, record.steps, True)

    def look(self, trials: list[Any]) -> None:
        """Count the trials that run and began in time."""
        self.running = sum(
            t.status == "RUNNING" and trial_number(t) not in self._late for t in trials
        )


class _Listener(tune.Callback):
    """Passes on what Tune says of its trials.

    Tune pickles it, though nobody reads that; so the receiver is kept in the class, i.e. in this
    process.
    """

    watch: Watch

    def on_trial_start(self, iteration: int, trials: Any, trial: Any, **_: Any) -> None:
        _Listener.watch.begins(trial)

    def on_trial_result(
        self, iteration: int, trials: Any, trial: Any, result: Any, **_: Any
    ) -> None:
        _Listener.watch.validated(trial, result)

    def on_trial_complete(self, iteration: int, trials: Any, trial: Any, **_: Any) -> None:
        """Pass on the end of a trial."""
        _Listener.watch.ends(trial)

    def on_trial_error(self, iteration: int, trials: Any, trial: Any, **_: Any) -> None:
        """Pass on that a trial crashed too often."""
        error = trial.get_error() if hasattr(trial, "get_error") else None
        _Listener.watch.crashed[trial_number(trial)] = str(error) or type(error).__name__

    def on_step_end(self, iteration: int, trials: Any, **_: Any) -> None:
        """Pass on which trials run."""
        _Listener.watch.look(trials)


class _Deadline(Stopper):
    """Ends trials with their next validation when time is over, then the search."""

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return _Listener.watch.over

    def stop_all(self) -> bool:
        return _Listener.watch.over and not _Listener.watch.running


def trial_number(trial: Any) -> int:
    """Return the number of a trial of Tune."""
    return int(trial.custom_trial_name)


def _forget(search: Search, known: dict[int, TrialRecord]) -> None:
    """Remove states of trials of which nothing else is known: they may be of other settings."""
    for number in set(range(search.trials)) - known.keys():
        Checkpoints.at(search.place(f"trial-{number:05d}")).discard(-1)


def remove_older_runs(search: Search) -> list[str]:
    """Remove what Ray noted of earlier starts of the search; say what of it was damaged."""
    notes = []
    folder = open_folder(search.place(""))
    for name in folder.names():
        if not name.startswith("ray-"):
            continue
        if name.endswith(f"/{TUNER}") and not _is_pickle(folder.read(name).to_pybytes()):
            notes.append(
                f"{folder.where(name)}: damaged, by a kill maybe; it is not needed: the search "
                "goes on from the files of its trials"
            )
        folder.delete(name)
    return notes


def _is_pickle(data: bytes) -> bool:
    """Return whether a pickle is whole; nothing of it is run."""
    try:
        for _ in pickletools.genops(data):
            pass
    except Exception:  # whatever the bytes bring about
        return False
    return True


def _remove(uri: str) -> None:
    folder = open_folder(uri)
    if folder.local:
        with contextlib.suppress(OSError):
            folder.filesystem.delete_dir(folder.root)
        return
    for name in folder.names():
        folder.delete(name)
