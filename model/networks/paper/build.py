"""The module of the network `paper`: without a size, or padded to one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from deepsched.model.networks.paper.network import PaperNetwork
from deepsched.model.networks.paper.padded import PaddedPaperNetwork

if TYPE_CHECKING:
    from torch import nn

    from deepsched.model.networks.paper.config import PaperConfig


def build_paper(config: PaperConfig) -> nn.Module:
    """Return the module with random weights from torch's global generator."""
    return PaperNetwork(config) if config.max_tasks is None else PaddedPaperNetwork(config)


def compile_parts(module: nn.Module) -> None:
    """Have what costs most compiled: the scores of pairs, or all of the padded original."""
    if isinstance(module, PaperNetwork):
        module.compile_parts()
    else:
        module.compile()
