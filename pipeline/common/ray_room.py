"""Whether a Ray cluster has room for what is asked of it, which Ray itself waits for in silence."""

from __future__ import annotations

from typing import TYPE_CHECKING

from deepsched.baselines.errors import InvalidInput
from deepsched.baselines.waiting import waiting
from deepsched.pipeline.common.ray_session import LOCAL, chosen_address

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


def named_cluster(address: str | None) -> bool:
    """Return whether somebody named a cluster to join: it may grow, one of our own does not."""
    return chosen_address(address) != LOCAL


def check_room(
    what: str,
    wanted: Mapping[str, float],
    address: str | None,
    say: Callable[[str], None] = waiting,
) -> None:
    """Say when no node has room for one such process.

    Parameters
    ----------
    what : is asked for, such as "a shard".
    wanted : amounts of Ray's resources by name.
    address : that was given to :func:`~deepsched.pipeline.common.ray_session.ray_session`.
    say : is told that it is waited for.

    Raises
    ------
    InvalidInput
        If nobody named a cluster, so that none will grow.
    """
    import ray  # it takes half a second, which a command that needs none should not pay

    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    if any(all(node.get(name, 0) >= n for name, n in wanted.items()) for node in nodes):
        return
    needs = ", ".join(f"{name} {n:g}" for name, n in wanted.items())
    if not named_cluster(address):
        there = ", ".join(f"{name} {nodes[0].get(name, 0):g}" for name in wanted)
        raise InvalidInput(f"{what} needs {needs}; this machine has {there}")
    say(f"no node of the cluster has {needs} yet; waiting for one")
