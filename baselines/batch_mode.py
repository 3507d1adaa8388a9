"""What min-min, max-min and sufferage share: one ready task is assigned at a time, appending."""

from __future__ import annotations

from typing import TYPE_CHECKING

from deepsched.baselines.errors import TooLarge
from deepsched.baselines.kernels import batch_mode as kernels
from deepsched.baselines.schedule import Schedule, make_schedule

if TYPE_CHECKING:
    from deepsched.baselines.problem import Problem

MAX_TASKS = 20_000  # every ready task is looked at after each assignment: quadratic in the tasks


def assign_one_by_one(problem: Problem, name: str, rule: int) -> Schedule:
    """Assign the ready task that `rule` prefers to the machine where it completes first.

    Arrivals and communication are part of the completion times. Ties: lower topological index,
    lower machine index.

    Raises
    ------
    TooLarge
        Beyond `MAX_TASKS` tasks.
    """
    if problem.n_tasks > MAX_TASKS:
        raise TooLarge(
            f"{name} compares all ready tasks at every step, quadratic in the tasks; it is offered "
            f"up to {MAX_TASKS:,} tasks and {problem.name} has {problem.n_tasks:,}; use heft or mct"
        )
    proc, ast, aft = kernels.batch_mode(
        rule,
        problem.topo_index,
        problem.etc,
        problem.arrival,
        problem.successors,
        problem.predecessors,
        problem.machines.links,
    )
    return make_schedule(name, proc, ast, aft)
