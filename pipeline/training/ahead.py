"""Micro-batches of a process, read and encoded by a thread of its own before they are needed."""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from deepsched.pipeline.training.steps import dealt

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from deepsched.model.learning import Learner
    from deepsched.pipeline.training.items import Items
    from deepsched.pipeline.training.peers import Peers
    from deepsched.pipeline.training.steps import MicroBatch, Steps

AHEAD = 8  # micro-batches at the most
AHEAD_COST = 20_000.0  # of them together, as `Steps.costs` counts, from which on none is added


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Encoded:
    """Micro-batch `k` of a step, as its learner encoded it, and how many tasks it has."""

    k: int
    data: Any
    tasks: int


class Ahead:
    """Encoded micro-batches in the order in which they are needed; few are held at a time."""

    def __init__(
        self,
        items: Items,
        steps: Steps,
        learner: Callable[[int], tuple[str, Learner]],
        peers: Peers,
        first: int,
    ) -> None:
        """Begin with a step.

        Parameters
        ----------
        learner : returns the objective and the `Learner` of a step.
        """
        self._items, self._steps, self._learner, self._peers = items, steps, learner, peers
        self._coming = self._own(first)
        self._next = next(self._coming, None)
        self._waiting: deque[tuple[int, int, float, Future[Encoded]]] = deque()
        self._reader = ThreadPoolExecutor(1)

    def take(self, step: int, k: int) -> Encoded:
        """Return micro-batch k of a step; they are asked for in order."""
        self._fill()
        found_step, found_k, _, future = self._waiting.popleft()
        assert (found_step, found_k) == (step, k)
        self._fill()
        return future.result()

    def mine(self, step: int) -> list[int]:
        """Return the micro-batches of a step that this process works on."""
        ranks = dealt(self._steps.costs(step), self._peers.world)
        return [k for k, rank in enumerate(ranks) if rank == self._peers.rank]

    def close(self) -> None:
        """Read no more."""
        self._reader.shutdown(wait=False, cancel_futures=True)

    def _own(self, first: int) -> Iterator[tuple[int, int, float, MicroBatch]]:
        for step in range(first, self._steps.total):
            costs, batches = self._steps.costs(step), self._steps.micro_batches(step)
            for k in self.mine(step):
                yield step, k, costs[k], batches[k]

    def _fill(self) -> None:
        while self._next and len(self._waiting) < AHEAD:
            step, k, cost, batch = self._next
            if sum(one for _, _, one, _ in self._waiting) > AHEAD_COST:
                return
            self._waiting.append((step, k, cost, self._reader.submit(self._encode, step, k, batch)))
            self._next = next(self._coming, None)

    def _encode(self, step: int, k: int, batch: MicroBatch) -> Encoded:
        name, learner = self._learner(step)
        items = [self._items.item(one, imitated=name == "imitation") for one in batch]
        data = learner.encode(items)
        return Encoded(k=k, data=data, tasks=sum(item.problem.n_tasks for item in items))
