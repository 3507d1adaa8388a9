"""The paper's network as it was: every problem padded to the same size.

Axes: B problem, T = max_tasks, M = max_machines, D width, F feature.

It exists for the paper's claim of a constant inference time: the tensors have the same shapes for
every problem, and a task's burst times are features side by side, one a machine.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from deepsched.baselines.errors import TooLarge
from deepsched.model.networks.paper.batch import Batch, Prediction
from deepsched.model.networks.paper.features import MACHINE_FEATURES, PAIR_FEATURES, TASK_FEATURES
from deepsched.model.networks.paper.recurrence import LONGEST, autocasts
from deepsched.model.networks.paper.times import start_and_finish

if TYPE_CHECKING:
    from deepsched.model.networks.paper.config import PaperConfig


class PaddedPaperNetwork(nn.Module):
    """Machine and task encoders of fixed size, stacked, with a classifier and a regressor."""

    def __init__(self, config: PaperConfig) -> None:
        super().__init__()
        assert config.max_tasks is not None
        assert config.max_machines is not None
        self._times = config.times
        self.max_tasks, self.max_machines = config.max_tasks, config.max_machines
        width, recurrent = config.width, config.recurrent_width
        self.machine_conv = nn.Conv1d(len(MACHINE_FEATURES) + 1, width, kernel_size=1)
        self.machine_full = nn.Linear(self.max_machines * width, width)
        self.task_gru = nn.GRU(
            len(TASK_FEATURES) + 1 + self.max_machines * (len(PAIR_FEATURES) + 1),
            recurrent,
            bidirectional=True,
            batch_first=True,
        )
        self.task_full = nn.Linear(2 * recurrent, width)
        self.stack_conv = nn.Conv1d(2 * width, width, kernel_size=1)
        self.classifier = nn.Conv1d(width, self.max_machines, kernel_size=1)
        self.regressor = nn.Conv1d(width, 2, kernel_size=1)

    def forward(self, batch: Batch) -> Prediction:
        """Predict a machine score per pair, and AST and AFT per task.

        Raises
        ------
        TooLarge
            If a problem has more tasks or machines than the network was built for.
        """
        self._check_sizes(batch)
        machine_BMF, input_BTF = self.padded(batch)
        machine_BDM = torch.relu(self.machine_conv(machine_BMF.transpose(1, 2)))
        machine_BD = torch.relu(self.machine_full(machine_BDM.flatten(1)))
        task_BTD = torch.relu(self.task_full(self._context(input_BTF)))
        stacked_BTD = torch.cat(
            [task_BTD, machine_BD[:, None].expand(-1, self.max_tasks, -1)], dim=2
        )
        stacked_BDT = torch.relu(self.stack_conv(stacked_BTD.transpose(1, 2)))
        score_BTM = self.classifier(stacked_BDT).transpose(1, 2)
        output_BT2 = self.regressor(stacked_BDT).transpose(1, 2)
        sizes = list(zip(batch.n_tasks, batch.n_machines, strict=True))
        score_P = torch.cat([score_BTM[b, :t, :m].reshape(-1) for b, (t, m) in enumerate(sizes)])
        output_T2 = torch.cat([output_BT2[b, :t] for b, (t, _) in enumerate(sizes)])
        start_T, finish_T = start_and_finish(batch, output_T2, self._times)
        return Prediction(
            score=score_P.masked_fill(~batch.eligible, -torch.inf), start=start_T, finish=finish_T
        )

    def _context(self, input_BTF: Tensor) -> Tensor:
        if autocasts(input_BTF):
            with torch.autocast(input_BTF.device.type, enabled=False):
                return self._context(input_BTF.float())
        # Without cuDNN, torch's own goes step by step, which takes a while but any length.
        long = input_BTF.shape[1] > LONGEST
        with torch.backends.cudnn.flags(enabled=False) if long else contextlib.nullcontext():
            found: Tensor = self.task_gru(input_BTF)[0]
        return found

    def padded(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return machines (B, M, F + 1) and tasks (B, T, F + 1 + M · (pair F + 1)).

        The extra feature is 1 where a machine or a task is, or where the task fits the machine, and
        0 in the padding.
        """
        shape = (len(batch), self.max_tasks, self.max_machines)
        machine_BMF = batch.machine_features.new_zeros(
            shape[0], shape[2], len(MACHINE_FEATURES) + 1
        )
        task_BTF = batch.task_features.new_zeros(shape[0], shape[1], len(TASK_FEATURES) + 1)
        pair_BTMF = batch.pair_features.new_zeros(*shape, len(PAIR_FEATURES) + 1)
        pairs, fits = batch.pairs(batch.pair_features), batch.pairs(batch.eligible)
        for b, (t, m) in enumerate(zip(batch.n_tasks, batch.n_machines, strict=True)):
            machine_BMF[b, :m, :-1] = batch.machine_features[batch.machine_slices[b]]
            machine_BMF[b, :m, -1] = 1.0
            task_BTF[b, :t, :-1] = batch.task_features[batch.task_slices[b]]
            task_BTF[b, :t, -1] = 1.0
            pair_BTMF[b, :t, :m, :-1] = pairs[b]
            pair_BTMF[b, :t, :m, -1] = fits[b].to(pair_BTMF.dtype)
        return machine_BMF, torch.cat([task_BTF, pair_BTMF.flatten(2)], dim=2)

    def _check_sizes(self, batch: Batch) -> None:
        for kind, largest, limit in (
            ("tasks", max(batch.n_tasks), self.max_tasks),
            ("machines", max(batch.n_machines), self.max_machines),
        ):
            if largest > limit:
                raise TooLarge(
                    f"a problem has {largest} {kind}, the padded network 'paper' takes at most "
                    f"{limit}; train it with a larger max_{kind}, or without limits"
                )
