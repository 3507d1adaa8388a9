"""What a schedule can be made short by, each with the bound below which none comes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from deepsched.baselines.bounds import lower_bound, mean_turnaround_bound
from deepsched.baselines.metrics import makespan, mean_turnaround

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from deepsched.baselines.problem import Problem
    from deepsched.baselines.schedule import Schedule

# Seconds of a schedule, and of the best that may exist, by objective.
MEASURES: Mapping[str, Callable[[Problem, Schedule], float]] = {
    "makespan": makespan,
    "turnaround": mean_turnaround,
}
BOUNDS: Mapping[str, Callable[[Problem], float]] = {
    "makespan": lower_bound,
    "turnaround": mean_turnaround_bound,
}
