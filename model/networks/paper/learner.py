"""How the network `paper` learns: it imitates a teacher, by the paper's loss."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from deepsched.model.learning import Loss, RolloutJob, TrainingItem
from deepsched.model.networks.paper.batch import collate
from deepsched.model.networks.paper.features import Sample, encode
from deepsched.model.networks.paper.loss import schedule_loss

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
    from torch import nn

    from deepsched.baselines.arrays import FloatArray


@dataclass(frozen=True, kw_only=True)
class PaperImitation:
    """Cross-entropy on the teacher's machine, and squared errors of its start and finish times.

    Attributes
    ----------
    mse_weight : of the errors beside the cross-entropy.
    """

    mse_weight: float = 1.0
    measures: tuple[str, ...] = ("loss", "cross_entropy", "mse", "accuracy", "chance")

    def encode(self, item: TrainingItem) -> Sample:
        """Return the features of the item's problem and its teacher's schedule.

        Raises
        ------
        InvalidInput
            If nobody has scheduled it.
        """
        return encode(item.problem, item.imitated())

    def loss(
        self,
        network: nn.Module,
        encoded: Sequence[Sample],
        streams: Sequence[np.random.Generator],
        run: Callable[[Sequence[RolloutJob]], Sequence[FloatArray]],
    ) -> Loss:
        """Return the paper's loss, a mean over tasks."""
        device = next(network.parameters()).device
        batch = collate(encoded).to(device)
        losses = schedule_loss(network(batch), batch, mse_weight=self.mse_weight)
        n = losses.n_tasks
        values = torch.stack(
            [
                losses.total.detach(),
                losses.cross_entropy,
                losses.mse,
                losses.accuracy,
                losses.chance,
            ]
        )
        sums = dict(zip(self.measures, (values.double() * n).tolist(), strict=True))
        return Loss(total=losses.total * n, weight=float(n), sums=sums)
