"""How much each setting of a search mattered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

PARTS = 3  # of the trials, by a setting that is a number


def importance(
    params: Sequence[Mapping[str, Any]], scores: Sequence[float | None]
) -> dict[str, float | None]:
    """Return the share of the variance of the trials' ranks that each setting explains by itself.

    Trials are ranked by their scores; those that failed share the last ranks. Trials are put into
    groups: of each value of a setting, or, where it has more than three values, all of them
    numbers, into three of equal size. The share is that of the variance between groups (eta
    squared), less what groups drawn at random would explain (as R squared is adjusted), and at
    least 0. What settings do together is not seen.

    Parameters
    ----------
    params, scores : of each trial; None: it failed.

    Returns
    -------
    By setting, the largest first; None where there are too few trials to tell.
    """
    ranks = _ranks(scores)
    names = list(dict.fromkeys(name for one in params for name in one))
    found = {name: _explained(_groups([one.get(name) for one in params]), ranks) for name in names}
    return dict(sorted(found.items(), key=lambda item: 1.0 if item[1] is None else -item[1]))


def _ranks(scores: Sequence[float | None]) -> np.ndarray:
    values = np.array([np.inf if score is None else score for score in scores])
    order = np.sort(values)
    # Equal scores share the mean of their ranks.
    first, last = np.searchsorted(order, values), np.searchsorted(order, values, side="right")
    return (first + last - 1) / 2.0


def _groups(values: Sequence[Any]) -> np.ndarray:
    numbers = all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in values)
    if numbers and len(set(values)) > PARTS:
        place = np.argsort(np.argsort(np.array(values, dtype=float), kind="stable"))
        return np.asarray(place * PARTS // len(values))
    index = {repr(value): k for k, value in enumerate(dict.fromkeys(values))}
    return np.array([index[repr(value)] for value in values])


def _explained(groups: np.ndarray, ranks: np.ndarray) -> float | None:
    n, parts = len(ranks), len(set(groups.tolist()))
    total = float(((ranks - ranks.mean()) ** 2).sum())
    if n <= parts or parts < 2 or not total:
        return None
    within = sum(
        float(((ranks[groups == k] - ranks[groups == k].mean()) ** 2).sum())
        for k in sorted(set(groups.tolist()))
    )
    return max(0.0, 1.0 - within / (n - parts) / (total / (n - 1)))
