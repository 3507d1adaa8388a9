"""Batches are ragged, lose nothing, and group what is alike."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from deepsched.baselines.heft import heft
from deepsched.model.batches import on_device
from deepsched.model.networks.paper.batch import batches_by_size, collate
from deepsched.model.networks.paper.features import encode
from tests.model.examples import layered, limited


def test_collate_keeps_every_number_in_its_problem() -> None:
    problems = [layered(7, 3), layered(1, 1), limited(4)]
    samples = [encode(problem, heft(problem)) for problem in problems]
    batch = collate(samples)
    assert len(batch) == 3
    assert batch.n_tasks == tuple(p.n_tasks for p in problems)
    assert batch.n_machines == tuple(p.n_machines for p in problems)
    pairs, eligible = batch.pairs(batch.pair_features), batch.pairs(batch.eligible)
    for b, sample in enumerate(samples):
        tasks, machines = batch.task_slices[b], batch.machine_slices[b]
        np.testing.assert_array_equal(batch.task_features[tasks], sample.task_features)
        np.testing.assert_array_equal(batch.machine_features[machines], sample.machine_features)
        np.testing.assert_array_equal(pairs[b], sample.pair_features)
        np.testing.assert_array_equal(eligible[b], sample.eligible)
        np.testing.assert_array_equal(batch.machine[tasks], sample.machine)
        np.testing.assert_array_equal(batch.start[tasks], sample.start)
        np.testing.assert_array_equal(batch.finish[tasks], sample.finish)


def test_a_sample_alone_is_not_copied() -> None:
    sample = encode(problem := layered(7, 3), heft(problem))
    batch = collate([sample])
    assert np.shares_memory(batch.pair_features.numpy(), sample.pair_features)
    sample.pair_features.flags.writeable = False  # as arrays are that Ray hands over
    assert not np.shares_memory(collate([sample]).pair_features.numpy(), sample.pair_features)


def test_a_sample_without_a_teacher_is_marked() -> None:
    problem = layered(5, 2)
    batch = collate([encode(problem), encode(problem, heft(problem))])
    assert (batch.machine[:5] == -1).all()
    assert (batch.machine[5:] >= 0).all()


def test_an_empty_batch_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one sample"):
        collate([])


def test_a_batch_moves_as_a_whole() -> None:
    moved = on_device(collate([encode(layered(3, 2))]), "meta")
    tensors = [v for name in moved.__slots__ if isinstance(v := getattr(moved, name), torch.Tensor)]
    assert len(tensors) == 7
    assert all(tensor.device.type == "meta" for tensor in tensors)


@given(
    sizes=st.lists(st.integers(1, 1000), max_size=60),
    max_tasks=st.integers(1, 3000),
    seed=st.none() | st.integers(0, 100),
)
def test_grouping_takes_each_problem_once_within_the_bound(
    sizes: list[int], max_tasks: int, seed: int | None
) -> None:
    rng = None if seed is None else np.random.default_rng(seed)
    batches = batches_by_size(sizes, max_tasks, rng)
    assert sorted(i for batch in batches for i in batch) == list(range(len(sizes)))
    for batch in batches:
        assert len(batch) == 1 or sum(sizes[i] for i in batch) <= max_tasks


def test_grouping_puts_similar_sizes_together_in_changing_company() -> None:
    sizes = [10] * 50 + [1000] * 50
    rng = np.random.default_rng(0)
    first, second = (batches_by_size(sizes, 5000, rng) for _ in range(2))
    assert first != second
    mixed = [batch for batch in first if len({sizes[i] for i in batch}) > 1]
    assert len(mixed) <= 1  # only where the small ones end and the large ones begin
