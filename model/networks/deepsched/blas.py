"""Matrix products on one thread: ours are too small to share.

Threads that wait for each other spin. Beside busy neighbours a pass over 1,700 tasks took ten times
as long with two of them as with one.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import threadpoolctl

if TYPE_CHECKING:
    from contextlib import AbstractContextManager


def one_blas_thread() -> AbstractContextManager[object]:
    """Return a context in which numpy's products take one thread."""
    limit: AbstractContextManager[object] = _controller().limit(limits=1, user_api="blas")
    return limit


@functools.cache
def _controller() -> threadpoolctl.ThreadpoolController:
    return threadpoolctl.ThreadpoolController()  # looks through all loaded libraries
