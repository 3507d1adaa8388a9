"""The networks of a process: which answers, in which version, and which are refused."""

from __future__ import annotations

import hashlib
import json
import shutil
from typing import TYPE_CHECKING

import numpy as np
import pytest
import safetensors.numpy

from deepsched.baselines.errors import DeepSchedError, InvalidInput
from deepsched.baselines.registry import OPTIONAL, SCHEDULERS, teacher_rng
from deepsched.model.networks.deepsched.options import DECODES, OBJECTIVES
from deepsched.model.networks.deepsched.scheduler import (
    PRETRAINED,
    PRETRAINED_TOPK,
    PRETRAINED_TURNAROUND,
    DeepSchedScheduler,
)
from deepsched.pipeline.serving.networks import Networks
from deepsched.pipeline.serving.refusals import RequestError
from deepsched.pipeline.serving.settings import ServeArgs
from deepsched.pipeline.serving.work import warm_up
from deepsched.pipeline.wire.models import Model
from tests.pipeline.serving.examples import drawn, paper_checkpoint

if TYPE_CHECKING:
    from pathlib import Path


def version(folder: Path) -> str:
    return hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()


def with_nan(folder: Path) -> Path:
    """Put a NaN into a checkpoint's weights, and the hash that fits them into its settings."""
    weights = safetensors.numpy.load_file(folder / "model.safetensors")
    changed = {key: value.copy() for key, value in weights.items()}
    changed[sorted(changed)[0]].flat[0] = np.nan
    safetensors.numpy.save_file(changed, folder / "model.safetensors")
    config = json.loads((folder / "config.json").read_bytes())
    config["weights_sha256"] = version(folder)
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def test_the_pretrained_network_answers_where_there_is_no_checkpoint(networks):
    assert networks.default == "deepsched"
    chosen = networks.choose(None, {})
    assert (chosen.name, chosen.model, chosen.together) == ("deepsched", "deepsched", False)
    assert chosen.version == version(PRETRAINED)
    assert {*SCHEDULERS, *OPTIONAL, "deepsched"} == set(networks.names)
    assert networks.names[0] == "deepsched"


@pytest.mark.parametrize("decode", [None, *DECODES])
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_each_decoding_and_objective_has_the_network_that_was_made_for_it(
    networks, decode, objective
):
    options = {"objective": objective} | ({} if decode is None else {"decode": decode})
    chosen = networks.choose(None, options)
    problem = drawn()
    expected = DeepSchedScheduler.load(**options)(problem, teacher_rng(0, 0, "deepsched"))
    found = chosen.run(problem, teacher_rng(0, 0, "deepsched"))
    assert np.array_equal(found.ast, expected.ast)
    folder = PRETRAINED if objective == "makespan" else PRETRAINED_TURNAROUND
    assert chosen.version == version(folder if decode in (None, "full") else PRETRAINED_TOPK)


def test_the_networks_that_come_along_are_told_with_their_versions(networks):
    models = networks.models()
    for model in models:
        Model.model_validate(model)
    folders = (PRETRAINED, PRETRAINED_TURNAROUND, PRETRAINED_TOPK)
    assert {model["version"] for model in models} == {version(folder) for folder in folders}
    assert [model["default"] for model in models] == [True, False, False]
    assert models[0]["version"] == version(PRETRAINED)
    assert {model["name"] for model in models} == {"deepsched"}


def test_a_network_that_imitates_answers_by_default_and_by_both_its_names(paper, paper_networks):
    assert paper_networks.default == paper_networks.names[0] == "paper"
    assert "deepsched" in paper_networks.names
    for name in (None, "paper", "deepsched"):
        chosen = paper_networks.choose(name, {})
        assert (chosen.model, chosen.version) == ("paper", version(paper))
        assert chosen.together
    heuristic = paper_networks.choose("cpop", {})
    assert (heuristic.model, heuristic.version, heuristic.together) == (None, None, False)
    [model] = paper_networks.models()
    Model.model_validate(model)
    assert (model["name"], model["network"], model["default"]) == ("paper", "paper", True)
    assert model["training"]["teacher"] == "heft"
    assert model["objective"] is model["decode"] is None


def test_a_checkpoint_of_the_network_deepsched_answers_whatever_is_asked_of_it(tmp_path):
    shutil.copytree(PRETRAINED_TOPK, tmp_path / "own")
    own = Networks(tmp_path / "own")
    problem = drawn(1, tasks=60, machines=6, ccr=8.0)
    for options in ({}, {"objective": "turnaround"}, {"decode": "full", "samples": 4}):
        chosen = own.choose(None, options)
        expected = DeepSchedScheduler.load(tmp_path / "own", **options)
        found = chosen.run(problem, teacher_rng(0, 0, "deepsched"))
        assert np.array_equal(found.ast, expected(problem, teacher_rng(0, 0, "deepsched")).ast)
        assert chosen.version == version(PRETRAINED_TOPK)
    [model] = own.models()
    assert (model["decode"], model["default"]) == ("topk", True)


def test_a_checkpoint_is_read_once_so_that_a_later_one_in_its_place_mixes_with_nothing(tmp_path):
    shutil.copytree(PRETRAINED_TOPK, tmp_path / "own")
    own = Networks(tmp_path / "own")
    shutil.rmtree(tmp_path / "own")
    assert own.choose(None, {"objective": "turnaround"}).version == version(PRETRAINED_TOPK)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("heft", "query parameter samples: not for the scheduler heft"),
        ("ga", "query parameter samples: not for the scheduler ga"),
    ],
)
def test_options_that_nobody_would_heed_are_refused(networks, name, words):
    with pytest.raises(RequestError, match=words) as caught:
        networks.choose(name, {"samples": 4})
    assert caught.value.status == 400


def test_a_network_that_imitates_takes_no_such_options(paper_networks):
    for name in (None, "paper", "deepsched"):
        with pytest.raises(RequestError) as caught:
            paper_networks.choose(name, {"objective": "turnaround"})
        assert str(caught.value) == "query parameter objective: not for the scheduler paper"


def test_an_unknown_scheduler_is_refused_by_the_names_there_are(networks):
    with pytest.raises(DeepSchedError, match="unknown scheduler 'paper'; one of: "):
        networks.choose("paper", {})


@pytest.mark.parametrize("kind", ["deepsched", "paper"])
def test_weights_that_are_nan_are_refused_even_under_the_right_hash(tmp_path, kind):
    folder = tmp_path / kind
    if kind == "paper":
        paper_checkpoint(folder)
    else:
        shutil.copytree(PRETRAINED_TOPK, folder)
    Networks(folder)
    with pytest.raises(InvalidInput, match="NaN") as caught:
        Networks(with_nan(folder))
    assert "\n" not in str(caught.value)


def test_damaged_missing_and_unknown_checkpoints_are_refused_by_name(tmp_path, paper):
    with pytest.raises(InvalidInput, match="cannot read the checkpoint: No such file"):
        Networks(tmp_path / "none")
    damaged = tmp_path / "damaged"
    shutil.copytree(paper, damaged)
    data = bytearray((damaged / "model.safetensors").read_bytes())
    data[-1] ^= 1
    (damaged / "model.safetensors").write_bytes(data)
    with pytest.raises(InvalidInput, match="SHA-256 differs"):
        Networks(damaged)
    config = json.loads((paper / "config.json").read_bytes()) | {"network": "another"}
    shutil.copytree(paper, damaged, dirs_exist_ok=True)
    (damaged / "config.json").write_text(json.dumps(config))
    with pytest.raises(InvalidInput, match="another"):
        Networks(damaged)


def test_warming_up_answers_through_every_way_there_is(networks, paper_networks):
    for found in (networks, paper_networks):
        warm_up(found, ServeArgs())
