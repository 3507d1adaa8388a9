"""Work for a second CPU, where there is enough of it."""

from __future__ import annotations

from concurrent.futures import Future
from threading import Thread
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

ENOUGH = 5_000  # tasks from which on a thread costs less than it saves


def in_background(tasks: int, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
    """Call a function that releases the GIL: in a thread, or at once below `ENOUGH` tasks."""
    future: Future[Any] = Future()

    def run() -> None:
        try:
            future.set_result(function(*arguments))
        except BaseException as error:  # it is raised where the result is asked for
            future.set_exception(error)

    if tasks < ENOUGH:
        run()
    else:
        Thread(target=run, daemon=True).start()
    return future
