"""The best of many schedules: a teacher that is never worse than any of its members."""

from __future__ import annotations

from typing import TYPE_CHECKING

from deepsched.baselines.batch_mode import MAX_TASKS
from deepsched.baselines.bounds import enough, lower_bound
from deepsched.baselines.cpop import cpop
from deepsched.baselines.genetic import genetic
from deepsched.baselines.kernels import batch_mode as kernels
from deepsched.baselines.min_min import min_min
from deepsched.baselines.peft import peft
from deepsched.baselines.perturbation import perturbation
from deepsched.baselines.ranks import heft_order
from deepsched.baselines.reinsertion import anneal_by_steps
from deepsched.baselines.schedule import Schedule, make_schedule
from deepsched.baselines.sufferage import sufferage

if TYPE_CHECKING:
    import numpy as np

    from deepsched.baselines.problem import Problem

GENERATIONS = 50  # of the genetic search, half of what it makes as a scheduler of its own
# Of the search by re-insertion: tasks and edges looked at, and the least and most steps for it.
WORK, STEPS = 1_000_000, (20, 4_000)


def best_of(problem: Problem, rng: np.random.Generator) -> Schedule:
    """Return the schedule of least makespan among those of several schedulers.

    They are HEFT with insertion (as the start of the searches) and without, PEFT, CPOP, up to
    20,000 tasks min-min and sufferage, the perturbation search and the seeded genetic search. The
    first of equally long ones is taken, and a search by re-insertion goes on from it.

    References
    ----------
    Each member names its own; HEFT without insertion is discussed by Topcuoglu, Hariri, Wu (2002),
    doi:10.1109/71.993206.
    """
    appended = kernels.minimum_completion_time(
        heft_order(problem),
        problem.etc,
        problem.arrival,
        problem.predecessors,
        problem.machines.links,
    )
    found = [
        perturbation(problem, rng),
        make_schedule("heft, appending", *appended),
        peft(problem),
        cpop(problem),
    ]
    best = min(found, key=_length)
    # What reaches the lower bound is the first of the shortest, whatever comes after it.
    bound = enough(lower_bound(problem))
    if best.makespan > bound:
        found.append(
            genetic(
                problem,
                rng,
                generations=GENERATIONS,
                fitness="makespan",
                seeded=True,
                mutations=2.0,
                elite=2,
            )
        )
        if problem.n_tasks <= MAX_TASKS:
            found += [min_min(problem), sufferage(problem)]
        best = min(found, key=_length)
        least, most = STEPS
        steps = min(max(WORK // (problem.n_tasks + problem.n_edges), least), most)
        best = anneal_by_steps(problem, best, steps, int(rng.integers(2**63)), bound)
    return make_schedule("best-of", best.proc, best.ast, best.aft)


def _length(schedule: Schedule) -> float:
    return schedule.makespan
