"""Constraint programming: tiny graphs, mostly to the optimum. It needs OR-Tools."""

from __future__ import annotations

import importlib
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np

from deepsched.baselines.best_of import best_of
from deepsched.baselines.bounds import enough, lower_bound
from deepsched.baselines.errors import NotInstalled, TooLarge
from deepsched.baselines.list_schedule import append_in_order, replay_order
from deepsched.baselines.schedule import Schedule, make_schedule

if TYPE_CHECKING:
    from deepsched.baselines.problem import Problem

NAME = "cp-sat"
MAX_CHOICES = 128  # tasks times machines
EFFORT = 1.0  # of the solver's own clock, which does not depend on the machine; up to ten seconds
SMALLEST = 1e-300  # s; below it a makespan cannot be divided into ticks
TICKS = 1_000_000  # parts of the makespan at the start, to which times are rounded for the solver


def cp_sat(problem: Problem, rng: np.random.Generator) -> Schedule:
    """Return the schedule of :func:`best_of`, made shorter by the solver CP-SAT where it can be.

    Where the solver ends by itself, up to about fifteen tasks, no schedule is shorter by more than
    some millionths. The same version of OR-Tools gives the same schedule.

    Raises
    ------
    NotInstalled
        Without OR-Tools.
    TooLarge
        Beyond `MAX_CHOICES` tasks times machines.

    References
    ----------
    Perron, Didier (CP-SAT), https://developers.google.com/optimization/cp/cp_solver.
    """
    require()
    if problem.etc.size > MAX_CHOICES:
        raise TooLarge(
            f"{NAME} looks for the optimum; it is offered up to {MAX_CHOICES} tasks times machines "
            f"and {problem.name} has {problem.n_tasks} times {problem.n_machines}; use best-of"
        )
    start = best_of(problem, rng)
    least = max(SMALLEST, enough(lower_bound(problem)))
    found = _solve(problem, start) if start.makespan > least else None
    if found is None or found.makespan >= start.makespan:
        return make_schedule(NAME, start.proc, start.ast, start.aft)
    return found


def installed() -> bool:
    """Return whether OR-Tools is there."""
    return find_spec("ortools") is not None


def require() -> None:
    """Raise `NotInstalled` where OR-Tools is missing."""
    if not installed():
        raise NotInstalled(f"{NAME} needs OR-Tools: pip install 'deepsched[exact]'")


def _solve(problem: Problem, start: Schedule) -> Schedule | None:
    cp_model: Any = importlib.import_module("ortools.sat.python.cp_model")  # takes a second
    n, p = problem.etc.shape
    tick = start.makespan / TICKS

    # So much more than what is known to be enough that rounding takes nothing away.
    horizon = TICKS + 2 * (n + problem.n_edges)

    def ticks(seconds: float) -> int:
        return round(min(seconds / tick, horizon + 1))  # what is too long stays too long

    model = cp_model.CpModel()
    begin = [model.new_int_var(ticks(a), horizon, "") for a in problem.arrival.tolist()]
    takes = [[ticks(cost) for cost in row] for row in problem.etc.tolist()]
    on = [{q: model.new_bool_var("") for q in range(p) if takes[i][q] <= TICKS} for i in range(n)]
    end = [begin[i] + sum(takes[i][q] * chosen for q, chosen in on[i].items()) for i in range(n)]
    for i in range(n):
        model.add_exactly_one(on[i].values())
    for q in range(p):
        model.add_no_overlap(
            model.new_optional_fixed_size_interval_var(begin[i], takes[i][q], on[i][q], "")
            for i in range(n)
            if q in on[i]
        )
    links = problem.machines
    for i in range(n):
        for e in range(problem.succ_ptr[i], problem.succ_ptr[i + 1]):
            child = int(problem.succ[e])
            seconds = links.latency + problem.succ_bytes[e] / links.bandwidth
            model.add(begin[child] >= end[i])
            for a, from_here in on[i].items():
                for b, to_there in on[child].items():
                    if a != b:
                        later = takes[i][a] + ticks(float(seconds[a, b]))
                        done = model.add(begin[child] >= begin[i] + later)
                        done.only_enforce_if(from_here, to_there)
    makespan = model.new_int_var(0, horizon, "")
    model.add_max_equality(makespan, end)
    model.minimize(makespan)
    for i in range(n):
        model.add_hint(begin[i], ticks(float(start.ast[i])))
        for q, chosen in on[i].items():
            model.add_hint(chosen, q == start.proc[i])
    solver = cp_model.CpSolver()
    solver.parameters.num_workers = 1
    solver.parameters.max_deterministic_time = EFFORT
    if solver.solve(model) not in (cp_model.OPTIMAL, cp_model.FEASIBLE):
        return None
    proc = np.array([next(q for q, c in on[i].items() if solver.value(c)) for i in range(n)])
    begins, ends = ([solver.value(var) for var in variables] for variables in (begin, end))
    order = replay_order(problem, make_schedule(NAME, proc, begins, ends))
    return append_in_order(problem, order, proc, NAME)
