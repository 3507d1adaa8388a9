"""From the regressor's outputs to start and finish times. Axes: T task."""

from __future__ import annotations

from typing import TYPE_CHECKING

from deepsched.model.networks.paper.features import TASK_FEATURES

if TYPE_CHECKING:
    from torch import Tensor

    from deepsched.model.networks.paper.batch import Batch

RESIDUAL = "residual"
DELAY = 0.1  # of the time scale: what an output of 1 adds to the arrival
ARRIVAL = TASK_FEATURES.index("arrival")


def start_and_finish(batch: Batch, output_T2: Tensor, times: str) -> tuple[Tensor, Tensor]:
    """Return AST and AFT / scale, (T,) each.

    Parameters
    ----------
    times : "literal": the outputs themselves, as the paper has it; "residual": arrival / scale +
        0.1 · output, of either. Arrivals spread over the whole scale, and delays are a small part
        of it, so that the literal output's error hides the order of the tasks.
    """
    if times == RESIDUAL:
        output_T2 = batch.task_features[:, ARRIVAL, None] + DELAY * output_T2
    return output_T2[:, 0], output_T2[:, 1]
