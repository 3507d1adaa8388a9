"""A checkpoint is a scheduler like any other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from deepsched.baselines.errors import InvalidInput
from deepsched.baselines.machines import make_machines
from deepsched.baselines.problem import make_problem
from deepsched.baselines.schedule import violations
from deepsched.model.checkpoint import save_checkpoint
from deepsched.model.networks.paper import scheduler as module
from deepsched.model.networks.paper.scheduler import PaperScheduler, chance
from tests.model.examples import layered, limited, network

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    save_checkpoint(tmp_path, network("paper"), "paper", {}, {"teacher": "heft"})
    return tmp_path


def test_a_batch_is_scheduled_like_each_problem_alone(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_BATCH_TASKS", 60)  # several forward passes
    learned = PaperScheduler.load(checkpoint)
    problems = [layered(50, 4), layered(1, 1), *(limited(seed) for seed in range(6))]
    schedules = learned.schedule_batch(problems)
    for problem, schedule in zip(problems, schedules, strict=True):
        assert violations(problem, schedule) == []
        assert schedule.scheduler == "paper"
        alone = learned(problem, np.random.default_rng(0))
        np.testing.assert_array_equal(schedule.proc, alone.proc)
        np.testing.assert_array_equal(schedule.ast, alone.ast)
    assert learned.meta == {"teacher": "heft"}
    assert learned.schedule_batch([]) == []


def test_the_schedule_follows_the_prediction(checkpoint: Path) -> None:
    learned = PaperScheduler.load(str(checkpoint))
    problem = limited(2)
    (prediction,) = learned.predict([problem])
    schedule = learned(problem)
    np.testing.assert_array_equal(schedule.proc, prediction.score.argmax(axis=1))


@pytest.mark.parametrize("device", ["cuda:99", "nonsense"])
def test_a_device_that_is_not_there_is_named(checkpoint: Path, device: str) -> None:
    with pytest.raises(InvalidInput, match=device):
        PaperScheduler.load(checkpoint, device=device)


def test_chance_counts_the_machines_that_fit() -> None:
    problem = make_problem(
        machines=make_machines(4),
        etc=[[1, 1, 1, 1], [1, np.inf, np.inf, 1], [np.inf, 1, np.inf, np.inf]],
    )
    assert chance(problem) == pytest.approx((1 / 4 + 1 / 2 + 1) / 3)


def test_a_checkpoint_of_another_network_is_refused(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, network("deepsched"), "deepsched", {}, {})
    with pytest.raises(InvalidInput, match="network 'deepsched'; 'paper' expected"):
        PaperScheduler.load(tmp_path)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_cuda_schedules_validly(checkpoint: Path) -> None:
    learned = PaperScheduler.load(checkpoint, device="cuda")
    problems = [limited(seed) for seed in range(4)]
    for problem, schedule in zip(problems, learned.schedule_batch(problems), strict=True):
        assert violations(problem, schedule) == []
