"""Networks and outputs that the tests of the network `deepsched` share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from deepsched.model.networks.deepsched.config import DeepSchedConfig
from deepsched.model.networks.deepsched.decode import OUTPUTS
from deepsched.model.networks.deepsched.network import DeepSchedNetwork

if TYPE_CHECKING:
    from deepsched.baselines.problem import Problem

SMALL = DeepSchedConfig(width=8, rounds=2)
ONE_CHANNEL = DeepSchedConfig(width=1, rounds=1)
ODD = DeepSchedConfig(width=5, rounds=0)


def random_network(seed: int = 0, config: DeepSchedConfig = SMALL) -> DeepSchedNetwork:
    """Return a network whose outputs are far from 0."""
    torch.manual_seed(seed)
    network = DeepSchedNetwork(config)
    with torch.no_grad():
        network.leave.weight.normal_()
    return network


def arrays(network: DeepSchedNetwork) -> dict[str, np.ndarray]:
    return {key: value.detach().numpy() for key, value in network.state_dict().items()}


def outputs_of(problem: Problem, seed: int, size: float = 1.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (size * rng.standard_normal((problem.n_tasks, len(OUTPUTS)))).astype(np.float32)
