"""Matrix products on one thread: ours are too small to share.

Threads that wait for each other spin. Beside busy neighbours a pass over 1,700 tasks took ten times
as long with two of them as with one.
"""

from __future__ import annotations

import contextlib
import functools
import os
import threading
from typing import TYPE_CHECKING

import threadpoolctl

if TYPE_CHECKING:
    from collections.abc import Iterator


class _Limit:
    """A limit that is for the whole process: set by the first that enters, lifted by the last."""

    def __init__(self) -> None:
        self.begin_anew()
        os.register_at_fork(after_in_child=self.begin_anew)  # threads that entered are not there

    def begin_anew(self) -> None:
        """Know of nobody; a limit that is set stays."""
        self._lock, self._inside = threading.Lock(), 0
        self._held = contextlib.ExitStack()

    def enter(self) -> None:
        with self._lock:
            if not self._inside:
                self._held.enter_context(_controller().limit(limits=1, user_api="blas"))
            self._inside += 1

    def leave(self) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside:
                self._held.close()


_limit = _Limit()


@contextlib.contextmanager
def one_blas_thread() -> Iterator[None]:
    """Return a context in which numpy's products take one thread; several may enter at once."""
    _limit.enter()
    try:
        yield
    finally:
        _limit.leave()


@functools.cache
def _controller() -> threadpoolctl.ThreadpoolController:
    return threadpoolctl.ThreadpoolController()  # looks through all loaded libraries
