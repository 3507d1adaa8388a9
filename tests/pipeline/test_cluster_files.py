"""The deployment files: valid for the pinned Ray, and in step with the code and the constraints."""

from __future__ import annotations

import copy
import inspect
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from ray._common.utils import import_attr
from ray.autoscaler._private.util import prepare_config, validate_config
from ray.serve._private.build_app import build_app as built_application
from ray.serve.schema import (
    DeploymentSchema,
    HTTPOptionsSchema,
    ServeApplicationSchema,
    ServeDeploySchema,
)

from deepsched.pipeline.serving.settings import ServeArgs
from tests.pipeline.cli_helpers import ROOT

CLUSTER = ROOT / "cluster"


@pytest.fixture(scope="module")
def cluster() -> dict[str, Any]:
    return yaml.safe_load((CLUSTER / "cluster.yaml").read_text())


@pytest.fixture(scope="module")
def serve_config() -> dict[str, Any]:
    return yaml.safe_load((CLUSTER / "serve.yaml").read_text())


def pinned(name: str) -> str:
    found = re.search(rf"^{name}==(\S+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    assert found
    return found.group(1)


def test_ray_up_accepts_the_cluster(cluster):
    validate_config(prepare_config(copy.deepcopy(cluster)))


@pytest.mark.parametrize("place", ["top", "node"])
def test_the_validation_would_notice_a_misspelt_key(cluster, place):
    broken = copy.deepcopy(cluster)
    (broken if place == "top" else broken["available_node_types"]["cpu"])["max_wrokers"] = 3
    with pytest.raises(jsonschema.ValidationError, match="max_wrokers"):
        validate_config(prepare_config(broken))


def test_on_premise_variant_of_the_readme_is_accepted(cluster):
    local = copy.deepcopy(cluster)
    for key in ("available_node_types", "head_node_type", "max_workers"):
        del local[key]
    local["provider"] = {"type": "local", "head_ip": "10.0.0.1", "worker_ips": ["10.0.0.2"]}
    prepared = prepare_config(local)
    validate_config(prepared)
    assert prepared["max_workers"] == 1


def test_nodes_run_the_pinned_ray_and_install_by_the_constraints(cluster):
    assert cluster["docker"]["image"].startswith(f"rayproject/ray:{pinned('ray')}-py311")
    installs = [command for command in cluster["setup_commands"] if "pip install" in command]
    assert installs
    assert all("-c /home/ray/deepsched/constraints.txt" in command for command in installs)


def test_what_is_mounted_is_there_and_is_all_that_an_install_needs(cluster):
    mounted = {Path(local) for local in cluster["file_mounts"].values()}
    ours = {path for path in mounted if not str(path).startswith("~")}
    assert [path for path in ours if not (ROOT / path).exists()] == []
    parts = ("deepsched", "baselines", "model", "pipeline", "pyproject.toml")
    assert {Path(part) for part in parts} <= ours


def test_every_node_starts_with_the_token(cluster):
    for part in ("head_start_ray_commands", "worker_start_ray_commands"):
        starts = [command for command in cluster[part] if "ray start" in command]
        assert len(starts) == 1
        assert starts[0].index("export RAY_AUTH_MODE=token") < starts[0].index("ray start")
    assert "~/.ray/auth_token" in cluster["file_mounts"].values()


def test_dashboard_and_service_listen_on_loopback(cluster, serve_config):
    [start] = [c for c in cluster["head_start_ray_commands"] if "ray start" in c]
    assert "--dashboard-host=127.0.0.1" in start
    assert serve_config["http_options"]["host"] == "127.0.0.1"


def test_serve_deploy_accepts_the_service(serve_config):
    ServeDeploySchema.model_validate(serve_config)
    # Ray ignores keys it does not know.
    [application] = serve_config["applications"]
    for schema, entry in (
        (ServeDeploySchema, serve_config),
        (HTTPOptionsSchema, serve_config["http_options"]),
        (ServeApplicationSchema, application),
        *((DeploymentSchema, deployment) for deployment in application["deployments"]),
    ):
        assert set(entry) <= set(schema.model_fields)


def test_serve_deploy_finds_builder_settings_and_deployments(serve_config):
    [application] = serve_config["applications"]
    builder = import_attr(application["import_path"])
    # Ray converts `args` only where the parameter's annotation is the class itself.
    [parameter] = inspect.signature(builder).parameters.values()
    assert parameter.annotation is ServeArgs
    args = ServeArgs.model_validate(application["args"])
    built = built_application(builder(args), name=application["name"])
    deployed = {deployment.name: deployment for deployment in built.deployments}
    named = {entry["name"]: entry for entry in application["deployments"]}
    assert set(named) <= set(deployed) == {"Gateway", "Quick", "Slow", "Keeper"}
    # The gateways listen where Serve's own proxies would, and those are not there.
    assert args.port is None
    assert serve_config["proxy_location"] == "Disabled"


@pytest.fixture
def fake_ray(tmp_path):
    """Return an environment whose `ray` prints its arguments and what it would connect to."""
    ray = tmp_path / "ray"
    ray.write_text('#!/bin/sh\necho "$RAY_AUTH_MODE $PWD"\nfor a; do echo "<$a>"; done\n')
    ray.chmod(0o755)
    environment = {key: value for key, value in os.environ.items() if not key.startswith("RAY_")}
    return environment | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}


def submit(arguments, environment, cwd="/"):
    return subprocess.run(
        [CLUSTER / "submit.sh", *arguments],
        env=environment,
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
    )


def test_submit_passes_every_argument_on(fake_ray):
    done = submit(["label", "--out", "/a b/c", "--traces", "*"], fake_ray)
    assert done.returncode == 0
    head, *arguments = done.stdout.splitlines()
    assert head == f"token {ROOT}"
    command = "<job> <submit> <--working-dir> <.> <--> <python> <pipeline/label.py>"
    assert " ".join(arguments) == f"{command} <--out> </a b/c> <--traces> <*>"


def test_submit_keeps_the_auth_mode_that_is_set(fake_ray):
    done = submit(["label"], fake_ray | {"RAY_AUTH_MODE": "disabled"})
    assert done.stdout.startswith("disabled ")


@pytest.mark.parametrize("stage", [[], ["labels"], ["--out"], ["../pipeline/label"], ["cli"]])
def test_submit_refuses_what_is_no_stage(fake_ray, stage):
    done = submit(stage, fake_ray)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("usage: cluster/submit.sh")
