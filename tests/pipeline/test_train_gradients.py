"""Gradients of a step: in the plan's order on CPUs, added up on the device for GPUs."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from torch import nn

from deepsched.model.learning import Loss
from deepsched.pipeline.training import loop
from deepsched.pipeline.training.course import make_course
from deepsched.pipeline.training.gradients import LOOK_EVERY, Look, Ordered, Summed
from deepsched.pipeline.training.loop import Diverged, fit
from deepsched.pipeline.training.peers import Peers
from tests.pipeline.training_helpers import (
    GENERATED,
    PAPER,
    Notebook,
    config,
    in_unison,
    tiny_dataset,
    weights,
)

if TYPE_CHECKING:
    from pathlib import Path

WAYS = [Ordered, Summed]


class _Line(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.slope = nn.Parameter(torch.tensor([1.0, 2.0]))
        self.unused = nn.Parameter(torch.zeros(3))


def loss_of(line: _Line, k: int, factor: float = 1.0) -> Loss:
    total = (line.slope * (k + 1)).sum() * factor
    return Loss(total=total, weight=float(k + 1), sums={"a": 2.0 * k, "b": total.detach()})


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("world", [1, 2, 3])
def test_the_mean_gradient_is_that_of_all_micro_batches(way: Any, world: int) -> None:
    """With three processes one of them has nothing to do."""

    def work(peers: Peers) -> Any:
        line = _Line()
        gradients, found = way(line, peers), []
        for step in range(3):
            for k in range(2):
                if k % world == peers.rank:
                    gradients.add(k, loss_of(line, k + step), tasks=10 * (k + 1))
            flag = step == 1 and peers.rank == 0
            look = gradients.together(2, ("a", "b"), flag=flag, look=step == 2)
            found.append((look, line.slope.grad.tolist(), line.unused.grad.tolist()))
        return found

    for found in in_unison(world, work):
        for step, (_, slope, unused) in enumerate(found):
            weight = (step + 1) + (step + 2)
            assert slope == pytest.approx([1.0, 1.0])  # a sum of weights / itself
            assert unused == [0, 0, 0]
            assert weight == 2 * step + 3
        looks = [look for look, _, _ in found if look]
        assert sum(look.steps for look in looks) == 3
        assert sum(look.tasks for look in looks) == 3 * 30
        assert [look.flagged for look in looks] == (
            [False, True, False] if way is Ordered else [True]
        )
        expected = sum((2.0 * step + 2.0 * (step + 1)) / (2 * step + 3) for step in range(3))
        assert sum(look.measures["a"] for look in looks) == pytest.approx(expected)
        assert all(look.broken is None for look in looks)


def test_the_host_looks_every_few_steps_where_gradients_are_summed() -> None:
    line = _Line()
    summed, looks = Summed(line, Peers()), list[Look | None]()
    for _ in range(2 * LOOK_EVERY):
        summed.add(0, loss_of(line, 0), tasks=1)
        looks.append(summed.together(1, ("a", "b"), flag=False, look=False))
    assert [look.steps for look in looks if look] == [LOOK_EVERY] * 2
    assert looks.index(next(look for look in looks if look)) == LOOK_EVERY - 1


@pytest.mark.parametrize("way", WAYS)
def test_a_gradient_that_is_no_number_is_found(way: Any) -> None:
    line = _Line()
    gradients = way(line, Peers())
    for step in range(3):
        for k in range(3):
            bad = step == 1 and k == 2
            gradients.add(k, loss_of(line, k, math.inf if bad else 1.0), tasks=1)
        look = gradients.together(3, ("a", "b"), flag=False, look=step == 2)
        if way is Ordered:
            assert (look.broken is None) == (step != 1)
            if step == 1:
                assert look.broken == (0, [2])
    if way is Summed:
        first, rows = look.broken
        assert (first, list(rows), look.tasks) == (1, [0, 1, 2], 0)


@pytest.fixture
def on_a_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let trainings on the CPU add up gradients as on a GPU."""
    monkeypatch.setattr(loop, "Ordered", Summed)


@pytest.mark.parametrize("base", [GENERATED, PAPER], ids=["deepsched", "paper"])
def test_both_ways_learn_the_same_but_for_rounding(
    base: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = None if base is GENERATED else tiny_dataset(tmp_path / "data", 30)
    settings = config(base, **({} if data is None else {"epochs": 2}))
    histories = []
    for way in ("ordered", "summed"):
        if way == "summed":
            monkeypatch.setattr(loop, "Ordered", Summed)
        notebook = Notebook(tmp_path / way)
        histories.append(fit(make_course(data, settings), reporter=notebook))
    (a, b) = (
        weights(tmp_path / way / f"step-{histories[0][-1]['step']}")
        for way in ("ordered", "summed")
    )
    for key in a:
        # Where a gradient is nearly zero Adam makes full steps of its rounding errors.
        np.testing.assert_allclose(a[key], b[key], atol=1e-2)
    for one, other in zip(*histories, strict=True):
        measures = [name for name in one if name.startswith("train_")]
        assert measures
        for name in measures:
            assert other[name] == pytest.approx(one[name], rel=1e-2)


@pytest.mark.usefixtures("on_a_device")
def test_on_a_device_a_gradient_that_is_no_number_ends_training_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add, calls = Summed.add, list[int]()

    def broken(self: Summed, k: int, loss: Loss, tasks: int) -> None:
        calls.append(k)
        bad = Loss(total=loss.total * math.nan, weight=loss.weight, sums=loss.sums)
        add(self, k, bad if len(calls) == 6 else loss, tasks)  # the second one of step 3

    monkeypatch.setattr(Summed, "add", broken)
    notebook = Notebook(tmp_path)
    with pytest.raises(Diverged, match=r"in step 3 \(samples 8, 9, 10, 11\)"):
        fit(make_course(None, config(check_every=4)), reporter=notebook)
    assert not any(tmp_path.iterdir())
