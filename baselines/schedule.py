"""A schedule, and the one validator that judges every schedule whoever made it."""

from __future__ import annotations

import html
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from deepsched.baselines.arrays import FloatArray, IntArray, frozen_float, frozen_int
from deepsched.baselines.bounds import lower_bound
from deepsched.baselines.errors import InvalidInput, extra_for

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import pandas as pd
    from matplotlib.axes import Axes
    from numpy.typing import ArrayLike

    from deepsched.baselines.problem import Problem

RELATIVE_TOLERANCE = 1e-9  # of the makespan
MOST_ROWS = 12  # tasks that a notebook shows
MOST_NAMED = 64  # machines whose names fit beside a chart
MAX_REPORTED = 20  # violations named per rule; the rest are counted


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Schedule:
    """Where and when each task runs. Arrays are read-only, in the problem's task order.

    Attributes
    ----------
    scheduler : who was asked for it.
    winner : whose it is: `heft` where the guard of `deepsched` kept HEFT's, else the scheduler's.
    proc : (n_tasks,) machine index.
    ast, aft : (n_tasks,) s, actual start and actual finish.
    """

    scheduler: str
    proc: IntArray
    ast: FloatArray
    aft: FloatArray
    winner: str = ""
    _makespan: float | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        if not self.winner:
            object.__setattr__(self, "winner", self.scheduler)

    @property
    def makespan(self) -> float:
        """The latest finish, s."""
        if self._makespan is None:  # searches ask for it again and again
            object.__setattr__(self, "_makespan", float(self.aft.max()))
        assert self._makespan is not None
        return self._makespan

    def __repr__(self) -> str:
        n = self.proc.size
        if not n:
            return f"Schedule({self.scheduler!r}, no task)"
        tasks = "1 task" if n == 1 else f"{n} tasks"
        return f"Schedule({self.scheduler!r}, {tasks}, makespan {self.makespan:.6g} s)"

    def rows(self, problem: Problem | None = None) -> list[dict[str, Any]]:
        """Return one row a task, in the problem's task order, as tables of other packages take it.

        Keys: task, machine, start, finish, duration; times in s. Tasks and machines are ids where
        the problem is given, else their numbers, counted from 0.

        Raises
        ------
        InvalidInput
            If the schedule is none of this problem's.

        Examples
        --------
        >>> make_schedule("hand", [1], [0.5], [2.0]).rows()
        [{'task': 0, 'machine': 1, 'start': 0.5, 'finish': 2.0, 'duration': 1.5}]
        """
        tasks: Sequence[object] = range(self.proc.size)
        machines: Sequence[object] = self.proc.tolist()
        if problem is not None:
            check_belongs(problem, self)
            tasks = problem.task_ids
            machines = [problem.machines.ids[machine] for machine in self.proc]
        times = zip(self.ast.tolist(), self.aft.tolist(), strict=True)
        return [
            {
                "task": task,
                "machine": machine,
                "start": start,
                "finish": finish,
                "duration": finish - start,
            }
            for task, machine, (start, finish) in zip(tasks, machines, times, strict=True)
        ]

    def to_pandas(self, problem: Problem | None = None) -> pd.DataFrame:
        """Return :meth:`rows` as a table of pandas.

        Raises
        ------
        InvalidInput
            If the schedule is none of this problem's.
        NotInstalled
            Without the extra `plot`.
        """
        with extra_for("to_pandas"):
            import pandas as pd
        return pd.DataFrame(self.rows(problem))

    def plot(self, problem: Problem | None = None, axes: Axes | None = None) -> Axes:
        """Draw a row a machine, a bar a task; machines have their names where the problem is given.

        Raises
        ------
        InvalidInput
            If the schedule is none of this problem's.
        NotInstalled
            Without the extra `plot`.
        """
        if problem is not None:
            check_belongs(problem, self)
        with extra_for("plot"):
            import matplotlib.pyplot as plt
        n_machines = int(self.proc.max(initial=0)) + 1 if problem is None else problem.n_machines
        if axes is None:
            height = min(0.28 * n_machines + 1.0, 12.0)
            _, axes = plt.subplots(figsize=(8.0, height), layout="constrained")
        for machine in range(n_machines):
            own = self.proc == machine
            bars = zip(self.ast[own].tolist(), (self.aft - self.ast)[own].tolist(), strict=True)
            axes.broken_barh(
                list(bars), (machine - 0.4, 0.8), facecolor="#56B4E9", edgecolor="#0072B2"
            )
        names = None if problem is None else problem.machines.ids
        if names is not None and n_machines <= MOST_NAMED:
            axes.set_yticks(range(n_machines), names)
        axes.set_ylim(n_machines - 0.5, -0.5)
        axes.set_xlabel("s")
        axes.set_title(f"{self.scheduler}: makespan {self.makespan:.6g} s")
        return axes

    def _repr_html_(self) -> str:
        """Return what it is and its first tasks, for notebooks."""
        shown = self.rows()
        head = f"<p>{html.escape(repr(self))}"
        head += ", HEFT's is kept</p>" if self.winner != self.scheduler else "</p>"
        first = sorted(shown, key=lambda row: (row["start"], row["finish"]))[:MOST_ROWS]
        cells = "".join(
            f"<tr><td>{row['task']}</td><td>{row['machine']}</td><td>{row['start']:.6g}</td>"
            f"<td>{row['finish']:.6g}</td></tr>"
            for row in first
        )
        more = f"<p>… {len(shown) - MOST_ROWS} more</p>" if len(shown) > MOST_ROWS else ""
        columns = "".join(f"<th>{name}</th>" for name in ("task", "machine", "start", "finish"))
        return f"{head}<table><tr>{columns}</tr>{cells}</table>{more}"

    def to_json(
        self, problem: Problem, seconds: float | None = None, bound: str | float = "strong"
    ) -> dict[str, Any]:
        """Return the schedule as JSON-ready values, tasks in the problem's order.

        Keys: those of :meth:`summary`, and tasks: a list of id, machine (its id), start, finish.
        All times in s.

        Raises
        ------
        InvalidInput
            If the schedule is none of this problem's.
        """
        summary = self.summary(problem, seconds, bound)
        ids = problem.machines.ids
        rows = zip(
            problem.task_ids, self.proc.tolist(), self.ast.tolist(), self.aft.tolist(), strict=True
        )
        return summary | {
            "tasks": [
                {"id": task, "machine": ids[machine], "start": start, "finish": finish}
                for task, machine, start, finish in rows
            ],
        }

    def summary(
        self, problem: Problem, seconds: float | None = None, bound: str | float = "strong"
    ) -> dict[str, Any]:
        """Return what there is to say of the schedule as a whole, JSON-ready.

        Keys: scheduler, winner, makespan, mean_turnaround, mean_waiting, lower_bound (on the
        makespan), seconds (which scheduling took; left out where it is None). All times in s.

        Parameters
        ----------
        bound : the level of :func:`~deepsched.baselines.bounds.lower_bound`; "cheap" where some
            milliseconds count. Or the bound itself, s, where it is known.

        Raises
        ------
        InvalidInput
            If the schedule is none of this problem's.
        UnknownName
            If there is no such level.
        """
        check_belongs(problem, self)
        return {
            "scheduler": self.scheduler,
            "winner": self.winner,
            "makespan": self.makespan,
            "mean_turnaround": float((self.aft - problem.arrival).mean()),
            "mean_waiting": float((self.ast - problem.arrival).mean()),
            "lower_bound": lower_bound(problem, bound) if isinstance(bound, str) else bound,
            **({} if seconds is None else {"seconds": float(seconds)}),
        }


def make_schedule(
    scheduler: str, proc: ArrayLike, ast: ArrayLike, aft: ArrayLike, *, winner: str = ""
) -> Schedule:
    """Freeze the three arrays into a schedule; without a `winner` it is the scheduler's own.

    Raises
    ------
    InvalidInput
        If the three are not vectors of one length.
    """
    machines = frozen_int(proc)
    shapes = {machines.shape, np.shape(ast), np.shape(aft)}
    if len(shapes) > 1 or machines.ndim != 1:
        raise InvalidInput(f"proc, ast and aft must be vectors of one length, not {shapes}")
    return Schedule(
        scheduler=scheduler,
        proc=machines,
        ast=frozen_float(ast, machines.shape),
        aft=frozen_float(aft, machines.shape),
        winner=winner,
    )


def fresh_schedule(scheduler: str, proc: IntArray, ast: FloatArray, aft: FloatArray) -> Schedule:
    """Freeze three vectors that a compiled loop has just made, and that nobody else holds.

    A copy and its checks take as long as the loop over fifty tasks.
    """
    for array in (proc, ast, aft):
        array.flags.writeable = False
    return Schedule(scheduler=scheduler, proc=proc, ast=ast, aft=aft)


def check_belongs(problem: Problem, schedule: Schedule) -> None:
    """Refuse a schedule that cannot be one of this problem; whether it is valid is not checked.

    Raises
    ------
    InvalidInput
        If it has more or fewer tasks, names a machine that does not exist, or holds a time that is
        no finite number.
    """
    n, p, proc = problem.n_tasks, problem.n_machines, schedule.proc
    where = f"schedule {schedule.scheduler!r} is not one of the problem {problem.name!r}"
    if proc.shape != (n,):
        raise InvalidInput(f"{where}: it has {proc.size} tasks, the problem {n}")
    if proc.min() < 0 or proc.max() >= p:
        number = proc[(proc < 0) | (proc >= p)][0]
        raise InvalidInput(f"{where}: machine index {number}, the problem has {p} machines")
    if not (np.isfinite(schedule.ast).all() and np.isfinite(schedule.aft).all()):
        raise InvalidInput(f"{where}: its times are not all finite")


def violations(problem: Problem, schedule: Schedule) -> list[str]:
    """List every rule that the schedule breaks; empty when it is valid.

    Rules: one legal machine, start and finish per task; the task fits its machine; finish = start +
    duration; start ≥ arrival; start ≥ each parent's finish plus the transfer; one task at a time on
    a machine, where no task, not even a zero-length one, lies strictly inside another. Times may
    miss by 1e-9 × makespan.
    """
    n, p = problem.n_tasks, problem.n_machines
    proc, ast, aft = schedule.proc, schedule.ast, schedule.aft
    if proc.shape != (n,):
        return [f"the schedule has {proc.size} tasks, the problem {n}"]
    ids, names = problem.task_ids, problem.machines.ids
    found: list[str] = []

    def report(bad: np.ndarray, text: str, *columns: Callable[[int], object] | np.ndarray) -> None:
        places = np.flatnonzero(bad)
        for k in places[:MAX_REPORTED]:
            found.append(text.format(*(c(k) if callable(c) else c[k] for c in columns)))
        if places.size > MAX_REPORTED:
            found.append(f"... and {places.size - MAX_REPORTED} more of the last kind")

    def task_of(numbers: IntArray) -> Callable[[int], str]:
        return lambda k: ids[numbers[k]]

    def host(task: int) -> str:
        return names[proc[task]]

    every = np.arange(n)
    task = task_of(every)
    report((proc < 0) | (proc >= p), "task {!r}: machine index {} does not exist", task, proc)
    report(~(np.isfinite(ast) & np.isfinite(aft)), "task {!r}: times {}, {}", task, ast, aft)
    if found:  # the other rules cannot be evaluated
        return found
    tolerance = RELATIVE_TOLERANCE * max(float(aft.max()), 0.0)
    duration = problem.etc[every, proc]
    report(np.isinf(duration), "task {!r} does not fit on machine {!r}", task, host)
    runs = np.isfinite(duration)
    off = runs & (np.abs(aft - ast - np.where(runs, duration, 0.0)) > tolerance)
    report(off, "task {!r}: finish {} is not start {} + duration {}", task, aft, ast, duration)
    early = ast < problem.arrival - tolerance
    report(early, "task {!r} starts at {} before it arrives at {}", task, ast, problem.arrival)
    parents, children, data = problem.edge_list()
    link = (proc[parents], proc[children])
    transfer = problem.machines.latency[link] + data / problem.machines.bandwidth[link]
    due = aft[parents] + transfer
    report(
        ast[children] < due - tolerance,
        "task {!r} starts at {} before its input from {!r} is there at {}",
        task_of(children),
        ast[children],
        task_of(parents),
        due,
    )
    by_machine = np.lexsort((aft, ast, proc))
    before, after = by_machine[:-1], by_machine[1:]
    overlap = (proc[before] == proc[after]) & (ast[after] < aft[before] - tolerance)
    report(
        overlap,
        "tasks {!r} and {!r} overlap on machine {!r}",
        task_of(before),
        task_of(after),
        lambda k: host(before[k]),
    )
    return found
