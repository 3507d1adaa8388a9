"""Signals that arrive while compiled code runs, and a limit on how long something may take."""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
from typing import TYPE_CHECKING, NoReturn

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from sys import UnraisableHookArgs
    from types import FrameType

    from deepsched.baselines.arrays import BoolArray


class TimedOut(Exception):
    """Something took longer than it may."""


def true_error(error: BaseException) -> BaseException:
    """Return what a signal handler raised, where Python wraps it.

    Where a signal is delivered while numba hands a result back, Python reports a `SystemError`
    ("returned a result with an exception set"), maybe of another such error, whose cause is what
    the handler raised: a `KeyboardInterrupt`, say.
    """
    cause: BaseException | None = error
    while isinstance(cause, SystemError):
        cause = cause.__cause__ or cause.__context__
    return error if cause is None else cause


def over(seconds: float | None) -> str:
    """Return how it is said that a limit was exceeded."""
    return f"took longer than {seconds:g} s"


@contextlib.contextmanager
def lasting_interrupts() -> Iterator[Callable[[], None]]:
    """Let no Ctrl-C in the block get lost; without effect outside the main thread.

    Python drops an error that is raised in some callbacks, a `KeyboardInterrupt` like any other,
    and prints it. The function that is yielded raises it again, if there was one, so that nothing
    needs to be printed.
    """
    received = False
    report = sys.unraisablehook

    def note(signal_number: int, frame: FrameType | None) -> None:
        nonlocal received
        received = True
        raise KeyboardInterrupt

    def report_others(dropped: UnraisableHookArgs) -> None:
        if not isinstance(dropped.exc_value, KeyboardInterrupt):
            report(dropped)

    def check() -> None:
        if received:
            raise KeyboardInterrupt

    before = signal.getsignal(signal.SIGINT)
    if (
        threading.current_thread() is not threading.main_thread()
        or before is not signal.default_int_handler
    ):
        yield check
        return
    signal.signal(signal.SIGINT, note)
    sys.unraisablehook = report_others
    try:
        yield check
    finally:
        sys.unraisablehook = report
        signal.signal(signal.SIGINT, before)


@contextlib.contextmanager
def time_limit(seconds: float | None) -> Iterator[None]:
    """Raise `TimedOut` in the block when the time is over; without effect outside the main thread.

    A compiled function is not interrupted; the error comes when it returns. It may come wrapped,
    see :func:`true_error`.
    """
    if seconds is None or threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(signal_number: int, frame: FrameType | None) -> NoReturn:
        raise TimedOut(over(seconds))

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@contextlib.contextmanager
def stopped_by_interrupt(possible: bool) -> Iterator[BoolArray | None]:
    """Give a flag that the first Ctrl-C sets; a second one interrupts as always.

    Parameters
    ----------
    possible : whether somebody looks at the flag; else None is given, and nothing changes.
    """
    in_main = threading.current_thread() is threading.main_thread()
    if not possible or not in_main or signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        yield None
        return
    stop = np.zeros(1, dtype=np.bool_)
    before = signal.getsignal(signal.SIGINT)

    def note(number: int, frame: FrameType | None) -> None:
        stop[0] = True
        signal.signal(signal.SIGINT, before)

    signal.signal(signal.SIGINT, note)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, before)
