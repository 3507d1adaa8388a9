"""What holds for every row of the table of networks."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Any

import pytest
import torch

from deepsched.baselines.errors import InvalidInput, UnknownName
from deepsched.baselines.heft import heft
from deepsched.baselines.registry import RESERVED
from deepsched.baselines.schedule import violations
from deepsched.baselines.settings import Settings, setting_infos
from deepsched.model.checkpoint import save_checkpoint
from deepsched.model.load import load_network, network_of
from deepsched.model.networks import NETWORKS, build_network, get_network, network_config
from deepsched.model.networks.deepsched.config import DeepSchedConfig
from deepsched.model.networks.paper.config import PaperConfig
from tests.model.examples import VARIANTS, layered, limited, network, said

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("shape", [(1, 1), (50, 4), (300, 188)])
def test_one_network_takes_any_size(name: str, shape: tuple[int, int]) -> None:
    found = said(name, network(name), layered(*shape))
    for values in found.values():
        assert values.shape[0] == shape[0]
        assert torch.isfinite(values).all()
    if "score" in found:
        assert found["score"].shape == shape


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_checkpoint_is_a_scheduler_like_any_other(variant: str, tmp_path: Path) -> None:
    name, config = VARIANTS[variant]
    save_checkpoint(tmp_path, network(variant), name, config, {"epoch": 3})
    assert network_of(tmp_path) is NETWORKS[name]
    scheduler = NETWORKS[name].scheduler(tmp_path, device="cpu")
    assert (scheduler.name, scheduler.meta) == (name, {"epoch": 3})
    problems = [limited(seed) for seed in range(4)]
    together = scheduler.schedule_batch(problems)
    for problem, schedule in zip(problems, together, strict=True):
        assert violations(problem, schedule) == []
        assert schedule.scheduler == name
        assert scheduler(problem).aft.tobytes() == schedule.aft.tobytes()
        agreement = scheduler.agreement(problem, heft(problem))
        assert (agreement is None) == (next(iter(NETWORKS[name].objectives)) != "imitation")
    assert load_network(tmp_path)(problems[0]).aft.tobytes() == together[0].aft.tobytes()


@pytest.mark.parametrize("name", NETWORKS)
def test_options_of_schedulers_that_nobody_knows_are_refused(name: str, tmp_path: Path) -> None:
    save_checkpoint(tmp_path, network(name), name, {}, {})
    with pytest.raises(InvalidInput, match="colour"):
        load_network(tmp_path, colour="red")


@pytest.mark.parametrize("name", NETWORKS)
def test_a_row_describes_its_network(name: str) -> None:
    row = get_network(name)
    assert name in RESERVED
    for settings in (row.config, row.options):
        assert all(info.help.endswith(".") for info in setting_infos(settings))
    fields = {field.name for field in dataclasses.fields(row.config)}
    # What is of the training is checked where searches are: `search_space`.
    own = {
        field.removeprefix("network_options."): text
        for field, text in row.search_space.items()
        if field.startswith("network_options.")
    }
    assert own
    assert set(own) <= fields
    for field, text in own.items():
        for value in text.split(","):
            network_config(name, {field: json.loads(value)})
    assert not fields & set(row.retired)
    assert row.objectives
    assert isinstance(network_config(name, {}), row.config)


def test_unknown_names_and_settings_are_refused() -> None:
    with pytest.raises(
        UnknownName, match=r"unknown network 'papper' .'paper' is meant..; one of: .*paper"
    ):
        build_network("papper")
    with pytest.raises(InvalidInput, match="network 'paper': unknown field 'widht'; one of: width"):
        build_network("paper", {"widht": 3})
    with pytest.raises(InvalidInput, match="width = 0; it must be a whole number from 1 to 4096"):
        build_network("paper", {"width": 0})
    with pytest.raises(InvalidInput, match=r"'deepsched': rounds = 17; .* number from 0 to 16"):
        build_network("deepsched", {"rounds": 17})
    with pytest.raises(InvalidInput, match="decode = 'argmax'; it must be one of full, topk"):
        build_network("deepsched", {"decode": "argmax"})


@pytest.mark.parametrize(
    ("name", "config"),
    [("paper", PaperConfig(width=8)), ("deepsched", DeepSchedConfig(width=8, decode="topk"))],
)
def test_settings_come_back_from_what_they_are_saved_as(name: str, config: Settings) -> None:
    assert network_config(name, dataclasses.asdict(config)) == config
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.width = 9  # type: ignore[attr-defined]


RETIRED = {"recurrence": False, "machine_code": 0, "times": False}


def test_settings_of_an_older_version_are_read_where_they_were_off() -> None:
    assert NETWORKS["deepsched"].retired == RETIRED
    assert network_config("deepsched", RETIRED | {"width": 8}) == DeepSchedConfig(width=8)
    with pytest.raises(InvalidInput, match="unknown field 'recurrence'"):
        network_config("paper", RETIRED)


@pytest.mark.parametrize(
    ("field", "value"),
    [("recurrence", True), ("machine_code", 3), ("times", True), ("times", None)],
)
def test_settings_of_an_older_version_are_refused_where_they_were_on(
    field: str, value: Any
) -> None:
    with pytest.raises(InvalidInput) as caught:
        network_config("deepsched", RETIRED | {field: value}, "c.json: config")
    assert str(caught.value) == (
        f"c.json: config: {field} = {value!r} is of an older version of the network"
    )
