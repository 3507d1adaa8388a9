"""Networks on disk: `model.safetensors` with the weights and `config.json` with all the rest."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import safetensors.torch

from deepsched.baselines.atomic import write_together
from deepsched.baselines.errors import InvalidInput, UnknownName, UnwritableOutput
from deepsched.baselines.settings import Settings
from deepsched.model.checkpoint_files import CONFIG, FORMAT, WEIGHTS, read_files
from deepsched.model.networks import NETWORKS, network_config
from deepsched.model.weights import load_weights

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import nn


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Checkpoint:
    """A network read from disk.

    Attributes
    ----------
    network : the module, on the CPU, in evaluation mode.
    name : its row in `NETWORKS`.
    config : its settings.
    meta : what the one who saved it wrote along, such as teacher, epoch and versions.
    """

    network: nn.Module
    name: str
    config: Settings
    meta: dict[str, Any]


def save_checkpoint(
    folder: Path,
    network: nn.Module,
    name: str,
    config: Settings | Mapping[str, Any],
    meta: Mapping[str, Any],
) -> None:
    """Write a network's weights and settings; other files of the folder stay.

    Both files are complete on disk before the first takes its place.

    Parameters
    ----------
    meta : anything that JSON can hold, NaN excluded.

    Raises
    ------
    UnwritableOutput
        If the folder cannot be written.
    UnknownName, InvalidInput
        If name and settings do not belong together, so that nobody could load what was saved.
    """
    files = checkpoint_files(network, name, config, meta)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_together({folder / file: data for file, data in files.items()})
    except OSError as error:
        raise UnwritableOutput(f"{folder}: cannot write the checkpoint: {error.strerror}") from None


def checkpoint_files(
    network: nn.Module, name: str, config: Settings | Mapping[str, Any], meta: Mapping[str, Any]
) -> dict[str, bytes]:
    """Return the files that :func:`save_checkpoint` writes, by name.

    `config.json` holds the SHA-256 of the weights, so that a broken pair is noticed on loading.

    Raises
    ------
    UnknownName, InvalidInput
        As there.
    """
    values = asdict(config) if isinstance(config, Settings) else dict(config)
    checked = network_config(name, values, f"network {name!r}")
    tensors = {
        key: tensor.detach().cpu().contiguous() for key, tensor in network.state_dict().items()
    }
    weights = safetensors.torch.save(tensors, metadata={"format": FORMAT})
    document = {
        "format": FORMAT,
        "network": name,
        "config": asdict(checked),
        "meta": dict(meta),
        "weights_sha256": hashlib.sha256(weights).hexdigest(),
    }
    text = json.dumps(document, indent=2, sort_keys=True, allow_nan=False) + "\n"
    return {WEIGHTS: weights, CONFIG: text.encode()}


def load_checkpoint(folder: Path) -> Checkpoint:
    """Read what :func:`save_checkpoint` wrote, bit for bit.

    Raises
    ------
    InvalidInput
        Naming the file and the reason: missing, not JSON, of another format or a later version, an
        unknown network, settings that do not fit it, or weights that are damaged, foreign or of
        other shapes.
    """
    config_path = folder / CONFIG
    document, weights = read_files(folder)
    name = document["network"]
    try:
        config = network_config(name, document["config"], f"{config_path}: config")
    except UnknownName as error:
        raise InvalidInput(f"{config_path}: {error}") from None
    network = NETWORKS[name].build(config)
    load_weights(network, weights, folder / WEIGHTS)
    return Checkpoint(network=network, name=name, config=config, meta=document["meta"])
