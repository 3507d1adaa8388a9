"""The state of a training, in memory and on disk; nothing is pickled."""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import safetensors.torch
import torch
from torch import nn

from deepsched.baselines.atomic import write_together
from deepsched.baselines.errors import InvalidInput
from deepsched.model.checkpoint import save_checkpoint
from deepsched.model.networks import build_network

if TYPE_CHECKING:
    from pathlib import Path

    from deepsched.pipeline.training.config import TrainConfig
    from deepsched.pipeline.training.peers import Peers

Record = dict[str, Any]  # one validation: see `loop.fit`
History = list[Record]

TENSORS, STATE = "training.safetensors", "training.json"
FORMAT = "deepsched-training/2"


@dataclass(kw_only=True)
class State:
    """Where a training is.

    Attributes
    ----------
    network : the weights that learn.
    mean : their running mean, which is validated and kept.
    step : optimiser steps done; which samples come next follows from it.
    seconds : spent on them.
    history : of the validations so far.
    begun : mean ratios to HEFT of the untrained network's schedules, by their names in a record;
        empty where there is nothing to validate on.
    sums : of each measure since the last validation, and over how many steps.
    """

    network: nn.Module
    mean: nn.Module
    optimizer: torch.optim.Optimizer
    step: int = 0
    seconds: float = 0.0
    history: History = field(default_factory=list)
    begun: dict[str, float] = field(default_factory=dict)
    sums: dict[str, tuple[float, int]] = field(default_factory=dict)

    @property
    def last_validated(self) -> int:
        """The step of the last validation; 0 before the first."""
        return int(self.history[-1]["step"]) if self.history else 0

    def add(self, measures: dict[str, float]) -> None:
        """Count the measures of a step."""
        for name, value in measures.items():
            total, count = self.sums.get(name, (0.0, 0))
            self.sums[name] = (total + value, count + 1)

    def means(self) -> dict[str, float]:
        """Return the means since the last validation."""
        return {f"train_{name}": total / count for name, (total, count) in self.sums.items()}

    def note(self, record: Record) -> None:
        """Add a validation to the history."""
        if record["score"] is None:  # nothing to validate on: what was trained on decides
            record["score"] = next(iter(self.means().values()))
        self.history = [*self.history, record]
        self.sums = {}

    def save(self, config: TrainConfig, meta: dict[str, Any], folder: Path) -> None:
        """Write all that is needed to train on as if there had been no break.

        The folder is also a checkpoint, of the running mean.
        """
        last = self.history[-1] if self.history else {}
        teacher = {"teacher": config.teacher} if _imitates(config) else {}
        save_checkpoint(
            folder,
            self.mean,
            config.network,
            config.network_options,
            {**meta, **teacher, "train_config": config.model_dump(), "step": self.step, **last},
        )
        tensors = {f"network.{key}": value for key, value in self.network.state_dict().items()}
        tensors |= {f"mean.{key}": value for key, value in self.mean.state_dict().items()}
        for index, values in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{index}.{name}": value for name, value in values.items()}
        plain = {key: value.detach().cpu().contiguous().clone() for key, value in tensors.items()}
        document = {
            "format": FORMAT,
            "step": self.step,
            "seconds": self.seconds,
            "begun": self.begun,
            "history": self.history,
            "sums": self.sums,
        }
        write_together(
            {
                folder / TENSORS: safetensors.torch.save(plain, metadata={"format": FORMAT}),
                folder / STATE: json.dumps(document, allow_nan=False).encode(),
            }
        )

    @classmethod
    def load(cls, folder: Path, config: TrainConfig, peers: Peers) -> State:
        """Put back what :meth:`save` wrote; the optimiser keeps its own learning rate.

        Raises
        ------
        InvalidInput
            Naming the file, if one is missing, damaged, or does not fit the network.
        """
        state = new_state(config, peers.device)
        document = read_document(folder)
        path = folder / TENSORS
        try:
            tensors = safetensors.torch.load(path.read_bytes())
            parts: dict[str, dict[str, torch.Tensor]] = {}
            for key, tensor in tensors.items():
                part, name = key.split(".", 1)
                parts.setdefault(part, {})[name] = tensor
            state.network.load_state_dict(parts["network"])
            state.mean.load_state_dict(parts["mean"])
            moments: dict[int, dict[str, torch.Tensor]] = {}
            for key, tensor in parts.get("optimizer", {}).items():
                index, name = key.split(".", 1)
                moments.setdefault(int(index), {})[name] = tensor
            groups = state.optimizer.state_dict()["param_groups"]
            state.optimizer.load_state_dict({"state": moments, "param_groups": groups})
            state.step, state.seconds = int(document["step"]), float(document["seconds"])
            state.history, state.begun = document["history"], document["begun"]
            state.sums = {name: (total, count) for name, (total, count) in document["sums"].items()}
        except (OSError, safetensors.SafetensorError) as error:
            raise InvalidInput(f"{path}: cannot be read: {error}") from None
        except (RuntimeError, KeyError, ValueError, TypeError) as error:
            reason = str(error).splitlines()[0]
            raise InvalidInput(f"{path}: does not fit the training: {reason}") from None
        return state


def new_state(config: TrainConfig, device: torch.device | str) -> State:
    """Return the beginning of a training: weights that follow from its seed."""
    torch.manual_seed(config.seed)
    network = build_network(config.network, config.network_options).to(device)
    return State(
        network=network,
        mean=copy.deepcopy(network),
        optimizer=torch.optim.AdamW(
            network.parameters(),
            lr=float(config.learning_rate or 0),
            weight_decay=config.weight_decay,
        ),
    )


def read_document(folder: Path) -> dict[str, Any]:
    """Return what a saved training says of itself.

    Raises
    ------
    InvalidInput
        Naming the file, if it is missing or damaged.
    """
    path = folder / STATE
    try:
        document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if document["format"] != FORMAT:
            raise InvalidInput(f"{path}: format {document['format']!r}; {FORMAT!r} expected")
        return document | {"history": list(document["history"])}
    except (OSError, ValueError, KeyError, TypeError) as error:
        if isinstance(error, InvalidInput):
            raise
        raise InvalidInput(f"{path}: cannot be read: {error}") from None


def progress(start: Path | None) -> tuple[int, History]:
    """Return the step and the history of a saved training; those of a beginning without one.

    Raises
    ------
    InvalidInput
        As :func:`read_document`.
    """
    if start is None:
        return 0, []
    document = read_document(start)
    return document["step"], document["history"]


def _imitates(config: TrainConfig) -> bool:
    return config.objective == "imitation"
