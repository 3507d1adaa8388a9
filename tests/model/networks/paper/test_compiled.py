"""The compiled layers are torch's own, to float32 rounding: values and gradients."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from deepsched.baselines.heft import heft
from deepsched.model.networks.paper import compiled, recurrence
from deepsched.model.networks.paper import network as paper_module
from deepsched.model.networks.paper.batch import Batch, collate
from deepsched.model.networks.paper.features import encode
from deepsched.model.networks.paper.loss import schedule_loss
from tests.model.examples import layered, limited, network


def mixed() -> Batch:
    """Return problems with machines that are too small, with one task, and with many."""
    group = [*(limited(seed) for seed in range(4)), layered(1, 1), layered(50, 7)]
    return collate([encode(problem, heft(problem)) for problem in group])


def in_double(batch: Batch) -> Batch:
    """Return the batch as the layers of torch take it."""
    names = ("task_features", "machine_features", "pair_features", "start", "finish")
    return dataclasses.replace(batch, **{name: getattr(batch, name).double() for name in names})


def test_compiled_layers_predict_and_learn_what_those_of_torch_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Several blocks of pairs and chunks of steps, and the rest of one.
    monkeypatch.setattr(paper_module, "MAX_BLOCK_PAIRS", 17)
    monkeypatch.setattr(recurrence, "CHUNK", 7)
    batch, plain = mixed(), in_double(mixed())
    asks, asks_plain = network("paper"), network("paper").double()
    assert compiled.takes(*asks.parameters())
    assert not compiled.takes(*asks_plain.parameters())
    found, expected = asks(batch), asks_plain(plain)
    for name in ("score", "start", "finish"):
        torch.testing.assert_close(
            getattr(found, name).double(), getattr(expected, name), atol=1e-5, rtol=1e-5
        )
    schedule_loss(found, batch).total.backward()
    schedule_loss(expected, plain).total.backward()
    for (name, mine), theirs in zip(asks.named_parameters(), asks_plain.parameters(), strict=True):
        off = (mine.grad - theirs.grad).abs().max() / theirs.grad.abs().max()
        assert off < 1e-5, name


def test_a_batch_has_the_gradient_of_its_problems_one_by_one() -> None:
    group = [layered(40, 6), limited(1), limited(2)]
    samples = [encode(problem, heft(problem)) for problem in group]
    together, apart = network("paper"), network("paper")
    schedule_loss(together(batch := collate(samples)), batch).total.backward()
    for sample in samples:
        one = collate([sample])
        share = sample.n_tasks / sum(batch.n_tasks)
        (schedule_loss(apart(one), one).total * share).backward()
    for mine, theirs in zip(together.parameters(), apart.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, theirs.grad, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    "broken", ["machine_conv.bias", "burst_conv.bias", "task_gru.backwards.bias_hh_l0"]
)
def test_a_weight_that_is_no_number_makes_the_loss_none(broken: str) -> None:
    # A training that diverges is found by that.
    batch, asks = mixed(), network("paper")
    with torch.no_grad():
        asks.get_parameter(broken)[0] = torch.nan
    loss = schedule_loss(asks(batch), batch).total
    loss.backward()
    assert loss.isnan()
    assert any(parameter.grad.isnan().any() for parameter in asks.parameters())


def test_under_autocast_the_layers_are_those_of_torch() -> None:
    batch, asks = mixed(), network("paper")
    with torch.autocast("cpu", torch.bfloat16):
        assert not compiled.takes(*asks.parameters())
        loss = schedule_loss(asks(batch), batch).total
    loss.backward()
    torch.testing.assert_close(loss, schedule_loss(asks(batch), batch).total, rtol=0.05, atol=0.05)
    assert all(parameter.grad.isfinite().all() for parameter in asks.parameters())
