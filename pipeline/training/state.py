"""The state of a training, in memory and on disk; nothing is pickled."""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import safetensors.torch
import torch
from torch import nn

from deepsched.baselines.errors import InvalidInput
from deepsched.model.checkpoint import checkpoint_files
from deepsched.model.networks import build_network
from deepsched.pipeline.training.checkpoints import STATE, sealed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from deepsched.pipeline.training.config import TrainConfig
    from deepsched.pipeline.training.history import History, Record
    from deepsched.pipeline.training.peers import Peers

Weights = dict[str, torch.Tensor]  # by name

TENSORS = "training.safetensors"
FORMAT = "deepsched-training/3"


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
    begun : mean ratios to HEFT of the untrained network's schedules, by their names in a record,
        where there is something to validate on; and `train_loss` of the first step that imitates.
    sums : of each measure since the last validation, and over how many steps.
    tasks : learned from so far, as often as they were.
    past : weights before the last few steps, by step, where rollouts run ahead.
    """

    network: nn.Module
    mean: nn.Module
    optimizer: torch.optim.Optimizer
    step: int = 0
    seconds: float = 0.0
    history: History = field(default_factory=list)
    begun: dict[str, float] = field(default_factory=dict)
    sums: dict[str, tuple[float, int]] = field(default_factory=dict)
    tasks: int = 0
    past: dict[int, Weights] = field(default_factory=dict)

    @property
    def last_validated(self) -> int:
        """The step of the last validation; 0 before the first."""
        return int(self.history[-1]["step"]) if self.history else 0

    def add(self, measures: dict[str, float], steps: int, tasks: int) -> None:
        """Count the measures of some steps, summed over them."""
        for name, value in measures.items():
            total, count = self.sums.get(name, (0.0, 0))
            self.sums[name] = (total + value, count + steps)
        self.tasks += tasks

    def means(self) -> dict[str, float]:
        """Return the means since the last validation."""
        return {f"train_{name}": total / count for name, (total, count) in self.sums.items()}

    def note(self, record: Record) -> None:
        """Add a validation to the history."""
        if record["score"] is None:  # nothing to validate on: what was trained on decides
            record["score"] = next(iter(self.means().values()))
        self.history = [*self.history, record]
        self.sums = {}

    def files(self, config: TrainConfig, meta: dict[str, Any]) -> dict[str, bytes]:
        """Return all that is needed to train on as if there had been no break, as files.

        In a folder they are a checkpoint too, of the running mean.
        """
        last = self.history[-1] if self.history else {}
        teacher = {"teacher": config.teacher} if config.objective == "imitation" else {}
        checkpoint = checkpoint_files(
            self.mean,
            config.network,
            config.network_options,
            {**meta, **teacher, "train_config": config.model_dump(), "step": self.step, **last},
        )
        tensors = {f"network.{key}": value for key, value in self.network.state_dict().items()}
        tensors |= {f"mean.{key}": value for key, value in self.mean.state_dict().items()}
        for index, values in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{index}.{name}": value for name, value in values.items()}
        for step, weights in self.past.items():
            tensors |= {f"past.{step}.{name}": value for name, value in weights.items()}
        plain = {key: value.detach().cpu().contiguous().clone() for key, value in tensors.items()}
        document = {
            "format": FORMAT,
            "step": self.step,
            "seconds": self.seconds,
            "tasks": self.tasks,
            "begun": self.begun,
            "history": self.history,
            "sums": self.sums,
        }
        data = safetensors.torch.save(plain, metadata={"format": FORMAT})
        return sealed({**checkpoint, TENSORS: data}, document)

    @classmethod
    def load(cls, files: Mapping[str, bytes], config: TrainConfig, peers: Peers) -> State:
        """Put back what :meth:`files` returned; the optimiser keeps its own learning rate.

        Raises
        ------
        InvalidInput
            Naming the file, if one is damaged, or does not fit the network.
        """
        state = new_state(config, peers.device)
        document = read_document(files)
        try:
            tensors = safetensors.torch.load(files[TENSORS])
            parts: dict[str, Weights] = {}
            for key, tensor in tensors.items():
                part, name = key.split(".", 1)
                parts.setdefault(part, {})[name] = tensor
            state.network.load_state_dict(parts["network"])
            state.mean.load_state_dict(parts["mean"])
            groups = state.optimizer.state_dict()["param_groups"]
            moments = _by_number(parts.get("optimizer", {}))
            state.optimizer.load_state_dict({"state": moments, "param_groups": groups})
            state.past = _by_number(parts.get("past", {}))
            state.step, state.seconds = int(document["step"]), float(document["seconds"])
            state.tasks = int(document["tasks"])
            state.history, state.begun = document["history"], document["begun"]
            state.sums = {name: (total, count) for name, (total, count) in document["sums"].items()}
        except safetensors.SafetensorError as error:
            raise InvalidInput(f"{TENSORS}: cannot be read: {error}") from None
        except (RuntimeError, KeyError, ValueError, TypeError) as error:
            reason = str(error).splitlines()[0]
            raise InvalidInput(f"{TENSORS}: does not fit the training: {reason}") from None
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


def read_document(files: Mapping[str, bytes]) -> dict[str, Any]:
    """Return what a saved training says of itself.

    Raises
    ------
    InvalidInput
        Naming the file, if it is damaged.
    """
    try:
        document: dict[str, Any] = json.loads(files[STATE])
        if document["format"] != FORMAT:
            raise InvalidInput(f"{STATE}: format {document['format']!r}; {FORMAT!r} expected")
        return document | {"history": list(document["history"])}
    except (ValueError, KeyError, TypeError) as error:
        if isinstance(error, InvalidInput):
            raise
        raise InvalidInput(f"{STATE}: cannot be read: {error}") from None


def progress(files: Mapping[str, bytes]) -> tuple[int, History]:
    """Return the step and the history of a saved training; those of a beginning without files.

    Raises
    ------
    InvalidInput
        As :func:`read_document`.
    """
    if not files:
        return 0, []
    document = read_document(files)
    return document["step"], document["history"]


def _by_number(tensors: Weights) -> dict[int, Weights]:
    """Return tensors by the number that their names begin with."""
    found: dict[int, Weights] = {}
    for key, tensor in tensors.items():
        number, name = key.split(".", 1)
        found.setdefault(int(number), {})[name] = tensor
    return found
