"""The settings of a training, from files and from the command line."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click
import pytest
from click.testing import CliRunner

from deepsched.baselines.errors import InvalidInput, UnknownName
from deepsched.pipeline.training.config import (
    TrainConfig,
    complete,
    config_options,
    make_config,
    merged_config,
    read_config,
)

if TYPE_CHECKING:
    from pathlib import Path


def test_every_field_says_what_it_means():
    assert all(field.description for field in TrainConfig.model_fields.values())


@pytest.mark.parametrize("name", ["c.json", "c.yaml"])
def test_a_file_in_json_or_yaml_gives_the_same_settings(tmp_path: Path, name: str):
    path = tmp_path / name
    values = {"learning_rate": 0.01, "network_options": {"width": 8}, "epochs": 3}
    yaml = "learning_rate: 1e-2\nnetwork_options: {width: 8}\nepochs: 3\n"
    path.write_text(json.dumps(values) if name.endswith("json") else yaml)
    config = merged_config(path, {})
    assert (config.learning_rate, config.network_options, config.epochs) == (0.01, {"width": 8}, 3)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ('{"learning_rat": 1}', "unknown field 'learning_rat'; one of: network,"),
        ('{"epochs": 0}', "epochs = 0: Input should be greater than or equal to 1"),
        ('{"learning_rate": NaN}', "learning_rate"),
        ('{"epochs": "many"}', "epochs = 'many'"),
        ("[1]", "must be one mapping"),
        ('{"epochs": ', "not valid JSON"),
        (b"\xff\xfe", "cannot be read as text"),
    ],
)
def test_a_bad_file_is_refused_with_its_name_and_the_field(tmp_path: Path, text: Any, part: str):
    path = tmp_path / "c.json"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InvalidInput, match=r"c\.json") as caught:
        read_config(path)
    assert part in str(caught.value)


def test_a_missing_file_and_broken_yaml_are_refused(tmp_path: Path):
    with pytest.raises(InvalidInput, match=r"none\.yaml: cannot be read"):
        read_config(tmp_path / "none.yaml")
    (tmp_path / "b.yaml").write_text("a: [1\n")
    with pytest.raises(InvalidInput, match=r"b\.yaml: not valid YAML"):
        read_config(tmp_path / "b.yaml")


def test_options_win_over_the_file_and_the_file_over_the_base(tmp_path: Path):
    path = tmp_path / "c.json"
    path.write_text('{"epochs": 7, "seed": 7}')
    base = make_config({"epochs": 5, "seed": 5, "learning_rate": 0.5}, where="base").model_dump()
    config = merged_config(path, {"seed": 9, "teacher": None}, base=base)
    assert (config.epochs, config.seed, config.learning_rate) == (7, 9, 0.5)
    assert config.teacher is None


def test_network_options_are_merged_but_not_carried_to_another_network():
    base = {"network": "paper", "network_options": {"width": 8, "recurrent_width": 8}}
    same = merged_config(None, {"network_options": {"width": 4}}, base=base)
    assert same.network_options == {"width": 4, "recurrent_width": 8}
    other = merged_config(None, {"network": "new", "network_options": {"depth": 1}}, base=base)
    assert other.network_options == {"depth": 1}


def run_options(*args: str) -> dict[str, Any]:
    got: dict[str, Any] = {}

    @click.command()
    @config_options
    def command(**options: Any) -> None:
        got.update(options)

    outcome = CliRunner().invoke(command, args)
    if outcome.exit_code:
        raise ValueError(outcome.output)
    return got


def test_every_field_is_an_option_and_none_where_not_given():
    assert run_options() == dict.fromkeys(TrainConfig.model_fields)
    got = run_options("--learning-rate", "1e-4", "--workers", "2", "--network-option", "width=8")
    assert (got["learning_rate"], got["workers"]) == (1e-4, 2)
    assert got["network_options"] == {"width": 8}


def test_a_network_option_without_a_value_is_refused():
    with pytest.raises(ValueError, match="is not KEY=VALUE"):
        run_options("--network-option", "width")


def completed(generated: bool = True, **values: Any) -> TrainConfig:
    return complete(make_config(values, where="test"), generated=generated)


def test_what_was_not_said_follows_from_network_and_problems():
    own, data = completed(), completed(generated=False)
    assert (own.network, own.objective, own.teacher) == ("deepsched", "policy-gradient", "best-of")
    assert (own.steps, own.epochs, own.check_every) == (3000, None, 250)
    assert (data.steps, data.epochs, data.check_every) == (None, 20, None)
    assert (own.turnaround, own.learning_rate, own.schedule, own.ema) == (0.3, 1e-3, "root", 0.02)
    assert completed(objective="imitation").turnaround == 0
    paper = completed(generated=False, network="paper")
    assert (paper.objective, paper.teacher, paper.turnaround) == ("imitation", "heft", 0)
    assert (paper.learning_rate, paper.schedule, paper.ema) == (4e-3, "constant", 1.0)
    # All of the network's options, as they are kept with the checkpoint.
    assert own.network_options == {"width": 32, "rounds": 3, "heads": 4, "decode": "full"}
    assert completed(generated=False, steps=5).epochs is None


def test_what_was_said_stays_and_nothing_is_left_open():
    said = {"learning_rate": 0.5, "ema": 0.5, "schedule": "cosine", "turnaround": 0.0, "steps": 7}
    config = completed(teacher="mct", check_every=3, network_options={"width": 8}, **said)
    assert {name: getattr(config, name) for name in said} == said
    assert (config.teacher, config.check_every) == ("mct", 3)
    assert config.network_options == {"width": 8, "rounds": 3, "heads": 4, "decode": "full"}
    assert complete(config, generated=True) == config
    open_ = {name for name, value in config.model_dump().items() if value is None}
    assert open_ == {
        *("epochs", "workers", "max_workers", "limit_samples", "early_stop", "precision")
    }


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"network": "paper", "objective": "policy-gradient"}, "paper is trained by imitation"),
        ({"objective": "luck"}, "deepsched is trained by policy-gradient or imitation"),
        ({"epochs": 3}, "generated problems have no end; give steps"),
        ({"network": "paper", "staleness": 1}, "staleness: there are no rollouts in imitation"),
        (
            {"objective": "imitation", "rollout_workers": 2},
            "rollout_workers: there are no rollouts",
        ),
        ({"network_options": {"wdth": 3}}, "network_options: unknown field 'wdth'; one of: width"),
    ],
)
def test_what_does_not_go_together_is_refused(values: dict[str, Any], words: str):
    with pytest.raises(InvalidInput, match=words):
        completed(**values)


def test_an_unknown_network_is_refused():
    with pytest.raises(UnknownName, match="papyrus"):
        completed(network="papyrus")


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"rollouts": 5}, "rollouts = 5: Input should be a multiple of 2"),
        ({"steps": 3, "epochs": 3}, "give steps or epochs, not both"),
        ({"least_tasks": 50, "most_tasks": 20}, "least_tasks is more than most_tasks"),
        ({"schedule": "stairs"}, "schedule is one of constant, root, cosine"),
        ({"ema": 0}, "ema = 0"),
        ({"turnaround": 1.5}, "turnaround = 1.5"),
        ({"workers": -1}, "workers = -1"),
        ({"max_workers": 4, "rollout_workers": 2}, "would take the CPUs that rollout_workers need"),
    ],
)
def test_an_illegal_value_is_refused(values: dict[str, Any], words: str):
    with pytest.raises(InvalidInput, match=words):
        make_config(values, where="test")
