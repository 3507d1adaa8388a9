"""The costly layers of the network on a CPU: compiled, and each with a gradient of its own.

Axes: P pair, T task, M machine, D width, F feature, N hidden channel of the recurrence.

torch's own layers do the same, but write tasks x machines x width numbers to memory several times
where a loop keeps them in registers, and take some twenty calls a step of a recurrence.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from deepsched.model.networks.paper import _pair_kernels, _recurrence_kernels

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import nn

    from deepsched.model.networks.paper.batch import Batch
    from deepsched.model.networks.paper.features import Float32Array


def takes(*tensors: Tensor) -> bool:
    """Return whether the loops are compiled for such tensors: of float32, on a CPU, no autocast."""
    return not torch.is_autocast_enabled("cpu") and all(
        tensor.device.type == "cpu" and tensor.dtype == torch.float32 for tensor in tensors
    )


def scores(
    batch: Batch, row_TD: Tensor, column_MD: Tensor, burst_DF: Tensor, weight_D: Tensor
) -> Tensor:
    """Return weight · relu(row + column + burst · pair features): (P,), -inf where none fits."""
    found: Tensor = _Scores.apply(batch, row_TD, column_MD, burst_DF, weight_D)  # type: ignore[no-untyped-call]
    return found


def summaries(batch: Batch, column_MD: Tensor, burst_DF: Tensor) -> Tensor:
    """Return the mean of relu(column + burst · pair features) over machines that fit: (T, D)."""
    found: Tensor = _Summaries.apply(batch, column_MD, burst_DF)  # type: ignore[no-untyped-call]
    return found


def recurrence(
    gru: nn.GRU, rows_TF: Tensor, lengths: Sequence[int], *, backwards: bool, window: int | None
) -> Tensor:
    """Return the states of a GRU of one layer, (T, N), for sequences that lie end to end.

    Parameters
    ----------
    backwards : each sequence is read from its end.
    window : steps that no gradient goes beyond; None: a gradient goes through all.
    """
    found: Tensor = _Recurrence.apply(  # type: ignore[no-untyped-call]
        rows_TF,
        gru.weight_ih_l0,
        gru.weight_hh_l0,
        gru.bias_ih_l0,
        gru.bias_hh_l0,
        np.asarray(lengths, dtype=np.int64),
        backwards,
        window or max(lengths),
    )
    return found


class _Scores(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        batch: Batch,
        row_TD: Tensor,
        column_MD: Tensor,
        burst_DF: Tensor,
        weight_D: Tensor,
    ) -> Tensor:
        ctx.batch = batch
        ctx.save_for_backward(row_TD, column_MD, burst_DF, weight_D)
        found_P = row_TD.new_empty(len(batch.eligible))
        tasks, machines, pair, fits = _pairs(batch)
        row, column, burst, weight = _arrays(row_TD, column_MD, burst_DF.T, weight_D)
        _pair_kernels.score(
            tasks, machines, pair, fits, row, column, burst, weight, found_P.numpy()
        )
        return found_P

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, of_found_P: Tensor) -> tuple[Tensor | None, ...]:
        row_TD, column_MD, burst_DF, weight_D = ctx.saved_tensors
        tasks, machines, pair, fits = _pairs(ctx.batch)
        row, column, burst, weight = _arrays(row_TD, column_MD, burst_DF.T, weight_D)
        (of_found,) = _arrays(of_found_P)
        of_row, of_column = np.empty_like(row), np.zeros(column.shape)
        of_burst, of_weight = _pair_kernels.score_gradient(
            tasks, machines, pair, fits, row, column, burst, weight, of_found, of_row, of_column
        )
        return None, *_tensors(of_row, of_column, of_burst.T, of_weight)


class _Summaries(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, batch: Batch, column_MD: Tensor, burst_DF: Tensor) -> Tensor:
        ctx.batch = batch
        ctx.save_for_backward(column_MD, burst_DF)
        found_TD = column_MD.new_empty(sum(batch.n_tasks), column_MD.shape[1])
        tasks, machines, pair, fits = _pairs(batch)
        column, burst = _arrays(column_MD, burst_DF.T)
        _pair_kernels.summary(tasks, machines, pair, fits, column, burst, found_TD.numpy())
        return found_TD

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, of_found_TD: Tensor) -> tuple[Tensor | None, ...]:
        column_MD, burst_DF = ctx.saved_tensors
        tasks, machines, pair, fits = _pairs(ctx.batch)
        column, burst, of_found = _arrays(column_MD, burst_DF.T, of_found_TD)
        of_column = np.zeros(column.shape)
        of_burst = _pair_kernels.summary_gradient(
            tasks, machines, pair, fits, column, burst, of_found, of_column
        )
        return None, *_tensors(of_column, of_burst.T)


class _Recurrence(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        rows_TF: Tensor,
        from_input: Tensor,
        from_state: Tensor,
        input_bias: Tensor,
        state_bias: Tensor,
        lengths: np.ndarray,
        backwards: bool,
        window: int,
    ) -> Tensor:
        gates_TG = torch.addmm(input_bias, rows_TF, from_input.T)
        found_TN = rows_TF.new_empty(len(rows_TF), from_state.shape[1])
        gates, recurrent, bias = _arrays(gates_TG, from_state.T, state_bias)
        _recurrence_kernels.recur(gates, recurrent, bias, lengths, backwards, found_TN.numpy())
        ctx.lengths, ctx.backwards, ctx.window = lengths, backwards, window
        ctx.save_for_backward(rows_TF, from_input, from_state, state_bias, gates_TG, found_TN)
        return found_TN

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, of_found_TN: Tensor) -> tuple[Tensor | None, ...]:
        rows_TF, from_input, from_state, state_bias, gates_TG, found_TN = ctx.saved_tensors
        n = found_TN.shape[1]
        before_TN = _shifted(found_TN, ctx.lengths, ctx.backwards)
        new_TN = torch.addmm(state_bias[2 * n :], before_TN, from_state[2 * n :].T)
        of_gates_TG = rows_TF.new_empty(len(rows_TF), 4 * n)
        gates, new, before, recurrent = _arrays(gates_TG, new_TN, before_TN, from_state)
        of_found, of_gates = _arrays(of_found_TN, of_gates_TG)
        _recurrence_kernels.recur_gradient(
            gates,
            new,
            before,
            recurrent,
            ctx.lengths,
            ctx.backwards,
            ctx.window,
            of_found,
            of_gates,
        )
        of_input_TG = of_gates_TG[:, : 3 * n]
        # The new state's part from the state before is reset, that from the input is not.
        of_state_G = torch.cat([of_gates_TG[:, : 2 * n], of_gates_TG[:, 3 * n :]], dim=1)
        return (
            of_input_TG @ from_input,
            of_input_TG.T @ rows_TF,
            of_state_G.T @ before_TN,
            of_input_TG.sum(dim=0),
            of_state_G.sum(dim=0),
            None,
            None,
            None,
        )


def _shifted(states_TN: Tensor, lengths: np.ndarray, backwards: bool) -> Tensor:
    """Return the state before each step; each sequence begins with 0."""
    ends = np.cumsum(lengths)
    before_TN = states_TN.roll(-1 if backwards else 1, dims=0)
    before_TN[torch.from_numpy(ends - 1 if backwards else ends - lengths)] = 0.0
    return before_TN


def _pairs(batch: Batch) -> tuple[np.ndarray, ...]:
    sizes = (np.asarray(each, dtype=np.int64) for each in (batch.n_tasks, batch.n_machines))
    return *sizes, *_arrays(batch.pair_features, batch.eligible)


def _arrays(*tensors: Tensor) -> tuple[Float32Array, ...]:
    return tuple(tensor.detach().contiguous().numpy() for tensor in tensors)


def _tensors(*arrays: np.ndarray) -> tuple[Tensor, ...]:
    return tuple(torch.from_numpy(np.require(array, np.float32, "C")) for array in arrays)
