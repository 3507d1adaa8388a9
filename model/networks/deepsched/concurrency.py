"""Work for a second CPU, where there is enough of it."""

from __future__ import annotations

import functools
import os
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Thread
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

ENOUGH = 5_000  # tasks from which on a thread costs less than it saves


def thread_count() -> int:
    """Return how many threads work at once: the CPUs this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return max(1, len(os.sched_getaffinity(0)))
    return os.cpu_count() or 1


class Pending(Protocol):
    """What is there, or will be."""

    def result(self) -> Any:
        """Return it, when it is there."""
        ...


class Done(NamedTuple):
    """What is there already; a future would take as long as a small problem's kernel."""

    value: Any

    def result(self) -> Any:
        """Return it."""
        return self.value


def in_background(tasks: int, function: Callable[..., Any], *arguments: Any) -> Pending:
    """Call a function that releases the GIL: in a thread, or at once below `ENOUGH` tasks."""
    if tasks < ENOUGH:
        return Done(function(*arguments))
    future: Future[Any] = Future()

    def run() -> None:
        try:
            future.set_result(function(*arguments))
        except BaseException as error:  # it is raised where the result is asked for
            future.set_exception(error)

    Thread(target=run, daemon=True).start()
    return future


def pool(threads: int) -> ThreadPoolExecutor:
    """Return threads that are kept: starting one takes as long as a small problem."""
    return _kept("parts", threads, os.getpid())


def beside(function: Callable[..., Any], *arguments: Any) -> Pending:
    """Call a function that mostly runs without the GIL in a thread that is kept.

    It may wait for those of :func:`pool`, and must not call this itself.
    """
    return _kept("beside", thread_count(), os.getpid()).submit(function, *arguments)


@functools.cache
def _kept(name: str, threads: int, process: int) -> ThreadPoolExecutor:
    """Threads do not outlive a fork, so each process has its own."""
    return ThreadPoolExecutor(threads, f"deepsched-{name}-{process}")


def in_halves(tasks: int, work: Callable[[slice], None]) -> None:
    """Let a function work on all rows, where there are enough of them on two halves at once."""
    if tasks < ENOUGH:
        work(slice(0, tasks))
        return
    other = in_background(tasks, work, slice(tasks // 2, tasks))
    work(slice(0, tasks // 2))
    other.result()
