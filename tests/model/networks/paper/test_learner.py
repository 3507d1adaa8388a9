"""How the network `paper` learns: sums over tasks, so that micro-batches add up to one batch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from deepsched.baselines.errors import InvalidInput
from deepsched.baselines.heft import heft
from deepsched.model.learning import Loss, TrainingItem
from deepsched.model.networks import build_network
from deepsched.model.networks.paper.learner import PaperImitation
from deepsched.model.networks.paper.loss import schedule_loss
from tests.model.examples import layered

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import nn

    from deepsched.baselines.arrays import FloatArray
    from deepsched.model.learning import RolloutJob


def items(*, taught: bool = True) -> list[TrainingItem]:
    problems = [layered(6 + 5 * k, 3, k) for k in range(5)]
    return [
        TrainingItem(
            sample_id=k,
            problem=problem,
            objective="makespan",
            reference=heft(problem).makespan,
            target=heft(problem) if taught else None,
        )
        for k, problem in enumerate(problems)
    ]


def never(jobs: Sequence[RolloutJob]) -> list[FloatArray]:
    raise AssertionError("imitation runs no rollouts")


def network() -> nn.Module:
    torch.manual_seed(0)
    return build_network("paper", {"width": 8, "recurrent_width": 8})


def loss_of(
    learner: PaperImitation, net: nn.Module, found: Sequence[TrainingItem]
) -> tuple[Loss, np.ndarray]:
    net.zero_grad(set_to_none=True)
    streams = [np.random.default_rng(k) for k in range(len(found))]
    loss = learner.loss(net, learner.encode(found), streams, never)
    loss.total.backward()  # type: ignore[no-untyped-call]
    gradients = [p.grad.numpy().ravel().copy() for p in net.parameters() if p.grad is not None]
    return loss, np.concatenate(gradients)


def test_two_micro_batches_have_together_the_gradient_of_one_batch() -> None:
    net, learner, found = network(), PaperImitation(), items()
    whole, gradient = loss_of(learner, net, found)
    parts = [loss_of(learner, net, part) for part in (found[:2], found[2:])]
    np.testing.assert_allclose(parts[0][1] + parts[1][1], gradient, rtol=1e-3, atol=1e-4)
    assert [part.weight for part, _ in parts] == [6 + 11, 16 + 21 + 26]
    assert whole.weight == sum(part.weight for part, _ in parts)
    for name in learner.measures:
        total = sum(float(part.sums[name]) for part, _ in parts)
        assert float(whole.sums[name]) == pytest.approx(total, rel=1e-5)


def test_measures_are_sums_over_tasks_of_the_papers_loss() -> None:
    net, found = network(), items()
    learner = PaperImitation(mse_weight=3.0)
    loss, _ = loss_of(learner, net, found)
    batch = learner.encode(found)
    with torch.inference_mode():
        expected = schedule_loss(net(batch), batch, mse_weight=3.0)
    assert (
        tuple(loss.sums)
        == learner.measures
        == (*("loss", "cross_entropy", "mse", "accuracy", "chance"),)
    )
    n = expected.n_tasks
    assert loss.weight == n == sum(one.problem.n_tasks for one in found)
    assert float(loss.total.detach()) == pytest.approx(float(expected.total) * n, rel=1e-5)
    means = {name: float(value) / n for name, value in loss.sums.items()}
    assert means["loss"] == pytest.approx(means["cross_entropy"] + 3.0 * means["mse"], rel=1e-5)
    assert means["cross_entropy"] == pytest.approx(float(expected.cross_entropy), rel=1e-5)
    assert means["accuracy"] == pytest.approx(float(expected.accuracy), rel=1e-5)
    assert means["chance"] == pytest.approx(1 / 3)


def test_what_nobody_has_scheduled_is_refused() -> None:
    with pytest.raises(InvalidInput, match="sample 3: there is no schedule to imitate"):
        PaperImitation().encode(items(taught=False)[3:])


def test_on_a_device_the_host_waits_for_nothing() -> None:
    """On the device `meta` nothing can be read, and all of an operation has to lie there."""
    network = build_network("paper", {}).to("meta")
    learner = PaperImitation()
    loss = learner.loss(network, learner.encode(items()), [], list)
    loss.total.backward()
    assert {value.device.type for value in loss.sums.values()} == {"meta"}
