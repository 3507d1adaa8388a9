"""Batches of several processes in step: plain threads stand in for the processes."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepsched.baselines.errors import InvalidInput
from deepsched.model.training import Metrics
from deepsched.pipeline.training.data import Share, Windows, sample_bytes
from deepsched.pipeline.training.steps import (
    Peers,
    cut_batches,
    merged,
    step_weights,
    steps_in_unison,
)
from tests.pipeline.training_helpers import tiny_samples

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

SAMPLES = tiny_samples(12)


@dataclass(frozen=True, kw_only=True, slots=True)
class ThreadPeers(Peers):
    """Peers in one process that meet at a barrier."""

    barrier: threading.Barrier
    board: dict[int, list[float]]

    def gather(self, values: Sequence[float]) -> Any:
        self.board[self.rank] = list(values)
        self.barrier.wait(timeout=20)
        rows = np.array([self.board[rank] for rank in range(self.world)])
        self.barrier.wait(timeout=20)
        return rows


def in_unison(world: int, work: Callable[[ThreadPeers], Any]) -> list[Any]:
    """Run `work` as every rank at once; what it raises is returned."""
    barrier, board = threading.Barrier(world), {}
    results: list[Any] = [None] * world

    def run(rank: int) -> None:
        try:
            results[rank] = work(ThreadPeers(rank=rank, world=world, barrier=barrier, board=board))
        except Exception as error:
            results[rank] = error

    threads = [threading.Thread(target=run, args=(rank,)) for rank in range(world)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


@given(st.lists(st.lists(st.integers(1, 50), max_size=6), min_size=1, max_size=4))
def test_weights_are_equally_many_and_make_a_mean_over_all_tasks(tasks: list[list[int]]):
    world = len(tasks)
    weights = in_unison(world, lambda peers: step_weights(tasks[peers.rank], peers))
    longest = max(len(row) for row in tasks)
    assert [len(row) for row in weights] == [longest] * world
    for step in range(longest):
        sizes = [row[step] if step < len(row) else 0 for row in tasks]
        # Data-parallel training divides the sum of the gradients by the number of processes.
        shares = [row[step] / world for row in weights]
        assert shares == pytest.approx([size / sum(sizes) for size in sizes])


def test_one_process_has_weights_of_exactly_one():
    assert step_weights([7, 3, 11], Peers()) == [1.0, 1.0, 1.0]


@pytest.mark.parametrize("shares", [(7, 5), (11, 1), (1, 11), (4, 4, 4)])
def test_processes_take_the_same_steps_and_each_sample_counts_once(shares: tuple[int, ...]):
    starts = np.cumsum([0, *shares])

    def work(peers: ThreadPeers) -> Any:
        mine = SAMPLES[starts[peers.rank] : starts[peers.rank + 1]]
        # Two windows, so that one process may run out of windows before another.
        windows = [cut_batches(part, 30) for part in (mine[:3], mine[3:]) if part]
        seen: list[int] = []
        steps = list(steps_in_unison(windows, peers, seen.append))
        counted = [batch.n_tasks for batch, weight in steps if weight > 0]
        return len(steps), sum(seen), sorted(n for sizes in counted for n in sizes)

    results = in_unison(len(shares), work)
    assert len({steps for steps, _, _ in results}) == 1
    for rank, (_, seen, sizes) in enumerate(results):
        mine = SAMPLES[starts[rank] : starts[rank + 1]]
        assert seen == shares[rank]
        assert sizes == sorted(sample.n_tasks for sample in mine)


def test_a_process_without_samples_stops_all_of_them_with_a_remedy():
    def work(peers: ThreadPeers) -> Any:
        windows = [cut_batches(SAMPLES[:4], 30)] if peers.rank == 0 else [[]]
        return list(steps_in_unison(windows, peers, lambda _: None))

    for error in in_unison(2, work):
        assert isinstance(error, InvalidInput)
        assert "fewer training samples than training processes (2)" in str(error)


def test_merged_metrics_weigh_by_tasks_and_skip_who_had_none():
    def metrics(value: float, n_tasks: int) -> Metrics:
        return Metrics(
            loss=value,
            cross_entropy=value,
            mse=value,
            accuracy=value,
            chance=value,
            n_tasks=n_tasks,
        )

    parts = [metrics(1.0, 30), None, metrics(4.0, 10)]
    results = in_unison(3, lambda peers: merged(parts[peers.rank], peers))
    assert results == [metrics(1.75, 40)] * 3
    assert in_unison(2, lambda peers: merged(None, peers)) == [None, None]


def test_samples_that_fit_are_read_once_and_others_in_windows_every_pass():
    passes = []

    def read() -> Any:
        passes.append(1)
        return iter(SAMPLES)

    whole = Windows(read, 10**9)
    assert [list(w) for w in whole] == [SAMPLES]
    assert [list(w) for w in whole] == [SAMPLES]
    assert len(passes) == 1
    limit = 3 * max(sample_bytes(sample) for sample in SAMPLES)
    parts = Windows(read, limit)
    for _ in range(2):
        windows = list(parts)
        assert len(windows) > 1
        assert [s for window in windows for s in window] == SAMPLES
        assert all(sum(map(sample_bytes, window)) <= limit for window in windows)
    assert len(passes) == 3
    assert [len(w) for w in Windows(read, 0)] == [1] * len(SAMPLES)


@given(st.integers(0, 100), st.integers(1, 6))
def test_shares_deal_out_every_shard_once_or_none(n_shards: int, world: int):
    dealt = [Share(rank=rank, world=world).shards(n_shards) for rank in range(world)]
    if n_shards < 8 * world:
        assert dealt == [None] * world
    else:
        assert sorted(shard for part in dealt if part for shard in part) == list(range(n_shards))
