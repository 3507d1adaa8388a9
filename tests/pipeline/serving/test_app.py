"""The application that Serve is given, and what is said while it does not come up."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace

import pytest
from ray import serve
from ray.serve._private.build_app import build_app as built_application

from deepsched.baselines.errors import InvalidInput
from deepsched.model.networks.deepsched.scheduler import PRETRAINED_TOPK
from deepsched.pipeline.serving.app import (
    APPLICATION,
    application,
    build_app,
    gpu_share,
    processes,
)
from deepsched.pipeline.serving.settings import ServeArgs
from deepsched.pipeline.serving.start import saying_once


def asked_of_ray(app: serve.Application) -> dict[str, dict[str, float]]:
    """Return the CPUs and GPUs that each kind of process asks Ray for."""
    built = built_application(app, name=APPLICATION)
    options = {one.name: one.ray_actor_options for one in built.deployments}
    return {
        name: {kind: found.get(kind, 0) for kind in ("num_cpus", "num_gpus")}
        for name, found in options.items()
    }


def test_the_application_is_built_with_either_kind_of_checkpoint(paper):
    for checkpoint in (None, paper, PRETRAINED_TOPK.resolve()):
        args = ServeArgs(checkpoint=checkpoint, replicas=2, slow_replicas=3)
        build_app(args)
        assert processes(args) == 2


def test_a_checkpoint_that_no_process_would_find_is_refused_before_anything_starts(tmp_path):
    with pytest.raises(InvalidInput, match="absolute"):
        build_app(ServeArgs(checkpoint=Path("somewhere")))
    with pytest.raises(InvalidInput, match="cannot read the checkpoint"):
        build_app(ServeArgs(checkpoint=tmp_path))


@pytest.mark.parametrize(
    ("replicas", "gpus", "share"),
    [(1, 1, 1.0), (2, 1, 0.5), (7, 1, 0.1428), (3, 2, 0.5), (2, 4, 1)],
)
def test_processes_share_the_gpus_of_a_machine_so_that_all_of_them_start(replicas, gpus, share):
    args = ServeArgs(device="cuda", replicas=replicas)
    assert gpu_share(args, gpus) == share
    assert math.floor(1 / share) * gpus >= replicas
    asked = asked_of_ray(application(args, share))
    assert asked.pop("Quick")["num_gpus"] == share
    assert {one["num_gpus"] for one in asked.values()} == {0}


def test_how_much_of_a_gpu_a_process_gets_can_be_said():
    args = ServeArgs(device="cuda", replicas=3, gpus_per_replica=0.25)
    for app in (build_app(args), application(args, gpu_share(args, 1))):
        assert asked_of_ray(app)["Quick"]["num_gpus"] == 0.25
    assert gpu_share(args.model_copy(update={"device": "cpu"}), 1) == 0


def test_on_a_cluster_a_process_has_a_gpu_of_its_own_and_on_cpus_none_is_asked_for():
    for device, gpus in (("cpu", 0), ("cuda", 1)):
        assert asked_of_ray(build_app(ServeArgs(device=device)))["Quick"]["num_gpus"] == gpus
    assert gpu_share(ServeArgs(), 0) == 0


def test_a_machine_without_gpu_does_not_wait_for_one():
    with pytest.raises(InvalidInput, match="device cuda: PyTorch finds no GPU"):
        gpu_share(ServeArgs(device="cuda"), 0)


def test_what_serve_waits_for_is_said_once(monkeypatch):
    waits = "1 replicas that have taken\nmore than 30s. Resources required: {'GPU': 1}."
    deployments = {
        "Quick": SimpleNamespace(message=waits),
        "Slow": SimpleNamespace(message=""),
    }
    status = SimpleNamespace(applications={})
    monkeypatch.setattr(serve, "status", lambda: status)
    said: list[str] = []
    look = saying_once(said.append)
    look()
    assert said == []
    status.applications = {APPLICATION: SimpleNamespace(deployments=deployments)}
    look()
    look()
    assert said == [
        "Quick waits: 1 replicas that have taken more than 30s. Resources required: {'GPU': 1}."
    ]
    trace = (
        "A replica failed to start with exception. Retrying {} more time(s).\nTraceback\nNo: x [/y]"
    )
    for left in (2, 1):  # each attempt has another text, and the same reason
        deployments["Quick"].message = trace.format(left)
        look()
    assert said.pop() == "Quick does not start: No: x [/y]"
    deployments["Slow"].message = "another"
    look()
    assert said[1:] == ["Slow waits: another"]
