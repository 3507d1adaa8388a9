"""The loss, computed by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from deepsched.baselines.machines import make_machines
from deepsched.baselines.problem import make_problem
from deepsched.baselines.schedule import make_schedule
from deepsched.model.networks.paper.batch import Batch, Prediction, collate
from deepsched.model.networks.paper.features import encode
from deepsched.model.networks.paper.loss import schedule_loss


def two_tasks() -> Batch:
    """Return a batch whose second task fits only on the first two of three machines.

    Time scale: (2 + 2) / 3 machines = 4/3 s, but a task takes 2 s alone: 2 s.
    """
    problem = make_problem(
        machines=make_machines(3, memory=[9, 9, 1]), etc=np.full((2, 3), 2.0), memory=[0, 5]
    )
    return collate([encode(problem, make_schedule("teacher", [2, 0], [0, 1], [2, 3]))])


def test_the_loss_by_hand() -> None:
    batch = two_tasks()
    score = torch.tensor([0.0, math.log(2), math.log(3), math.log(3), 0.0, -math.inf])
    prediction = Prediction(
        score=score, start=torch.tensor([0.5, 0.5]), finish=torch.tensor([1.0, 1.0])
    )
    losses = schedule_loss(prediction, batch, mse_weight=10.0)
    # Softmax of the teacher's machine: 3 / (1 + 2 + 3), and 3 / (3 + 1).
    cross_entropy = -(math.log(1 / 2) + math.log(3 / 4)) / 2
    # Targets / 2 s: start 0, 0.5; finish 1, 1.5.
    mse = (0.5**2 + 0 + 0 + 0.5**2) / 4
    assert float(losses.cross_entropy) == pytest.approx(cross_entropy)
    assert float(losses.mse) == pytest.approx(mse)
    assert float(losses.total) == pytest.approx(cross_entropy + 10 * mse)
    assert float(losses.accuracy) == 1.0
    assert float(losses.chance) == pytest.approx((1 / 3 + 1 / 2) / 2)
    assert losses.n_tasks == 2


def test_accuracy_counts_the_best_scored_machine() -> None:
    batch = two_tasks()
    prediction = Prediction(
        score=torch.tensor([0.0, 1.0, 2.0, 0.0, 1.0, -math.inf]),
        start=torch.zeros(2),
        finish=torch.zeros(2),
    )
    assert float(schedule_loss(prediction, batch).accuracy) == 0.5


def test_every_task_counts_the_same_in_a_batch() -> None:
    def losses(tasks: int) -> tuple[Batch, Prediction]:
        problem = make_problem(machines=make_machines(2), etc=np.ones((tasks, 2)))
        finish = np.arange(1.0, tasks + 1)
        schedule = make_schedule("teacher", np.zeros(tasks), finish - 1, finish)
        batch = collate([encode(problem, schedule)])
        generator = torch.Generator().manual_seed(tasks)
        return batch, Prediction(
            score=torch.randn(2 * tasks, generator=generator),
            start=torch.randn(tasks, generator=generator),
            finish=torch.randn(tasks, generator=generator),
        )

    (small, of_small), (large, of_large) = losses(1), losses(3)
    joined = Batch(
        n_tasks=small.n_tasks + large.n_tasks,
        n_machines=small.n_machines + large.n_machines,
        **{
            name: torch.cat([getattr(small, name), getattr(large, name)])
            for name in (
                "task_features",
                "machine_features",
                "pair_features",
                "eligible",
                "machine",
                "start",
                "finish",
            )
        },
    )
    both = Prediction(
        score=torch.cat([of_small.score, of_large.score]),
        start=torch.cat([of_small.start, of_large.start]),
        finish=torch.cat([of_small.finish, of_large.finish]),
    )
    expected = (schedule_loss(of_small, small).total + 3 * schedule_loss(of_large, large).total) / 4
    torch.testing.assert_close(schedule_loss(both, joined).total, expected)


def test_a_batch_without_a_teacher_has_no_loss() -> None:
    problem = make_problem(machines=make_machines(1), etc=[[1.0]])
    batch = collate([encode(problem)])
    prediction = Prediction(score=torch.zeros(1), start=torch.zeros(1), finish=torch.zeros(1))
    with pytest.raises(ValueError, match="without a teacher"):
        schedule_loss(prediction, batch)
