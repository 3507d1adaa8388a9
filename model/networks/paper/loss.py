"""The paper's loss: cross-entropy on the machine plus mean squared error on AST and AFT.

Axes: P pair, T task, M machine.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

if TYPE_CHECKING:
    from deepsched.model.networks.paper.batch import Batch, Prediction


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Losses:
    """Means over the tasks of a batch, each a scalar tensor.

    Attributes
    ----------
    total : cross_entropy + mse_weight · mse; the only one with a gradient.
    cross_entropy : nats.
    mse : of AST / scale and AFT / scale, the mean of both.
    accuracy : share of tasks whose best-scored machine is the teacher's.
    chance : expected accuracy of a uniform draw among the machines that can hold the task.
    n_tasks : what the means are over.
    """

    total: Tensor
    cross_entropy: Tensor
    mse: Tensor
    accuracy: Tensor
    chance: Tensor
    n_tasks: int


def schedule_loss(prediction: Prediction, batch: Batch, *, mse_weight: float = 1.0) -> Losses:
    """Compare a prediction with the teacher's schedule.

    Every task counts the same. Only machines that can hold the task take part in its softmax.

    Raises
    ------
    ValueError
        If the batch has no teacher; looked for on a CPU only.
    """
    # A GPU is not asked, or the host would wait for it.
    if batch.machine.device.type == "cpu" and bool((batch.machine < 0).any()):
        raise ValueError("the batch has samples without a teacher's schedule")
    entropies, hits, chances = [], [], []
    for tasks, score_TM, fits_TM in zip(
        batch.task_slices, batch.pairs(prediction.score), batch.pairs(batch.eligible), strict=True
    ):
        machine_T = batch.machine[tasks]
        entropies.append(functional.cross_entropy(score_TM, machine_T, reduction="none"))
        hits.append(score_TM.argmax(dim=1) == machine_T)
        chances.append(1.0 / fits_TM.sum(dim=1))
    cross_entropy = torch.cat(entropies).mean()
    off_T = (prediction.start - batch.start) ** 2 + (prediction.finish - batch.finish) ** 2
    mse = off_T.mean() / 2
    return Losses(
        total=cross_entropy + mse_weight * mse,
        cross_entropy=cross_entropy.detach(),
        mse=mse.detach(),
        accuracy=torch.cat(hits).float().mean(),
        chance=torch.cat(chances).mean(),
        n_tasks=sum(batch.n_tasks),
    )
