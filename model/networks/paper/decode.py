"""From a prediction to a valid schedule, whatever was predicted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from deepsched.baselines.list_schedule import append_in_order
from deepsched.baselines.ranks import ready_order

if TYPE_CHECKING:
    from collections.abc import Sequence

    from deepsched.baselines.arrays import FloatArray
    from deepsched.baselines.problem import Problem
    from deepsched.baselines.schedule import Schedule
    from deepsched.model.networks.paper.batch import Batch, Prediction
    from deepsched.model.networks.paper.features import Sample


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ProblemPrediction:
    """What a network says about one problem, in the problem's own task order.

    Attributes
    ----------
    network : its name; becomes the schedule's scheduler.
    score : (n_tasks, n_machines) unnormalised log probability, -inf where a task does not fit.
    start, finish : (n_tasks,) s.
    """

    network: str
    score: FloatArray
    start: FloatArray
    finish: FloatArray


def split_prediction(
    prediction: Prediction, batch: Batch, samples: Sequence[Sample], network: str
) -> list[ProblemPrediction]:
    """Cut a batch's prediction into its problems, in seconds and in their own task order."""
    parts = []
    start, finish = (
        t.detach().cpu().double().numpy() for t in (prediction.start, prediction.finish)
    )
    for sample, tasks, score_TM in zip(
        samples, batch.task_slices, batch.pairs(prediction.score), strict=True
    ):
        score = np.empty((sample.n_tasks, sample.n_machines))
        score[sample.order] = score_TM.detach().cpu().numpy()
        times = np.empty((2, sample.n_tasks))
        times[:, sample.order] = np.stack([start[tasks], finish[tasks]]) * sample.scale
        parts.append(
            ProblemPrediction(network=network, score=score, start=times[0], finish=times[1])
        )
    return parts


def decode(problem: Problem, prediction: ProblemPrediction) -> Schedule:
    """Give each task its best-scored machine, by predicted AST as far as the edges allow.

    Tasks are appended: always the ready task with the least predicted AST comes next (ties: lower
    topological index), behind the last task on its machine. The schedule is valid for any
    prediction. A machine that cannot hold the task is never taken; ties go to the lower index, and
    scores or times that are not numbers count as the worst.
    """
    # Finite first, so that even a machine scored -inf comes before one that cannot hold the task.
    worst = np.finfo(np.float64).min
    score = np.nan_to_num(prediction.score, nan=worst, neginf=worst)
    score[np.isinf(problem.etc)] = -np.inf
    start = np.where(np.isnan(prediction.start), np.inf, prediction.start)
    order = ready_order(problem, -start)
    return append_in_order(problem, order, score.argmax(axis=1), prediction.network)
