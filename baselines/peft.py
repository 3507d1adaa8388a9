"""PEFT: predict earliest finish time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from deepsched.baselines.list_schedule import insert_in_order
from deepsched.baselines.ranks import mean_over_eligible, optimistic_cost, ready_order

if TYPE_CHECKING:
    import numpy as np

    from deepsched.baselines.problem import Problem
    from deepsched.baselines.schedule import Schedule


def peft(problem: Problem, rng: np.random.Generator | None = None) -> Schedule:
    """Look one table ahead: least EFT + optimistic cost of what follows.

    Ready tasks are taken by the mean of their optimistic costs over the machines that can hold
    them, idle gaps included in the placement. Ties: lower topological index, lower machine index.
    Deterministic; `rng` is not used.

    References
    ----------
    Arabnejad, Barbosa (2014), doi:10.1109/TPDS.2013.57.
    """
    ahead = optimistic_cost(problem)
    order = ready_order(problem, mean_over_eligible(problem, ahead))
    return insert_in_order(problem, order, "peft", bias=ahead)
