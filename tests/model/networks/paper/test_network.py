"""What the network `paper` promises, padded or not, whatever it has learned."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from deepsched.baselines.errors import InvalidInput, TooLarge
from deepsched.baselines.heft import heft
from deepsched.baselines.machines import make_machines
from deepsched.baselines.problem import Problem, make_problem
from deepsched.model.batches import on_device
from deepsched.model.networks import build_network
from deepsched.model.networks.paper.batch import Prediction, collate
from deepsched.model.networks.paper.config import PaperConfig
from deepsched.model.networks.paper.features import encode
from deepsched.model.networks.paper.loss import schedule_loss
from tests.model.examples import PAPER, layered, limited, network
from tests.strategies import problems


def predict(variant: str, *of: Problem) -> Prediction:
    with torch.inference_mode():
        prediction: Prediction = network(variant)(collate([encode(problem) for problem in of]))
    return prediction


@pytest.mark.parametrize("variant", PAPER)
@settings(max_examples=15)
@given(group=st.lists(problems(), min_size=1, max_size=4))
def test_batching_changes_no_prediction(variant: str, group: list[Problem]) -> None:
    together = predict(variant, *group)
    alone = [predict(variant, problem) for problem in group]
    for name in ("score", "start", "finish"):
        apart = torch.cat([getattr(prediction, name) for prediction in alone])
        torch.testing.assert_close(getattr(together, name), apart, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("variant", PAPER)
@settings(max_examples=15)
@given(problem=problems())
def test_only_machines_that_can_hold_the_task_have_a_score(variant: str, problem: Problem) -> None:
    sample = encode(problem)
    prediction = predict(variant, problem)
    score = prediction.score.view(problem.n_tasks, problem.n_machines)
    np.testing.assert_array_equal(torch.isfinite(score), sample.eligible)
    assert (score == -torch.inf)[torch.from_numpy(~sample.eligible)].all()
    for times in (prediction.start, prediction.finish):
        assert times.shape == (problem.n_tasks,)
        assert torch.isfinite(times).all()


@pytest.mark.parametrize("seed", range(5))
def test_relabelling_machines_permutes_the_scores(seed: int) -> None:
    problem = limited(seed)
    p = problem.n_machines
    turn = np.random.default_rng(seed).permutation(p)
    old = problem.machines
    bandwidth = np.where(np.isinf(old.bandwidth), 1.0, old.bandwidth)
    relabelled = make_problem(
        machines=make_machines(
            p,
            cores=old.cores[turn],
            frequency=old.frequency[turn],
            memory=old.memory[turn],
            bandwidth=bandwidth[np.ix_(turn, turn)],
            latency=old.latency[np.ix_(turn, turn)],
        ),
        etc=problem.etc[:, turn],
        edges=problem.edge_list(),
        arrival=problem.arrival,
        priority=problem.priority,
        memory=problem.memory,
    )
    before, after = predict("paper", problem), predict("paper", relabelled)
    score = before.score.view(-1, p)[:, torch.from_numpy(turn)]
    torch.testing.assert_close(after.score.view(-1, p), score, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(after.start, before.start, atol=1e-4, rtol=1e-4)


def test_predictions_look_both_ways_along_the_sequence() -> None:
    problem = layered(20, 3)
    batch = collate([encode(problem)])
    asks = network("paper")
    before = asks(batch).start.detach()
    for changed in (0, 19):
        features = batch.task_features.clone()
        features[changed] += 1.0
        after = asks(dataclasses.replace(batch, task_features=features)).start.detach()
        assert not torch.isclose(before, after, atol=1e-6).all()
        other_end = 19 - changed
        assert abs(float(after[other_end] - before[other_end])) > 0


@pytest.mark.parametrize("variant", PAPER)
def test_gradient_flows_to_every_parameter(variant: str) -> None:
    group = [limited(seed) for seed in range(3)]
    batch = collate([encode(problem, heft(problem)) for problem in group])
    learns = network(variant)
    schedule_loss(learns(batch), batch).total.backward()
    for name, parameter in learns.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.abs().max() > 0, name


def test_the_padded_tensors_have_the_same_shapes_for_every_problem() -> None:
    padded = network("paper, padded")
    small, full = collate([encode(layered(1, 1))]), collate([encode(layered(40, 6))])
    shapes = [[part.shape for part in padded.padded(batch)] for batch in (small, full)]  # type: ignore[operator]
    assert shapes[0] == shapes[1]
    assert padded.classifier.out_channels == 6


@pytest.mark.parametrize(
    ("shape", "message"), [((41, 2), "41 tasks.* 40"), ((3, 7), "7 machines.* 6")]
)
def test_the_padded_network_refuses_larger_problems(shape: tuple[int, int], message: str) -> None:
    with pytest.raises(TooLarge, match=message):
        predict("paper, padded", layered(*shape))


def test_sizes_that_do_not_belong_together_are_refused() -> None:
    with pytest.raises(InvalidInput, match=r"network 'paper': .*max_tasks and max_machines togeth"):
        build_network("paper", {"max_tasks": 10})


def test_settings_made_before_are_the_settings() -> None:
    built = build_network("paper", PaperConfig(width=8, recurrent_width=4))
    assert built.classifier.in_channels == 8
    assert built.task_gru.forwards.hidden_size == 4


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("variant", PAPER)
def test_cuda_predicts_what_the_cpu_does(variant: str) -> None:
    batch = collate([encode(limited(seed)) for seed in range(3)])
    asks = network(variant)
    with torch.inference_mode():
        here = asks(batch)
        there = asks.to("cuda")(on_device(batch, "cuda"))
    for name in ("score", "start", "finish"):
        torch.testing.assert_close(
            getattr(there, name).cpu(), getattr(here, name), atol=1e-3, rtol=1e-3
        )
