"""One piece of self-improvement: try changes of the network's outputs, learn from what they did."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from baselines.heft import heft
from model.guided.decode import OUTPUTS, guided_values
from model.guided.graph import OBJECTIVES, graph_view
from model.guided.network import DeepSchedNetwork, graph_batch
from model.threads import one_thread
from pipeline.improving.problems import draw_problem

if TYPE_CHECKING:
    from baselines.arrays import FloatArray
    from baselines.problem import Problem
    from model.guided.graph import GraphView
    from pipeline.improving.spec import TurnSpec

EASY = 0.003  # standard deviation of the log ratio below which a problem counts less and less


@dataclass(frozen=True, kw_only=True)
class Piece:
    """What a piece of work found.

    Attributes
    ----------
    number : of the piece in its turn.
    gradient : (parameters,) of the loss that is to be made small.
    ratios : (problems,) objective of the network's own schedule / HEFT's.
    best : the same of the best change.
    """

    number: int
    gradient: np.ndarray
    ratios: FloatArray
    best: FloatArray


def improve_piece(place: tuple[int, int], shared: tuple[TurnSpec, dict[str, np.ndarray]]) -> Piece:
    """Draw problems, try changes of the network's outputs on them, and return the gradient.

    The gradient is that of score-function estimation: outputs move towards changes that made
    schedules shorter and away from those that made them longer, measured against the mean over the
    same problem's changes.

    Parameters
    ----------
    place : number of the turn and of the piece within it; they decide what is drawn.
    shared : how, and the network's weights.

    References
    ----------
    Williams (1992), doi:10.1007/BF00992696; antithetic pairs as in Salimans et al. (2017),
    https://arxiv.org/abs/1703.03864.
    """
    spec, weights = shared
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
        outputs = network.outputs(hidden)
        level = torch.nn.functional.layer_norm(hidden.detach(), hidden.shape[1:])
        pulls, ratios, best = [], [], []
        cuts = np.cumsum(batch.sizes)[:-1]
        for problem, view, own, states in zip(
            problems,
            views,
            np.split(outputs.detach().numpy(), cuts),
            np.split(level.numpy(), cuts),
            strict=True,
        ):
            pull, values = _pull(problem, view, own, states, spec, rng)
            pulls.append(pull)
            ratios.append(values[0])
            best.append(values.min())
        loss = (torch.from_numpy(np.concatenate(pulls)) * outputs).sum() / len(problems)
        loss.backward()  # type: ignore[no-untyped-call]
    gradient = np.concatenate(
        [
            np.zeros(parameter.numel(), np.float32)
            if parameter.grad is None
            else parameter.grad.numpy().ravel()
            for parameter in network.parameters()
        ]
    )
    return Piece(number=place[1], gradient=gradient, ratios=np.array(ratios), best=np.array(best))


def _pull(
    problem: Problem,
    view: GraphView,
    own: np.ndarray,
    states: np.ndarray,
    spec: TurnSpec,
    rng: np.random.Generator,
) -> tuple[np.ndarray, FloatArray]:
    """Return (n, outputs) where the loss pulls, and the ratios to HEFT, the network's own first."""
    n, width = states.shape
    half = spec.changes // 2
    own_noise = spec.own_noise * rng.standard_normal((half, n, len(OUTPUTS)), dtype=np.float32)
    draws = rng.standard_normal((half, width, len(OUTPUTS)), dtype=np.float32)
    shared_noise = spec.shared_noise / np.float32(np.sqrt(width)) * (states @ draws)
    common_noise = rng.standard_normal((half, 1, len(OUTPUTS)), dtype=np.float32)
    shared_noise = shared_noise + np.float32(spec.common_noise) * common_noise
    changes = own_noise + shared_noise
    tried = np.concatenate([np.zeros((1, n, len(OUTPUTS)), np.float32), changes, -changes])
    values = guided_values(problem, view, own, tried)
    reference = heft(problem)
    objective = int(view.features[0, -1])
    before = float((reference.aft - problem.arrival).mean()) if objective else reference.makespan
    ratios = values[:, objective] / max(before, 1e-300)
    score = np.log(np.maximum(ratios[1:], 1e-9))
    score = (score - score.mean()) / (score.std() + EASY)
    score = ((score[:half] - score[half:]) / spec.changes).astype(np.float32)
    pull = np.tensordot(score, own_noise, 1) / np.float32(np.sqrt(n) * spec.own_noise)
    pull += np.tensordot(score, shared_noise, 1) * np.float32(3.0 / (n * spec.shared_noise))
    return pull, ratios
