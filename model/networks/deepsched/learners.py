"""How the network `deepsched` learns: by policy gradient from rollouts, or from a teacher."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from deepsched.model.batches import on_device, pinned
from deepsched.model.learning import SMALLEST, Loss, Proposal, RolloutJob, TrainingItem
from deepsched.model.networks.deepsched.decode import OUTPUTS, decode_values
from deepsched.model.networks.deepsched.features import GraphView, graph_view
from deepsched.model.networks.deepsched.loss import imitation_loss
from deepsched.model.networks.deepsched.network import (
    DeepSchedNetwork,
    GraphBatch,
    graph_batch,
)
from deepsched.model.networks.deepsched.options import OBJECTIVES, TRAINING_NOISE, NoiseScales

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor, nn

    from deepsched.baselines.arrays import FloatArray

EASY = 0.003  # standard deviation of the log ratio below which a problem counts less and less


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Encoded:
    """A micro-batch: its items, the view of each problem, and all of them side by side."""

    items: tuple[TrainingItem, ...]
    views: tuple[GraphView, ...]
    batch: GraphBatch


@dataclass(frozen=True, kw_only=True)
class PolicyGradient:
    """Outputs move towards perturbations that made schedules shorter.

    The score-function estimate: each rollout is measured against the mean over the same problem's
    rollouts.

    Attributes
    ----------
    decode : one of `DECODES`, which the network is trained for.
    rollouts : perturbed decodes of each problem; even, since each perturbation is tried both ways.
    noise : of the perturbations.

    References
    ----------
    Williams (1992), doi:10.1007/BF00992696; antithetic pairs as in Salimans et al. (2017),
    https://arxiv.org/abs/1703.03864.
    """

    decode: str = "full"
    rollouts: int = 32
    noise: NoiseScales = TRAINING_NOISE
    measures: tuple[str, ...] = ("ratio", "best_ratio")

    def encode(self, items: Sequence[TrainingItem]) -> Encoded:
        """Return the views of the problems."""
        return _encoded(items, self.decode)

    def loss(
        self,
        network: nn.Module,
        encoded: Encoded,
        streams: Sequence[np.random.Generator],
        run: Callable[[Sequence[RolloutJob]], Sequence[FloatArray]],
    ) -> Loss:
        """Return the loss whose gradient pulls towards the better rollouts; a mean over problems.

        Its measures are the ratio to HEFT of the network's own schedules, and of the best rollouts.
        """
        outputs, hidden = _outputs(network, encoded)
        proposal = self._proposal(encoded, outputs, hidden, streams)
        return self._loss(encoded, outputs, proposal, run(proposal.jobs))

    def propose(
        self, network: nn.Module, encoded: Encoded, streams: Sequence[np.random.Generator]
    ) -> Proposal:
        """Return the rollouts that `loss` would run."""
        with torch.no_grad():
            return self._proposal(encoded, *_outputs(network, encoded), streams)

    def learn(
        self,
        network: nn.Module,
        encoded: Encoded,
        proposal: Proposal,
        values: Sequence[FloatArray],
    ) -> Loss:
        """Return the loss; perturbations of older outputs count as if of the present ones."""
        return self._loss(encoded, _outputs(network, encoded)[0], proposal, values)

    def _proposal(
        self,
        encoded: Encoded,
        outputs: Sequence[Tensor],
        hidden: Sequence[Tensor],
        streams: Sequence[np.random.Generator],
    ) -> Proposal:
        drawn = [self._draw(states, stream) for states, stream in zip(hidden, streams, strict=True)]
        jobs = [
            RolloutJob(
                decode=run_rollouts,
                problem=item.problem,
                view=view,
                outputs=own.detach().float().cpu().numpy(),
                perturbations=_both_ways(alone + shared),
            )
            for item, view, own, (alone, shared) in zip(
                encoded.items, encoded.views, outputs, drawn, strict=True
            )
        ]
        return Proposal(jobs=jobs, drawn=drawn)

    def _loss(
        self,
        encoded: Encoded,
        outputs: Sequence[Tensor],
        proposal: Proposal,
        found: Sequence[FloatArray],
    ) -> Loss:
        total = outputs[0].new_zeros(())
        ratio = best = 0.0
        for item, own, (alone, shared), values in zip(
            encoded.items, outputs, proposal.drawn, found, strict=True
        ):
            ratios = _ratios(item, values)
            total = total + (_like(self._pull(ratios, alone, shared), own) * own).sum()
            ratio += float(ratios[0])
            best += float(ratios.min())
        sums = {"ratio": ratio, "best_ratio": best}
        return Loss(total=total, weight=float(len(encoded.items)), sums=sums)

    def _draw(self, hidden: Tensor, stream: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Return half of the perturbations, (half, n, o): each task's own, and what is shared."""
        found = hidden.detach().float()
        states = torch.nn.functional.layer_norm(found, found.shape[1:]).cpu().numpy()
        (n, width), half, wide = states.shape, self.rollouts // 2, len(OUTPUTS)
        alone = np.float32(self.noise.own) * stream.standard_normal((half, n, wide), np.float32)
        draws = stream.standard_normal((half, width, wide), np.float32)
        shared = np.float32(self.noise.shared / np.sqrt(width)) * (states @ draws)
        common = stream.standard_normal((half, 1, wide), np.float32)
        return alone, shared + np.float32(self.noise.common) * common

    def _pull(self, ratios: FloatArray, alone: np.ndarray, shared: np.ndarray) -> np.ndarray:
        """Return (n, o), what the outputs' gradient is to be."""
        half, n = len(alone), alone.shape[1]
        score = np.log(np.maximum(ratios[1:], 1e-9))
        score = (score - score.mean()) / (score.std() + EASY)
        score = ((score[:half] - score[half:]) / self.rollouts).astype(np.float32)
        pull = np.tensordot(score, alone, 1) / np.float32(np.sqrt(n) * self.noise.own)
        pull += np.tensordot(score, shared, 1) * np.float32(3.0 / (n * self.noise.shared))
        return np.asarray(pull, dtype=np.float32)


@dataclass(frozen=True, kw_only=True)
class Imitation:
    """The network does as a teacher's schedule does; see `imitation_loss`."""

    decode: str = "full"
    measures: tuple[str, ...] = ("loss",)

    def encode(self, items: Sequence[TrainingItem]) -> Encoded:
        """Return the views of the problems.

        Raises
        ------
        InvalidInput
            If nobody has scheduled one of them.
        """
        for item in items:
            item.imitated()
        return _encoded(items, self.decode)

    def loss(
        self,
        network: nn.Module,
        encoded: Encoded,
        streams: Sequence[np.random.Generator],
        run: Callable[[Sequence[RolloutJob]], Sequence[FloatArray]],
    ) -> Loss:
        """Return the imitation loss, a mean over problems."""
        outputs, _ = _outputs(network, encoded)
        total = outputs[0].new_zeros(())
        for item, view, own in zip(encoded.items, encoded.views, outputs, strict=True):
            total = total + imitation_loss(item.problem, view, own, item.imitated())
        return Loss(total=total, weight=float(len(encoded.items)), sums={"loss": total.detach()})


def run_rollouts(job: RolloutJob) -> FloatArray:
    """Return (k, 2): makespan and mean turnaround, s, of each rollout of a job."""
    return decode_values(job.problem, job.view, job.outputs, job.perturbations)


def _encoded(items: Sequence[TrainingItem], decode: str) -> Encoded:
    views = tuple(graph_view(item.problem, item.objective, decode) for item in items)
    return Encoded(items=tuple(items), views=views, batch=pinned(graph_batch(views)))


def _outputs(network: nn.Module, encoded: Encoded) -> tuple[Sequence[Tensor], Sequence[Tensor]]:
    """Return the outputs and the last hidden states, (n, o) and (n, w) of each problem."""
    assert isinstance(network, DeepSchedNetwork)
    batch = on_device(encoded.batch, next(network.parameters()).device)
    hidden = network.hidden(batch)
    outputs = torch.split_with_sizes(network.outputs(hidden), batch.sizes)
    return outputs, torch.split_with_sizes(hidden, batch.sizes)


def _like(values: np.ndarray, tensor: Tensor) -> Tensor:
    return torch.from_numpy(values).to(tensor.device)


def _ratios(item: TrainingItem, values: FloatArray) -> FloatArray:
    ratios: FloatArray = values[:, OBJECTIVES.index(item.objective)] / max(item.reference, SMALLEST)
    return ratios


def _both_ways(perturbations: np.ndarray) -> np.ndarray:
    """Return no perturbation, the perturbations, and their opposites."""
    return np.concatenate([np.zeros_like(perturbations[:1]), perturbations, -perturbations])
