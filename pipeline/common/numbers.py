"""Numbers as options of commands: finite, and of a size that something can be done with."""

from __future__ import annotations

from typing import Any

import click

MOST = 10**9  # of anything that is counted, of seconds, of MB: where nothing less is said
MOST_PROCESSES = 10_000  # that one command starts
LEAST_SHARE = 0.0001  # of a CPU or another resource, for a task of Ray
MOST_SEED = 2**63 - 1  # what a dataset's columns hold


class Real(click.FloatRange):
    """A finite number in a range; without an upper end at most `MOST`."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Return the number."""
        number: float = super().convert(value, param, ctx)
        if self.max is None and not abs(number) <= MOST:  # also where it is NaN
            self.fail(f"{value} is not a finite number of at most {MOST:g}.", param, ctx)
        if number != number:
            self.fail(f"{value} is not a number.", param, ctx)
        return number


class Whole(click.IntRange):
    """A whole number in a range; without an upper end at most `most`."""

    def __init__(self, min: int | None = None, max: int | None = None, *, most: int = MOST) -> None:
        super().__init__(min, max)
        self.most = most

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return the number."""
        number: int = super().convert(value, param, ctx)
        if self.max is None and not abs(number) <= self.most:
            self.fail(f"{value} is more than {self.most}.", param, ctx)
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
AT_LEAST_0 = Real(min=0)
