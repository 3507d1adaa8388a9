"""The trained network `paper` as a scheduler."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from deepsched.baselines.errors import InvalidInput
from deepsched.baselines.settings import parse_settings
from deepsched.model.batches import on_device
from deepsched.model.checkpoint_files import CONFIG, WEIGHTS, read_files
from deepsched.model.networks.paper.batch import batches_by_size, collate
from deepsched.model.networks.paper.build import build_paper
from deepsched.model.networks.paper.config import PaperConfig
from deepsched.model.networks.paper.decode import ProblemPrediction, decode, split_prediction
from deepsched.model.networks.paper.features import encode, time_scale
from deepsched.model.threads import one_thread
from deepsched.model.weights import load_weights

if TYPE_CHECKING:
    from collections.abc import Sequence

    from deepsched.baselines.problem import Problem
    from deepsched.baselines.schedule import Schedule

NAME = "paper"
MAX_BATCH_TASKS = 16_384  # tasks in one forward pass; larger problems go alone


class PaperScheduler:
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
    def load(cls, folder: Path | str, device: torch.device | str = "cpu") -> PaperScheduler:
        """Read a checkpoint.

        Raises
        ------
        InvalidInput
            As :func:`deepsched.model.checkpoint.load_checkpoint`, if it is of another network,
            or if the device is not there.
        """
        folder = Path(folder)
        document, weights = read_files(folder)
        if document["network"] != NAME:
            raise InvalidInput(f"{folder}: network {document['network']!r}; {NAME!r} expected")
        config = parse_settings(PaperConfig, document["config"], f"{folder / CONFIG}: config")
        network = build_paper(config)
        load_weights(network, weights, folder / WEIGHTS)
        try:
            return cls(network, NAME, meta=document["meta"], device=device)
        except (RuntimeError, AssertionError) as error:
            reason = str(error).splitlines()[0]
            raise InvalidInput(f"cannot use device {str(device)!r}: {reason}") from None

    def __call__(self, problem: Problem, rng: np.random.Generator | None = None) -> Schedule:
        """Schedule one problem; deterministic, `rng` is not used."""
        return self.schedule_batch([problem])[0]

    def schedule_batch(
        self, problems: Sequence[Problem], rngs: Sequence[np.random.Generator] | None = None
    ) -> list[Schedule]:
        """Schedule several problems, those of similar size in one forward pass.

        The schedules come in the order of the problems and are the same as one by one, up to ties
        within float32 rounding. Deterministic, `rngs` are not used.

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
            batch = on_device(collate(samples), self._device)
            with torch.inference_mode(), one_thread():
                prediction = self._network(batch)
            for i, part in zip(
                members, split_prediction(prediction, batch, samples, self.name), strict=True
            ):
                found[i] = part
        return [part for part in found if part is not None]

    def agreement(self, problem: Problem, target: Schedule) -> dict[str, float]:
        """Compare what the network predicts, before decoding, with a teacher's schedule.

        Returns
        -------
        tasks; accuracy, the share of tasks whose best-scored machine is the teacher's, and chance,
        that of a uniform guess among the machines that fit; mean absolute and root mean square
        errors of AST and AFT, in units of `time_scale`.
        """
        (prediction,) = self.predict([problem])
        fits = np.isfinite(problem.etc)
        best = np.where(fits, prediction.score, -np.inf).argmax(axis=1)
        scale = time_scale(problem)
        found = {
            "tasks": problem.n_tasks,
            "accuracy": float((best == target.proc).mean()),
            "chance": chance(problem),
        }
        for name, predicted, actual in (
            ("ast", prediction.start, target.ast),
            ("aft", prediction.finish, target.aft),
        ):
            error = (predicted - actual) / scale
            found[f"{name}_mae"] = float(np.abs(error).mean())
            found[f"{name}_rmse"] = float(np.sqrt((error**2).mean()))
        return found


def chance(problem: Problem) -> float:
    """Return the expected machine accuracy of a uniform guess among the machines that fit."""
    return float((1.0 / np.isfinite(problem.etc).sum(axis=1)).mean())
