"""Training processes in step: each has its own batches, all of them take the same steps."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import distributed

from deepsched.baselines.errors import InvalidInput
from deepsched.model.networks.paper.batch import Batch, batches_by_size, collate
from deepsched.model.training import Metrics, merge_metrics

if TYPE_CHECKING:
    from deepsched.baselines.arrays import FloatArray
    from deepsched.model.networks.paper.features import Sample

Samples = Sequence["Sample"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Peers:
    """The processes that train one network together, and which of them this is."""

    rank: int = 0
    world: int = 1
    device: torch.device | str = "cpu"

    def gather(self, values: Sequence[float]) -> FloatArray:
        """Return everyone's values, (world, len(values)); all must give equally many."""
        if self.world == 1:
            return np.asarray(values, dtype=np.float64)[None]
        mine = torch.tensor(values, dtype=torch.float64, device=self.device)
        everyone = [torch.empty_like(mine) for _ in range(self.world)]
        distributed.all_gather(everyone, mine)
        return np.asarray(torch.stack(everyone).cpu().numpy())


def cut_batches(
    window: Samples, max_tasks: int, rng: np.random.Generator | None = None
) -> list[Samples]:
    """Group the samples of a window into batches of similar sizes; see `batches_by_size`."""
    sizes = [sample.n_tasks for sample in window]
    return [[window[k] for k in batch] for batch in batches_by_size(sizes, max_tasks, rng)]


def steps_in_unison(
    windows: Iterable[Sequence[Samples]], peers: Peers, on_batch: Callable[[int], None]
) -> Iterator[tuple[Batch, float]]:
    """Yield a batch for every step, and the weight of its loss; equally many in every process.

    A process that runs out of batches repeats one with weight 0, or the others would wait for it
    for ever. Data-parallel training takes the mean of the processes' gradients, each of which is a
    mean over that process's tasks: the weights make it the mean over all tasks of the step.

    Parameters
    ----------
    windows : batches that are in memory together; read as they are needed.
    on_batch : told the number of samples of each batch before its step.

    Raises
    ------
    InvalidInput
        In every process, if one of them has no batch at all.
    """
    pending = iter(windows)
    spare: Samples = ()
    while True:
        batches = next(pending, ())
        weights = step_weights([sum(s.n_tasks for s in batch) for batch in batches], peers)
        spare = batches[0] if batches else spare
        if not weights:
            return
        if not peers.gather([len(spare)]).all():
            raise InvalidInput(
                f"there are fewer training samples than training processes ({peers.world}); "
                "use fewer workers"
            )
        for step, weight in enumerate(weights):
            batch = batches[step] if step < len(batches) else spare
            if step < len(batches):
                on_batch(len(batch))
            yield collate(batch), weight


def step_weights(tasks: Sequence[int], peers: Peers) -> list[float]:
    """Return this process's weight at each step until the last process has no batch left.

    Parameters
    ----------
    tasks : of each batch of this process.

    Returns
    -------
    Longest number of batches many; they add up to the number of processes at every step.
    """
    n_steps = int(peers.gather([len(tasks)]).max())
    padded = [*tasks, *[0] * (n_steps - len(tasks))]
    total = peers.gather(padded).sum(axis=0)
    return [peers.world * mine / all_ for mine, all_ in zip(padded, total.tolist(), strict=True)]


def merged(metrics: Metrics | None, peers: Peers) -> Metrics | None:
    """Return the metrics over the tasks of all processes; None where nobody had any."""
    fields = asdict(metrics or NOTHING)
    rows = peers.gather(list(fields.values()))
    parts = [
        Metrics(**{**dict(zip(fields, row, strict=True)), "n_tasks": int(row[-1])})
        for row in rows.tolist()
        if row[-1] > 0
    ]
    return merge_metrics(parts) if parts else None


# n_tasks stays last: `merged` reads it there.
NOTHING = Metrics(loss=0.0, cross_entropy=0.0, mse=0.0, accuracy=0.0, chance=0.0, n_tasks=0)
