"""Checkpoints come back bit for bit, or say what is wrong with them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import safetensors.torch
import torch

from deepsched.baselines.errors import InvalidInput, UnwritableOutput
from deepsched.model.checkpoint import CONFIG, WEIGHTS, load_checkpoint, save_checkpoint
from deepsched.model.networks import NETWORKS, build_network
from deepsched.model.networks.deepsched.scheduler import DeepSchedScheduler
from tests.model.examples import VARIANTS, limited, network, said

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SMALL = {"width": 4, "recurrent_width": 4}


def save_small(folder: Path, seed: int = 0) -> None:
    torch.manual_seed(seed)
    save_checkpoint(folder, build_network("paper", SMALL), "paper", SMALL, {"epoch": 3})


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_checkpoint_comes_back_bit_for_bit(variant: str, tmp_path: Path) -> None:
    name, config = VARIANTS[variant]
    saved = network(variant)
    meta = {"teacher": "heft", "epoch": 7, "history": [0.5, 0.25]}
    save_checkpoint(tmp_path / "a" / "b", saved, name, config, meta)
    loaded = load_checkpoint(tmp_path / "a" / "b")
    assert (loaded.name, loaded.meta) == (name, meta)
    assert loaded.config == NETWORKS[name].config(**config)
    expected = saved.state_dict()
    assert loaded.network.state_dict().keys() == expected.keys()
    for key, tensor in loaded.network.state_dict().items():
        assert torch.equal(tensor, expected[key]), key
    before = said(name, saved, limited(1))
    for key, values in said(name, loaded.network, limited(1)).items():
        assert torch.equal(values, before[key]), key


def test_saving_again_replaces_both_files_and_keeps_others(tmp_path: Path) -> None:
    (tmp_path / "optimizer.json").write_text("{}")
    save_small(tmp_path, seed=0)
    before = (tmp_path / WEIGHTS).read_bytes()
    save_small(tmp_path, seed=1)
    assert (tmp_path / WEIGHTS).read_bytes() != before
    load_checkpoint(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {WEIGHTS, CONFIG, "optimizer.json"}


def test_the_same_network_makes_the_same_files(tmp_path: Path) -> None:
    save_small(tmp_path / "a")
    save_small(tmp_path / "b")
    for name in (WEIGHTS, CONFIG):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def edit(key: str, value: Any) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        document = json.loads((folder / CONFIG).read_text())
        document[key] = value
        (folder / CONFIG).write_text(json.dumps(document))

    return change


def flip_a_bit(folder: Path) -> None:
    data = bytearray((folder / WEIGHTS).read_bytes())
    data[-1] ^= 1
    (folder / WEIGHTS).write_bytes(bytes(data))


def truncate(folder: Path) -> None:
    (folder / WEIGHTS).write_bytes((folder / WEIGHTS).read_bytes()[:-10])


def take_weights(values: dict[str, torch.Tensor] | bytes) -> Callable[[Path], None]:
    """Return what puts other weights in place, with the right checksum."""

    def change(folder: Path) -> None:
        import hashlib

        data = values if isinstance(values, bytes) else safetensors.torch.save(values)
        (folder / WEIGHTS).write_bytes(data)
        edit("weights_sha256", hashlib.sha256(data).hexdigest())(folder)

    return change


def wider(folder: Path) -> None:
    take_weights(build_network("paper", SMALL | {"width": 5}).state_dict())(folder)


def halved(folder: Path) -> None:
    tensors = build_network("paper", SMALL).half().state_dict()
    take_weights(tensors)(folder)


DAMAGE: dict[str, tuple[Callable[[Path], Any], str, str]] = {
    "no config": (lambda f: (f / CONFIG).unlink(), CONFIG, "No such file"),
    "no weights": (lambda f: (f / WEIGHTS).unlink(), WEIGHTS, "No such file"),
    "not JSON": (lambda f: (f / CONFIG).write_text("{"), CONFIG, "not JSON"),
    "not text": (lambda f: (f / CONFIG).write_bytes(b"\xff\xfe\xfa"), CONFIG, "not JSON"),
    "nested": (lambda f: (f / CONFIG).write_text("[" * 100_000), CONFIG, "not JSON"),
    "a list": (lambda f: (f / CONFIG).write_text("[]"), CONFIG, "format is 'list'"),
    "foreign": (lambda f: (f / CONFIG).write_text("{}"), CONFIG, "format is None"),
    "later": (edit("format", "deepsched-checkpoint/2"), CONFIG, "deepsched-checkpoint/1"),
    "no network": (edit("network", None), CONFIG, "'network' is missing"),
    "unknown network": (edit("network", "papper"), CONFIG, "unknown network 'papper'"),
    "unknown field": (edit("config", {"depth": 3}), CONFIG, "depth"),
    "illegal value": (edit("config", {"width": -1}), CONFIG, "width"),
    "config no object": (edit("config", [1]), CONFIG, "'config' is missing or not a dict"),
    "meta no object": (edit("meta", 3), CONFIG, "'meta' is missing or not a dict"),
    "another checksum": (edit("weights_sha256", "0" * 64), WEIGHTS, "SHA-256"),
    "a bit": (flip_a_bit, WEIGHTS, "SHA-256"),
    "truncated": (truncate, WEIGHTS, "SHA-256"),
    "no safetensors": (take_weights(b"hello"), WEIGHTS, "not a safetensors file"),
    "other tensors": (take_weights({"a": torch.zeros(1)}), WEIGHTS, "tensor 'a' does not belong"),
    "nothing": (take_weights({}), WEIGHTS, "is missing"),
    "other settings": (edit("config", SMALL | {"width": 5}), WEIGHTS, "expected"),
    "other shapes": (wider, WEIGHTS, "expected"),
    "other numbers": (halved, WEIGHTS, "float16"),
    "a folder": (
        lambda f: ((f / WEIGHTS).unlink(), (f / WEIGHTS).mkdir()),
        WEIGHTS,
        "Is a directory",
    ),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_is_named_with_file_and_reason(damage: str, tmp_path: Path) -> None:
    save_small(tmp_path)
    change, file, reason = DAMAGE[damage]
    change(tmp_path)
    with pytest.raises(InvalidInput) as caught:
        load_checkpoint(tmp_path)
    message = str(caught.value)
    assert str(tmp_path / file) in message
    assert reason in message
    assert "\n" not in message


def test_what_earlier_versions_could_add_is_read_where_it_was_off(tmp_path: Path) -> None:
    saved = network("deepsched")
    save_checkpoint(tmp_path, saved, "deepsched", {}, {})
    plain = DeepSchedScheduler.load(tmp_path)
    retired = {"recurrence": False, "machine_code": 0, "times": False}
    whole = json.loads((tmp_path / CONFIG).read_text())["config"]
    edit("config", whole | retired)(tmp_path)
    loaded = load_checkpoint(tmp_path)
    assert loaded.config == NETWORKS["deepsched"].config()
    assert torch.equal(loaded.network.state_dict()["leave.weight"], saved.leave.weight)  # type: ignore[union-attr,arg-type]
    problem = limited(0)
    again = DeepSchedScheduler.load(tmp_path)
    assert again(problem).aft.tobytes() == plain(problem).aft.tobytes()


@pytest.mark.parametrize(
    ("field", "value"), [("recurrence", True), ("machine_code", 2), ("times", True)]
)
def test_what_earlier_versions_added_is_refused(field: str, value: Any, tmp_path: Path) -> None:
    save_checkpoint(tmp_path, network("deepsched"), "deepsched", {}, {})
    edit("config", {field: value})(tmp_path)
    with pytest.raises(InvalidInput) as caught:
        load_checkpoint(tmp_path)
    assert str(caught.value) == (
        f"{tmp_path / CONFIG}: config: {field} = {value!r} is of an older version of the network"
    )


def test_an_unwritable_place_is_named_and_left_clean(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UnwritableOutput, match="file"):
        save_small(tmp_path / "file")
    (tmp_path / "taken" / CONFIG).mkdir(parents=True)
    with pytest.raises(UnwritableOutput, match="taken"):
        save_small(tmp_path / "taken")
    assert not [path for path in (tmp_path / "taken").iterdir() if path.name.startswith(".")]


def test_settings_that_nobody_could_load_are_not_saved(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="depth"):
        save_checkpoint(tmp_path, build_network("paper", SMALL), "paper", {"depth": 1}, {})
    assert list(tmp_path.iterdir()) == []
