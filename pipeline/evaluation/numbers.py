"""How numbers are written in a report; "–" where there is none."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def number_text(value: float | None, digits: int = 5) -> str:
    """Return so many significant digits, without an exponent where that stays readable."""
    if value is None:
        return "–"
    if value == 0 or not 1e-6 < abs(value) < 1e9:
        return f"{value:.{digits}g}"
    decimals = max(digits - 1 - math.floor(math.log10(abs(value))), 0)
    return f"{value:,.{decimals}f}"


def ratio_text(value: float | None) -> str:
    """Return three decimals."""
    return "–" if value is None else f"{value:.3f}"


def share_text(value: float | None) -> str:
    """Return a share in percent."""
    return "–" if value is None else f"{100 * value:.1f} %"


def interval_text(ends: Sequence[float] | None) -> str:
    """Return the two ends, three decimals each."""
    return f"{ends[0]:.3f}–{ends[1]:.3f}" if ends else "–"
