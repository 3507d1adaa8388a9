"""Several problems side by side, without padding: their tasks, machines and pairs concatenated.

Axes: B problem, T task (of all problems), M machine (of all problems), P task-machine pair (row
after row of each problem), F feature.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Sequence

    from deepsched.model.networks.paper.features import Sample


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Batch:
    """Samples as tensors. Problem b owns a slice of each axis; see `task_slices` and the like.

    Attributes
    ----------
    n_tasks, n_machines : per problem.
    task_features : (T, F) float32.
    machine_features : (M, F) float32.
    pair_features : (P, F) float32.
    eligible : (P,) bool.
    machine : (T,) int64, the teacher's machine, counted within the problem; -1 without a teacher.
    start, finish : (T,) float32, the teacher's times / scale; 0 without a teacher.
    """

    n_tasks: tuple[int, ...]
    n_machines: tuple[int, ...]
    task_features: Tensor
    machine_features: Tensor
    pair_features: Tensor
    eligible: Tensor
    machine: Tensor
    start: Tensor
    finish: Tensor

    def __len__(self) -> int:
        return len(self.n_tasks)

    @property
    def task_slices(self) -> list[slice]:
        """Where each problem's tasks lie on the T axis."""
        return _slices(self.n_tasks)

    @property
    def machine_slices(self) -> list[slice]:
        """Where each problem's machines lie on the M axis."""
        return _slices(self.n_machines)

    def pairs(self, values_P: Tensor) -> list[Tensor]:
        """Cut (P, ...) into one (tasks, machines, ...) view a problem."""
        sizes = [t * m for t, m in zip(self.n_tasks, self.n_machines, strict=True)]
        return [
            part.view(t, m, *values_P.shape[1:])
            for part, t, m in zip(
                torch.split(values_P, sizes), self.n_tasks, self.n_machines, strict=True
            )
        ]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Prediction:
    """What a network says about a batch, on the axes of that batch.

    Attributes
    ----------
    score : (P,) unnormalised log probability of the machine; -inf where the task does not fit.
    start, finish : (T,) AST and AFT / scale.
    """

    score: Tensor
    start: Tensor
    finish: Tensor


def collate(samples: Sequence[Sample]) -> Batch:
    """Concatenate samples; each must have at least one task and one machine.

    A single one shares its arrays with the batch.
    """
    if not samples:
        raise ValueError("a batch needs at least one sample")

    def joined(parts: list[np.ndarray], dtype: torch.dtype) -> Tensor:
        # One alone, maybe of 200 MB, is not copied; torch takes no array that is read-only.
        alone = len(parts) == 1 and parts[0].flags.writeable
        return torch.from_numpy(parts[0] if alone else np.concatenate(parts)).to(dtype)

    def target(name: str, missing: int, dtype: torch.dtype) -> Tensor:
        values = [getattr(s, name) for s in samples]
        filled = [
            np.full(s.n_tasks, missing) if v is None else v
            for s, v in zip(samples, values, strict=True)
        ]
        return joined(filled, dtype)

    pairs = [s.pair_features.reshape(-1, s.pair_features.shape[-1]) for s in samples]
    return Batch(
        n_tasks=tuple(s.n_tasks for s in samples),
        n_machines=tuple(s.n_machines for s in samples),
        task_features=joined([s.task_features for s in samples], torch.float32),
        machine_features=joined([s.machine_features for s in samples], torch.float32),
        pair_features=joined(pairs, torch.float32),
        eligible=joined([s.eligible.reshape(-1) for s in samples], torch.bool),
        machine=target("machine", -1, torch.int64),
        start=target("start", 0, torch.float32),
        finish=target("finish", 0, torch.float32),
    )


def batches_by_size(
    sizes: Sequence[int], max_tasks: int, rng: np.random.Generator | None = None
) -> list[list[int]]:
    """Group problems of similar size, so that a recurrence over them wastes few steps.

    Parameters
    ----------
    sizes : tasks per problem.
    max_tasks : the most tasks in a batch; a larger problem makes a batch of its own.
    rng : shuffles who is grouped with whom among similar sizes, and the order of the batches;
        None keeps ascending size.

    Returns
    -------
    Indices into `sizes`, each exactly once.
    """
    size = np.asarray(sizes, dtype=np.float64)
    # Sizes within about a tenth of each other count as similar and change places.
    jitter = 1.0 if rng is None else np.exp(rng.uniform(-0.05, 0.05, size.size))
    batches: list[list[int]] = []
    room = 0
    for i in np.argsort(size * jitter, kind="stable"):
        if not batches or sizes[i] > room:
            batches.append([])
            room = max_tasks
        batches[-1].append(int(i))
        room -= sizes[i]
    if rng is not None:
        batches = [batches[k] for k in rng.permutation(len(batches))]
    return batches


def _slices(sizes: Sequence[int]) -> list[slice]:
    ends = np.cumsum(sizes).tolist()
    return [slice(end - size, end) for end, size in zip(ends, sizes, strict=True)]
