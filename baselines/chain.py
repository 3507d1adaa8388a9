"""The chain that explains a makespan: what ended last, what it waited for, and so on back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from deepsched.baselines.schedule import RELATIVE_TOLERANCE, check_belongs

if TYPE_CHECKING:
    from deepsched.baselines.arrays import FloatArray, IntArray
    from deepsched.baselines.problem import Problem
    from deepsched.baselines.schedule import Schedule

Step = Literal["task", "transfer", "idle"]
Reason = Literal["arrival", "input", "machine", "nothing"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Link:
    """A stretch of time in the chain, from `start` to `finish`, s.

    Attributes
    ----------
    step : "task", the task runs; "transfer", its input from `parent` is on the way; "idle", it
        could have started and did not.
    task : the task that runs or waits.
    parent : whose output is transferred; -1 where nothing is.
    reason : what kept it from starting sooner. "arrival": it was not there yet; "input": `cause` is
        a parent, whose output came last; "machine": `cause` ran there before; "nothing": all was
        there sooner, last what `cause` did. A transfer is for an "input", idle time for "nothing".
    cause : a parent or the task before on the machine; -1 where the chain begins.
    """

    step: Step
    task: int
    start: float
    finish: float
    reason: Reason
    cause: int = -1
    parent: int = -1


def critical_chain(problem: Problem, schedule: Schedule) -> tuple[Link, ...]:
    """Return why the schedule takes as long as it does, in order of time.

    The last link is the task that finishes last. Each task begins where the link before it ends,
    and the first one at its arrival, so that the links' lengths add up to the makespan less that
    arrival; without idle time in it, no task of the chain could start sooner unless one before did.

    A task has waited for what was there last. Ties: its arrival, then an input (of the lower task),
    then the task before it on the machine; of tasks that finish last, the lower. Times within 1e-9
    of the makespan are ties.

    The schedule should be valid (see `violations`); of one that is not, the chain has gaps.

    Raises
    ------
    InvalidInput
        If the schedule is none of this problem's.

    Examples
    --------
    >>> from deepsched.baselines.heft import heft
    >>> from deepsched.baselines.machines import make_machines
    >>> from deepsched.baselines.problem import make_problem
    >>> problem = make_problem(machines=make_machines(1), work=[2, 3])
    >>> [(link.task, link.start, link.reason) for link in critical_chain(problem, heft(problem))]
    [(1, 0.0, 'arrival'), (0, 3.0, 'machine')]
    """
    check_belongs(problem, schedule)
    order = np.lexsort((problem.topo_index, schedule.aft, schedule.ast, schedule.proc))
    before = np.full(problem.n_tasks, -1)
    same = schedule.proc[order[1:]] == schedule.proc[order[:-1]]
    before[order[1:][same]] = order[:-1][same]
    tolerance = RELATIVE_TOLERANCE * max(schedule.makespan, 0.0)

    task, found = int(schedule.aft.argmax()), list[Link]()
    while task >= 0:
        links = _links_to(problem, schedule, task, int(before[task]), tolerance)
        found += links
        task = links[-1].cause
    return tuple(found[::-1])


def _links_to(
    problem: Problem, schedule: Schedule, task: int, previous: int, tolerance: float
) -> list[Link]:
    """Return the task's own link and those of the time for which it waited, the latest first."""
    start, finish = float(schedule.ast[task]), float(schedule.aft[task])
    reason, cause, ready = _last_there(problem, schedule, task, previous, tolerance)
    late = start - ready > tolerance
    named: Reason = "nothing" if late else reason
    links = [
        Link(step="task", task=task, start=start, finish=finish, reason=named, cause=cause),
    ]
    if late:
        links.append(
            Link(step="idle", task=task, start=ready, finish=start, reason=named, cause=cause)
        )
        start = ready
    if reason == "input" and start - float(schedule.aft[cause]) > tolerance:
        links.append(
            Link(
                step="transfer",
                task=task,
                parent=cause,
                start=float(schedule.aft[cause]),
                finish=start,
                reason=reason,
                cause=cause,
            )
        )
    return links


def _last_there(
    problem: Problem, schedule: Schedule, task: int, previous: int, tolerance: float
) -> tuple[Reason, int, float]:
    """Return what the task waited for longest, whose doing it was, and when that was over, s."""
    found: tuple[Reason, int, float] = ("arrival", -1, float(problem.arrival[task]))
    parents, due = _inputs(problem, schedule, task)
    if due.size and due.max() > found[2] + tolerance:
        k = int((due >= due.max() - tolerance).argmax())
        found = ("input", int(parents[k]), float(due[k]))
    if previous >= 0 and schedule.aft[previous] > found[2] + tolerance:
        found = ("machine", previous, float(schedule.aft[previous]))
    return found


def _inputs(problem: Problem, schedule: Schedule, task: int) -> tuple[IntArray, FloatArray]:
    """Return the parents and when the output of each is there, s."""
    own = _moment(problem, schedule, task)
    edges = slice(problem.pred_ptr[task], problem.pred_ptr[task + 1])
    parents, data = problem.pred[edges], problem.pred_bytes[edges]
    # In an invalid schedule a parent may come after its child, and the walk back would not end.
    sooner = np.array([_moment(problem, schedule, j) < own for j in parents.tolist()], dtype=bool)
    parents, data = parents[sooner], data[sooner]
    link = (schedule.proc[parents], schedule.proc[task])
    transfer = problem.machines.latency[link] + data / problem.machines.bandwidth[link]
    return parents, schedule.aft[parents] + transfer


def _moment(problem: Problem, schedule: Schedule, task: int) -> tuple[float, float, int]:
    """Return when a task runs, different for each, and later for a child than for its parents."""
    return float(schedule.ast[task]), float(schedule.aft[task]), int(problem.topo_index[task])
