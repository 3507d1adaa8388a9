"""Problems and networks that the model's tests share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from deepsched.baselines.generate import GeneratorSpec, generate
from deepsched.model.networks import NETWORKS, build_network

if TYPE_CHECKING:
    from torch import nn

    from deepsched.baselines.problem import Problem

# Every row of NETWORKS, and the padded variant of `paper`, in sizes that fit the tests.
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    **{name: (name, {}) for name in NETWORKS},
    "paper, padded": ("paper", {"max_tasks": 40, "max_machines": 6}),
}


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
    return made


def limited(problem_seed: int) -> Problem:
    """Return a problem in which many tasks do not fit on every machine."""
    rng = np.random.default_rng(problem_seed)
    tasks, machines = int(rng.integers(5, 30)), int(rng.integers(2, 6))
    return layered(tasks, machines, problem_seed, memory=0.5, arrival_spread=0.5)
