"""Run a function on many items as Ray tasks, as many at once as there is room for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from baselines.errors import DeepSchedError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable

    import ray

Item = TypeVar("Item")
Result = TypeVar("Result")


def ray_map(
    function: Callable[[Item, Any], Result],
    items: Iterable[Item],
    shared: object,
    *,
    room: Callable[[], int],
    **options: Any,
) -> Generator[Result, None, None]:
    """Yield `function(item, shared)` for every item, in the order in which they end.

    Ray must run. Items are drawn as there is room. What still runs when the generator is closed is
    cancelled, as far as Ray can: a task that is just about to begin may run to its end.

    Parameters
    ----------
    shared : sent to a node once, not with each item.
    room : how many tasks may be with Ray at once; asked again and again, for clusters that grow.
    options : of `ray.remote`.

    Raises
    ------
    DeepSchedError
        As the function raised it. Its other errors arrive as Ray's.
    """
    import ray  # it takes half a second, which a command that needs none should not pay

    task: Any = ray.remote(**options)(function) if options else ray.remote(function)
    there = ray.put(shared)
    todo = iter(items)
    running: list[ray.ObjectRef[Result]] = []
    try:
        while True:
            for _, item in zip(range(room() - len(running)), todo, strict=False):
                running.append(task.remote(item, there))
            if not running:
                return
            done, running = ray.wait(running, num_returns=1)
            for ref in done:
                yield _result(ref)
    finally:
        for ref in running:
            ray.cancel(ref)


def _result(ref: ray.ObjectRef[Result]) -> Result:
    import ray

    try:
        result: Result = ray.get(ref)
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, DeepSchedError):
            raise error.cause from None
        raise
    return result
