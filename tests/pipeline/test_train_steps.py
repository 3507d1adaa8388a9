"""The plan of the steps: which samples each learns from, and who works on them."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepsched.pipeline.benchmarks.training_simulation import paper_sizes
from deepsched.pipeline.dataset.storage import SampleSize
from deepsched.pipeline.labelling import paper_preset
from deepsched.pipeline.training.steps import DatasetSteps, EndlessSteps, cost, dealt
from tests.pipeline.training_helpers import PAPER, config

if TYPE_CHECKING:
    from collections.abc import Sequence


def steps_of(tasks: Sequence[int], machines: int = 3, shard: int = 10, **changes: Any) -> Any:
    """Return the steps over samples of so many tasks, `shard` of them in a shard."""
    sizes = [
        SampleSize(sample_id=k, source="", n_tasks=n, n_machines=machines, n_edges=0)
        for k, n in enumerate(tasks)
    ]
    return DatasetSteps(sizes, [k // shard for k in range(len(tasks))], config(PAPER, **changes))


def planned(steps: Any) -> list[list[tuple[int, ...]]]:
    return [list(steps.micro_batches(step)) for step in range(steps.total)]


@given(
    st.lists(st.integers(1, 120), min_size=1, max_size=80),
    st.integers(1, 4),
    st.integers(1, 30),
    st.integers(1, 3),
)
def test_each_sample_comes_once_an_epoch(
    tasks: list[int], micro_batches: int, shard: int, epochs: int
) -> None:
    steps = steps_of(tasks, shard=shard, micro_batches=micro_batches, epochs=epochs)
    seen = [Counter[int]() for _ in range(epochs)]
    for step, batches in enumerate(planned(steps)):
        assert 1 <= len(batches) <= micro_batches
        assert all(batches)
        epoch = int(np.ceil(steps.epoch(step))) - 1
        seen[epoch].update(k for batch in batches for k in batch)
    assert all(own == Counter(range(len(tasks))) for own in seen)
    assert steps.epoch(steps.total - 1) == epochs


@given(st.lists(st.integers(1, 120), min_size=1, max_size=80), st.sampled_from([64, 100]))
def test_only_a_single_sample_is_larger_than_the_bounds(tasks: list[int], most: int) -> None:
    steps = steps_of(
        tasks, machines=5, epochs=1, tasks_per_micro_batch=most, pairs_per_micro_batch=400
    )
    for batch in (batch for batches in planned(steps) for batch in batches):
        n = sum(tasks[k] for k in batch)
        assert len(batch) == 1 or (n <= most and 5 * n <= 400)


def test_the_plan_follows_from_seed_and_epoch_alone() -> None:
    tasks = [8 + k % 50 for k in range(200)]
    first = planned(steps_of(tasks, epochs=3))
    assert planned(steps_of(tasks, epochs=3)) == first
    assert planned(steps_of(tasks, epochs=3, seed=1)) != first
    # More epochs, or a number of steps: the same plan, further on.
    more = steps_of(tasks, epochs=5)
    assert planned(more)[: len(first)] == first
    counted = steps_of(tasks, steps=len(first) + 2)
    assert (counted.total, planned(counted)[:-2]) == (len(first) + 2, first)
    # It is asked for in any order: a resumed training begins in the middle.
    assert (
        steps_of(tasks, steps=more.total).micro_batches(len(first)) == (planned(more)[len(first)])
    )
    ends = [step for step in range(more.total) if more.checked(step)]
    assert len(ends) == 5
    assert [more.epoch(step) for step in ends] == [1, 2, 3, 4, 5]
    epochs = np.split(np.arange(more.total), [end + 1 for end in ends[:-1]])
    orders = {tuple(planned(more)[step][0] for step in epoch) for epoch in epochs}
    assert len(orders) == 5


def test_validations_come_as_often_as_asked_and_at_the_end() -> None:
    steps = steps_of([20] * 30, steps=10, check_every=4)
    assert [step for step in range(10) if steps.checked(step)] == [3, 7, 9]


@pytest.mark.parametrize("micro_batches", [2, 4])
def test_micro_batches_of_a_step_cost_alike_on_the_papers_sizes(micro_batches: int) -> None:
    tasks = [size.n_tasks for size in paper_sizes(800)]
    assert max(tasks) > 100 * min(tasks)
    steps = steps_of(
        tasks,
        paper_preset.N_MACHINES,
        shard=16,
        micro_batches=micro_batches,
        epochs=1,
        tasks_per_micro_batch=2048,
    )
    costs = [np.array(steps.costs(step)) for step in range(steps.total)]
    spread = np.array([own.max() / own.mean() for own in costs])
    assert spread.mean() < 1.1
    assert np.quantile(spread, 0.9) < 1.25
    # What processes wait for each other, with one micro-batch each.
    assert sum(own.max() * len(own) for own in costs) < 1.1 * sum(own.sum() for own in costs)
    first = steps.micro_batches(0)[0]
    assert costs[0][0] == sum(cost(tasks[k], paper_preset.N_MACHINES) for k in first)


def test_a_step_with_fewer_micro_batches_has_the_cheapest() -> None:
    steps = steps_of([20 + 7 * k % 1000 for k in range(70)], shard=70, micro_batches=16, epochs=1)
    costs = [steps.costs(step) for step in range(steps.total)]
    short = [own for own in costs if len(own) < 16]
    whole = [own for own in costs if len(own) == 16]
    assert len(short) == 1
    assert max(short[0]) <= 1.2 * min(min(own) for own in whole)  # like sizes change places


def test_shards_are_read_in_windows() -> None:
    steps = steps_of([10] * 400, shard=10, epochs=1)
    shards = [
        {k // 10 for batch in steps.micro_batches(step) for k in batch}
        for step in range(steps.total)
    ]
    seen: list[int] = []
    for own in shards:
        seen += [shard for shard in sorted(own) if shard not in seen]
        assert own <= set(seen[-16:])
    first = set().union(*shards[: steps.total // 5])
    assert len(first) == 8


def test_generated_problems_never_come_again() -> None:
    steps = EndlessSteps(total=50, micro=3, problems=4, check_every=20)
    numbers = [k for batches in planned(steps) for batch in batches for k in batch]
    assert numbers == list(range(50 * 3 * 4))
    assert {len(steps.costs(step)) for step in range(50)} == {3}
    assert [step for step in range(50) if steps.checked(step)] == [19, 39, 49]
    assert steps.epoch(49) == 0


@given(
    st.lists(st.floats(0.1, 100), min_size=1, max_size=12),
    st.integers(1, 5),
)
def test_micro_batches_are_dealt_so_that_nobody_has_much_more(
    costs: list[float], world: int
) -> None:
    ranks = dealt(costs, world)
    assert ranks == dealt(list(costs), world)
    assert len(ranks) == len(costs)
    assert set(ranks) <= set(range(world))
    loads = [
        sum(c for c, rank in zip(costs, ranks, strict=True) if rank == r) for r in range(world)
    ]
    # What the longest-processing-time rule promises.
    assert max(loads) <= max(max(costs), sum(costs) / world + max(costs)) + 1e-9
    assert max(loads) - min(loads) <= max(costs) + 1e-9
    if len(costs) >= world:
        assert set(ranks) == set(range(world))
    if world == 1:
        assert set(ranks) == {0}


def test_equal_costs_are_dealt_in_turn() -> None:
    assert dealt([1.0] * 4, 2) == [0, 1, 0, 1]
    assert dealt([1.0, 5.0, 1.0, 1.0], 2) == [1, 0, 1, 1]
