"""A bidirectional GRU over sequences of different lengths that lie end to end.

Axes: T row (of all sequences), B sequence, L longest sequence, F input channel, D hidden channel.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import pad_sequence
from torch.utils.checkpoint import checkpoint

from deepsched.model.networks.paper import compiled

if TYPE_CHECKING:
    from collections.abc import Sequence


CHUNK = 1024  # steps at a time, and between two states that are kept for the backward pass
# Steps of the longest sequence cuDNN takes: https://github.com/pytorch/pytorch/issues/133751
LONGEST = 65_535


class BidirectionalGRU(nn.Module):
    """One GRU reads each sequence forwards, another one backwards.

    On a CPU it is compiled and reads one sequence after the other. Elsewhere sequences stand side
    by side, filled up behind their end; the backward GRU gets each of them reversed by itself, so
    that neither lets the filling into a result.

    With a `window` the states are the same, but a gradient does not go beyond so many steps: each
    direction's sequence is cut into windows, and the state in which a window begins is a constant.
    """

    def __init__(self, in_channels: int, hidden: int, window: int | None = None) -> None:
        super().__init__()
        self._window = window
        self.forwards = nn.GRU(in_channels, hidden)
        self.backwards = nn.GRU(in_channels, hidden)

    def forward(self, rows_TF: Tensor, lengths: Sequence[int]) -> Tensor:
        """Map (T, in_channels) to (T, 2 · hidden), each of the sequences by itself."""
        if compiled.takes(rows_TF):
            ahead_TD = compiled.recurrence(
                self.forwards, rows_TF, lengths, backwards=False, window=self._window
            )
            behind_TD = compiled.recurrence(
                self.backwards, rows_TF, lengths, backwards=True, window=self._window
            )
            return torch.cat([ahead_TD, behind_TD], dim=1)
        if autocasts(rows_TF):
            with torch.autocast(rows_TF.device.type, enabled=False):
                found_TD: Tensor = self(rows_TF.float(), lengths)
                return found_TD
        reversed_TF = _reversed(rows_TF, lengths)
        ahead_TD = _run(self.forwards, rows_TF, lengths, self._window)
        behind_TD = _reversed(_run(self.backwards, reversed_TF, lengths, self._window), lengths)
        return torch.cat([ahead_TD, behind_TD], dim=1)


def autocasts(rows: Tensor) -> bool:
    """Return whether a GRU is to be kept from autocast, and to get float32.

    cuDNN's would be in float16, even where bfloat16 is asked for, and gradients leave its range.
    """
    device = rows.device.type
    return torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device)


def _run(gru: nn.GRU, rows_TF: Tensor, lengths: Sequence[int], window: int | None) -> Tensor:
    rows_LBF = pad_sequence(list(torch.split(rows_TF, list(lengths))))
    if torch.is_grad_enabled() and window is not None and len(rows_LBF) > window:
        hidden_LBD = _in_windows(gru, rows_LBF, window)
    else:
        hidden_LBD = _in_chunks(gru, rows_LBF, _zero_state(gru, rows_LBF))
    return torch.cat([hidden_LBD[:length, b] for b, length in enumerate(lengths)])


def _zero_state(gru: nn.GRU, rows_LBF: Tensor) -> Tensor:
    return rows_LBF.new_zeros((1, rows_LBF.shape[1], gru.hidden_size))


def _in_chunks(gru: nn.GRU, rows_LBF: Tensor, state_1BD: Tensor) -> Tensor:
    """Run a GRU as ever, chunk after chunk: cuDNN takes no longer sequence than `LONGEST`.

    Only the state after each chunk is remembered for the backward pass, whose gradient is that of
    the whole sequence; within a chunk the pass is run once more.
    """
    again = torch.is_grad_enabled() and len(rows_LBF) > CHUNK
    parts = []
    for chunk_LBF in torch.split(rows_LBF, CHUNK):
        if again:
            # Reentrant, or the graph of all steps would be kept, if without its numbers.
            part_LBD, state_1BD = checkpoint(gru, chunk_LBF, state_1BD, use_reentrant=True)
        else:
            part_LBD, state_1BD = gru(chunk_LBF, state_1BD)
        parts.append(part_LBD)
    return torch.cat(parts)


def _in_windows(gru: nn.GRU, rows_LBF: Tensor, window: int) -> Tensor:
    """Run a GRU without a gradient for the states that windows begin in; then all side by side.

    Axes: K window, W step in a window.
    """
    n_steps, n_sequences, _ = rows_LBF.shape
    first_1BD = _zero_state(gru, rows_LBF)
    with torch.no_grad():
        hidden_LBD = _in_chunks(gru, rows_LBF, first_1BD)
    begin_KBD = torch.cat([first_1BD, hidden_LBD[window - 1 : n_steps - 1 : window]])
    n_windows = len(begin_KBD)
    filling = n_windows * window - n_steps
    filled_LBF = functional.pad(rows_LBF, (0, 0, 0, 0, 0, filling))
    side_WBF = torch.cat(torch.split(filled_LBF, window), dim=1)  # window after window
    part_WBD = _in_chunks(gru, side_WBF, begin_KBD.flatten(0, 1)[None])
    return torch.cat(torch.split(part_WBD, n_sequences, dim=1))[:n_steps]


def _reversed(rows: Tensor, lengths: Sequence[int]) -> Tensor:
    return torch.cat([part.flip(0) for part in torch.split(rows, list(lengths))])
