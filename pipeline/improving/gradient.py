"""One micro-batch of policy gradient: rollouts under perturbations, and what they teach."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from deepsched.baselines.heft import heft
from deepsched.baselines.registry import SCHEDULERS
from deepsched.model.networks.deepsched.decode import decode_values
from deepsched.model.networks.deepsched.features import graph_view
from deepsched.model.networks.deepsched.loss import imitation_loss
from deepsched.model.networks.deepsched.network import DeepSchedNetwork, graph_batch
from deepsched.model.networks.deepsched.options import OBJECTIVES
from deepsched.model.threads import one_thread
from deepsched.pipeline.improving.problems import draw_problem

if TYPE_CHECKING:
    from torch import Tensor

    from deepsched.baselines.arrays import FloatArray
    from deepsched.baselines.problem import Problem
    from deepsched.model.networks.deepsched.features import GraphView
    from deepsched.pipeline.improving.spec import StepSpec

EASY = 0.003  # standard deviation of the log ratio below which a problem counts less and less


@dataclass(frozen=True, kw_only=True)
class MicroBatch:
    """What a micro-batch found.

    Attributes
    ----------
    number : of the micro_batch in its step.
    gradient : (parameters,) of the loss that is to be made small.
    ratios : (problems,) objective of the network's own schedule / HEFT's.
    best : the same of the best rollout.
    """

    number: int
    gradient: np.ndarray
    ratios: FloatArray
    best: FloatArray


def learn_micro_batch(
    place: tuple[int, int], shared: tuple[StepSpec, dict[str, np.ndarray]]
) -> MicroBatch:
    """Draw problems, learn from rollouts or from a teacher, and return the gradient.

    In the first `spec.imitation_steps` steps it is that of `imitation_loss`. After them it is that
    of the policy gradient: outputs move towards perturbations that made schedules shorter and away
    from those that made them longer, measured against the mean over the same problem's rollouts.

    Parameters
    ----------
    place : number of the step and of the micro-batch within it; they decide what is drawn.
    shared : how, and the network's weights.

    References
    ----------
    Williams (1992), doi:10.1007/BF00992696; antithetic pairs as in Salimans et al. (2017),
    https://arxiv.org/abs/1703.03864.
    """
    spec, weights = shared
    imitating = place[0] < spec.imitation_steps
    rng = np.random.default_rng([spec.seed, *place])
    problems = [draw_problem(rng, spec.tasks) for _ in range(spec.problems)]
    chosen = [OBJECTIVES[int(rng.random() < spec.turnaround)] for _ in problems]
    views = [
        graph_view(problem, objective, spec.network.decode)
        for problem, objective in zip(problems, chosen, strict=True)
    ]
    with one_thread():
        network = DeepSchedNetwork(spec.network)
        network.load_state_dict({key: torch.from_numpy(value) for key, value in weights.items()})
        batch = graph_batch(views)
        hidden = network.hidden(batch)
        loss = hidden.new_zeros(())
        ratios, best = [], []
        for problem, view, outputs, states in zip(
            problems,
            views,
            torch.split_with_sizes(network.outputs(hidden), batch.sizes),
            torch.split_with_sizes(hidden, batch.sizes),
            strict=True,
        ):
            learning = _Learning(problem=problem, view=view, outputs=outputs, states=states)
            found, values = (_imitation if imitating else _rollouts)(learning, spec, rng)
            loss = loss + found / len(problems)
            ratios.append(values[0])
            best.append(values.min())
        loss.backward()  # type: ignore[no-untyped-call]
    gradient = np.concatenate(
        [
            np.zeros(parameter.numel(), np.float32)
            if parameter.grad is None
            else parameter.grad.numpy().ravel()
            for parameter in network.parameters()
        ]
    )
    return MicroBatch(
        number=place[1], gradient=gradient, ratios=np.array(ratios), best=np.array(best)
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class _Learning:
    """A problem and what the network says of it: outputs (n, o), states (n, w)."""

    problem: Problem
    view: GraphView
    outputs: Tensor
    states: Tensor

    def ratios(self, perturbations: np.ndarray) -> FloatArray:
        """Return the objective for each perturbation of the outputs / HEFT's."""
        problem, view = self.problem, self.view
        own = self.outputs.detach().numpy()
        values = decode_values(problem, view, own, perturbations)
        reference = heft(problem)
        objective = OBJECTIVES.index(view.objective)
        before = reference.makespan
        if objective:
            before = float((reference.aft - problem.arrival).mean())
        return values[:, objective] / max(before, 1e-300)


def _imitation(
    learning: _Learning, spec: StepSpec, rng: np.random.Generator
) -> tuple[Tensor, FloatArray]:
    """Return the loss against the teacher, and the ratio to HEFT of the network's own schedule."""
    taught = SCHEDULERS[spec.teacher](learning.problem, rng)
    loss = imitation_loss(learning.problem, learning.view, learning.outputs, taught)
    return loss, learning.ratios(np.zeros((1, *learning.outputs.shape), np.float32))


def _rollouts(
    learning: _Learning, spec: StepSpec, rng: np.random.Generator
) -> tuple[Tensor, FloatArray]:
    """Return the loss whose gradient pulls towards good perturbations, and the ratios to HEFT.

    The first ratio is that of no perturbation.
    """
    noise, (n, wide) = spec.noise, learning.outputs.shape
    states = torch.nn.functional.layer_norm(learning.states.detach(), learning.states.shape[1:])
    width, half = states.shape[1], spec.rollouts // 2
    own_noise = noise.own * rng.standard_normal((half, n, wide), dtype=np.float32)
    draws = rng.standard_normal((half, width, wide), dtype=np.float32)
    shared_noise = noise.shared / np.float32(np.sqrt(width)) * (states.numpy() @ draws)
    common_noise = rng.standard_normal((half, 1, wide), dtype=np.float32)
    shared_noise = shared_noise + np.float32(noise.common) * common_noise
    ratios = learning.ratios(_both_ways(own_noise + shared_noise))
    score = np.log(np.maximum(ratios[1:], 1e-9))
    score = (score - score.mean()) / (score.std() + EASY)
    score = ((score[:half] - score[half:]) / spec.rollouts).astype(np.float32)
    pull = np.tensordot(score, own_noise, 1) / np.float32(np.sqrt(n) * noise.own)
    pull += np.tensordot(score, shared_noise, 1) * np.float32(3.0 / (n * noise.shared))
    return (torch.from_numpy(pull) * learning.outputs).sum(), ratios


def _both_ways(perturbations: np.ndarray) -> np.ndarray:
    """Return no perturbation, the perturbations, and their opposites."""
    return np.concatenate([np.zeros_like(perturbations[:1]), perturbations, -perturbations])
