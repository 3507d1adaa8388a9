"""Statistics of a comparison: ratios to a reference, and how sure they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike

    from deepsched.baselines.arrays import FloatArray

LEVEL = 0.95  # of every interval
RESAMPLES = 2000
TIE = 1e-9  # relative; schedules closer than this count as equal
SIZE_BOUNDS = (50, 200, 500, 2_000, 10_000)  # tasks; upper ends of the size buckets but the last


@dataclass(frozen=True, kw_only=True, slots=True)
class RatioSummary:
    """How one scheduler's values compare with the reference's on the same samples.

    Attributes
    ----------
    mean, median, worst : of value / reference over the samples; below 1 is better.
    interval : 95 % interval of the mean; None where the samples come from a single source.
    better, equal, worse : samples on which it beats, ties with or loses to the reference.
    samples, sources : how many there are, and from how many different graphs they come.
    """

    mean: float
    median: float
    worst: float
    interval: tuple[float, float] | None
    better: int
    equal: int
    worse: int
    samples: int
    sources: int


def ratios(values: ArrayLike, reference: ArrayLike) -> FloatArray:
    """Return values / reference; 1 where both are 0."""
    x, y = np.asarray(values, dtype=np.float64), np.asarray(reference, dtype=np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where((x == 0) & (y == 0), 1.0, x / y)


def summarise_ratios(
    values: ArrayLike, reference: ArrayLike, sources: Sequence[str], *, seed: int = 0
) -> RatioSummary:
    """Summarise a scheduler against the reference on the same samples.

    Parameters
    ----------
    values, reference : (n_samples,) a measure of which less is better.
    sources : (n_samples,) the graph each sample was made from.
    seed : of the bootstrap.
    """
    ratio = ratios(values, reference)
    equal = np.abs(ratio - 1.0) <= TIE
    return RatioSummary(
        mean=float(ratio.mean()),
        median=float(np.median(ratio)),
        worst=float(ratio.max()),
        interval=bootstrap_interval(ratio, sources, seed=seed),
        better=int(((ratio < 1.0) & ~equal).sum()),
        equal=int(equal.sum()),
        worse=int(((ratio > 1.0) & ~equal).sum()),
        samples=ratio.size,
        sources=len(set(sources)),
    )


def bootstrap_interval(
    values: ArrayLike, sources: Sequence[str], *, seed: int = 0, resamples: int = RESAMPLES
) -> tuple[float, float] | None:
    """Return the 95 % percentile interval of the mean, resampling whole sources.

    Samples of one graph on different machines resemble each other; drawing samples one by one would
    make the interval too narrow.

    Returns
    -------
    Low and high; None when there is only one source, which says nothing about others.

    References
    ----------
    Cameron, Gelbach, Miller (2008), doi:10.1162/rest.90.3.414: resampling of clusters.
    """
    data = np.asarray(values, dtype=np.float64)
    _, cluster = np.unique(np.asarray(sources), return_inverse=True)
    count = np.bincount(cluster)
    if count.size < 2:
        return None
    total = np.bincount(cluster, weights=data)
    drawn = np.random.default_rng(seed).integers(0, count.size, (resamples, count.size))
    means = total[drawn].sum(axis=1) / count[drawn].sum(axis=1)
    low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def size_bucket(n_tasks: int) -> str:
    """Return the label of the range of sizes that `n_tasks` falls into."""
    return SIZE_LABELS[int(np.searchsorted(SIZE_BOUNDS, n_tasks))]


def _size_labels() -> tuple[str, ...]:
    lows = (1, *(bound + 1 for bound in SIZE_BOUNDS))
    ranges = [f"{low:,}–{high:,}" for low, high in zip(lows, SIZE_BOUNDS, strict=False)]
    return (*ranges, f"over {SIZE_BOUNDS[-1]:,}")


SIZE_LABELS = _size_labels()
