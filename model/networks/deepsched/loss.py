"""Imitation of a teacher: its choices of machines as soft labels, and its order."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from deepsched.baselines.list_schedule import replay_order
from deepsched.model.networks.deepsched import _replay_kernels
from deepsched.model.networks.deepsched._decode_kernels import UNITS

if TYPE_CHECKING:
    from torch import Tensor

    from deepsched.baselines.arrays import FloatArray, IntArray
    from deepsched.baselines.problem import Problem
    from deepsched.baselines.schedule import Schedule
    from deepsched.model.networks.deepsched.features import GraphView

TEMPERATURE = 0.2  # steps of the upward rank, within which machines and ranks count as alike
ORDER = 0.2  # weight of the order's loss against that of the machines
FAR = 1e4  # temperatures late is as late as a machine that cannot hold the task


def imitation_loss(problem: Problem, view: GraphView, outputs: Tensor, taught: Schedule) -> Tensor:
    """Return how far the outputs are from doing as a schedule does.

    Tasks are taken in the order of their starts, each seeing what the schedule has placed before
    it. A machine's label falls exponentially with how far its EFT is from that of the machine the
    schedule takes, so that equally good ones share it; against it stands the softmax of what the
    decoder compares, with its sign turned. The order adds a logistic loss of consecutive tasks'
    priorities.

    Parameters
    ----------
    outputs : (n, outputs) of the network.
    """
    order, eft, terms = replayed(problem, view, taught)
    unit = TEMPERATURE * view.step
    taken = eft[np.arange(problem.n_tasks), taught.proc][:, None]
    label = np.exp(-np.abs(eft - taken) / unit)
    label /= label.sum(axis=1, keepdims=True)
    late = np.minimum((eft - eft.min(axis=1, keepdims=True)) / unit, FAR)
    weights = outputs[:, 1:4] * outputs.new_tensor(UNITS[1:])
    bias = torch.einsum("nk,nkp->np", weights, _like(outputs, terms / unit))
    said = torch.log_softmax(-(_like(outputs, late) + bias), dim=1)
    placing = -(_like(outputs, label) * said).sum(dim=1).mean()
    priority = _like(outputs, view.rank / unit) + outputs[:, 0] * (UNITS[0] / TEMPERATURE)
    in_order = priority[torch.from_numpy(order).to(outputs.device)]
    ahead = in_order[:-1] - in_order[1:]
    ordering = torch.nn.functional.softplus(-ahead).sum() / problem.n_tasks
    return placing + ORDER * ordering


def replayed(
    problem: Problem, view: GraphView, taught: Schedule
) -> tuple[IntArray, FloatArray, FloatArray]:
    """Return the tasks by their start, and what each finds when it is placed.

    That is the EFT on each machine, (n, p) s, and the three `PlacementTerms`, (n, 3, p) s.
    """
    order = replay_order(problem, taught)
    eft, terms = _replay_kernels.replay(
        order,
        taught.proc,
        taught.ast,
        taught.aft,
        problem.etc,
        problem.arrival,
        problem.predecessors,
        problem.machines.links,
        view.terms,
    )
    return order, eft, terms


def _like(outputs: Tensor, values: np.ndarray) -> Tensor:
    """Return values on the outputs' device."""
    return torch.from_numpy(values.astype(np.float32)).to(outputs.device)
