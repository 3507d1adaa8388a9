"""How the network `paper` learns: it imitates a teacher, by the paper's loss."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from deepsched.model.batches import on_device, pinned
from deepsched.model.learning import Loss, RolloutJob, TrainingItem
from deepsched.model.networks.paper.batch import Batch, collate
from deepsched.model.networks.paper.features import encode
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

    def encode(self, items: Sequence[TrainingItem]) -> Batch:
        """Return the features of the problems and their teacher's schedules.

        Raises
        ------
        InvalidInput
            If nobody has scheduled one of them.
        """
        return pinned(collate([encode(item.problem, item.imitated()) for item in items]))

    def loss(
        self,
        network: nn.Module,
        encoded: Batch,
        streams: Sequence[np.random.Generator],
        run: Callable[[Sequence[RolloutJob]], Sequence[FloatArray]],
    ) -> Loss:
        """Return the paper's loss, a mean over tasks."""
        batch = on_device(encoded, next(network.parameters()).device)
        losses = schedule_loss(network(batch), batch, mse_weight=self.mse_weight)
        n = losses.n_tasks
        means = (
            losses.total.detach(),
            losses.cross_entropy,
            losses.mse,
            losses.accuracy,
            losses.chance,
        )
        sums = {name: mean.double() * n for name, mean in zip(self.measures, means, strict=True)}
        return Loss(total=losses.total * n, weight=float(n), sums=sums)
