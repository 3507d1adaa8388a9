"""Whether a Ray has room for what is asked of it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
import ray
import torch

from deepsched.baselines.errors import InvalidInput
from deepsched.pipeline.common.ray_room import check_room, named_cluster
from deepsched.pipeline.serving.networks import devices_here
from deepsched.pipeline.training import run
from tests.pipeline.cli_helpers import deepsched

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def nodes(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Return what says which nodes Ray has."""
    monkeypatch.delenv("RAY_ADDRESS", raising=False)

    def there(*resources: dict[str, float]) -> None:
        found = [{"Alive": True, "Resources": one} for one in resources]
        dead = {"Alive": False, "Resources": {"CPU": 99, "GPU": 99}}
        monkeypatch.setattr(ray, "nodes", lambda: [*found, dead])
        totals = {"GPU": sum(one.get("GPU", 0) for one in resources)}
        monkeypatch.setattr(ray, "cluster_resources", lambda: totals)

    return there


def test_one_node_must_have_room_for_all_that_a_process_needs(
    nodes: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    nodes({"CPU": 0}, {"CPU": 2})
    check_room("a check", {"CPU": 1}, None, said.append)
    assert said == []
    nodes({"CPU": 0, "disk": 1}, {"CPU": 2})
    for address, variable in (("auto", None), (None, "ray://h:1")):
        if variable:
            monkeypatch.setenv("RAY_ADDRESS", variable)
        check_room("a check", {"CPU": 1, "disk": 1}, address, said.append)
    assert said == ["no node of the cluster has CPU 1, disk 1 yet; waiting for one"] * 2
    for address, variable in ((None, ""), ("local", "ray://h:1"), (None, "local")):
        monkeypatch.setenv("RAY_ADDRESS", variable)
        assert not named_cluster(address)
        with pytest.raises(InvalidInput, match="a check needs CPU 1, disk 1; this machine has"):
            check_room("a check", {"CPU": 1, "disk": 1}, address, said.append)


def test_training_on_more_gpus_than_this_machine_has_ends_at_once(
    nodes: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    nodes({"CPU": 8, "GPU": 1})
    monkeypatch.setattr(run, "note_training", lambda _: None)
    plan = SimpleNamespace(config=SimpleNamespace(workers=3, max_workers=None, rollout_workers=0))
    with pytest.raises(InvalidInput, match="--workers 3: more than the GPUs of this machine"):
        run.run_training(plan, on_status=print, grows=False)


@pytest.mark.parametrize(
    ("seen", "wanted", "tried"),
    [(False, "cpu", ("cpu",)), (False, "cuda", ("cpu",)), (True, "cuda", ("cuda", "cpu"))],
)
def test_where_no_gpu_is_set_aside_one_is_used_if_it_is_there(
    seen: bool, wanted: str, tried: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: seen)
    assert devices_here(wanted) == tried


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_serve_on_a_gpu_that_is_not_there_is_one_line() -> None:
    done = deepsched("serve", "--device", "cuda")
    assert done.returncode == 2
    assert done.stderr.endswith("deepsched: device cuda: PyTorch finds no GPU on this machine\n")
