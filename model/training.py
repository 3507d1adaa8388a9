"""One pass over batches, with and without learning. Plain functions: who calls them may be Ray."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import nn

from deepsched.baselines.errors import InvalidInput
from deepsched.model.networks.paper.loss import Losses, schedule_loss
from deepsched.model.threads import one_thread

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from deepsched.model.networks.paper.batch import Batch

MAX_GRADIENT_NORM = 1.0  # long recurrences have rare steep steps


@dataclass(frozen=True, kw_only=True, slots=True)
class Metrics:
    """Means over all tasks of a pass; the fields are those of `Losses`."""

    loss: float
    cross_entropy: float
    mse: float
    accuracy: float
    chance: float
    n_tasks: int


def train_epoch(
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    batches: Iterable[Batch],
    device: torch.device | str = "cpu",
    on_step: Callable[[Losses], None] | None = None,
    *,
    mse_weight: float = 1.0,
    max_gradient_norm: float = MAX_GRADIENT_NORM,
    weights: Iterable[float] | None = None,
) -> Metrics:
    """Take one optimisation step a batch.

    Parameters
    ----------
    network : on `device`; may be wrapped for data-parallel training.
    on_step : called after each step with that batch's losses.
    max_gradient_norm : a steeper gradient is scaled down to it; inf scales none.
    weights : per batch, a factor of its loss. Data-parallel workers use it to make up for batches
        of different sizes; a batch of weight 0 only keeps in step and is not in the metrics.

    Raises
    ------
    InvalidInput
        If there is no batch, or the loss is no longer a finite number.
    """
    network.train()
    steps: list[Metrics] = []
    with one_thread():
        factors = itertools.repeat(1.0) if weights is None else weights
        for batch, weight in zip(batches, factors, strict=False):
            on_device = batch.to(device)
            losses = schedule_loss(network(on_device), on_device, mse_weight=mse_weight)
            optimizer.zero_grad(set_to_none=True)
            (losses.total * weight).backward()  # type: ignore[no-untyped-call]
            norm = nn.utils.clip_grad_norm_(network.parameters(), max_gradient_norm)
            if not torch.isfinite(norm):
                raise InvalidInput(
                    f"training diverged in step {len(steps) + 1}: "
                    f"loss {float(losses.total.detach()):g}; lower the learning rate"
                )
            optimizer.step()
            if weight == 0:
                continue
            steps.append(_numbers(losses))
            if on_step is not None:
                on_step(losses)
    return merge_metrics(steps)


@torch.no_grad()
def validate(
    network: nn.Module,
    batches: Iterable[Batch],
    device: torch.device | str = "cpu",
    *,
    mse_weight: float = 1.0,
) -> Metrics:
    """Measure the network on batches it does not learn from.

    Raises
    ------
    InvalidInput
        If there is no batch.
    """
    network.eval()
    steps = []
    with one_thread():
        for batch in batches:
            on_device = batch.to(device)
            losses = schedule_loss(network(on_device), on_device, mse_weight=mse_weight)
            steps.append(_numbers(losses))
    return merge_metrics(steps)


def merge_metrics(parts: Sequence[Metrics]) -> Metrics:
    """Return the metrics of several passes, or of several workers, as if they were one."""
    if not parts:
        raise InvalidInput("there is no batch to train or validate on")
    n_tasks = sum(part.n_tasks for part in parts)

    def mean(name: str) -> float:
        return float(sum(getattr(part, name) * part.n_tasks for part in parts) / n_tasks)

    return Metrics(
        loss=mean("loss"),
        cross_entropy=mean("cross_entropy"),
        mse=mean("mse"),
        accuracy=mean("accuracy"),
        chance=mean("chance"),
        n_tasks=n_tasks,
    )


def _numbers(losses: Losses) -> Metrics:
    return Metrics(
        loss=float(losses.total.detach()),
        cross_entropy=float(losses.cross_entropy),
        mse=float(losses.mse),
        accuracy=float(losses.accuracy),
        chance=float(losses.chance),
        n_tasks=losses.n_tasks,
    )
