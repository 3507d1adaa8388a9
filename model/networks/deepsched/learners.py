"""How the network `deepsched` learns: by policy gradient from rollouts, or from a teacher."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

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
    from deepsched.model.networks.deepsched.features import Float32Array

EASY = 0.003  # standard deviation of the log ratio below which a problem counts less and less


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Encoded:
    """A micro-batch: its items, the view of each problem, and all of them side by side."""

    items: tuple[TrainingItem, ...]
    views: tuple[GraphView, ...]
    batch: GraphBatch


class Drawn(NamedTuple):
    """Half of the perturbations of one problem; the others are their opposites.

    Each task's own and those that tasks share are tried apart: drawn together, what the latter do
    would drown what one task's do.
    """

    own: Float32Array  # (heads, rollouts, n, outputs)
    shared: Float32Array  # the same

    def both_ways(self) -> Float32Array:
        """Return (heads, rollouts, n, outputs): none, these, and their opposites."""
        half = np.concatenate([self.own, self.shared], axis=1)
        return np.concatenate([np.zeros_like(half[:, :1]), half, -half], axis=1)


@dataclass(frozen=True, kw_only=True)
class PolicyGradient:
    """Outputs move towards perturbations that made schedules shorter.

    The score-function estimate: each rollout is measured against the mean over the rollouts of the
    same problem and head with the same kind of noise. The first head is to do well alone; of the
    others only that counts by which they are better than all before them, and than HEFT. So the
    first few heads are a good choice of so many.

    Attributes
    ----------
    decode : one of `DECODES`, which the network is trained for.
    rollouts : perturbed decodes of each problem and head; even, since each perturbation is tried
        both ways, and at least 4.
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

        Its measures are the ratio to HEFT of the network's own schedules, the best of the heads',
        and of the best rollouts.
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
        heads = [np.ascontiguousarray(_numbers(own).transpose(1, 0, 2)) for own in outputs]
        drawn = [
            self._draw(_numbers(states), len(own), stream)
            for states, own, stream in zip(hidden, heads, streams, strict=True)
        ]
        jobs = [
            RolloutJob(
                decode=run_rollouts,
                problem=item.problem,
                view=view,
                outputs=own,
                perturbations=noise.both_ways(),
            )
            for item, view, own, noise in zip(
                encoded.items, encoded.views, heads, drawn, strict=True
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
        for item, own, drawn, values in zip(
            encoded.items, outputs, proposal.drawn, found, strict=True
        ):
            ratios = _ratios(item, values)
            total = total + (_like(self._pull(ratios, drawn), own) * own).sum()
            ratio += float(ratios[:, 0].min())
            best += float(ratios.min())
        sums = {"ratio": ratio, "best_ratio": best}
        return Loss(total=total, weight=float(len(encoded.items)), sums=sums)

    def _draw(self, hidden: Float32Array, heads: int, stream: np.random.Generator) -> Drawn:
        states = torch.nn.functional.layer_norm(torch.from_numpy(hidden), hidden.shape[1:]).numpy()
        (n, width), wide, pairs = states.shape, len(OUTPUTS), self.rollouts // 2
        more = pairs // 2
        own = np.float32(self.noise.own) * stream.standard_normal(
            (heads, pairs - more, n, wide), np.float32
        )
        draws = stream.standard_normal((heads, more, width, wide), np.float32)
        shared = np.float32(self.noise.shared / np.sqrt(width)) * (states @ draws)
        common = stream.standard_normal((heads, more, 1, wide), np.float32)
        return Drawn(own, shared + np.float32(self.noise.common) * common)

    def _pull(self, ratios: FloatArray, drawn: Drawn) -> Float32Array:
        """Return (n, heads, outputs), what the outputs' gradient is to be."""
        _, alone, n, _ = drawn.own.shape
        found = []
        for k, (own, shared) in enumerate(zip(drawn.own, drawn.shared, strict=True)):
            least = min(1.0, float(ratios[:k, 0].min())) if k else np.inf
            tried = np.log(np.maximum(np.minimum(ratios[k, 1:], least), 1e-9)).reshape(2, -1)
            pull = np.tensordot(_scores(tried[:, :alone]), own, 1)
            pull /= np.float32(np.sqrt(n) * self.noise.own)
            pull -= pull.mean(axis=0)  # what all tasks have in common is learned by the others
            pull += np.tensordot(_scores(tried[:, alone:]), shared, 1) * np.float32(
                3.0 / (n * self.noise.shared)
            )
            found.append(pull)
        return np.stack(found, axis=1)


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
            losses = [
                imitation_loss(item.problem, view, head, item.imitated()) for head in own.unbind(1)
            ]
            total = total + torch.stack(losses).mean()
        return Loss(total=total, weight=float(len(encoded.items)), sums={"loss": total.detach()})


def run_rollouts(job: RolloutJob) -> FloatArray:
    """Return (heads, k, 2): makespan and mean turnaround, s, of each rollout of a job."""
    return np.stack(
        [
            decode_values(job.problem, job.view, *of_head)
            for of_head in zip(job.outputs, job.perturbations, strict=True)
        ]
    )


def _encoded(items: Sequence[TrainingItem], decode: str) -> Encoded:
    views = tuple(graph_view(item.problem, item.objective, decode) for item in items)
    return Encoded(items=tuple(items), views=views, batch=pinned(graph_batch(views)))


def _outputs(network: nn.Module, encoded: Encoded) -> tuple[Sequence[Tensor], Sequence[Tensor]]:
    """Return outputs and last hidden states, (n, heads, o) and (n, w) of each problem."""
    assert isinstance(network, DeepSchedNetwork)
    batch = on_device(encoded.batch, next(network.parameters()).device)
    hidden = network.hidden(batch)
    outputs = torch.split_with_sizes(network.outputs(hidden), batch.sizes)
    return outputs, torch.split_with_sizes(hidden, batch.sizes)


def _like(values: np.ndarray, tensor: Tensor) -> Tensor:
    return torch.from_numpy(values).to(tensor.device)


def _ratios(item: TrainingItem, values: FloatArray) -> FloatArray:
    ratios: FloatArray = values[..., OBJECTIVES.index(item.objective)] / max(
        item.reference, SMALLEST
    )
    return ratios


def _numbers(tensor: Tensor) -> Float32Array:
    found: Float32Array = tensor.detach().float().cpu().numpy()
    return found


def _scores(tried: FloatArray) -> Float32Array:
    """Return (k,), by how much each perturbation is worse than its opposite; `tried` is (2, k)."""
    apart = (tried[0] - tried[1]) / (tried.std() + EASY)
    return (apart / tried.size).astype(np.float32)
