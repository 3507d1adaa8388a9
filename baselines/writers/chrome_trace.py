"""A schedule in the Trace Event Format, for Perfetto and chrome://tracing."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from deepsched.baselines.atomic import write_text

if TYPE_CHECKING:
    import os

    from deepsched.baselines.problem import Problem
    from deepsched.baselines.schedule import Schedule

MICROSECONDS = 1e6  # in a second
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
    their last digit, which viewers repair by dropping one. Arrows are left out when the problem has
    more than 20,000 edges; `otherData` says how many were.

    References
    ----------
    Trace Event Format, Google (2016): complete (X), metadata (M) and flow (s, f) events.

    Raises
    ------
    UnwritableOutput
        If the file cannot be written.
    """
    machines, n = problem.machines.ids, problem.n_tasks
    start = np.floor(schedule.ast * MICROSECONDS).astype(np.int64).tolist()
    finish = np.floor(schedule.aft * MICROSECONDS).astype(np.int64).tolist()
    # Tracks count from 1: viewers take thread 0 for the idle thread of the system.
    track, arrival = (schedule.proc + 1).tolist(), problem.arrival.tolist()
    title = f"{problem.name}, {schedule.scheduler}"
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
            "ts": start[i],
            "dur": finish[i] - start[i],
            "args": {"arrival": arrival[i]},
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
        events.append({"ph": "s", "tid": track[i], "ts": middle, **ends})
        events.append({"ph": "f", "bp": "e", "tid": track[j], "ts": start[j], **ends})
    other = {
        "problem": problem.name,
        "scheduler": schedule.scheduler,
        "makespan_s": schedule.makespan,
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
