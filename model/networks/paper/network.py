"""The paper's network without a size: shared weights for any number of tasks and machines.

Axes: B problem, T task, M machine, P pair, D width, F feature.

Machines pass a Conv1D of kernel 1 and a fully connected layer. Tasks pass a bidirectional GRU along
the sequence and a fully connected layer. Both are stacked, together with the burst time of the task
on the machine, and a Conv1D over machines scores them; another Conv1D gives AST and AFT.

Where the paper lists the burst time on every machine as so many features of a task, its length
would be the number of machines. Here a Conv1D of kernel 1 over (burst time, machine) and the mean
over the machines that can hold the task take its place.

What works on all pairs, and the GRU, are on a CPU the compiled layers of `compiled`, elsewhere
those of torch in blocks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from deepsched.model.networks.paper import compiled
from deepsched.model.networks.paper.batch import Batch, Prediction
from deepsched.model.networks.paper.features import MACHINE_FEATURES, PAIR_FEATURES, TASK_FEATURES
from deepsched.model.networks.paper.layers import PointwiseConv
from deepsched.model.networks.paper.recurrence import BidirectionalGRU
from deepsched.model.networks.paper.times import start_and_finish

if TYPE_CHECKING:
    from collections.abc import Callable

    from deepsched.model.networks.paper.config import PaperConfig

MAX_BLOCK_PAIRS = 1 << 16  # pairs scored at a time, which bounds the memory of large problems


class PaperNetwork(nn.Module):
    """Machine and task encoders, stacked, with a classifier and a regressor."""

    def __init__(self, config: PaperConfig) -> None:
        super().__init__()
        self._times = config.times
        width, recurrent = config.width, config.recurrent_width
        self.machine_conv = PointwiseConv(len(MACHINE_FEATURES), width)
        self.machine_full = nn.Linear(width, width)
        self.burst_conv = PointwiseConv(len(PAIR_FEATURES), width)
        self.burst_machine = PointwiseConv(width, width, bias=False)
        self.task_gru = BidirectionalGRU(
            len(TASK_FEATURES) + width, recurrent, config.recurrence_window
        )
        self.task_full = nn.Linear(2 * recurrent + len(TASK_FEATURES) + width, width)
        # One Conv1D over the stacked channels (task, machine, burst time), kept as its three parts:
        # the parts of task and machine are computed once a row and a column, not once a pair.
        self.stack_task = PointwiseConv(width, width)
        self.stack_machine = PointwiseConv(width, width, bias=False)
        self.stack_burst = PointwiseConv(len(PAIR_FEATURES), width, bias=False)
        self.classifier = PointwiseConv(width, 1, bias=False)
        self.regressor = nn.Sequential(
            PointwiseConv(2 * width, width), nn.ReLU(), PointwiseConv(width, 2)
        )

    def compile_parts(self) -> None:
        """Have what works on blocks of pairs compiled, for blocks of any size."""
        self._burst = torch.compile(self._burst, dynamic=True)  # type: ignore[method-assign]
        self._score = torch.compile(self._score, dynamic=True)  # type: ignore[method-assign]

    def forward(self, batch: Batch) -> Prediction:
        """Predict a machine score per pair, and AST and AFT per task."""
        machine_MD = self.machine_full(torch.relu(self.machine_conv(batch.machine_features)))
        machine_MD = torch.relu(machine_MD)
        input_TF = torch.cat([batch.task_features, self._bursts(batch, machine_MD)], dim=1)
        context_TD = torch.cat([self.task_gru(input_TF, batch.n_tasks), input_TF], dim=1)
        task_TD = torch.relu(self.task_full(context_TD))
        pooled_TD = torch.cat(
            [
                machine_MD[machines].mean(dim=0).expand(n_tasks, -1)
                for machines, n_tasks in zip(batch.machine_slices, batch.n_tasks, strict=True)
            ]
        )
        output_T2 = self.regressor(torch.cat([task_TD, pooled_TD], dim=1))
        start_T, finish_T = start_and_finish(batch, output_T2, self._times)
        return Prediction(
            score=self._scores(batch, task_TD, machine_MD), start=start_T, finish=finish_T
        )

    def _bursts(self, batch: Batch, machine_MD: Tensor) -> Tensor:
        """Summarise each task's burst times over the machines that can hold it: (T, D)."""
        column_MD = self.burst_machine(machine_MD)
        if compiled.takes(batch.pair_features, column_MD):
            column_MD, burst_DF = column_MD + self.burst_conv.bias, self.burst_conv.weight[:, :, 0]
            return compiled.summaries(batch, column_MD, burst_DF)
        summaries = []
        for machines, pair_TMF, fits_TM in zip(
            batch.machine_slices,
            batch.pairs(batch.pair_features),
            batch.pairs(batch.eligible),
            strict=True,
        ):
            for pair_bMF, fits_bM in _blocks(pair_TMF, fits_TM):
                summaries.append(_again(self._burst, pair_bMF, fits_bM, column_MD[machines]))
        return torch.cat(summaries)

    def _burst(self, pair_bMF: Tensor, fits_bM: Tensor, column_MD: Tensor) -> Tensor:
        hidden_bMD = torch.relu(self.burst_conv(pair_bMF) + column_MD)
        weight_bM = fits_bM.to(pair_bMF.dtype) / fits_bM.sum(dim=1, keepdim=True)
        return torch.einsum("bmd,bm->bd", hidden_bMD, weight_bM)

    def _scores(self, batch: Batch, task_TD: Tensor, machine_MD: Tensor) -> Tensor:
        """Score every task-machine pair: (P,), -inf where the task does not fit."""
        row_TD, column_MD = self.stack_task(task_TD), self.stack_machine(machine_MD)
        if compiled.takes(batch.pair_features, row_TD, column_MD):
            burst_DF, weight_D = self.stack_burst.weight[:, :, 0], self.classifier.weight[0, :, 0]
            return compiled.scores(batch, row_TD, column_MD, burst_DF, weight_D)
        scores = []
        for tasks, machines, pair_TMF, fits_TM in zip(
            batch.task_slices,
            batch.machine_slices,
            batch.pairs(batch.pair_features),
            batch.pairs(batch.eligible),
            strict=True,
        ):
            for row_bD, pair_bMF, fits_bM in _blocks(row_TD[tasks], pair_TMF, fits_TM):
                score_bM = _again(self._score, row_bD, pair_bMF, column_MD[machines])
                scores.append(score_bM.masked_fill(~fits_bM, -torch.inf).reshape(-1))
        return torch.cat(scores)

    def _score(self, row_bD: Tensor, pair_bMF: Tensor, column_MD: Tensor) -> Tensor:
        stacked_bMD = self.stack_burst(pair_bMF) + row_bD[:, None] + column_MD
        scores: Tensor = self.classifier(torch.relu(stacked_bMD))[..., 0]
        return scores


def _again(function: Callable[..., Tensor], *tensors: Tensor) -> Tensor:
    """Call a function of one block, and once more in the backward pass.

    What lies between its input and its output takes tasks x machines x width numbers: kept for all
    blocks, as autograd would, that is 250 kB a task on 188 machines.
    """
    if not torch.is_grad_enabled():
        return function(*tensors)
    found: Tensor = checkpoint(function, *tensors, use_reentrant=False)
    return found


def _blocks(*parts: Tensor) -> zip[tuple[Tensor, ...]]:
    """Cut tensors along T alike, so that a block has a bounded number of pairs."""
    n_machines = parts[-1].shape[1]
    rows = max(1, MAX_BLOCK_PAIRS // n_machines)
    return zip(*(torch.split(part, rows) for part in parts), strict=True)
