"""A trained network as a scheduler."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from baselines.errors import InvalidInput
from model.batch import batches_by_size, collate
from model.checkpoint import load_checkpoint
from model.decode import ProblemPrediction, decode, split_prediction
from model.features import encode
from model.networks import NETWORKS
from model.threads import one_thread

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

    from baselines.problem import Problem
    from baselines.schedule import Schedule

MAX_BATCH_TASKS = 16_384  # tasks in one forward pass; larger problems go alone


class LearnedScheduler:
    """A network and its decoder, called like any other scheduler.

    Attributes
    ----------
    name : the network's name.
    meta : what was saved with it.
    """

    def __init__(
        self,
        network: nn.Module,
        name: str,
        *,
        meta: dict[str, Any] | None = None,
        device: torch.device | str = "cpu",
    ) -> None:
        self.name = name
        self.meta = dict(meta or {})
        self._device = torch.device(device)
        self._network = network.to(self._device).eval()

    @classmethod
    def load(cls, folder: Path | str, device: torch.device | str = "cpu") -> LearnedScheduler:
        """Read a checkpoint.

        Raises
        ------
        InvalidInput
            As :func:`model.checkpoint.load_checkpoint`, if the network does not imitate a teacher,
            or if the device is not there.
        """
        checkpoint = load_checkpoint(Path(folder))
        if checkpoint.name not in NETWORKS:
            raise InvalidInput(
                f"{folder}: network {checkpoint.name!r} imitates no teacher; it cannot be used here"
            )
        try:
            return cls(checkpoint.network, checkpoint.name, meta=checkpoint.meta, device=device)
        except (RuntimeError, AssertionError) as error:
            reason = str(error).splitlines()[0]
            raise InvalidInput(f"cannot use device {str(device)!r}: {reason}") from None

    def __call__(self, problem: Problem, rng: np.random.Generator | None = None) -> Schedule:
        """Schedule one problem; deterministic, `rng` is not used."""
        return self.schedule_batch([problem])[0]

    def schedule_batch(self, problems: Sequence[Problem]) -> list[Schedule]:
        """Schedule several problems, those of similar size in one forward pass.

        The schedules come in the order of the problems and are the same as one by one, up to ties
        within float32 rounding.

        Raises
        ------
        TooLarge
            If a padded network was built for smaller problems.
        """
        return [
            decode(problem, prediction)
            for problem, prediction in zip(problems, self.predict(problems), strict=True)
        ]

    def predict(self, problems: Sequence[Problem]) -> list[ProblemPrediction]:
        """Return what the network says about each problem, before decoding."""
        found: list[ProblemPrediction | None] = [None] * len(problems)
        sizes = [problem.n_tasks for problem in problems]
        for members in batches_by_size(sizes, MAX_BATCH_TASKS):
            samples = [encode(problems[i]) for i in members]
            batch = collate(samples).to(self._device)
            with torch.inference_mode(), one_thread():
                prediction = self._network(batch)
            for i, part in zip(
                members, split_prediction(prediction, batch, samples, self.name), strict=True
            ):
                found[i] = part
        return [part for part in found if part is not None]
