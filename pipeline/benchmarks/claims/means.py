"""Means of ratios, and how they are written in a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence


def arithmetic_mean(ratios: Sequence[float]) -> float:
    """Return the sum / the number; a few bad problems decide it."""
    return float(np.mean(ratios))


def geometric_mean(ratios: Sequence[float]) -> float:
    """Return the exponential of the mean logarithm: what is usual for ratios."""
    return float(np.exp(np.mean(np.log(ratios))))


def both_means(ratios: Sequence[float]) -> list[str]:
    """Return the arithmetic and the geometric mean as cells of a table."""
    return [written(arithmetic_mean(ratios)), written(geometric_mean(ratios))]


def written(ratio: float) -> str:
    """Return a ratio with three decimals, or fewer where it is large."""
    return f"{ratio:.3f}" if ratio < 10 else f"{ratio:,.1f}"
