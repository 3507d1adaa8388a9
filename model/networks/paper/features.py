"""What a network sees of a problem, and what it is asked to predict: plain arrays, no torch.

Axes: T task (in sequence order), M machine, F feature.

Every feature is a ratio or the logarithm of one, so that seconds, MB and MHz of any size come out
as small finite numbers. Times are divided by :func:`time_scale`, which is known before scheduling.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from deepsched.baselines.ranks import mean_execution_cost, upward_rank

if TYPE_CHECKING:
    from collections.abc import Iterator

    from deepsched.baselines.arrays import BoolArray, FloatArray, IntArray
    from deepsched.baselines.problem import Problem
    from deepsched.baselines.schedule import Schedule

Float32Array = NDArray[np.float32]

TASK_FEATURES = (
    "arrival",  # arrival / scale
    "burst",  # log of the mean burst time against the mean task's
    "burst share",  # mean burst time / scale
    "burst spread",  # standard deviation over machines of the log burst time
    "priority",  # standardised within the problem
    "memory",  # memory / largest limit
    "eligible",  # share of the machines that can hold the task
    "position",  # place in the sequence, from 0 to 1
    "batch position",  # place among the tasks that arrive at the same time, from 0 to 1
    "batch size",  # log of how many these are
    "size rank",  # place among the tasks by mean burst time, from 0 (shortest) to 1
    "crowding",  # mean work per machine / scale: 1 where machines, not paths, are scarce
)
PAIR_FEATURES = (
    "slowdown",  # log of the burst time against the task's least
    "affinity",  # the same, corrected for how slow the machine and the task are in general
    "burst share",  # burst time / scale
)
MACHINE_FEATURES = (
    "cores",  # log against the mean machine
    "frequency",  # log against the mean machine
    "memory",  # limit / largest limit, 1 where unlimited
    "unlimited",  # 1 where there is no memory limit
    "slowness",  # mean log burst time against the other machines
    "rank",  # place among the machines by slowness, from 0 (fastest) to 1
    "rank parity",  # tells neighbours in that ranking apart
    "rank quarter",  # the same, half as fast
    "count",  # log of the number of machines
    "tasks",  # log of the number of tasks per machine
)
FLOOR = 1e-6  # burst times below this share of the largest count as this share in logarithms
BLOCK_PAIRS = 1 << 15  # task-machine pairs at a time, which temporaries are of
LIMIT = 20.0  # features and targets are clipped to ±LIMIT; only degenerate numbers get there


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Sample:
    """One problem as a network sees it, with the teacher's answer when there is one.

    Attributes
    ----------
    order : (T,) the problem's task index at each place of the sequence: by arrival, then
        topological index. All other arrays over T follow it.
    task_features : (T, len(TASK_FEATURES)).
    pair_features : (T, M, len(PAIR_FEATURES)), 0 where the task does not fit the machine.
    machine_features : (M, len(MACHINE_FEATURES)).
    eligible : (T, M) whether the task fits the machine.
    scale : s, what times are divided by.
    machine : (T,) the teacher's machine, or None without a teacher; as are
    start, finish : (T,) the teacher's AST and AFT / scale.
    """

    order: IntArray
    task_features: Float32Array
    pair_features: Float32Array
    machine_features: Float32Array
    eligible: BoolArray
    scale: float
    machine: IntArray | None
    start: Float32Array | None
    finish: Float32Array | None

    @property
    def n_tasks(self) -> int:
        """How many tasks the problem has."""
        return int(self.eligible.shape[0])

    @property
    def n_machines(self) -> int:
        """How many machines the problem has."""
        return int(self.eligible.shape[1])


def encode(problem: Problem, schedule: Schedule | None = None) -> Sample:
    """Return the features of a problem and, from a teacher's schedule, the targets.

    No entry is NaN or infinite, whatever the problem: zero costs, no memory limits, one machine.
    """
    order = sequence_order(problem)
    scale = time_scale(problem)
    times = _BurstTimes(problem, order)
    row, spread, column = _effects(times)
    eligible = np.empty(times.shape, dtype=np.bool_)
    pair = np.empty((*times.shape, len(PAIR_FEATURES)), dtype=np.float32)
    for tasks in times.blocks():
        etc, fits, log_etc = times[tasks]
        eligible[tasks], features = fits, pair[tasks]
        least = np.where(fits, log_etc, np.inf).min(axis=1)
        features[..., 0] = _bounded(log_etc - least[:, None])
        features[..., 1] = _bounded(log_etc - row[tasks, None] - column)
        features[..., 2] = _bounded(etc / scale)
        features[~fits] = 0.0
    return Sample(
        order=order,
        task_features=_task_features(problem, order, scale, eligible, row, spread),
        pair_features=pair,
        machine_features=_machine_features(problem, column),
        eligible=eligible,
        scale=scale,
        machine=None if schedule is None else schedule.proc[order],
        start=None if schedule is None else _bounded(schedule.ast[order] / scale),
        finish=None if schedule is None else _bounded(schedule.aft[order] / scale),
    )


def sequence_order(problem: Problem) -> IntArray:
    """Return the tasks by (arrival, topological index): the order in which networks read them."""
    return np.lexsort((problem.topo_index, problem.arrival))


def time_scale(problem: Problem) -> float:
    """Return the positive number of seconds that times are divided by; no schedule is needed.

    It is the latest arrival, plus the larger of the longest path (mean execution and mean
    communication costs, i.e. the greatest upward rank) and the mean work per machine. Schedules of
    list schedulers mostly end around 1 in this unit. It is not a lower bound: such a bound ignores
    communication, and where that dominates times would be far above 1.
    """
    work_per_machine = float((mean_execution_cost(problem) / problem.n_machines).sum())
    longest = max(float(upward_rank(problem).max()), work_per_machine)
    scale = float(problem.arrival.max()) + longest
    return scale if scale > 0 else 1.0


class _BurstTimes:
    """A problem's burst times in sequence order, some tasks at a time.

    In large problems each temporary of all pairs takes as much memory as the problem itself.
    """

    def __init__(self, problem: Problem, order: IntArray) -> None:
        self._etc, self._order = problem.etc, order
        self._largest = float(np.max(problem.etc, where=np.isfinite(problem.etc), initial=0.0))
        self.shape: tuple[int, int] = (problem.n_tasks, problem.n_machines)

    def blocks(self) -> Iterator[slice]:
        """Yield slices of the sequence, each of some tasks."""
        n_tasks, n_machines = self.shape
        rows = max(1, BLOCK_PAIRS // n_machines)
        for first in range(0, n_tasks, rows):
            yield slice(first, min(first + rows, n_tasks))

    def __getitem__(self, tasks: slice) -> tuple[FloatArray, BoolArray, FloatArray]:
        """Return (t, M) burst times, whether the task fits, and log(burst time / largest).

        The logarithms are floored; 0 where the task does not fit.
        """
        etc = self._etc[self._order[tasks]]
        fits = np.isfinite(etc)
        if self._largest == 0:
            return etc, fits, np.zeros_like(etc)
        ratio = np.where(fits, etc, 0.0) / self._largest
        return etc, fits, np.where(fits, np.log(np.maximum(ratio, FLOOR)), 0.0)


def _effects(times: _BurstTimes) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Split the log burst times into a (T,) part of the task and an (M,) part of the machine.

    The machine's part is the mean of what its tasks' means leave over, and sums to 0. Between them
    stands (T,) the standard deviation over machines.
    """
    n_tasks, n_machines = times.shape
    row, spread = np.empty(n_tasks), np.empty(n_tasks)
    total, count = np.zeros((1, n_machines)), np.zeros(n_machines, dtype=np.int64)
    for tasks in times.blocks():
        _, fits, log_etc = times[tasks]
        many = fits.sum(axis=1)
        row[tasks] = log_etc.sum(axis=1) / many
        off = np.where(fits, log_etc - row[tasks, None], 0.0)
        spread[tasks] = np.sqrt((off**2).sum(axis=1) / many)
        # Task by task, so that the sum does not depend on the size of the blocks.
        total = np.concatenate([total, off]).sum(axis=0, keepdims=True)
        count += fits.sum(axis=0)
    column = total[0] / np.maximum(count, 1)
    return row, spread, column - column.mean()


def _task_features(
    problem: Problem,
    order: IntArray,
    scale: float,
    eligible: BoolArray,
    row: FloatArray,
    spread: FloatArray,
) -> Float32Array:
    n = problem.n_tasks
    priority = problem.priority[order]
    priority = priority / max(float(np.abs(priority).max()), np.finfo(np.float64).tiny)
    deviation = float(priority.std())
    memory = problem.memory[order]
    mean_etc = mean_execution_cost(problem)
    columns = [
        problem.arrival[order] / scale,
        row - row.mean(),
        mean_etc[order] / scale,
        spread,
        (priority - priority.mean()) / deviation if deviation > 1e-9 else np.zeros(n),
        memory / _memory_unit(problem),
        eligible.mean(axis=1),
        (np.arange(n) + 0.5) / n,
        *_batches(problem.arrival[order]),
        _ranks(row) / n,
        np.full(n, (mean_etc / problem.n_machines / scale).sum()),
    ]
    return _bounded(np.stack(columns, axis=1))


def _machine_features(problem: Problem, column: FloatArray) -> Float32Array:
    machines, p = problem.machines, problem.n_machines
    unlimited = np.isinf(machines.memory)
    # Equal machines are ranked by index: without that a network could not tell them apart, and all
    # of their tasks would go to one of them. Rounding keeps sums in another order from deciding.
    rank = _ranks(np.round(column, 9))
    log_cores, log_frequency = np.log(machines.cores), np.log(machines.frequency)
    columns = [
        log_cores - log_cores.mean(),
        log_frequency - log_frequency.mean(),
        np.where(unlimited, 1.0, machines.memory / _memory_unit(problem)),
        unlimited,
        column,
        rank / p,
        np.cos(np.pi * (rank - 0.5)),
        np.sin(np.pi * rank / 2),
        np.full(p, np.log(p)),
        np.full(p, np.log(problem.n_tasks / p)),
    ]
    return _bounded(np.stack(columns, axis=1))


def _batches(arrival: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return each task's place in its batch, from 0 to 1, and the log of the batch's size.

    A batch are the tasks that arrive at the same time; arrivals ascend.
    """
    first = np.flatnonzero(np.diff(arrival, prepend=-np.inf))
    size = np.diff(first, append=arrival.size)
    place = np.arange(arrival.size) - np.repeat(first, size)
    size_of_task = np.repeat(size, size)
    return (place + 0.5) / size_of_task, np.log(size_of_task)


def _ranks(values: FloatArray) -> FloatArray:
    """Return each value's place in ascending order, from 0.5; equal values by index."""
    rank = np.empty(values.size)
    rank[np.argsort(values, kind="stable")] = np.arange(values.size) + 0.5
    return rank


def _memory_unit(problem: Problem) -> float:
    """Return the largest memory limit, MB; the largest task's where there is no limit."""
    limits = problem.machines.memory[np.isfinite(problem.machines.memory)]
    unit = float(limits.max()) if limits.size else float(problem.memory.max())
    return unit if unit > 0 else 1.0


def _bounded(values: FloatArray) -> Float32Array:
    return np.clip(values, -LIMIT, LIMIT).astype(np.float32)
