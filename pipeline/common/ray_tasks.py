"""Run a function on many items as Ray tasks, as many at once as there is room for."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, TypeVar

from deepsched.baselines.errors import DeepSchedError
from deepsched.baselines.registry import register, registered

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

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
) -> Iterator[Result]:
    """Yield `function(item, shared)` for every item, in the order in which they end.

    Ray must run. Items are drawn as there is room. What still runs when the iterator is left
    ends when this process leaves Ray, or by itself: where `ray.cancel` crosses a result that
    arrives, Ray 2.60 ends the whole process.

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

    carried = _with_own_schedulers(function)
    task: Any = ray.remote(**options)(carried) if options else ray.remote(carried)
    there = ray.put(shared)
    todo = iter(items)
    running: list[ray.ObjectRef[Result]] = []
    while True:
        for _, item in zip(range(room() - len(running)), todo, strict=False):
            running.append(task.remote(item, there))
        if not running:
            return
        done, running = ray.wait(running, num_returns=1)
        for ref in done:
            yield _result(ref)


def _with_own_schedulers(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that knows in any process what `register` made known in this one.

    Modules of the user's own travel by value, since no other node may have them.
    """
    own = dict(registered())
    if not own:
        return function
    from ray import cloudpickle

    for scheduler in own.values():
        module = sys.modules.get(getattr(scheduler, "__module__", ""))
        if module is not None and module.__name__.partition(".")[0] not in (
            "deepsched",
            "__main__",
        ):
            cloudpickle.register_pickle_by_value(module)

    def with_schedulers(item: Any, shared: Any) -> Any:
        for name, scheduler in own.items():
            register(name, scheduler)
        return function(item, shared)

    # Ray's dashboard and logs show this name.
    with_schedulers.__name__ = with_schedulers.__qualname__ = function.__name__
    return with_schedulers


def _result(ref: ray.ObjectRef[Result]) -> Result:
    import ray

    try:
        result: Result = ray.get(ref)
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, DeepSchedError):
            raise error.cause from None
        raise
    return result
