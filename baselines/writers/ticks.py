"""Times as whole numbers, for a file whose readers take whole numbers up to some size only."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from deepsched.baselines.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Iterator

    from deepsched.baselines.arrays import FloatArray, IntArray

LARGEST = 2**53  # up to here a double, which viewers read, holds every whole number
MICROSECONDS = 6  # the power of ten of them in a second
PARTS = 512  # of a microsecond: exact in a double, and more than the nanosecond that viewers keep
DIGITS = 3  # of the least difference, where the unit is chosen by it and there is room
LEAST_POWER, MOST_POWER = -308, 308  # of ten: what a double holds in full precision
NOISE = 1e-14  # of the span: times that are this close differ by rounding, and may become one


class Scale(NamedTuple):
    """What a tick means: time, s = offset + ticks / parts · 10^-power.

    10^-power s is what a viewer will call a microsecond, `parts` how many ticks that is.
    """

    offset: float
    power: int
    parts: int

    @property
    def microsecond(self) -> float:
        """What stands for a microsecond, s."""
        return float(f"1e{-self.power}")

    @property
    def true(self) -> bool:
        """Whether the viewer's microseconds are microseconds from the problem's own time 0."""
        return self.power == MICROSECONDS and self.offset == 0

    def whole(self, times: FloatArray) -> FloatArray:
        """Return ticks; whole microseconds are rounded down, parts and other units to the next."""
        with np.errstate(over="ignore"):
            scaled = (times - self.offset) * float(f"1e{self.power}") * self.parts
        kept: FloatArray = (
            np.floor(scaled) if self.power == MICROSECONDS and self.parts == 1 else np.rint(scaled)
        )
        return kept

    def ticks(self, times: FloatArray) -> IntArray:
        """Return ticks as integers, of times that this scale was chosen for."""
        return self.whole(times).astype(np.int64)


def scale_of(ast: FloatArray, aft: FloatArray) -> Scale:
    """Return the scale in which all different times stay different, in the plainest way.

    In order of preference: whole microseconds, parts of microseconds, the same from the first start
    on, and a power of ten of a second of which a thousand fit into the least difference, or as many
    as there is room for. Times are taken as different where more than rounding, 1e-14 of the span,
    lies between them.

    Raises
    ------
    InvalidInput
        If there is none: times differ by less than 1e-308 s.
    """
    times = np.unique(np.concatenate([ast, aft]))
    gaps = np.diff(times)
    different = gaps > NOISE * (times[-1] - times[0])
    least = float(gaps[different].min(initial=np.inf))
    for scale in _scales(float(times[0]), least):
        ticks = scale.whole(times)
        if ticks[0] >= 0 and ticks[-1] <= LARGEST and (np.diff(ticks)[different] > 0).all():
            return scale
    raise InvalidInput(
        f"times from {times[0]:g} s to {times[-1]:g} s, of which some differ by {least:g} s, "
        "cannot be written as whole numbers of any unit"
    )


def _scales(first: float, least: float) -> Iterator[Scale]:
    for offset in (0.0, first):
        yield Scale(offset, MICROSECONDS, 1)
        yield Scale(offset, MICROSECONDS, PARTS)
    if math.isfinite(least):
        exponent = -math.floor(math.log10(least))
        for power in range(exponent + DIGITS, exponent - 2, -1):
            if LEAST_POWER <= power <= MOST_POWER:
                yield Scale(0.0, power, 1)
                yield Scale(first, power, 1)
