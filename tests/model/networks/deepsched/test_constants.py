"""Constants in the network's place, for very large problems."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from deepsched.baselines.errors import InvalidInput
from deepsched.baselines.heft import heft
from deepsched.baselines.ranks import heft_order
from deepsched.baselines.schedule import violations
from deepsched.model.checkpoint import load_checkpoint, save_checkpoint
from deepsched.model.networks import build_network
from deepsched.model.networks.deepsched import constants, scheduler
from deepsched.model.networks.deepsched.config import DeepSchedConfig
from deepsched.model.networks.deepsched.constants import CONSTANTS, best_constants
from deepsched.model.networks.deepsched.decode import OUTPUTS, decode_schedule
from deepsched.model.networks.deepsched.features import decoder_view, graph_view
from deepsched.model.networks.deepsched.options import DeepSchedOptions
from deepsched.model.networks.deepsched.scheduler import DeepSchedScheduler
from tests.model.examples import layered, limited

if TYPE_CHECKING:
    from pathlib import Path

    from deepsched.baselines.problem import Problem


def outputs(problem: Problem, weights: Any) -> np.ndarray:
    same = np.zeros((problem.n_tasks, len(OUTPUTS)), np.float32)
    same[:, 1:] = weights
    return same


@pytest.mark.parametrize("decode", ["full", "topk"])
@pytest.mark.parametrize("seed", range(6))
def test_they_are_those_under_which_the_first_tasks_end_soonest(decode: str, seed: int) -> None:
    problem = limited(seed) if seed == 0 else layered(400, 12, seed, ccr=0.5 * seed)
    view = decoder_view(problem, decode=decode)
    tried = np.array(CONSTANTS[decode], np.float32)
    first = heft_order(problem, view.rank)[: max(1, round(0.2 * problem.n_tasks))]
    late = first[len(first) // 2 :]
    ends = [
        decode_schedule(problem, view, outputs(problem, weights), "x").aft[late].mean()
        for weights in tried
    ]
    expected = outputs(problem, tried[int(np.argmin(ends))])
    for threads in (1, 3):
        found = best_constants(problem, view, tried, threads)
        assert found.tobytes() == expected.tobytes()


@pytest.mark.parametrize("decode", ["full", "topk", "argmax"])
def test_the_decoder_sees_the_same_with_and_without_features(decode: str) -> None:
    problem = layered(90, 5, ccr=2.0)
    bare, whole = decoder_view(problem, decode=decode), graph_view(problem, decode=decode)
    drawn = np.random.default_rng(1).normal(size=(90, len(OUTPUTS))).astype(np.float32)
    one, other = (decode_schedule(problem, view, drawn, "x") for view in (bare, whole))
    assert one.aft.tobytes() == other.aft.tobytes()


@pytest.mark.parametrize("decode", ["full", "topk"])
def test_one_pass_over_a_large_problem_asks_no_network(
    decode: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    config = DeepSchedConfig(width=8, rounds=1, constants=4, decode=decode)
    save_checkpoint(tmp_path, build_network("deepsched", config), "deepsched", config, {})
    made = DeepSchedScheduler.load(tmp_path, samples=1)
    asked: list[int] = []
    forward = scheduler.forward_pass

    def counted(*given: Any, **more: Any) -> Any:
        asked.append(1)
        return forward(*given, **more)

    monkeypatch.setattr(scheduler, "forward_pass", counted)
    problem = layered(300, 8, ccr=3.0)

    def asks(made: DeepSchedScheduler) -> bool:
        asked.clear()
        found = made(problem)
        assert violations(problem, found) == []
        assert made(problem).aft.tobytes() == found.aft.tobytes()
        return bool(asked)

    monkeypatch.setattr(constants, "LARGE", 200)
    monkeypatch.setattr(scheduler, "MOST_LARGER", 200)
    assert asks(made)  # not a hundred tasks for each machine
    monkeypatch.setattr(constants, "PER_MACHINE", 30)
    assert not asks(made)
    assert made(problem).makespan < heft(problem).makespan
    assert asks(made.with_options(samples=6))
    assert asks(made.with_options(objective="turnaround"))
    monkeypatch.setattr(scheduler, "MOST_LARGER", 400)
    assert asks(made)


@pytest.mark.parametrize("more", [{"samples": 6}, {"samples": 1, "budget": 0.05}])
def test_beside_a_network_they_are_another_head(
    more: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    config = DeepSchedConfig(width=8, rounds=1, constants=4)
    save_checkpoint(tmp_path, build_network("deepsched", config), "deepsched", config, {})
    monkeypatch.setattr(constants, "LARGE", 200)
    monkeypatch.setattr(constants, "PER_MACHINE", 30)
    made = DeepSchedScheduler.load(tmp_path, guard=False, **more)
    decoded: list[int] = []
    best = scheduler.decode_best

    def counted(problem: Problem, view: Any, heads: np.ndarray, name: str) -> Any:
        decoded.append(len(heads))
        return best(problem, view, heads, name)

    monkeypatch.setattr(scheduler, "decode_best", counted)
    problem = layered(300, 8, ccr=3.0)
    made(problem)
    first = decoded[0]
    assert first == made.heads_for(problem).stop + 1
    decoded.clear()
    monkeypatch.setattr(constants, "LARGE", 300)
    made(problem)
    assert decoded[0] == first - 1


def test_without_constants_the_network_is_asked_at_any_size(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    weights = {key: value.numpy() for key, value in build_network("deepsched").state_dict().items()}
    assert "constants" not in weights
    monkeypatch.setattr(constants, "LARGE", 1)
    problem = layered(400, 4)
    made = DeepSchedScheduler(weights, DeepSchedOptions(samples=1, guard=False))
    assert made(problem).aft.tobytes() == heft(problem).aft.tobytes()  # an untrained network


def test_they_are_kept_with_the_weights(tmp_path: Path) -> None:
    config = DeepSchedConfig(width=8, rounds=1, constants=3)
    network = build_network("deepsched", config)
    network.constants[0, 0] = 7.0
    save_checkpoint(tmp_path, network, "deepsched", config, {})
    read: Any = load_checkpoint(tmp_path).network
    assert torch.equal(read.constants, network.constants)
    assert read.constants.shape == (3, len(OUTPUTS) - 1)
    assert DeepSchedScheduler.load(tmp_path).without_network().options.decode == "full"


@pytest.mark.parametrize("wrong", [torch.zeros(2, 2), torch.tensor([[1.0, 2.0, torch.nan]])])
def test_wrong_ones_are_refused(wrong: torch.Tensor, tmp_path: Path) -> None:
    config = DeepSchedConfig(width=8, rounds=1, constants=3)
    network = build_network("deepsched", config)
    network.constants = wrong
    save_checkpoint(tmp_path, network, "deepsched", config, {})
    with pytest.raises(InvalidInput, match=r"model\.safetensors"):
        DeepSchedScheduler.load(tmp_path)


def test_those_of_topk_weigh_no_optimistic_cost() -> None:
    assert not np.array(CONSTANTS["topk"])[:, 0].any()
