"""The state of a training on disk: network, optimiser and history; nothing is pickled."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import safetensors.torch

from deepsched.baselines.errors import InvalidInput
from deepsched.model.checkpoint import load_checkpoint, save_checkpoint

if TYPE_CHECKING:
    from pathlib import Path

    import torch
    from torch import nn

    from deepsched.pipeline.training.config import TrainConfig

Record = dict[str, Any]  # one epoch: see train_loop.fit
History = list[Record]

OPTIMIZER, STATE = "optimizer.safetensors", "training.json"
FORMAT = "deepsched-training/1"


def save_state(
    folder: Path,
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    config: TrainConfig,
    history: History,
    meta: dict[str, Any],
) -> None:
    """Write all that is needed to train on as if there had been no break.

    The folder is also a checkpoint that `load_checkpoint` reads.
    """
    last = history[-1]
    save_checkpoint(
        folder,
        network,
        config.network,
        config.network_options,
        {**meta, "teacher": config.teacher, "train_config": config.model_dump(), **last},
    )
    tensors = {
        f"{index}.{name}": value.detach().cpu().contiguous()
        for index, values in optimizer.state_dict()["state"].items()
        for name, value in values.items()
    }
    (folder / OPTIMIZER).write_bytes(safetensors.torch.save(tensors, metadata={"format": FORMAT}))
    document = {"format": FORMAT, "history": history}
    (folder / STATE).write_text(json.dumps(document, allow_nan=False), encoding="utf-8")


def load_state(folder: Path, network: nn.Module, optimizer: torch.optim.Optimizer) -> History:
    """Put back what :func:`save_state` wrote; the optimiser keeps its own learning rate.

    Raises
    ------
    InvalidInput
        Naming the file, if one is missing, damaged, or does not fit the network.
    """
    network.load_state_dict(load_checkpoint(folder).network.state_dict())
    try:
        tensors = safetensors.torch.load((folder / OPTIMIZER).read_bytes())
    except (OSError, safetensors.SafetensorError) as error:
        raise InvalidInput(f"{folder / OPTIMIZER}: cannot be read: {error}") from None
    state: dict[int, dict[str, torch.Tensor]] = {}
    for key, tensor in tensors.items():
        index, name = key.split(".", 1)
        state.setdefault(int(index), {})[name] = tensor
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state, "param_groups": groups})
    return load_history(folder)


def load_history(folder: Path) -> History:
    """Return the records of the epochs so far.

    Raises
    ------
    InvalidInput
        Naming the file, if it is missing or damaged.
    """
    path = folder / STATE
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        if document["format"] != FORMAT:
            raise InvalidInput(f"{path}: format {document['format']!r}; {FORMAT!r} expected")
        history: History = document["history"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        if isinstance(error, InvalidInput):
            raise
        raise InvalidInput(f"{path}: cannot be read: {error}") from None
    return history
