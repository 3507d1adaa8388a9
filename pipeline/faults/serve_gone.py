"""Clients that leave, and jobs that are cancelled: nobody searches on for them."""

from __future__ import annotations

import contextlib
import json
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
    from deepsched.pipeline.faults.serve_trial import ServeTrial

BUDGET = 10  # s of search, that nobody waits for
LEAVE_AFTER = 0.2  # s
LOOK_EVERY = 0.002  # s, between two looks at the processes' CPU
WATCHED = 1.0  # s after the client has left, in which no more CPU may be taken
# The service stops a search within 50 ms of the moment at which it notices; that it notices, and
# that a busy machine gives its processes a turn, takes time as well.
STOPPED_WITHIN = 0.15  # s
SEARCHED = Size(tasks=500, machines=20, noise=0.2)
# Of a process's CPU in a look, below which it does not search: it ends, or says that it has.
AT_WORK = 0.5


@dataclass(frozen=True, kw_only=True)
class Stop:
    """How a search ended.

    Attributes
    ----------
    seconds : from the moment at which its client left until it took no more CPU.
    killed : whether its process was ended.
    """

    seconds: float
    killed: bool


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
    worker = _busy(trial, "keeper")
    time.sleep(LEAVE_AFTER)
    ended = trial.cancel(taken.body)
    state = json.loads(ended.body).get("state")
    if ended.status != 200 or state != "cancelled":
        raise Broken(f"a cancelled job got status {ended.status} and is {state!r}")
    return _stopped(worker)


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
    times = sorted(stop.seconds for stop in stops)
    killed = sum(stop.killed for stop in stops)
    trial.disturbed(
        f"{len(stops)} {what}: the search stopped after {1e3 * times[len(times) // 2]:.0f} ms, "
        f"at most {1e3 * times[-1]:.0f} ms; {killed} of its processes were ended; "
        f"{load_average()}",
        hit=True,
    )
    if times[-1] > STOPPED_WITHIN:
        raise Broken(f"a search went on for {1e3 * times[-1]:.0f} ms ({what})")


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
        before = {pid: _cpu(pid) for pid in children}
        time.sleep(0.05)
        for pid in children:
            now, then = _cpu(pid), before[pid]
            if now is not None and then is not None and now - then > 0.02:
                return pid
    raise Broken(f"no process for {kind} requests works")


def _stopped(pid: int) -> Stop:
    """Watch a process whose search nobody waits for any more."""
    begin = time.perf_counter()
    last, cpu = 0.0, _cpu(pid)
    while cpu is not None and (passed := time.perf_counter() - begin) < WATCHED:
        time.sleep(LOOK_EVERY)
        now = _cpu(pid)
        if now is None:
            return Stop(seconds=time.perf_counter() - begin, killed=True)
        took = time.perf_counter() - begin - passed
        if now - cpu > AT_WORK * took:
            last = passed + took
        cpu = now
    return Stop(seconds=last, killed=cpu is None)


def _cpu(pid: int) -> float | None:
    """Return s of CPU of all threads of a process, or None where it is gone or a zombie."""
    try:
        if "\nState:\tZ" in Path(f"/proc/{pid}/status").read_text():
            return None
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
        return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9
    except (OSError, IndexError):
        return None
