"""Problems and networks that the model's tests share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from deepsched.baselines.generate import GeneratorSpec, generate
from deepsched.model.networks import NETWORKS, build_network
from deepsched.model.networks.deepsched.features import graph_view
from deepsched.model.networks.deepsched.network import graph_batch
from deepsched.model.networks.paper.batch import collate
from deepsched.model.networks.paper.features import encode

if TYPE_CHECKING:
    from torch import Tensor, nn

    from deepsched.baselines.problem import Problem

# Every row of NETWORKS, and the padded variant of `paper`, in sizes that fit the tests.
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    **{name: (name, {}) for name in NETWORKS},
    "paper, padded": ("paper", {"max_tasks": 40, "max_machines": 6}),
}
PAPER = tuple(variant for variant, (name, _) in VARIANTS.items() if name == "paper")


def layered(tasks: int, machines: int, seed: int = 0, **fields: Any) -> Problem:
    return generate(GeneratorSpec(family="layered", tasks=tasks, machines=machines, **fields), seed)


def network(variant: str, seed: int = 0) -> nn.Module:
    """Return a variant whose random outputs are far from 0."""
    torch.manual_seed(seed)
    name, config = VARIANTS[variant]
    made = build_network(name, config).eval()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.mul_(2.0)
            if not parameter.any():  # the last layer of `deepsched` starts at 0
                parameter.normal_()
    return made


def said(name: str, network: nn.Module, problem: Problem) -> dict[str, Tensor]:
    """Return what a network of that name says about a problem; (n_tasks, ...) each."""
    with torch.inference_mode():
        if name == "deepsched":
            return {"outputs": network(graph_batch([graph_view(problem)]))}
        prediction = network(collate([encode(problem)]))
    return {
        "score": prediction.score.view(problem.n_tasks, problem.n_machines),
        "start": prediction.start,
        "finish": prediction.finish,
    }


def limited(problem_seed: int) -> Problem:
    """Return a problem in which many tasks do not fit on every machine."""
    rng = np.random.default_rng(problem_seed)
    tasks, machines = int(rng.integers(5, 30)), int(rng.integers(2, 6))
    return layered(tasks, machines, problem_seed, memory=0.5, arrival_spread=0.5)
