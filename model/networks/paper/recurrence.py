"""A bidirectional GRU over sequences of different lengths that lie end to end.

Axes: T row (of all sequences), B sequence, L longest sequence, F input channel, D hidden channel.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from torch.utils.checkpoint import checkpoint

from deepsched.model.networks.paper import compiled

if TYPE_CHECKING:
    from collections.abc import Sequence


CHUNK = 1024  # steps between two states that are kept for the backward pass


class BidirectionalGRU(nn.Module):
    """One GRU reads each sequence forwards, another one backwards.

    Sequences are filled up behind their end for the time of the pass. Neither direction lets the
    filling into a result: the backward one gets each sequence reversed by itself. (On CPUs this
    takes less than half the time of packed sequences, when the lengths are similar.)
    """

    def __init__(self, in_channels: int, hidden: int) -> None:
        super().__init__()
        self.forwards = nn.GRU(in_channels, hidden)
        self.backwards = nn.GRU(in_channels, hidden)

    def forward(self, rows_TF: Tensor, lengths: Sequence[int]) -> Tensor:
        """Map (T, in_channels) to (T, 2 · hidden), each of the sequences by itself."""
        if compiled.takes(rows_TF):
            ahead_TD = compiled.recurrence(self.forwards, rows_TF, lengths, backwards=False)
            behind_TD = compiled.recurrence(self.backwards, rows_TF, lengths, backwards=True)
            return torch.cat([ahead_TD, behind_TD], dim=1)
        reversed_TF = _reversed(rows_TF, lengths)
        ahead_TD = _run(self.forwards, rows_TF, lengths)
        behind_TD = _reversed(_run(self.backwards, reversed_TF, lengths), lengths)
        return torch.cat([ahead_TD, behind_TD], dim=1)


def _run(gru: nn.GRU, rows_TF: Tensor, lengths: Sequence[int]) -> Tensor:
    rows_LBF = pad_sequence(list(torch.split(rows_TF, list(lengths))))
    if torch.is_grad_enabled() and len(rows_LBF) > CHUNK:
        hidden_LBD = _in_chunks(gru, rows_LBF)
    else:
        hidden_LBD, _ = gru(rows_LBF)
    return torch.cat([hidden_LBD[:length, b] for b, length in enumerate(lengths)])


def _in_chunks(gru: nn.GRU, rows_LBF: Tensor) -> Tensor:
    """Run a GRU as ever, but remember only its state after each chunk for the backward pass.

    The gradient is that of the whole sequence; within a chunk the pass is run once more. Kept for
    all steps, what a GRU remembers on a CPU is some 60 kB a step.
    """
    state_1BD = rows_LBF.new_zeros((1, rows_LBF.shape[1], gru.hidden_size))
    parts = []
    for chunk_LBF in torch.split(rows_LBF, CHUNK):
        # Reentrant, or the graph of all steps would be kept, if without its numbers.
        part_LBD, state_1BD = checkpoint(gru, chunk_LBF, state_1BD, use_reentrant=True)
        parts.append(part_LBD)
    return torch.cat(parts)


def _reversed(rows: Tensor, lengths: Sequence[int]) -> Tensor:
    return torch.cat([part.flip(0) for part in torch.split(rows, list(lengths))])
