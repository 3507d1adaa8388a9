"""Training processes that learn one network together, each on its share of every step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import distributed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor


@dataclass(frozen=True, kw_only=True, slots=True)
class Peers:
    """The processes that train one network together, and which of them this is."""

    rank: int = 0
    world: int = 1
    device: torch.device | str = "cpu"

    def together(self, rows: Mapping[int, np.ndarray], n: int, width: int) -> np.ndarray:
        """Return (n, width) float64, each row from the process that has it.

        Every process calls it, with other rows; each row is given once.
        """
        table = np.zeros((n, width))
        for k, row in rows.items():
            table[k] = row
        if self.world == 1:
            return table
        # A row and zeros: adding them changes no bit, in whatever order it is done.
        shared = torch.from_numpy(table).to(self.device)
        self.add_up(shared)
        return np.asarray(shared.cpu().numpy())

    def add_up(self, values: Tensor) -> None:
        """Replace values by their sum over all processes, in an order that is not fixed."""
        if self.world > 1:
            distributed.all_reduce(values)
