"""Who chooses the settings of trials, and who ends or changes them: searchers and schedulers."""

from __future__ import annotations

import importlib
import logging
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from ray import tune
from ray.tune.experiment import Trial
from ray.tune.schedulers import (
    ASHAScheduler,
    FIFOScheduler,
    PopulationBasedTraining,
    TrialScheduler,
)
from ray.tune.search import BasicVariantGenerator, ConcurrencyLimiter
from ray.tune.search.optuna import OptunaSearch

from deepsched.pipeline.tuning.records import ENDED
from deepsched.pipeline.tuning.search_space import (
    drawn,
    perturbations,
    present_values,
    search_space,
    within,
)
from deepsched.pipeline.tuning.trial import WORST

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from deepsched.pipeline.tuning.plan import Search
    from deepsched.pipeline.tuning.records import TrialRecord

REDUCTION = 3  # of the trials that reach a rung of ASHA, one in so many goes on
PERTURBED = 8  # times that PBT looks at a trial that is validated often enough
TIME = "validation"  # what schedulers take for time: it goes on where a trial goes on
PARAMS = "params"  # where a trial's settings lie in what Tune gives it


def make_scheduler(
    search: Search, validations: int, known: Mapping[int, TrialRecord]
) -> TrialScheduler:
    """Return who ends or changes trials, told of those that have ended before.

    Parameters
    ----------
    validations : of a trial that is not stopped early.
    """
    if search.scheduler == "none":
        return FIFOScheduler()
    if search.scheduler == "pbt":
        return _Population(
            time_attr=TIME,
            metric="score",
            mode="min",
            perturbation_interval=max(1, validations // PERTURBED),
            # All pause for it: else a state may be gone before another trial has taken it over.
            synch=True,
            hyperparam_mutations={PARAMS: perturbations(search.config, search.ranges)},
            custom_explore_fn=_Within(search.ranges),
            last=validations,
        )
    asha = ASHAScheduler(
        time_attr=TIME,
        metric="score",
        mode="min",
        max_t=validations,
        grace_period=max(1, validations // REDUCTION**2),
        reduction_factor=REDUCTION,
    )
    controller: Any = None  # ASHA has no use for it
    for record in known.values():
        if record.state in ENDED:
            trial: Any = SimpleNamespace(trial_id=f"before-{record.trial}")
            asha.on_trial_add(controller, trial)
            for count, (_, score) in enumerate(record.validations, 1):
                asha.on_trial_result(controller, trial, {TIME: count, "score": score})
    return asha


def make_searcher(
    search: Search,
    known: Mapping[int, TrialRecord],
    left: Sequence[int],
    concurrent: int | None,
) -> tuple[Any, dict[str, Any], int]:
    """Return who chooses the settings of the trials that are left, in the order of their numbers.

    Parameters
    ----------
    known : trials that have begun; those among them that have not ended keep their settings.
    left : trials that have not ended: first those that have begun.

    Returns
    -------
    The searcher, Tune's space of parameters, and how often it is drawn from.
    """
    if search.searcher == "random":
        given = [_begun_or_drawn(search, known, k) for k in left]
        return (
            BasicVariantGenerator(max_concurrent=concurrent or 0),
            {PARAMS: tune.grid_search(given)},
            1,
        )
    first = [k for k in left if k in known]
    if 0 in left and 0 not in known and present_values(search.config, search.ranges):
        first.append(0)
    assert first == list(left[: len(first)])  # what is given comes first
    space = OptunaSearch.convert_search_space({PARAMS: search_space(search.config, search.ranges)})
    importlib.import_module("optuna").logging.set_verbosity(logging.WARNING)
    searcher = OptunaSearch(
        space,
        metric="best_score",
        mode="min",
        points_to_evaluate=[_flat(_begun_or_drawn(search, known, k)) for k in first],
        # Not the same draws again after a restart.
        seed=search.config.seed + len(known),
    )
    for record in known.values():
        if record.state in ENDED:
            score = WORST if record.score is None else record.score
            searcher.add_evaluated_point(_flat(record.params), score)
    limited = ConcurrencyLimiter(searcher, concurrent) if concurrent else searcher
    return limited, {}, len(left)


def _begun_or_drawn(
    search: Search, known: Mapping[int, TrialRecord], number: int
) -> dict[str, Any]:
    if number in known:
        return known[number].params
    return drawn(search.config, search.ranges, number)


def _flat(params: Mapping[str, Any]) -> dict[str, Any]:
    return {f"{PARAMS}/{name}": value for name, value in params.items()}


class _Within:
    """Keeps perturbed settings in their ranges."""

    def __init__(self, ranges: Mapping[str, str]) -> None:
        self._ranges = dict(ranges)

    def __call__(self, config: dict[str, Any]) -> dict[str, Any]:
        return {**config, PARAMS: within(self._ranges, config[PARAMS])}


class _Population(PopulationBasedTraining):
    """Ray's PBT, but for two things.

    It leaves trials alone at their end, where nothing would be trained anew. And trials that wait
    for each other go on where nobody is left to come: Ray's waits for ever after a restart, or for
    a trial that failed.
    """

    def __init__(self, *, last: int, perturbation_interval: int, **settings: Any) -> None:
        super().__init__(perturbation_interval=perturbation_interval, **settings)
        self._last, self._interval = last, perturbation_interval

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        if result[TIME] >= self._last or "error" in result:
            return str(TrialScheduler.CONTINUE)
        return str(super().on_trial_result(tune_controller, trial, result))

    def choose_trial_to_run(self, tune_controller: Any) -> Any:
        chosen = super().choose_trial_to_run(tune_controller)
        trials = tune_controller.get_trials()
        waiting = [trial for trial in trials if trial.status == Trial.PAUSED]
        if chosen or not waiting or any(trial.status == Trial.RUNNING for trial in trials):
            return chosen
        least = min(self._trial_state[trial].last_train_time for trial in waiting)
        self._next_perturbation_sync = least + self._interval
        return super().choose_trial_to_run(tune_controller)
