"""Training learns, repeats itself, and says so when it cannot go on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from deepsched.baselines.errors import InvalidInput
from deepsched.baselines.heft import heft
from deepsched.model.networks import build_network
from deepsched.model.networks.paper.batch import Batch, collate
from deepsched.model.networks.paper.features import encode
from deepsched.model.training import Metrics, merge_metrics, train_epoch, validate
from tests.model.examples import PAPER, VARIANTS, layered, limited

if TYPE_CHECKING:
    from deepsched.model.networks.paper.loss import Losses

SMALL = {"width": 16, "recurrent_width": 16}


def labelled(*seeds: int) -> Batch:
    return collate([encode(problem, heft(problem)) for problem in map(limited, seeds)])


@pytest.mark.parametrize("variant", PAPER)
def test_one_small_problem_is_learned_by_heart(variant: str) -> None:
    torch.manual_seed(0)
    name, config = VARIANTS[variant]
    problem = layered(20, 4, seed=1)
    batch = collate([encode(problem, heft(problem))])
    learns = build_network(name, {**config, **SMALL})
    optimizer = torch.optim.Adam(learns.parameters(), lr=2e-2)
    before = validate(learns, [batch])
    train_epoch(learns, optimizer, [batch] * 80)
    after = validate(learns, [batch])
    assert after.accuracy > 0.9
    assert after.mse < before.mse / 5
    assert after.loss < before.loss / 4


def test_training_repeats_itself_bit_for_bit() -> None:
    def run() -> tuple[Metrics, list[torch.Tensor]]:
        torch.manual_seed(3)
        learns = build_network("paper", SMALL)
        optimizer = torch.optim.Adam(learns.parameters(), lr=1e-2)
        metrics = train_epoch(learns, optimizer, [labelled(0, 1), labelled(2)])
        return metrics, [p.detach().clone() for p in learns.parameters()]

    (first, weights), (second, again) = run(), run()
    assert first == second
    assert all(torch.equal(a, b) for a, b in zip(weights, again, strict=True))


def test_validation_changes_nothing_and_weighs_by_tasks() -> None:
    torch.manual_seed(0)
    asks = build_network("paper", SMALL)
    weights = [p.detach().clone() for p in asks.parameters()]
    apart = validate(asks, [labelled(0), labelled(1, 2)])
    together = validate(asks, [labelled(0, 1, 2)])
    assert all(torch.equal(a, b) for a, b in zip(weights, asks.parameters(), strict=True))
    assert apart.n_tasks == together.n_tasks
    for name in ("loss", "cross_entropy", "mse", "accuracy", "chance"):
        assert getattr(apart, name) == pytest.approx(getattr(together, name), rel=1e-5), name


def test_every_step_is_reported() -> None:
    seen: list[Losses] = []
    asks = build_network("paper", SMALL)
    optimizer = torch.optim.Adam(asks.parameters())
    metrics = train_epoch(asks, optimizer, [labelled(0), labelled(1)], on_step=seen.append)
    assert [losses.n_tasks for losses in seen] == [sum(labelled(s).n_tasks) for s in (0, 1)]
    mean = np.average([float(s.total.detach()) for s in seen], weights=[s.n_tasks for s in seen])
    assert metrics.loss == pytest.approx(mean)


def test_divergence_is_an_error_not_a_model() -> None:
    asks = build_network("paper", SMALL)
    optimizer = torch.optim.SGD(asks.parameters(), lr=1e30)
    with pytest.raises(InvalidInput, match=r"diverged in step .*lower the learning rate"):
        train_epoch(asks, optimizer, [labelled(0)] * 10)


def test_no_batch_is_an_error() -> None:
    asks = build_network("paper", SMALL)
    with pytest.raises(InvalidInput, match="no batch"):
        validate(asks, [])
    with pytest.raises(InvalidInput, match="no batch"):
        merge_metrics([])


def test_the_number_of_threads_is_given_back() -> None:
    before = torch.get_num_threads()
    validate(build_network("paper", SMALL), [labelled(0)])
    assert torch.get_num_threads() == before
