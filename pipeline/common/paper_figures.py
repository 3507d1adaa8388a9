"""Figures that the paper published, for comparison only."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

# Table I (Intel i5-6600K, 188 machines): scheduling seconds by number of tasks.
PAPER_SECONDS: Mapping[str, Mapping[int, float]] = MappingProxyType(
    {
        "HEFT": {486: 31.5, 10_000: 305.5, 84_654: 670.0},
        "GA": {486: 67.5, 10_000: 602.5, 84_654: 3967.0},
        "network": {486: 0.125, 10_000: 0.125, 84_654: 0.125},
    }
)
