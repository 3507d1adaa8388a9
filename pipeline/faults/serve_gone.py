"""Clients that leave, and jobs that are cancelled: nobody searches on for them."""

from __future__ import annotations

import contextlib
import json
import math
import socket
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from deepsched.baselines.readers import problem_document
from deepsched.pipeline.benchmarks.serving_bodies import Request, Size
from deepsched.pipeline.faults.serve_hostile import JSON
from deepsched.pipeline.faults.serve_trial import HUNG, load_average, small_request
from deepsched.pipeline.faults.serve_wire import reset
from deepsched.pipeline.faults.trial import Broken, NotPossible

if TYPE_CHECKING:
    from collections.abc import Mapping

    from deepsched.pipeline.faults.serve_trial import ServeTrial

BUDGET = 10  # s of search, that nobody waits for
LEAVE_AFTER = 0.2  # s
LOOK_EVERY = 0.002  # s, between two looks at the processes' CPU
WATCHED = 1.0  # s after the client has left
# On a machine that others use, a process that is to stop may have no turn for long; what it takes
# of the CPU until it has stopped says more. The service's own bound is 50 ms after it has noticed.
MOST_CPU = 0.05  # s
AT_REST = 0.02  # s of CPU in the last half of the time that is watched
SEARCHED = Size(tasks=500, machines=20, noise=0.2)


@dataclass(frozen=True, kw_only=True)
class Stop:
    """How a search ended.

    Attributes
    ----------
    cpu : s that it still took after its client had left.
    at_end : s of that in the last half of the time that is watched.
    seconds : until it had taken nine tenths of it.
    killed : whether its process was ended.
    """

    cpu: float
    at_end: float
    seconds: float
    killed: bool

    @property
    def late(self) -> bool:
        """Whether it went on."""
        return self.cpu > MOST_CPU or self.at_end > AT_REST


def clients_that_leave(trial: ServeTrial) -> None:
    """Leave 0.2 s after asking for a search of 10 s, and cancel jobs: both stop at once."""
    if trial.service.root is None:
        raise NotPossible("it is not known which processes to look at; give --pid")
    document = json.dumps(problem_document(SEARCHED.problem())).encode()
    rounds = min(trial.rounds, 50)
    stops = []
    for number in range(rounds):
        search = Request(
            name="search",
            path=f"/v1/schedule?budget={BUDGET}&seed={number}",
            data=document,
            headers={"Content-Type": JSON},
        )
        stops.append(_left(trial, search, abruptly=bool(number % 2)))
        trial.check_good(small_request(number))
        _check_next(trial, search)
    _tell(trial, "clients that left", stops)
    _tell(trial, "cancelled jobs", [_cancelled(trial, document, k) for k in range(rounds)])


def _left(trial: ServeTrial, search: Request, *, abruptly: bool) -> Stop:
    """Ask, leave, and see when the search stops."""
    with contextlib.closing(socket.create_connection(trial.address, timeout=HUNG)) as link:
        link.sendall(search.raw("x"))
        worker = _busy(trial, "slow")
        time.sleep(LEAVE_AFTER)
        if abruptly:
            reset(link)
    return _stopped(worker)


def _cancelled(trial: ServeTrial, document: bytes, number: int) -> Stop:
    """Begin a job, cancel it while it searches, and see when it stops."""
    path = f"/v1/jobs?budget={BUDGET}&seed={number}"
    headers = {"Content-Type": JSON}
    taken = trial.ask(Request(name="job", path=path, data=document, headers=headers))
    if taken.status != 202:
        raise Broken(f"a job got status {taken.status}: {taken.body[:200]!r}")
    _wait_running(trial, taken.body)
    worker = _busy(trial, "keeper")
    time.sleep(LEAVE_AFTER)
    ended = trial.cancel(taken.body)
    state = json.loads(ended.body).get("state")
    if ended.status != 200 or state != "cancelled":
        raise Broken(f"a cancelled job got status {ended.status} and is {state!r}")
    return _stopped(worker)


def _wait_running(trial: ServeTrial, job: bytes) -> None:
    """Wait until a process has taken a job."""
    path, end = f"/v1/jobs/{json.loads(job)['id']}", time.monotonic() + HUNG
    while time.monotonic() < end:
        answer = trial.ask(Request(name="job", method="GET", path=path))
        if json.loads(answer.body).get("state") == "running":
            return
        time.sleep(0.05)
    raise Broken(f"a job did not begin within {HUNG:.0f} s")


def _check_next(trial: ServeTrial, search: Request) -> None:
    """See that the process takes the next request, at once."""
    begin = time.perf_counter()
    short = Request(
        name="next",
        path=search.path.replace(f"budget={BUDGET}", "budget=0.2"),
        data=search.data,
        headers=search.headers,
    )
    answer = trial.ask(short)
    seconds = time.perf_counter() - begin
    if answer.status != 200:
        raise Broken(f"the next request got status {answer.status}: {answer.body[:200]!r}")
    if seconds > HUNG / 2:
        raise Broken(f"the next request waited for {seconds:.1f} s")


def _tell(trial: ServeTrial, what: str, stops: list[Stop]) -> None:
    """Say when searches stopped.

    Raises
    ------
    Broken
        If one went on.
    """
    cpu = sorted(1e3 * stop.cpu for stop in stops)
    times = sorted(1e3 * stop.seconds for stop in stops)
    killed, middle = sum(stop.killed for stop in stops), len(stops) // 2
    trial.disturbed(
        f"{len(stops)} {what}: the search took {cpu[middle]:.0f} ms more of the CPU, at most "
        f"{cpu[-1]:.0f}, for {times[middle]:.0f} ms, at most {times[-1]:.0f}; "
        f"{killed} of its processes were ended; {load_average()}",
        hit=True,
    )
    late = [stop for stop in stops if stop.late]
    if late:
        raise Broken(f"{len(late)} of {len(stops)} searches went on ({what})")


def _busy(trial: ServeTrial, kind: str) -> int:
    """Return the process that works on a slow request or a job, once it takes CPU.

    Raises
    ------
    Broken
        If none does.
    """
    end = time.monotonic() + HUNG
    while time.monotonic() < end:
        found = [process for process in trial.processes() if process.kind == kind]
        # Their parent, of the same kind, keeps them.
        pids = {process.pid for process in found}
        children = [process.pid for process in found if process.parent in pids]
        before = {pid: _threads(pid) for pid in children}
        time.sleep(0.05)
        for pid in children:
            if _more(before[pid], _threads(pid)) > 0.01:
                return pid
    raise Broken(f"no process for {kind} requests works")


def _stopped(pid: int) -> Stop:
    """Watch a process whose search nobody waits for any more."""
    begin = time.perf_counter()
    took: list[tuple[float, float]] = []
    threads = _threads(pid)
    while threads and time.perf_counter() - begin < WATCHED:
        time.sleep(LOOK_EVERY)
        now = _threads(pid)
        took.append((time.perf_counter() - begin, _more(threads, now)))
        threads = now
    cpu = math.fsum(more for _, more in took)
    at_end = math.fsum(more for moment, more in took if moment > WATCHED / 2)
    seconds = total = 0.0
    for moment, more in took:
        if total < 0.9 * cpu:
            seconds, total = moment, total + more
    return Stop(cpu=cpu, at_end=at_end, seconds=seconds, killed=not threads)


def _more(before: Mapping[str, float], now: Mapping[str, float]) -> float:
    """Return s of CPU that threads took; those that have ended meanwhile say nothing of it."""
    return math.fsum(value - before.get(thread, 0.0) for thread, value in now.items())


def _threads(pid: int) -> dict[str, float]:
    """Return s of CPU of each thread of a process; none where it is gone or a zombie."""
    found = {}
    with contextlib.suppress(OSError, IndexError):
        if "\nState:\tZ" in Path(f"/proc/{pid}/status").read_text():
            return {}
        for task in Path(f"/proc/{pid}/task").iterdir():
            found[task.name] = int((task / "schedstat").read_text().split()[0]) / 1e9
    return found
