"""Round-robin: deal the tasks out like cards."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from deepsched.baselines.list_schedule import append_in_order

if TYPE_CHECKING:
    from deepsched.baselines.problem import Problem
    from deepsched.baselines.schedule import Schedule


def round_robin(problem: Problem, rng: np.random.Generator | None = None) -> Schedule:
    """Give task k of the topological order to machine k mod n_machines, appending.

    A task that does not fit there goes to the next machine that can hold it. Deterministic; `rng`
    is not used.

    References
    ----------
    Kleinrock, Queueing Systems II (1976), section 4.4, for the discipline itself; here it is the
    floor of the comparisons, because no cost enters the choice.
    """
    n, p = problem.n_tasks, problem.n_machines
    proc = problem.topo_index % p
    fits = np.isfinite(problem.etc)
    for i in np.flatnonzero(~fits[np.arange(n), proc]):
        cycle = (proc[i] + np.arange(p)) % p
        proc[i] = cycle[fits[i, cycle].argmax()]
    return append_in_order(problem, problem.topo, proc, "round-robin")
