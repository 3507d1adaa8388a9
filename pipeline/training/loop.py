"""Training itself: epochs over batches, alone or in unison with peers. It knows no Ray."""

from __future__ import annotations

import functools
import itertools
import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from torch import nn

from deepsched.model.networks import build_network
from deepsched.model.networks.paper.batch import collate
from deepsched.model.training import Metrics, train_epoch, validate
from deepsched.pipeline.training.state import History, Record, load_state, save_state
from deepsched.pipeline.training.steps import Peers, Samples, cut_batches, merged, steps_in_unison

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from deepsched.pipeline.training.config import TrainConfig


class Reporter(Protocol):
    """Who wants to know how a training goes."""

    def step(self, epoch: int, samples: int) -> None:
        """Take note that this process is at so many samples of an epoch."""

    def epoch(self, history: History, save: Callable[[Path], None]) -> None:
        """Take note of a finished epoch; `save` writes the state of the training to a folder."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainingData:
    """Windows of samples, those of one process; a pass over them is an epoch."""

    train: Iterable[Samples]
    val: Iterable[Samples]


def fit(
    config: TrainConfig,
    data: TrainingData,
    *,
    reporter: Reporter,
    peers: Peers | None = None,
    start: Path | None = None,
    meta: dict[str, Any] | None = None,
) -> History:
    """Train a network from `start`, or from random weights, up to `config.epochs`.

    Every process calls it with its share of the data. A training resumed after an epoch ends with
    the weights of one that ran through, bit for bit on the CPU.

    Parameters
    ----------
    start : a folder that `save` wrote.
    meta : kept in the checkpoint.

    Returns
    -------
    One record an epoch, earlier ones included: epoch, train_loss, train_accuracy, val_loss,
    val_cross_entropy, val_mse, val_accuracy, val_chance, seconds, and `score`, the loss by which
    the best epoch is chosen. `val_` is None without validation samples; `score` is the training
    loss then. Losses are means over tasks, without a unit.

    Raises
    ------
    InvalidInput
        If a process has no sample to train on, or the loss is no longer finite.
    """
    peers = peers or Peers()
    torch.manual_seed(config.seed)
    network = build_network(config.network, config.network_options).to(peers.device)
    optimizer = torch.optim.AdamW(
        network.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
    )
    history = load_state(start, network, optimizer) if start else []
    trained: nn.Module = network
    if peers.world > 1:
        trained = nn.parallel.DistributedDataParallel(network)
    for epoch in range(len(history) + 1, config.epochs + 1):
        began = time.monotonic()
        learned = _learn(config, epoch, trained, optimizer, data.train, peers, reporter)
        measured = _measure(config, network, data.val, peers)
        history = [*history, _record(epoch, learned, measured, time.monotonic() - began)]
        save = functools.partial(
            save_state,
            network=network,
            optimizer=optimizer,
            config=config,
            history=history,
            meta=meta or {},
        )
        reporter.epoch(history, save)
    return history


def best_record(history: History) -> Record:
    """Return the record of the epoch with the least score, the earlier one on a tie."""
    best: Record = min(history, key=lambda record: record["score"])
    return best


def _learn(
    config: TrainConfig,
    epoch: int,
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    windows: Iterable[Samples],
    peers: Peers,
    reporter: Reporter,
) -> Metrics | None:
    # Batch order and dropout follow from the epoch, not from what was drawn before it.
    seeds = np.random.SeedSequence([config.seed, epoch, peers.rank])
    torch.manual_seed(int(seeds.generate_state(1)[0]))
    rng = np.random.default_rng(seeds)
    max_tasks = max(1, config.tasks_per_batch // peers.world)
    batches = (cut_batches(window, max_tasks, rng) for window in windows)
    done = 0

    def on_batch(samples: int) -> None:
        nonlocal done
        reporter.step(epoch, done)
        done += samples

    first, second = itertools.tee(steps_in_unison(batches, peers, on_batch))
    learned = train_epoch(
        network,
        optimizer,
        (batch for batch, _ in first),
        peers.device,
        mse_weight=config.mse_weight,
        max_gradient_norm=config.gradient_clip or math.inf,
        weights=(weight for _, weight in second),
    )
    return merged(learned, peers)


def _measure(
    config: TrainConfig, network: nn.Module, windows: Iterable[Samples], peers: Peers
) -> Metrics | None:
    batches = (
        collate(batch)
        for window in windows
        for batch in cut_batches(window, config.tasks_per_batch)
    )
    first = next(batches, None)
    mine = None
    if first is not None:
        rest = itertools.chain([first], batches)
        mine = validate(network, rest, peers.device, mse_weight=config.mse_weight)
    return merged(mine, peers)


def _record(
    epoch: int, learned: Metrics | None, measured: Metrics | None, seconds: float
) -> Record:
    assert learned is not None  # train_epoch refuses an epoch without a batch
    return {
        "epoch": epoch,
        "train_loss": learned.loss,
        "train_accuracy": learned.accuracy,
        "val_loss": measured and measured.loss,
        "val_cross_entropy": measured and measured.cross_entropy,
        "val_mse": measured and measured.mse,
        "val_accuracy": measured and measured.accuracy,
        "val_chance": measured and measured.chance,
        "seconds": seconds,
        "score": measured.loss if measured else learned.loss,
    }
