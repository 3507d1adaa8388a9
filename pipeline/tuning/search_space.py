"""What a hyperparameter search varies: settings by name, each with a range or a list of values."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

import numpy as np
from ray import tune

from deepsched.baselines.errors import InvalidInput
from deepsched.model.networks import get_network, network_config
from deepsched.pipeline.labelling.sources import stream
from deepsched.pipeline.training.config import TrainConfig, make_config
from deepsched.pipeline.training.plan import LASTING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from ray.tune.search.sample import Domain

# Not searched: they decide what is learned from, how the scores of trials compare, or where and
# how fast a training runs.
UNSEARCHABLE = (
    *("network", "network_options", "objective", "teacher", "turnaround", "epochs", "steps"),
    *("limit_samples", "least_tasks", "most_tasks", "development", "check_every", "early_stop"),
    *("workers", "max_workers", "rollout_workers", "staleness", "precision", "compile"),
    *("deterministic", "cache_mb", "max_failures", "checkpoint_seconds"),
)
# Without effect unless the training is of that kind.
ONLY_ROLLOUTS = ("rollouts",)
ONLY_DATASET = ("tasks_per_micro_batch", "pairs_per_micro_batch")
ONLY_GENERATED = ("problems_per_micro_batch",)
# May change while a training goes on; all other settings would make it another training.
CHANGEABLE = tuple(
    name for name in TrainConfig.model_fields if name not in {*LASTING, *UNSEARCHABLE}
)
RANGE = ".."


def default_space(config: TrainConfig, *, generated: bool) -> dict[str, str]:
    """Return the search of a network that nothing else was said about.

    Parameters
    ----------
    config : with every default filled in.
    generated : the problems are endless.
    """
    without = {*(ONLY_DATASET if generated else ONLY_GENERATED)}
    if config.objective == "imitation":
        without.update(ONLY_ROLLOUTS)
    space = get_network(config.network).search_space
    return {field: text for field, text in space.items() if field not in without}


def parse_search(pairs: Sequence[str]) -> dict[str, str]:
    """Return the ranges of `FIELD=LOW..HIGH` and `FIELD=A,B,C`, by field.

    Raises
    ------
    InvalidInput
        If one is written in another way; fields and values are checked by :func:`search_space`.
    """
    found = {}
    for pair in pairs:
        field, equals, text = pair.partition("=")
        if not equals or not field or not text:
            raise InvalidInput(f"--search {pair!r} is not FIELD=LOW..HIGH or FIELD=A,B,C")
        found[field] = text
    return found


def search_space(config: TrainConfig, ranges: Mapping[str, str]) -> dict[str, Domain]:
    """Return Tune's search space: log-uniform over a range, uniform over a list.

    Raises
    ------
    InvalidInput
        If a field cannot be searched, or an end of a range or a value of a list is not allowed in
        it; the message names the field.
    """
    space = {}
    for field, text in ranges.items():
        if field in UNSEARCHABLE:
            raise InvalidInput(f"--search {field}: this setting cannot be searched")
        values, is_range = _values(text)
        for value in values:
            where = f"--search {field}={text}"
            trial = trial_config(config, {field: value}, where=where)
            network_config(trial.network, trial.network_options, where)
        space[field] = _log_uniform(field, values) if is_range else tune.choice(values)
    return space


def drawn(config: TrainConfig, ranges: Mapping[str, str], number: int) -> dict[str, Any]:
    """Return the settings of a trial: drawn from the seed and its number, whatever else was drawn.

    Trial 0 has the settings as they are, if all of them lie within the ranges.
    """
    if not number and (present := present_values(config, ranges)):
        return present
    rng = np.random.default_rng([config.seed, number, stream("search")])
    space = search_space(config, ranges)
    return {field: domain.sample(random_state=rng) for field, domain in space.items()}


def present_values(config: TrainConfig, ranges: Mapping[str, str]) -> dict[str, Any] | None:
    """Return what the settings are without a search; None unless all lie within the ranges."""
    values = {}
    for field, text in ranges.items():
        outer, _, inner = field.partition(".")
        value = getattr(config, outer)
        value = value.get(inner) if inner else value
        allowed, is_range = _values(text)
        if value is None or not (
            allowed[0] <= value <= allowed[1] if is_range else value in allowed
        ):
            return None
        values[field] = value
    return values


def perturbations(config: TrainConfig, ranges: Mapping[str, str]) -> dict[str, Any]:
    """Return what may change while a trial trains, with a domain or a list for each.

    Raises
    ------
    InvalidInput
        If nothing that is searched may.
    """
    space = search_space(config, ranges)
    found: dict[str, Any] = {}
    for field in set(CHANGEABLE) & set(ranges):
        values, is_range = _values(ranges[field])
        found[field] = space[field] if is_range else values
    if not found:
        raise InvalidInput(
            "--scheduler pbt changes settings of trainings that go on: search at least one of "
            f"{', '.join(CHANGEABLE)}"
        )
    return dict(sorted(found.items()))


def within(ranges: Mapping[str, str], params: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings with those beyond an end of their range put to that end."""
    found = dict(params)
    for field, text in ranges.items():
        values, is_range = _values(text)
        if is_range:
            low, high = values
            found[field] = min(max(found[field], low), high)
    return found


def trial_config(config: TrainConfig, params: Mapping[str, Any], *, where: str) -> TrainConfig:
    """Return the settings with those of a trial put in.

    Parameters
    ----------
    params : by field; `network_options.width` is the option `width` of the network.

    Raises
    ------
    InvalidInput
        Naming `where` and the field.
    """
    values = config.model_dump()
    for field, value in params.items():
        outer, dot, inner = field.partition(".")
        if dot and isinstance(values.get(outer), dict):
            values[outer][inner] = value
        else:
            values[field] = value
    return make_config(values, where=where)


def _values(text: str) -> tuple[list[Any], bool]:
    """Return the ends of a range or the values of a list, and whether it is a range."""
    low, is_range, high = text.partition(RANGE)
    return [_value(part) for part in ((low, high) if is_range else text.split(","))], bool(is_range)


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _log_uniform(field: str, ends: Sequence[Any]) -> Domain:
    low, high = ends
    numbers = all(isinstance(end, (int, float)) and not isinstance(end, bool) for end in ends)
    if not numbers or not 0 < low < high < math.inf:
        raise InvalidInput(
            f"--search {field}={low}{RANGE}{high}: the ends of a range must be numbers, the first "
            "one above 0 and below the second"
        )
    draw: Callable[..., Any] = tune.loguniform
    if isinstance(low, int) and isinstance(high, int):
        draw, high = tune.lograndint, high + 1  # Tune leaves the upper end out
    domain: Domain = draw(low, high)
    return domain
