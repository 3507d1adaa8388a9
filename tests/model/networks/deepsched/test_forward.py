"""What the network `deepsched` sees of a problem, and its two forward passes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from hypothesis import given, settings

from deepsched.baselines.machines import make_machines
from deepsched.baselines.problem import make_problem
from deepsched.baselines.ranks import downward_rank, optimistic_cost, upward_rank
from deepsched.model.networks.deepsched.features import TASK_FEATURES, graph_view
from deepsched.model.networks.deepsched.forward import forward, layers_of
from deepsched.model.networks.deepsched.network import graph_batch
from tests import strategies
from tests.model.examples import layered
from tests.model.networks.deepsched.examples import (
    ODD,
    ONE_CHANNEL,
    SMALL,
    arrays,
    random_network,
)

if TYPE_CHECKING:
    from deepsched.baselines.problem import Problem
    from deepsched.model.networks.deepsched.config import DeepSchedConfig


@settings(max_examples=100)
@given(problem=strategies.problems())
def test_features_are_finite_and_tables_are_those_of_the_baselines(problem: Problem) -> None:
    view = graph_view(problem, "turnaround")
    assert view.features.shape == (problem.n_tasks, len(TASK_FEATURES))
    assert np.isfinite(view.features).all()
    assert (view.features[:, -1] == 1.0).all()
    assert view.objective == "turnaround"
    assert view.rank.tobytes() == upward_rank(problem).tobytes()
    through = view.terms.through.astype(float) * view.terms.unit
    assert through == pytest.approx(optimistic_cost(problem) + problem.etc, rel=1e-5)
    path = max(view.rank.max(), 1e-12)
    expected = np.clip(downward_rank(problem) / path, -8, 8)
    assert view.features[:, 1] == pytest.approx(expected, rel=1e-5, abs=1e-6)


def test_features_are_finite_where_rounded_sums_are_below_their_parts() -> None:
    etc = np.full((2, 48), np.inf)
    etc[0, :47] = etc[1, 47] = 0.0
    problem = make_problem(machines=make_machines(48), etc=etc, edges=([0], [1], [1e6]))
    view = graph_view(problem)
    assert np.isfinite(view.features).all()
    assert view.features[0, TASK_FEATURES.index("regret")] >= 0.0


@pytest.mark.parametrize("config", [SMALL, ONE_CHANNEL, ODD])
@pytest.mark.parametrize("machines", [1, 2, 7])
@pytest.mark.parametrize("tasks", [1, 2, 60])
def test_the_compiled_pass_equals_torchs(
    tasks: int, machines: int, config: DeepSchedConfig
) -> None:
    network, view = random_network(tasks, config), graph_view(layered(tasks, machines, tasks))
    with torch.inference_mode():
        expected, hidden = network(graph_batch([view])), network.hidden(graph_batch([view]))
    outputs, state = forward(layers_of(arrays(network)), view)
    assert outputs == pytest.approx(expected.numpy().transpose(1, 0, 2), rel=1e-4, abs=1e-5)
    assert state == pytest.approx(hidden.numpy(), rel=1e-4, abs=1e-5)
    assert np.abs(outputs).max() > 0.05


@pytest.mark.parametrize("config", [SMALL, ONE_CHANNEL])
def test_problems_side_by_side_do_not_hear_each_other(config: DeepSchedConfig) -> None:
    network = random_network(config=config)
    views = [graph_view(layered(n, 3, n)) for n in (1, 30, 12)]
    with torch.inference_mode():
        together = network(graph_batch(views)).split([1, 30, 12])
        alone = [network(graph_batch([view])) for view in views]
    for one, other in zip(together, alone, strict=True):
        assert one.numpy() == pytest.approx(other.numpy(), rel=1e-4, abs=1e-5)
