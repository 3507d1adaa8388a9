"""Who hears of a training while it runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from deepsched.pipeline.training.history import Record


class Reporter(Protocol):
    """Who wants to know how a training goes."""

    def step(self, step: int, measures: Mapping[str, float], tasks: int) -> None:
        """Take note of a finished step, its measures, and the tasks learned from until then."""

    def wants_checkpoint(self) -> bool:
        """Return whether it is time for a checkpoint; the first process decides for all."""
        ...

    def checkpoint(
        self, step: int, record: Record | None, files: Callable[[], dict[str, bytes]]
    ) -> None:
        """Take note of a state worth keeping; `record`: of a validation, if there was one."""

    def discard(self, after: int) -> None:
        """Forget the states after a step, which lead to nothing good."""


class Silent:
    """A reporter that keeps nothing; others are made of it that mind validations only."""

    def step(self, step: int, measures: Mapping[str, float], tasks: int) -> None:
        """Take no note."""

    def wants_checkpoint(self) -> bool:
        """Return False: a validation comes soon enough."""
        return False

    def checkpoint(
        self, step: int, record: Record | None, files: Callable[[], dict[str, bytes]]
    ) -> None:
        """Keep nothing."""

    def discard(self, after: int) -> None:
        """Forget nothing."""
