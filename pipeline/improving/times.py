"""Starts and finishes, predicted beside the outputs that make the schedule."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from baselines.ranks import downward_rank, mean_execution_cost
from model.guided.graph import TINY

if TYPE_CHECKING:
    from torch import Tensor

    from baselines.problem import Problem
    from baselines.schedule import Schedule
    from model.guided.graph import GraphView


def times_loss(problem: Problem, view: GraphView, predicted: Tensor, schedule: Schedule) -> Tensor:
    """Return the mean squared error of predicted actual start and finish times, (n, 2).

    They are what is added to the downward rank, and to that and the mean cost, in units of the
    critical path or of the mean load of a machine, the longer of the two.
    """
    down, mean = downward_rank(problem), mean_execution_cost(problem)
    span = max(float(view.rank.max()), float(mean.sum()) / problem.n_machines, TINY)
    late = np.stack([schedule.ast - down, schedule.aft - down - mean], axis=1) / span
    return ((predicted - torch.from_numpy(late.astype(np.float32))) ** 2).mean()
