"""Schedulers of one's own: a mistake in one is told in one line that names it."""

from __future__ import annotations

import traceback
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

from deepsched.baselines.errors import DeepSchedError, InvalidInput
from deepsched.baselines.schedule import Schedule
from deepsched.baselines.text import printable

if TYPE_CHECKING:
    import numpy as np

    from deepsched.baselines.problem import Problem
    from deepsched.baselines.registry import Scheduler


@dataclass(frozen=True)
class OwnScheduler:
    """A user's function as a scheduler.

    Attributes
    ----------
    name : by which it is known; its schedules carry it.
    function : of a problem and a random stream.
    """

    name: str
    function: Scheduler
    invalid: ClassVar[type[Exception]] = InvalidInput  # what a schedule that breaks a rule is

    def __call__(self, problem: Problem, rng: np.random.Generator) -> Schedule:
        """Schedule a problem.

        Raises
        ------
        InvalidInput
            If the function fails or returns something else.
        """
        try:
            found: Any = self.function(problem, rng)
        except DeepSchedError:
            raise
        except Exception as error:
            last = traceback.extract_tb(error.__traceback__)[-1]
            said = printable(" ".join(str(error).split()))[:400]
            raise InvalidInput(
                f"scheduler {self.name}, on {printable(problem.name)}: {type(error).__name__}: "
                f"{said} ({printable(last.filename)}, line {last.lineno})"
            ) from error
        if not isinstance(found, Schedule):
            raise InvalidInput(
                f"scheduler {self.name} returned {type(found).__name__}; it must return a "
                "Schedule, such as append_in_order(problem, order, machines, name) makes"
            )
        return replace(found, scheduler=self.name, winner=self.name)
