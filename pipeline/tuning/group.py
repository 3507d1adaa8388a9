"""Several processes that train one trial together: the trial's own, and Ray actors beside it.

Ray Train inside a trial would be a second controller, with attempts of its own, in each: a trial
that Tune stops, or whose process dies, would end in two places. Here the others live and die with
the trial, in its placement group.
"""

from __future__ import annotations

import contextlib
import datetime
import socket
from typing import TYPE_CHECKING, Any

import ray
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy
from torch import distributed

from deepsched.baselines.errors import DeepSchedError, InvalidInput
from deepsched.pipeline.training.peers import Peers
from deepsched.pipeline.training.worker import end_with_parent

if TYPE_CHECKING:
    from collections.abc import Callable

    Work = Callable[[Peers], None]

WAIT = datetime.timedelta(minutes=30)  # for a peer that has more to do in a step
LAST_WORDS = 10.0  # s that the others have to say why the group broke


def in_group(work: Work, world: int, *, gpu: bool) -> None:
    """Do the work here as the first of `world` peers, and in as many processes beside this one.

    Raises
    ------
    DeepSchedError
        If the work raised it, here or in another process.
    RuntimeError
        If a process of the group is gone.
    """
    device = "cuda" if gpu else "cpu"
    if world == 1:
        work(Peers(device=device))
        return
    address = f"tcp://{ray.util.get_node_ip_address()}:{_free_port()}"
    shared = ray.put(work)
    actors = [_member(rank, gpu=gpu) for rank in range(1, world)]
    said = [
        actor.work.remote(shared, address, rank, world, device)
        for rank, actor in enumerate(actors, 1)
    ]
    try:
        _as_peer(work, address, 0, world, device)
    except DeepSchedError:
        raise
    except RuntimeError:
        reason = _last_words(said)  # one of them may have met what it cannot go on with
        if reason:
            raise InvalidInput(reason) from None
        raise
    finally:
        for actor in actors:
            ray.kill(actor)


class _Member:
    """A process of a group."""

    def work(self, work: Work, address: str, rank: int, world: int, device: str) -> str | None:
        """Do the work as a peer; return what was wrong with the input, if anything was."""
        end_with_parent()
        try:
            _as_peer(work, address, rank, world, device)
        except DeepSchedError as error:
            return str(error)
        return None


def _member(rank: int, *, gpu: bool) -> Any:
    """Start a process in a bundle of its own of the trial's placement group."""
    group = ray.util.get_current_placement_group()
    assert group is not None  # Tune gives every trial one
    strategy = PlacementGroupSchedulingStrategy(group, placement_group_bundle_index=rank)
    actor: Any = ray.remote(num_cpus=1, num_gpus=int(gpu), scheduling_strategy=strategy)(_Member)
    return actor.remote()


def _as_peer(work: Work, address: str, rank: int, world: int, device: str) -> None:
    distributed.init_process_group(
        "nccl" if device == "cuda" else "gloo",
        init_method=address,
        rank=rank,
        world_size=world,
        timeout=WAIT,
    )
    try:
        work(Peers(rank=rank, world=world, device=device))
    finally:
        # The others, who may be waiting for this process, hear of its end so.
        distributed.destroy_process_group()


def _last_words(said: list[Any]) -> str | None:
    ready, _ = ray.wait(said, num_returns=len(said), timeout=LAST_WORDS)
    for one in ready:
        with contextlib.suppress(ray.exceptions.RayError):
            if reason := ray.get(one):
                return str(reason)
    return None


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("", 0))
        return int(listener.getsockname()[1])
