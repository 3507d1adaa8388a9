"""The network `deepsched`: directed message passing over the task graph, four outputs a head.

Each head is another way to schedule the problem; those after the first are there for where the
ones before do badly.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from deepsched.model.networks.deepsched.decode import OUTPUTS
from deepsched.model.networks.deepsched.features import (
    TASK_FEATURES,
    GraphView,
    edge_parents,
)
from deepsched.model.networks.deepsched.forward import SHARPEST

if TYPE_CHECKING:
    from collections.abc import Sequence

    from deepsched.model.networks.deepsched.config import DeepSchedConfig


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class GraphBatch:
    """Several problems as one graph without edges between them.

    Attributes
    ----------
    features : (n, len(TASK_FEATURES)).
    parents, children : (m,) of each edge.
    weight : (m, 1) its logarithmic transfer time.
    owner : (n,) the problem each task belongs to.
    sizes : tasks of each problem.
    counts : (problems,) the same as numbers.
    """

    features: Tensor
    parents: Tensor
    children: Tensor
    weight: Tensor
    owner: Tensor
    sizes: tuple[int, ...]
    counts: Tensor


def graph_batch(views: Sequence[GraphView]) -> GraphBatch:
    """Put problems side by side."""
    sizes = tuple(view.n_tasks for view in views)
    first = np.cumsum((0, *sizes[:-1]))
    pairs = list(zip(views, first, strict=True))
    return GraphBatch(
        features=torch.from_numpy(np.concatenate([view.features for view in views])),
        parents=torch.from_numpy(
            np.concatenate([edge_parents(view.terms.succs) + k for view, k in pairs])
        ),
        children=torch.from_numpy(np.concatenate([view.children + k for view, k in pairs])),
        weight=torch.from_numpy(np.concatenate([view.weight for view in views]))[:, None],
        owner=torch.from_numpy(np.repeat(np.arange(len(sizes)), sizes)),
        sizes=sizes,
        counts=torch.tensor(sizes, dtype=torch.float32),
    )


class DeepSchedNetwork(nn.Module):
    """Rounds of messages along the edges, both ways, and over all tasks of a problem.

    The last layer starts at zero, so that an untrained network schedules as HEFT does. Nothing
    depends on the number of tasks or machines.
    """

    def __init__(self, config: DeepSchedConfig) -> None:
        super().__init__()
        width = config.width
        self.enter = nn.Linear(len(TASK_FEATURES), width)
        self.rounds = nn.ModuleList(_Round(width) for _ in range(config.rounds))
        self.leave = nn.Linear(width, config.heads * len(OUTPUTS))
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)

    def forward(self, batch: GraphBatch) -> Tensor:
        """Return (n, heads, len(OUTPUTS)), bounded."""
        return self.outputs(self.hidden(batch))

    def hidden(self, batch: GraphBatch) -> Tensor:
        """Return (n, width), what the last layer works on."""
        state = torch.relu(self.enter(batch.features))
        for one in self.rounds:
            state = one(state, batch)
        return state

    def outputs(self, hidden: Tensor) -> Tensor:
        """Return the outputs of hidden states."""
        bounded = SHARPEST * torch.tanh(self.leave(hidden) / SHARPEST)
        return bounded.view(len(bounded), -1, len(OUTPUTS))


def _calm(total: Tensor) -> Tensor:
    """Return sums so that large ones grow as their root only; cheaper than a logarithm."""
    return total * torch.rsqrt(1.0 + total)


class _Round(nn.Module):
    """One exchange: each task hears its children, its parents, and the mean of all."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.up = nn.Linear(width, width)
        self.down = nn.Linear(width, width)
        self.up_edge = nn.Linear(1, width, bias=False)
        self.down_edge = nn.Linear(1, width, bias=False)
        self.mix = nn.Linear(4 * width, width)

    def forward(self, state: Tensor, batch: GraphBatch) -> Tensor:
        own = self.norm(state)
        up = torch.relu(self.up(own)[batch.children] + self.up_edge(batch.weight))
        down = torch.relu(self.down(own)[batch.parents] + self.down_edge(batch.weight))
        # Sums keep all their digits where autocast makes the rest short.
        from_children = torch.zeros_like(own).index_add_(0, batch.parents, up.to(own.dtype))
        from_parents = torch.zeros_like(own).index_add_(0, batch.children, down.to(own.dtype))
        means = own.new_zeros((len(batch.sizes), own.shape[1]))
        means = means.index_add_(0, batch.owner, own) / batch.counts[:, None]
        heard = [own, _calm(from_children), _calm(from_parents), means[batch.owner]]
        return state + torch.relu(self.mix(torch.cat(heard, dim=1)))
