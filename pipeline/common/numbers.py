"""Numbers as options of commands: finite, and of a size that something can be done with."""

from __future__ import annotations

import math
import sys
from typing import Any

import click

MOST = 10**9  # of anything that is counted, of seconds, of MB: where nothing less is said
MOST_PROCESSES = 10_000  # that one command starts
LEAST_SHARE = 0.0001  # of a CPU or another resource, for a task of Ray
MOST_SEED = 2**63 - 1  # what a dataset's columns hold


class Real(click.FloatRange):
    """A finite number in a range, of which help does not say that `most` is its end."""

    def __init__(
        self,
        min: float | None = None,
        max: float | None = None,
        *,
        min_open: bool = False,
        most: float = sys.float_info.max,
    ) -> None:
        super().__init__(min, max, min_open=min_open)
        self.most = most

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Return the number."""
        number: float = super().convert(value, param, ctx)
        name = f"{param.name} " if param else ""
        if not math.isfinite(number):
            self.fail(f"{name}{number:g}: it must be a finite number.", param, ctx)
        if abs(number) > self.most:
            self.fail(f"{name}{number:g}: it must be at most {self.most:g}.", param, ctx)
        return number


class Whole(click.IntRange):
    """A whole number in a range, likewise."""

    def __init__(self, min: int | None = None, max: int | None = None, *, most: int = MOST) -> None:
        super().__init__(min, max)
        self.most = most

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return the number."""
        number: int = super().convert(value, param, ctx)
        if self.max is None and abs(number) > self.most:
            name = f"{param.name} " if param else ""
            self.fail(f"{name}{number}: it must be at most {self.most}.", param, ctx)
        return number


class Wholes(click.ParamType[tuple[int, ...]]):
    """Whole numbers of at least `least`, separated by commas."""

    name = "numbers"

    def __init__(self, least: int) -> None:
        self.one = Whole(min=least)

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, ...]:
        """Return the numbers."""
        if isinstance(value, tuple):
            return value
        return tuple(self.one.convert(part.strip(), param, ctx) for part in value.split(","))


SEED = Whole(min=0, most=MOST_SEED)
POSITIVE = Real(min=0, min_open=True)
AMOUNT = Real(min=0, min_open=True, most=MOST)  # of seconds or MB
AT_LEAST_0 = Real(min=0)
