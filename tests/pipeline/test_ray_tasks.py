"""Many items as Ray tasks."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from baselines.errors import InvalidInput
from pipeline.ray_tasks import ray_map

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def test_every_item_is_done_once_and_drawn_where_there_is_room(local_ray: None) -> None:
    drawn: list[int] = []

    def items() -> Iterator[int]:
        for k in range(7):
            drawn.append(k)
            yield k

    def times(item: int, shared: int) -> int:
        return item * shared

    results = ray_map(times, items(), 10, room=lambda: 2)
    found = [next(results)]
    assert len(drawn) <= 3
    found += results
    assert sorted(found) == [0, 10, 20, 30, 40, 50, 60]


def test_a_mistake_found_by_a_worker_is_that_mistake(local_ray: None) -> None:
    def fail(item: int, shared: str) -> None:
        raise InvalidInput(f"{shared}: bad")

    with pytest.raises(InvalidInput) as caught:
        list(ray_map(fail, [1], "x.json", room=lambda: 1))
    assert str(caught.value) == "x.json: bad"


def test_what_still_runs_is_cancelled(local_ray: None, tmp_path: Path) -> None:
    def work(item: int, folder: Path) -> int:
        if item:
            (folder / "began").touch()
            for _ in range(6_000):  # a cancelled task ends between two sleeps, not within one
                time.sleep(0.01)
            (folder / "ended").touch()
        return item

    results = ray_map(work, [0, 1], tmp_path, room=lambda: 2, max_retries=0)
    assert next(results) == 0
    # Ray may lose the cancellation of a task that is just about to begin.
    while not (tmp_path / "began").exists():
        time.sleep(0.01)
    time.sleep(0.5)
    results.close()
    assert list(ray_map(work, [0], tmp_path, room=lambda: 1, num_cpus=2)) == [0]
    assert not (tmp_path / "ended").exists()
