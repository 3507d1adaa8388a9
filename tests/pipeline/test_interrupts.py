"""Time limits, and signals that meet compiled code."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from typing import Any

import pytest

from deepsched.pipeline.common.interrupts import (
    TimedOut,
    lasting_interrupts,
    time_limit,
    true_error,
)
from tests.pipeline.cli_helpers import disguised_interrupt


def test_the_error_behind_a_system_error_is_found() -> None:
    assert isinstance(true_error(disguised_interrupt()), KeyboardInterrupt)
    plain, other = SystemError("by itself"), ValueError("x")
    assert true_error(plain) is plain
    assert true_error(other) is other


def test_what_takes_too_long_is_stopped() -> None:
    begin = time.perf_counter()

    def work() -> None:
        with time_limit(0.05):
            while time.perf_counter() < begin + 5:
                pass

    with pytest.raises(TimedOut, match=r"took longer than 0\.05 s"):
        work()
    assert time.perf_counter() < begin + 2


def test_what_is_quick_goes_on_and_the_alarm_is_off() -> None:
    before = signal.getsignal(signal.SIGALRM)
    with time_limit(5):
        pass
    assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)
    assert signal.getsignal(signal.SIGALRM) is before
    with time_limit(None):
        assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)


def test_in_another_thread_there_is_no_limit() -> None:
    reached = []

    def work() -> None:
        with time_limit(0.01):
            time.sleep(0.05)
            reached.append(True)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert reached == [True]


def test_a_lost_interrupt_is_raised_again_and_only_others_are_printed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Dropping:
        def __del__(self) -> None:
            os.kill(os.getpid(), signal.SIGINT)  # what is raised here is dropped

    class Failing:
        def __del__(self) -> None:
            raise ValueError("printed")

    printed: list[Any] = []

    def hook(dropped: Any) -> None:
        printed.append(dropped.exc_type)

    monkeypatch.setattr(sys, "unraisablehook", hook)
    before = signal.getsignal(signal.SIGINT)

    def work() -> None:
        with lasting_interrupts() as check:
            check()
            dropping, failing = Dropping(), Failing()
            del dropping, failing
            check()

    with pytest.raises(KeyboardInterrupt):
        work()
    assert printed == [ValueError]
    assert signal.getsignal(signal.SIGINT) is before
    assert sys.unraisablehook is hook
