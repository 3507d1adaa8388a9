"""What a hyperparameter search varies: settings by name, each with a range or a list of values."""

from __future__ import annotations

import json
import math
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from ray import tune

from deepsched.baselines.errors import InvalidInput
from deepsched.model.networks import get_network, network_config
from deepsched.pipeline.training.config import TrainConfig, make_config

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

# Searched without --search for any network, beside its own `search_space`.
COMMON: Mapping[str, str] = MappingProxyType(
    {"learning_rate": "5e-4..1e-2", "tasks_per_micro_batch": "512,1024,2048"}
)
# Not searched: they decide what is learned from, or how the losses of trials compare.
UNSEARCHABLE = (
    *("network", "network_options", "objective", "teacher", "turnaround", "epochs", "steps"),
    *("limit_samples", "development", "check_every", "checkpoint_seconds"),
    *("workers", "rollout_workers", "cache_mb", "max_failures"),
)
RANGE = ".."


def default_space(network: str) -> dict[str, str]:
    """Return the search of a network that nothing else was said about."""
    own = get_network(network).search_space
    return {**COMMON, **{f"network_options.{field}": text for field, text in own.items()}}


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


def search_space(config: TrainConfig, ranges: Mapping[str, str]) -> dict[str, Any]:
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
        low, is_range, high = text.partition(RANGE)
        values = [_value(part) for part in ((low, high) if is_range else text.split(","))]
        for value in values:
            where = f"--search {field}={text}"
            trial = trial_config(config, {field: value}, where=where)
            network_config(trial.network, trial.network_options, where)
        space[field] = _log_uniform(field, values) if is_range else tune.choice(values)
    return space


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


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _log_uniform(field: str, ends: Sequence[Any]) -> Any:
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
    return draw(low, high)
