"""How the network `deepsched` learns: what a loss measures, and where its gradient pulls."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from deepsched.baselines.errors import InvalidInput
from deepsched.baselines.heft import heft
from deepsched.baselines.objectives import MEASURES
from deepsched.baselines.registry import SCHEDULERS
from deepsched.model.learning import Loss, RolloutJob, TrainingItem
from deepsched.model.networks.deepsched.config import DeepSchedConfig
from deepsched.model.networks.deepsched.decode import decode_schedule
from deepsched.model.networks.deepsched.learners import Imitation, PolicyGradient, run_rollouts
from deepsched.model.networks.deepsched.network import DeepSchedNetwork
from tests.model.examples import layered
from tests.model.networks.deepsched.examples import random_network

if TYPE_CHECKING:
    from collections.abc import Sequence

    from deepsched.baselines.arrays import FloatArray
    from deepsched.baselines.problem import Problem
    from deepsched.baselines.schedule import Schedule

CONFIG = DeepSchedConfig(width=8, rounds=1)


def item(
    problem: Problem,
    sample_id: int = 0,
    *,
    objective: str = "makespan",
    target: Schedule | None = None,
) -> TrainingItem:
    return TrainingItem(
        sample_id=sample_id,
        problem=problem,
        objective=objective,
        reference=MEASURES[objective](problem, heft(problem)),
        target=target,
    )


def items() -> list[TrainingItem]:
    problems = [layered(30 + 5 * k, 4, k, ccr=3.0) for k in range(4)]
    return [item(p, k, objective=("makespan", "turnaround")[k % 2]) for k, p in enumerate(problems)]


def here(jobs: Sequence[RolloutJob]) -> list[FloatArray]:
    return [run_rollouts(job) for job in jobs]


def loss_of(
    learner: Any,
    network: DeepSchedNetwork,
    found: Sequence[TrainingItem],
    seed: int = 0,
    run: Any = here,
) -> tuple[Loss, np.ndarray]:
    """Return a loss and its gradient."""
    network.zero_grad(set_to_none=True)
    streams = [np.random.default_rng([seed, one.sample_id]) for one in found]
    loss = learner.loss(network, learner.encode(found), streams, run)
    loss.total.backward()
    gradient = [
        np.zeros(p.numel()) if p.grad is None else p.grad.numpy().ravel().copy()
        for p in network.parameters()
    ]
    return loss, np.concatenate(gradient)


@pytest.mark.parametrize("decode", ["full", "topk"])
def test_an_untrained_network_is_heft_and_its_best_rollouts_are_better(decode: str) -> None:
    torch.manual_seed(0)
    learner = PolicyGradient(decode=decode, rollouts=8)
    loss, gradient = loss_of(learner, DeepSchedNetwork(CONFIG), items())
    assert tuple(loss.sums) == learner.measures
    assert loss.weight == 4
    # With a few machines per task the decoder is HEFT on problems of few machines too.
    assert loss.sums["ratio"] / loss.weight == pytest.approx(1.0)
    assert loss.sums["best_ratio"] < loss.sums["ratio"]
    assert np.abs(gradient).max() > 0


def test_the_measures_are_those_of_the_networks_own_schedules() -> None:
    network, learner = random_network(1, CONFIG), PolicyGradient(rollouts=4)
    jobs: list[RolloutJob] = []

    def run(asked: Sequence[RolloutJob]) -> list[FloatArray]:
        jobs.extend(asked)
        return here(asked)

    found = items()
    loss, _ = loss_of(learner, network, found, run=run)
    expected = [
        min(
            MEASURES[one.objective](one.problem, decode_schedule(one.problem, job.view, head, "x"))
            for head in job.outputs
        )
        / one.reference
        for one, job in zip(found, jobs, strict=True)
    ]
    assert loss.sums["ratio"] == pytest.approx(sum(expected))
    assert loss.sums["best_ratio"] <= loss.sums["ratio"]
    for one, job in zip(found, jobs, strict=True):
        heads, n = CONFIG.heads, one.problem.n_tasks
        assert job.outputs.shape == (heads, n, 4)
        # Each head's own schedule, and each perturbation both ways.
        assert job.perturbations.shape == (heads, 5, n, 4)
        assert not job.perturbations[:, 0].any()
        np.testing.assert_array_equal(job.perturbations[:, 1:3], -job.perturbations[:, 3:])
        assert len({noise.tobytes() for noise in job.perturbations}) == heads


def pulls(ratios: np.ndarray, n: int = 6) -> np.ndarray:
    """Return (heads, n, outputs), where outputs are pulled if rollouts come to these ratios."""
    heads, count = len(ratios), ratios.shape[1] - 1
    learner = PolicyGradient(rollouts=count)
    hidden = np.random.default_rng(1).standard_normal((n, 8)).astype(np.float32)
    drawn = learner._draw(hidden, heads, np.random.default_rng(2))  # noqa: SLF001
    return learner._pull(ratios, drawn).transpose(1, 0, 2)  # noqa: SLF001


def test_a_later_head_learns_only_where_it_is_better_than_those_before_and_heft() -> None:
    rng = np.random.default_rng(0)
    ratios = np.concatenate([np.full((3, 1), 0.9), rng.uniform(0.9, 1.3, (3, 8))], axis=1)
    first, *later = pulls(ratios)
    assert np.abs(first).min() > 0, "the first has to do well alone"
    assert not np.any(later), "none of their rollouts would have been chosen"
    ratios[2, 3] = 0.85
    assert np.abs(pulls(ratios)[2]).max() > 0
    assert not pulls(ratios)[1].any()
    ratios[1, 0] = 0.8
    assert not pulls(ratios)[2].any(), "one before it does better"
    ratios = np.full((2, 9), 1.2)
    ratios[1, 1:] = rng.uniform(1.0, 1.1, 8)
    assert not pulls(ratios)[1].any(), "HEFT does better"


def test_what_each_task_tries_alone_teaches_nothing_about_all() -> None:
    ratios = np.ones((1, 9))
    ratios[0, 1:3] = 0.8, 0.9  # the first half of a kind's pairs, one way
    found = pulls(ratios)[0]
    assert np.abs(found).max() > 1e-3
    assert found.mean(axis=0) == pytest.approx(0.0, abs=1e-6)
    shared = np.ones((1, 9))
    shared[0, 3:5] = 0.8, 0.9
    assert np.abs(pulls(shared)[0].mean(axis=0)).min() > 1e-3


@pytest.mark.parametrize("objective", ["makespan", "turnaround"])
def test_the_gradient_pulls_towards_better_rollouts(objective: str) -> None:
    torch.manual_seed(0)
    network, learner = DeepSchedNetwork(CONFIG), PolicyGradient(rollouts=32)
    problem = layered(40, 5, 2, ccr=5.0)
    one = item(problem, objective=objective)
    ratios = []
    for step in range(40):
        loss, _ = loss_of(learner, network, [one], seed=step)
        ratios.append(loss.sums["ratio"])
        with torch.no_grad():
            for parameter in network.parameters():
                if parameter.grad is not None:
                    parameter -= 0.05 * parameter.grad
    assert ratios[0] == pytest.approx(1.0)
    assert np.mean(ratios[-10:]) < 0.95


def test_streams_decide_what_is_drawn_and_nothing_else_does() -> None:
    network, learner, found = random_network(1, CONFIG), PolicyGradient(rollouts=4), items()
    torch.manual_seed(1)
    one, gradient = loss_of(learner, network, found)
    torch.manual_seed(2)
    same, again = loss_of(learner, network, found)
    assert again.tobytes() == gradient.tobytes()
    assert same.sums == one.sums
    other, another = loss_of(learner, network, found, seed=1)
    assert another.tobytes() != gradient.tobytes()
    assert other.sums["ratio"] == one.sums["ratio"]
    # Its own stream for each item: who else is in the micro-batch changes no draw.
    alone = [loss_of(learner, network, [entry])[0].sums["best_ratio"] for entry in found]
    assert sum(alone) == pytest.approx(one.sums["best_ratio"])


def test_the_gradients_of_micro_batches_add_up() -> None:
    network, learner, found = random_network(1, CONFIG), PolicyGradient(rollouts=4), items()
    whole, gradient = loss_of(learner, network, found)
    parts = [loss_of(learner, network, part) for part in (found[:1], found[1:])]
    total = sum(own for _, own in parts)
    np.testing.assert_allclose(total, gradient, rtol=1e-3, atol=1e-5 * np.abs(gradient).max())
    assert sum(part.weight for part, _ in parts) == whole.weight


def test_rollouts_that_run_elsewhere_give_the_same_loss() -> None:
    network, learner, found = random_network(1, CONFIG), PolicyGradient(rollouts=4), items()
    calls: list[int] = []

    def elsewhere(jobs: Sequence[RolloutJob]) -> list[FloatArray]:
        calls.append(len(jobs))
        values = {k: run_rollouts(jobs[k]) for k in reversed(range(len(jobs)))}
        return [values[k] for k in range(len(jobs))]

    loss, gradient = loss_of(learner, network, found)
    other, same = loss_of(learner, network, found, run=elsewhere)
    assert calls == [4]
    assert same.tobytes() == gradient.tobytes()
    assert other.sums == loss.sums
    assert float(other.total.detach()) == float(loss.total.detach())


def test_imitation_refuses_what_nobody_has_scheduled() -> None:
    with pytest.raises(InvalidInput, match="sample 17: there is no schedule to imitate"):
        Imitation().encode([item(layered(10, 2), 17)])


def test_imitation_runs_no_rollouts_and_lowers_its_loss() -> None:
    torch.manual_seed(0)
    network, learner = DeepSchedNetwork(CONFIG), Imitation()
    problem = layered(40, 5, 3, ccr=5.0)
    taught = SCHEDULERS["best-of"](problem, np.random.default_rng(0))
    one = item(problem, target=taught)

    def never(jobs: Sequence[RolloutJob]) -> list[FloatArray]:
        raise AssertionError

    optimizer = torch.optim.Adam(network.parameters(), 0.02)
    losses = []
    for _ in range(20):
        loss, _ = loss_of(learner, network, [one], run=never)
        assert loss.sums["loss"] == pytest.approx(float(loss.total.detach()))
        losses.append(loss.sums["loss"])
        optimizer.step()
    assert losses[-1] < 0.9 * losses[0]


@pytest.mark.parametrize(
    "learner",
    [
        PolicyGradient(rollouts=8),
        PolicyGradient(decode="topk", rollouts=8),
        Imitation(),
        Imitation(decode="topk"),
    ],
)
def test_each_part_of_the_network_learns(learner: Any) -> None:
    network = random_network(1, CONFIG)
    with torch.no_grad():
        network.leave.weight.fill_(0.1)
    found = [
        item(p, k, target=SCHEDULERS["best-of"](p, np.random.default_rng(0)))
        for k, p in enumerate(layered(40, 5, seed, ccr=3.0) for seed in range(3))
    ]
    loss_of(learner, network, found)
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 0, name


def test_on_a_device_imitation_lies_there_and_the_host_waits_for_nothing() -> None:
    """On the device `meta` nothing can be read, and all of an operation has to lie there."""
    network = DeepSchedNetwork(CONFIG).to("meta")
    learner = Imitation()
    problem = layered(8, 3, 0)
    encoded = learner.encode([item(problem, target=heft(problem))])
    loss = learner.loss(network, encoded, [], list)
    loss.total.backward()
    assert loss.total.device.type == loss.sums["loss"].device.type == "meta"
