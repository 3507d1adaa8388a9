"""A schedule in the Trace Event Format, for Perfetto and chrome://tracing."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from deepsched.baselines.atomic import write_text
from deepsched.baselines.schedule import check_belongs
from deepsched.baselines.writers.ticks import scale_of

if TYPE_CHECKING:
    import os

    from deepsched.baselines.problem import Problem
    from deepsched.baselines.schedule import Schedule

MAX_FLOWS = 20_000  # arrows a viewer still moves well
PID = 1


def write_trace(
    path: str | os.PathLike[str],
    problem: Problem,
    schedule: Schedule,
    seconds: float | None = None,
) -> None:
    """Write one track a machine, one slice a task, and an arrow an edge.

    Times are whole microseconds, rounded down: fractions would let neighbouring slices overlap in
    their last digit, which viewers repair by dropping one. Where different times would become one,
    or too large for a viewer, they are whole numbers of 1/512 microsecond, counted from the first
    start, or in another unit, whichever is enough. `otherData` says the moment that is 0 and what a
    microsecond of the file stands for, both in s, and so does the process' name where it is not the
    usual; `args` of a slice have its exact times. Arrows are left out when the problem has more
    than 20,000 edges; `otherData` says how many were.

    References
    ----------
    Trace Event Format, Google (2016): complete (X), metadata (M) and flow (s, f) events.

    Raises
    ------
    InvalidInput
        If the schedule is none of this problem's, or its times are too close to each other.
    UnwritableOutput
        If the file cannot be written.
    """
    check_belongs(problem, schedule)
    machines, n = problem.machines.ids, problem.n_tasks
    scale = scale_of(schedule.ast, schedule.aft)
    start, finish = (scale.ticks(times).tolist() for times in (schedule.ast, schedule.aft))
    exact = list(zip(schedule.ast.tolist(), schedule.aft.tolist(), strict=True))

    def microseconds(ticks: int) -> float:
        return ticks if scale.parts == 1 else ticks / scale.parts

    # Tracks count from 1: viewers take thread 0 for the idle thread of the system.
    track, arrival = (schedule.proc + 1).tolist(), problem.arrival.tolist()
    title = f"{problem.name}, {schedule.scheduler}"
    if not scale.true:
        title += f" (0 is {scale.offset!r} s, 1 µs stands for {scale.microsecond:g} s)"
    events = [_metadata("process_name", 0, name=title)]
    for k, machine in enumerate(machines, start=1):
        events.append(_metadata("thread_name", k, name=machine))
        events.append(_metadata("thread_sort_index", k, sort_index=k))
    events += [
        {
            "ph": "X",
            "pid": PID,
            "tid": track[i],
            "name": problem.task_ids[i],
            "cat": "task",
            "ts": microseconds(start[i]),
            "dur": microseconds(finish[i] - start[i]),
            "args": {"arrival": arrival[i], "start": exact[i][0], "finish": exact[i][1]},
        }
        for i in range(n)
    ]
    drawn = problem.n_edges if problem.n_edges <= MAX_FLOWS else 0
    parents, children, _ = problem.edge_list()
    for k, (i, j) in enumerate(
        zip(parents[:drawn].tolist(), children[:drawn].tolist(), strict=True)
    ):
        ends = {"pid": PID, "cat": "edge", "name": "edge", "id": k}
        # From the middle of the parent: at its very end the next slice would be taken for it.
        middle = (start[i] + finish[i]) // 2
        events.append({"ph": "s", "tid": track[i], "ts": microseconds(middle), **ends})
        begin = microseconds(start[j])
        events.append({"ph": "f", "bp": "e", "tid": track[j], "ts": begin, **ends})
    other = {
        "problem": problem.name,
        "scheduler": schedule.scheduler,
        "makespan_s": schedule.makespan,
        "offset_s": scale.offset,
        "microsecond_s": scale.microsecond,
        **({} if seconds is None else {"scheduling_s": float(seconds)}),
        "edges_left_out": problem.n_edges - drawn,
    }
    lines = ",\n".join(json.dumps(event, allow_nan=False) for event in events)
    tail = json.dumps(other, allow_nan=False)
    write_text(
        path, f'{{"displayTimeUnit": "ms", "otherData": {tail}, "traceEvents": [\n{lines}\n]}}\n'
    )


def _metadata(kind: str, track: int, **args: object) -> dict[str, Any]:
    return {"ph": "M", "pid": PID, "tid": track, "name": kind, "args": args}
