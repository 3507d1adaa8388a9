"""Many items as Ray tasks."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import numpy as np
import pytest

from deepsched.baselines import registry
from deepsched.baselines.errors import InvalidInput
from deepsched.baselines.generate import GeneratorSpec, generate
from deepsched.baselines.plugins import register_named
from deepsched.baselines.registry import get_scheduler
from deepsched.pipeline.common.ray_tasks import ray_map
from tests.pipeline.cli_helpers import ROOT

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


def test_workers_know_schedulers_of_a_users_own_file(
    local_ray: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also its helpers, and where no worker can read the file."""
    monkeypatch.setattr(registry, "_registered", {})
    file = tmp_path / "own.py"
    file.write_text(
        "from deepsched.baselines.heft import heft\n"
        "from deepsched.baselines.schedule import make_schedule\n"
        "def named(found):\n"
        "    return make_schedule('mine', found.proc, found.ast, found.aft)\n"
        "def mine(problem, rng):\n"
        "    return named(heft(problem))\n"
    )
    assert register_named(f"{file}:mine") == "mine"
    file.unlink()

    def schedule(seed: int, name: str) -> tuple[str, float]:
        problem = generate(GeneratorSpec(family="layered", tasks=12, machines=3), seed)
        found = get_scheduler(name)(problem, np.random.default_rng(0))
        return found.scheduler, found.makespan

    found = dict(ray_map(schedule, [1], "mine", room=lambda: 1))
    assert found == dict([schedule(1, "mine")])


INTERRUPTED = """
import os, sys, time
from pathlib import Path
from deepsched.pipeline.common.ray_session import ray_session
from deepsched.pipeline.common.ray_tasks import ray_map

def work(item, folder):
    if item:
        (folder / "pid").write_text(str(os.getpid()))
        (folder / "pid").rename(folder / "began")
        time.sleep(120)
        (folder / "ended").touch()

folder = Path(sys.argv[1])
with ray_session(address=sys.argv[2], num_cpus=2):
    for _ in ray_map(work, [1, 0], folder, room=lambda: 2, max_retries=-1):
        while not (folder / "began").exists():
            time.sleep(0.01)
        raise KeyboardInterrupt
"""


@pytest.mark.parametrize("joined", [False, True])
def test_what_still_runs_ends_with_who_asked_for_it(
    local_ray: None, tmp_path: Path, joined: bool
) -> None:
    import ray

    address = ray.get_runtime_context().gcs_address if joined else "local"
    script = [sys.executable, "-c", INTERRUPTED, tmp_path, address]
    done = subprocess.run(script, cwd=ROOT, capture_output=True, text=True, check=False)
    assert "KeyboardInterrupt" in done.stderr
    worker = int((tmp_path / "began").read_text())
    deadline = time.monotonic() + 60
    with contextlib.suppress(ProcessLookupError):
        while True:
            os.kill(worker, 0)
            assert time.monotonic() < deadline
            time.sleep(0.05)
    assert not (tmp_path / "ended").exists()
