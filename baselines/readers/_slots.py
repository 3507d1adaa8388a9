"""Nodes of several slots, as the machines that the schedulers know: one task at a time a slot."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from deepsched.baselines.errors import InvalidInput
from deepsched.baselines.machines import Machines, make_machines
from deepsched.baselines.readers._values import echo, naming

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike

    from deepsched.baselines.arrays import FloatArray

MOST_SLOTS = 4_096  # of all nodes together: links are two full matrices


def expanded(
    ids: Sequence[str],
    slots: Sequence[int],
    where: str,
    *,
    cores: FloatArray,
    frequency: FloatArray,
    memory: FloatArray,
    bandwidth: ArrayLike,
    latency: ArrayLike,
    nodes: Sequence[str] | None = None,
    origin: str = "",
) -> Machines:
    """Return the slots of nodes as machines: `node/0`, `node/1`, …; a node of one keeps its name.

    A node's cores are shared evenly by its slots. Its memory is not: each slot may hold a task that
    fits the node's memory.

    Parameters
    ----------
    slots : of each entry, 1 or more.
    bandwidth, latency : one number, or a row and a column an entry.
    nodes : of entries that are slots themselves, the node of each.

    Raises
    ------
    InvalidInput, InvalidProblem
        If there are too many, or one name twice.
    """
    if sum(slots) > max(MOST_SLOTS, len(ids)):
        raise InvalidInput(
            f"{where}: the nodes have more than {MOST_SLOTS} slots in all, which is the limit"
        )
    counts = np.array(slots)
    entry = np.repeat(np.arange(len(ids)), counts)
    names = [
        name if count == 1 else f"{name}/{slot}"
        for name, count in zip(ids, slots, strict=True)
        for slot in range(count)
    ]
    links = {}
    for label, values in (("bandwidth", bandwidth), ("latency", latency)):
        matrix = np.asarray(values)
        links[label] = matrix[np.ix_(entry, entry)] if matrix.ndim else values
    hosts = ids if nodes is None else nodes
    with naming(where):
        return make_machines(
            len(names),
            ids=names,
            cores=(cores / counts)[entry],
            frequency=frequency[entry],
            memory=memory[entry],
            nodes=[hosts[k] for k in entry.tolist()],
            origin=origin,
            **links,
        )


def slot_count(value: object, place: str) -> int:
    """Return a number of slots or cores, a whole number of at least 1; too large ones cut short.

    Raises
    ------
    InvalidInput
        Naming the place.
    """
    number = value if isinstance(value, int | float) and not isinstance(value, bool) else 0
    if 1 <= number < np.inf and number == number // 1:
        return min(int(number), MOST_SLOTS + 1)
    raise InvalidInput(f"{place} is {echo(value)}; it must be a whole number of at least 1")
