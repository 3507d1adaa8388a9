"""HEFT: heterogeneous earliest finish time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from deepsched.baselines.list_schedule import insert_in_order
from deepsched.baselines.ranks import heft_order

if TYPE_CHECKING:
    import numpy as np

    from deepsched.baselines.problem import Problem
    from deepsched.baselines.schedule import Schedule


def heft(problem: Problem, rng: np.random.Generator | None = None) -> Schedule:
    """Take tasks by upward rank; put each where it finishes first, idle gaps included.

    Deterministic; `rng` is not used. Ties: lower topological index, lower machine index.

    References
    ----------
    Topcuoglu, Hariri, Wu (2002), doi:10.1109/71.993206, section 4.1.
    """
    return insert_in_order(problem, heft_order(problem), "heft")
