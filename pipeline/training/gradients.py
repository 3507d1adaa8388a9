"""The gradient of a step: of this process's micro-batches, and everybody's together.

Two ways to add it up. `Ordered` is for CPUs: each micro-batch's gradient is a row of its own, and
rows are added in the plan's order, so that the sum does not depend on who computed them. `Summed`
is for GPUs: gradients add up on the device, one all-reduce a step joins those of all processes, and
the host waits for nothing but a look at the measures every few steps.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor, nn

    from deepsched.model.learning import Loss
    from deepsched.pipeline.training.peers import Peers

LOOK_EVERY = 10  # steps of `Summed` for which the host does not wait


@dataclass(frozen=True, kw_only=True, slots=True)
class Look:
    """What the host learns of the steps since it looked before.

    Attributes
    ----------
    steps : how many.
    measures : of the learner, sums over the steps of their means.
    tasks : learned from in all of them, by all processes.
    broken : the first of these steps, counted from 0, whose gradient is no number, and its
        micro-batches that made it so, as far as is known; None: all are numbers.
    flagged : whether the first process raised its flag.
    """

    steps: int
    measures: dict[str, float]
    tasks: int
    broken: tuple[int, Sequence[int]] | None
    flagged: bool


class Gradients(Protocol):
    """How gradients are added up."""

    def add(self, k: int, loss: Loss, tasks: int) -> None:
        """Run the backward pass of a step's micro-batch k, of so many tasks."""
        ...

    def together(self, n: int, measures: Sequence[str], *, flag: bool, look: bool) -> Look | None:
        """Put the mean gradient of a step's `n` micro-batches into the parameters' `grad`.

        Parameters
        ----------
        measures : names of the learner's; the same until the host has looked.
        flag : of the first process: something all are to know when they look next.
        look : now; else now and then.
        """
        ...


class Ordered:
    """Adds rows in the plan's order, in float64: bitwise the same for any number of processes."""

    def __init__(self, network: nn.Module, peers: Peers) -> None:
        self._network, self._peers = network, peers
        self._size = sum(parameter.numel() for parameter in network.parameters())
        self._rows: dict[int, np.ndarray] = {}

    def add(self, k: int, loss: Loss, tasks: int) -> None:
        """Run the backward pass and keep its gradient as a row."""
        self._network.zero_grad(set_to_none=True)
        loss.total.backward()  # type: ignore[no-untyped-call]
        gradient = [
            np.zeros(parameter.numel())
            if parameter.grad is None
            else parameter.grad.detach().cpu().double().numpy().ravel()
            for parameter in self._network.parameters()
        ]
        sums = [float(value) for value in loss.sums.values()]
        self._rows[k] = np.concatenate([*gradient, [loss.weight], sums, [tasks]])

    def together(self, n: int, measures: Sequence[str], *, flag: bool, look: bool) -> Look:
        """Add the rows of all processes, and look."""
        width = self._size + 2 + len(measures)
        if not self._peers.rank:
            self._rows[n] = np.full(width, float(flag))
        table = self._peers.together(self._rows, n + 1, width)
        self._rows = {}
        # In the plan's order: the last bits of a sum depend on it.
        total = table[:n].sum(axis=0)
        weight, tasks = total[self._size], total[-1]
        means = (total[self._size + 1 : -1] / weight).tolist()
        good = np.isfinite(table[:n]).all(axis=1)
        if good.all() and np.isfinite(total).all():
            first = 0
            for parameter in self._network.parameters():
                part = total[first : first + parameter.numel()] / weight
                values = torch.from_numpy(part.astype(np.float32)).view_as(parameter)
                parameter.grad = values.to(parameter.device)
                first += parameter.numel()
            broken = None
        else:
            broken = (0, np.flatnonzero(~good).tolist() or range(n))
        return Look(
            steps=1,
            measures=dict(zip(measures, means, strict=True)),
            tasks=0 if broken else int(tasks),
            broken=broken,
            flagged=bool(table[n, 0]),
        )


class Summed:
    """Adds on the device, with one all-reduce a step; no step waits for the host."""

    def __init__(self, network: nn.Module, peers: Peers) -> None:
        self._network, self._peers = network, peers
        self._parameters = list(network.parameters())
        self._size = sum(parameter.numel() for parameter in self._parameters)
        self._sums: Tensor | None = None  # weight, measures and tasks of this step
        self._unseen: list[tuple[int, Tensor]] = []  # micro-batches of a step, and what it found

    def add(self, k: int, loss: Loss, tasks: int) -> None:
        """Run the backward pass; `grad` adds up by itself."""
        if self._sums is None:  # what is there is the step before's
            self._network.zero_grad(set_to_none=True)
        loss.total.backward()  # type: ignore[no-untyped-call]
        values = [loss.weight, *loss.sums.values(), float(tasks)]
        parts = [torch.as_tensor(value, dtype=torch.float32) for value in values]
        sums = torch.stack([part.to(self._peers.device, non_blocking=True) for part in parts])
        self._sums = sums if self._sums is None else self._sums + sums

    def together(self, n: int, measures: Sequence[str], *, flag: bool, look: bool) -> Look | None:
        """Add up, and look at what has come of the steps every few of them."""
        if self._sums is None:  # nothing to do for this process
            self._network.zero_grad(set_to_none=True)
        sums = self._sums if self._sums is not None else self._zeros(len(measures) + 2)
        raised = self._zeros(1) + float(flag and not self._peers.rank)
        grads = [
            self._zeros(parameter.numel()) if parameter.grad is None else parameter.grad.view(-1)
            for parameter in self._parameters
        ]
        flat = torch.cat([*grads, sums, raised])
        self._peers.add_up(flat)
        mean = flat[: self._size] / flat[self._size]
        first = 0
        for parameter in self._parameters:
            parameter.grad = mean[first : first + parameter.numel()].view_as(parameter)
            first += parameter.numel()
        finite = torch.isfinite(flat).all().to(flat.dtype)[None]
        self._unseen.append((n, torch.cat([flat[self._size :], finite])))
        self._sums = None
        return self._look(measures) if look or len(self._unseen) >= LOOK_EVERY else None

    def _look(self, measures: Sequence[str]) -> Look:
        table = torch.stack([found for _, found in self._unseen]).double().cpu().numpy()
        counts = [n for n, _ in self._unseen]
        self._unseen = []
        weight, tasks, raised, finite = table[:, 0], table[:, -3], table[:, -2], table[:, -1]
        bad = np.flatnonzero(finite == 0)
        means = table[:, 1:-3] / weight[:, None]
        return Look(
            steps=len(table),
            measures=dict(zip(measures, means.sum(axis=0).tolist(), strict=True)),
            tasks=0 if bad.size else int(tasks.sum()),
            broken=(int(bad[0]), range(counts[bad[0]])) if bad.size else None,
            flagged=bool(np.nan_to_num(raised).any()),
        )

    def _zeros(self, n: int) -> Tensor:
        return torch.zeros(n, device=self._peers.device)
