"""A process that works on one slow request at a time, and can be stopped or killed at any moment.

`python -m deepsched.pipeline.serving.child FD`: messages come and go over the socket FD, as pairs
of a word and a value. It ends when the other side is gone.
"""

from __future__ import annotations

import gc
import math
import os
import resource
import sys
import threading
import time
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any

from deepsched.baselines.errors import DeepSchedError
from deepsched.pipeline.serving.networks import Networks, devices_here
from deepsched.pipeline.serving.refusals import RequestError
from deepsched.pipeline.serving.settings import MEGABYTE
from deepsched.pipeline.serving.work import Course, refusal, warm_up, work

if TYPE_CHECKING:
    from deepsched.baselines.problem import Problem
    from deepsched.pipeline.serving.settings import ServeArgs
    from deepsched.pipeline.serving.work import Ask

LOWEST = 19  # from there on a process only takes what nobody else wants
TOLD_EVERY = 0.1  # s between two words about a better schedule


class Child:
    """What the process does with each message."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._lock = threading.Lock()  # two threads send
        self._course = Course()
        self._networks: Networks | None = None
        self._args: ServeArgs | None = None

    def run(self) -> None:
        """Take messages until the other side is gone; the work goes on in a thread meanwhile."""
        while True:
            try:
                word, value = self._connection.recv()
            except (EOFError, OSError):
                os._exit(0)  # whatever is being worked on: nobody waits for it
            if word == "settings":
                self._prepare(*value)
            elif word == "stop":
                self._course.stop[0] = True
            elif word == "work":
                self._course = self._new_course(value.id)
                threading.Thread(target=self._work, args=(value, self._course)).start()

    def _prepare(self, args: ServeArgs, nice: int) -> None:
        self._args = args
        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        limit = int(args.max_process_mb * MEGABYTE)
        resource.setrlimit(resource.RLIMIT_DATA, (limit, hard))
        # Python looks for circles again and again while a large document is read, which has none:
        # a fifth of the time. It looks once after each request instead.
        gc.disable()
        said = None
        for device in devices_here(args.device):  # a GPU that others fill is not the end
            try:
                self._networks = Networks(args.checkpoint, device)
                warm_up(self._networks, args)
            except DeepSchedError as error:
                said = said or str(error)
            else:
                break
        else:
            self._send("failed", said)
            return
        gc.collect()
        gc.freeze()  # all that is there by now is looked through no more
        # Not before: on a busy machine it might never become ready.
        os.nice(nice)
        if nice >= LOWEST and hasattr(os, "SCHED_IDLE"):
            os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
        self._send("ready", None)

    def _work(self, ask: Ask, course: Course) -> None:
        assert self._networks is not None
        assert self._args is not None
        try:
            reply = work(ask, self._networks, self._args, course)
        except Exception as error:  # a fault of ours: the other side logs it
            self._send("broken", f"{type(error).__name__}: {error}")
            return
        if course.stop[0] and reply.status == 200:
            reply = refusal(RequestError(504, "stopped"))
        self._course = Course()
        self._send("reply", reply)
        gc.collect()

    def _new_course(self, request: str) -> Course:
        begin = told = time.perf_counter()
        best = math.inf
        late: threading.Timer | None = None  # what waits to be told

        def tell() -> None:
            nonlocal told, late
            told, late = time.perf_counter(), None
            if self._course is course:  # else its reply has gone
                self._send("better", (request, told - begin, best))

        def improved(value: float) -> None:
            nonlocal best, late
            if value >= best:
                return
            best = value
            left = told + TOLD_EVERY - time.perf_counter()
            if left <= 0:
                tell()
            elif late is None:
                late = threading.Timer(left, tell)
                late.daemon = True
                late.start()

        def begun(problem: Problem, heft: float) -> None:
            self._send("begun", (request, problem.n_tasks, problem.n_machines, heft))

        job = request.startswith("job-")
        course = Course(improved=improved if job else None, begun=begun if job else None)
        return course

    def _send(self, word: str, value: Any) -> None:
        with self._lock:
            try:
                self._connection.send((word, value))
            except OSError:
                os._exit(0)


if __name__ == "__main__":
    Child(Connection(int(sys.argv[1]))).run()
