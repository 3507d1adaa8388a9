"""The network `deepsched`: directed message passing over the task graph, a few outputs a task."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from model.guided.decode import OUTPUTS
from model.guided.forward import SHARPEST, by_rank
from model.guided.graph import MACHINE_FEATURES, TASK_FEATURES, GraphView, edge_parents

if TYPE_CHECKING:
    from collections.abc import Sequence

    from model.config import DeepSchedConfig


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class GraphBatch:
    """Several problems as one graph without edges between them.

    Attributes
    ----------
    features : (n, len(TASK_FEATURES)).
    parents, children : (m,) of each edge.
    weight : (m, 1) its logarithmic transfer time.
    order : (n,) the tasks of one problem after the other, each by falling upward rank.
    owner : (n,) the problem each task belongs to.
    sizes : tasks of each problem.
    """

    features: Tensor
    parents: Tensor
    children: Tensor
    weight: Tensor
    order: Tensor
    owner: Tensor
    sizes: tuple[int, ...]

    def to(self, device: torch.device) -> GraphBatch:
        """Return the same on a device."""
        names = ("features", "parents", "children", "weight", "order", "owner")
        return replace(self, **{name: getattr(self, name).to(device) for name in names})


def graph_batch(views: Sequence[GraphView]) -> GraphBatch:
    """Put problems side by side."""
    sizes = tuple(view.n_tasks for view in views)
    first = np.cumsum((0, *sizes[:-1]))
    pairs = list(zip(views, first, strict=True))
    return GraphBatch(
        features=torch.from_numpy(np.concatenate([view.features for view in views])),
        parents=torch.from_numpy(
            np.concatenate([edge_parents(view.guide.succs) + k for view, k in pairs])
        ),
        children=torch.from_numpy(np.concatenate([view.children + k for view, k in pairs])),
        weight=torch.from_numpy(np.concatenate([view.weight for view in views]))[:, None],
        order=torch.from_numpy(np.concatenate([by_rank(view) + k for view, k in pairs])),
        owner=torch.from_numpy(np.repeat(np.arange(len(sizes)), sizes)),
        sizes=sizes,
    )


class DeepSchedNetwork(nn.Module):
    """Rounds of messages along the edges, both ways, and over all tasks of a problem.

    With `recurrence` the tasks first hear those before and after them by upward rank.
    With `machine_code` a second encoder makes a code of each machine. The product of a task's
    further outputs and that code is the machine's score for the task.

    The last layer starts at zero, so that an untrained network schedules as HEFT does. Nothing
    depends on the number of tasks or machines.
    """

    def __init__(self, config: DeepSchedConfig) -> None:
        super().__init__()
        width = config.width
        self.enter = nn.Linear(len(TASK_FEATURES), width)
        self.rounds = nn.ModuleList(_Round(width) for _ in range(config.rounds))
        self.recurrence = _Recurrence(width) if config.recurrence else None
        self.leave = nn.Linear(width, len(OUTPUTS) + config.machine_code)
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)
        if config.machine_code:
            self.machine_enter = nn.Linear(len(MACHINE_FEATURES), width)
            self.machine_leave = nn.Linear(width, config.machine_code)
        if config.times:
            self.times = nn.Linear(width, 2)
            nn.init.zeros_(self.times.weight)
            nn.init.zeros_(self.times.bias)

    def forward(self, batch: GraphBatch) -> Tensor:
        """Return (n, len(OUTPUTS) + machine_code), bounded."""
        return self.outputs(self.hidden(batch))

    def hidden(self, batch: GraphBatch) -> Tensor:
        """Return (n, width), what the last layer works on."""
        state = torch.relu(self.enter(batch.features))
        if self.recurrence is not None:
            state = self.recurrence(state, batch)
        for one in self.rounds:
            state = one(state, batch)
        return state

    def outputs(self, hidden: Tensor) -> Tensor:
        """Return the outputs of hidden states."""
        return SHARPEST * torch.tanh(self.leave(hidden) / SHARPEST)

    def codes(self, machines: Tensor) -> Tensor:
        """Return (p, machine_code) within ±1 of (p, len(MACHINE_FEATURES))."""
        return torch.tanh(self.machine_leave(torch.relu(self.machine_enter(machines))))


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
        from_children = torch.zeros_like(own).index_add_(0, batch.parents, up)
        from_parents = torch.zeros_like(own).index_add_(0, batch.children, down)
        sizes = own.new_tensor(batch.sizes)[:, None]
        means = own.new_zeros((len(batch.sizes), own.shape[1]))
        means = means.index_add_(0, batch.owner, own) / sizes
        heard = [own, _calm(from_children), _calm(from_parents), means[batch.owner]]
        return state + torch.relu(self.mix(torch.cat(heard, dim=1)))


class _Recurrence(nn.Module):
    """A recurrence whose gates do not hear its state, so that it runs as a parallel scan.

    Half of the channels run from the highest upward rank to the lowest, half the other way.

    References
    ----------
    minGRU: Feng, Tung, Ahmed, Bengio, Hajimirsadeghi (2024), https://arxiv.org/abs/2410.01201.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.gate = nn.Linear(width, width)
        self.fresh = nn.Linear(width, width)
        self.mix = nn.Linear(width, width)

    def forward(self, state: Tensor, batch: GraphBatch) -> Tensor:
        own = self.norm(state)[batch.order]
        keep, new = torch.sigmoid(-self.gate(own)), torch.sigmoid(self.gate(own))
        new = new * self.fresh(own)
        half = (state.shape[1] + 1) // 2
        ends = np.cumsum((0, *batch.sizes))
        down = _scan(keep[:, :half], new[:, :half], ends[:-1])
        up = _scan(keep[:, half:].flip(0), new[:, half:].flip(0), (ends[-1] - ends[1:])[::-1])
        heard = torch.cat([down, up.flip(0)], dim=1)
        heard = torch.zeros_like(state).index_copy(0, batch.order, heard)
        return state + torch.relu(self.mix(heard))


def _scan(keep: Tensor, new: Tensor, first: np.ndarray) -> Tensor:
    """Return h with h[t] = keep[t] h[t - 1] + new[t], from 0 at the rows `first`."""
    # A prototype of torch's that may move: only networks with a recurrence shall miss it then.
    from torch._higher_order_ops.associative_scan import associative_scan

    if keep.shape[1] == 0:  # which `associative_scan` cannot take
        return new
    keep = keep.index_fill(0, torch.from_numpy(first.copy()).to(keep.device), 0.0)
    return associative_scan(_combined, (keep, new), 0, combine_mode="generic")[1]


def _combined(
    earlier: tuple[Tensor, Tensor], later: tuple[Tensor, Tensor]
) -> tuple[Tensor, Tensor]:
    return earlier[0] * later[0], later[0] * earlier[1] + later[1]
