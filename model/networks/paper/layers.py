"""Layers that networks share. Axes: N any rows, C channel."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional


class PointwiseConv(nn.Conv1d):
    """A Conv1D of kernel size 1, applied to rows (..., C) instead of columns (B, C, N).

    Such a convolution is one matrix shared by all positions, so rows need no particular length or
    layout; its weights are those of the convolution.
    """

    def __init__(self, in_channels: int, out_channels: int, *, bias: bool = True) -> None:
        super().__init__(in_channels, out_channels, kernel_size=1, bias=bias)

    def forward(self, rows: Tensor) -> Tensor:
        """Map (..., in_channels) to (..., out_channels)."""
        return functional.linear(rows, self.weight[:, :, 0], self.bias)
