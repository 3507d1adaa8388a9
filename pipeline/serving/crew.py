"""Processes that work on slow requests, one each; those that do not stop are killed."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import subprocess
import sys
import threading
from collections import deque
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any

from deepsched.pipeline.serving.refusals import RequestError, busy
from deepsched.pipeline.serving.work import Ask, Reply, refusal

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeAlias

    Told: TypeAlias = Callable[[str, Any], None]

    from deepsched.pipeline.serving.settings import ServeArgs

log = logging.getLogger("ray.serve")

GRACE = 0.04  # s, within which a process that is told to stop has to be done
RESTART = 5.0  # s, after which a process that did not start is tried again
STOPPED = refusal(RequestError(504, "stopped"))


class Died(Exception):
    """The process ended with a request unanswered."""


class Stopped(Exception):
    """The request was stopped before a process took it."""


class Worker:
    """One process, from outside. All methods are called in the event loop's thread."""

    def __init__(self, args: ServeArgs, nice: int, ended: Callable[[Worker], None]) -> None:
        self.args = args
        self._tell_ended = ended
        self._loop = asyncio.get_running_loop()
        self.ready: asyncio.Future[None] = self._loop.create_future()
        self._reply: asyncio.Future[Reply] | None = None
        self._told: Told | None = None
        self._overdue: asyncio.TimerHandle | None = None
        self.alive = True
        self.last = False  # whether what it works on is the last it does
        ours, theirs = socket.socketpair()
        # It finds the package where this process does.
        environment = os.environ | {
            "PYTHONPATH": os.pathsep.join(part for part in sys.path if part)
        }
        self._process = subprocess.Popen(
            [sys.executable, "-m", "deepsched.pipeline.serving.child", str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
        theirs.close()
        self._connection = Connection(ours.detach())
        self._sending = threading.Lock()
        self._connection.send(("settings", (args, nice)))
        threading.Thread(target=self._listen, daemon=True).start()

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._process.pid

    async def work(self, ask: Ask, told: Told | None) -> Reply:
        """Return the reply to a request; `told` hears what is said meanwhile.

        Raises
        ------
        Died
            If the process ends before it.
        """
        if not self.alive:
            raise Died("it ended before it began")
        self._reply, self._told = self._loop.create_future(), told
        reply = self._reply
        # In a thread: a large body fills the socket until it is read.
        await self._loop.run_in_executor(None, self._send, "work", ask)
        try:
            return await asyncio.shield(reply)
        finally:
            self._told = None

    def stop(self) -> None:
        """Have it end what it does; what has not ended after `GRACE` is killed."""
        if self._reply is not None and not self._reply.done() and self._overdue is None:
            self._loop.run_in_executor(None, self._send, "stop", None)
            self._overdue = self._loop.call_later(GRACE, self.kill)

    def kill(self) -> None:
        """End the process now; it takes no further request."""
        self.alive = False
        self._process.kill()

    def _send(self, word: str, value: Any) -> None:
        with self._sending, contextlib.suppress(OSError):  # it is gone, which the listener says
            self._connection.send((word, value))

    def _listen(self) -> None:
        try:
            while True:
                word, value = self._connection.recv()
                self._loop.call_soon_threadsafe(self._hear, word, value)
        except (EOFError, OSError):
            pass
        finally:
            with self._sending:  # a send may be under way
                self._connection.close()
            code = self._process.wait()
            with contextlib.suppress(RuntimeError):  # the loop is closed: so is the service
                self._loop.call_soon_threadsafe(self._ended, code)

    def _hear(self, word: str, value: Any) -> None:
        if word == "ready" and not self.ready.done():
            self.ready.set_result(None)
        elif word == "failed" and not self.ready.done():
            self.ready.set_exception(RequestError(503, value))
        elif word in ("reply", "broken"):
            if self._overdue is not None:
                self._overdue.cancel()
                self._overdue = None
            if self._reply is not None and not self._reply.done():
                if word == "broken":
                    log.error("a slow request failed: %s", value)
                    value = refusal(RequestError(500, "internal error; the log says more"))
                self._reply.set_result(value)
        elif self._told is not None:
            self._told(word, value)

    def _ended(self, code: int) -> None:
        self.alive = False
        if self._overdue is not None:
            self._overdue.cancel()
        for future in (self.ready, self._reply):
            if future is not None and not future.done():
                future.set_exception(Died(f"exit code {code}"))
                future.exception()  # seen: nobody may be waiting
        self._tell_ended(self)


class Crew:
    """So many processes at once; requests beyond that wait in their order."""

    def __init__(self, size: int, nice: int) -> None:
        self._nice, self._size = nice, size
        self._args: ServeArgs | None = None
        self._free: deque[Worker] = deque()
        self._waiting: dict[str, asyncio.Future[Worker]] = {}
        self._at_work: dict[str, Worker] = {}
        self._stopped: set[str] = set()  # of those at work
        self._hiring: set[asyncio.Task[None]] = set()
        self._all: set[Worker] = set()  # that have not ended

    @property
    def pids(self) -> list[int]:
        """Ids of the processes that are idle or at work."""
        return [worker.pid for worker in (*self._free, *self._at_work.values())]

    @property
    def able(self) -> bool:
        """Whether there is a process that works or could."""
        return any(worker.alive for worker in (*self._free, *self._at_work.values()))

    @property
    def queued(self) -> int:
        """How many requests wait for a process."""
        return len(self._waiting)

    async def renew(self, args: ServeArgs) -> None:
        """Have processes of these settings from the next request on; those at work go on.

        Raises
        ------
        RequestError, Died
            If none comes up; those before stay.
        """
        first = await self._started(args)
        self._args = args
        for worker in self._free:
            worker.kill()
        self._free.clear()
        for worker in self._at_work.values():
            worker.last = True
        self._give_back(first)
        for _ in range(self._size):
            self._replace()

    async def work(self, ask: Ask, told: Told | None = None) -> Reply:
        """Return the reply to a request; one that a process dies of is refused."""
        try:
            worker = await self._take(ask.id)
        except Stopped:
            return STOPPED
        self._at_work[ask.id] = worker
        try:
            return await worker.work(ask, told)
        except Died as error:
            if ask.id in self._stopped:
                return STOPPED
            log.error("the process of a slow request died: %s", error)
            return refusal(busy("the process that worked on it died"))
        except asyncio.CancelledError:
            worker.kill()  # whoever asked is gone, and nobody waits for it to end by itself
            raise
        finally:
            del self._at_work[ask.id]
            self._stopped.discard(ask.id)
            self._give_back(worker)

    def stop(self, request: str) -> bool:
        """End a request, which waits or is worked on; return whether it is known here."""
        if request in self._waiting:
            self._waiting.pop(request).set_exception(Stopped())
        elif request in self._at_work:
            self._stopped.add(request)
            self._at_work[request].stop()
        else:
            return False
        return True

    def close(self) -> None:
        """End all processes."""
        self._size = 0
        for worker in self._all:
            worker.kill()

    async def _take(self, request: str) -> Worker:
        while self._free:
            worker = self._free.popleft()
            if worker.alive:
                return worker
            self._replace()
        handed: asyncio.Future[Worker] = asyncio.get_running_loop().create_future()
        self._waiting[request] = handed
        try:
            return await handed
        except asyncio.CancelledError:
            if handed.done() and not handed.cancelled() and handed.exception() is None:
                self._give_back(handed.result())  # it came as whoever asked left
            raise
        finally:
            self._waiting.pop(request, None)

    def _give_back(self, worker: Worker) -> None:
        if worker.last or not self._size:
            worker.kill()
        if not worker.alive:
            self._replace()
            return
        while self._waiting:
            future = self._waiting.pop(next(iter(self._waiting)))
            if not future.done():
                future.set_result(worker)
                return
        self._free.append(worker)

    def _replace(self) -> None:
        if len(self._hiring) + len(self._free) + len(self._at_work) < self._size:
            task = asyncio.create_task(self._hire())
            self._hiring.add(task)
            task.add_done_callback(self._hired)

    def _hired(self, task: asyncio.Task[None]) -> None:
        self._hiring.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("a process for slow requests did not start: %s", task.exception())
            asyncio.get_running_loop().call_later(RESTART, self._replace)

    async def _hire(self) -> None:
        """Start a process; when it is ready it takes the next request."""
        assert self._args is not None
        worker = await self._started(self._args)
        if worker.args is not self._args:  # others are wanted by now
            worker.kill()
        self._give_back(worker)

    async def _started(self, args: ServeArgs) -> Worker:
        worker = Worker(args, self._nice, self._ended)
        self._all.add(worker)
        try:
            await worker.ready
        except BaseException:
            worker.kill()
            raise
        return worker

    def _ended(self, worker: Worker) -> None:
        """Replace a process that ended while it was idle."""
        self._all.discard(worker)
        if worker in self._free:
            self._free.remove(worker)
            self._replace()
