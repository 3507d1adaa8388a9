"""Constants beside the network and in its place, for large problems."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from deepsched.baselines.errors import InvalidInput
from deepsched.baselines.heft import heft
from deepsched.baselines.ranks import heft_order
from deepsched.baselines.schedule import violations
from deepsched.baselines.timing import warm_up
from deepsched.model.checkpoint import load_checkpoint, save_checkpoint
from deepsched.model.networks import build_network
from deepsched.model.networks.deepsched import _decode_kernels, concurrency, constants, scheduler
from deepsched.model.networks.deepsched.config import DeepSchedConfig
from deepsched.model.networks.deepsched.constants import best_constants
from deepsched.model.networks.deepsched.decode import OUTPUTS, decode_schedule
from deepsched.model.networks.deepsched.features import decoder_view, graph_view
from deepsched.model.networks.deepsched.options import NAME
from deepsched.model.networks.deepsched.report import Report
from deepsched.model.networks.deepsched.scheduler import (
    PRETRAINED,
    PRETRAINED_TOPK,
    DeepSchedScheduler,
)
from tests.model.examples import layered, limited

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from deepsched.baselines.problem import Problem

SHIPPED = {"full": PRETRAINED, "topk": PRETRAINED_TOPK}
CONFIG = DeepSchedConfig(width=8, rounds=1)


def shipped(decode: str) -> list[list[float]]:
    document = json.loads((SHIPPED[decode] / "config.json").read_text(encoding="utf-8"))
    found: list[list[float]] = document["meta"]["constants"]
    return found


def outputs(problem: Problem, weights: Any) -> np.ndarray:
    same = np.zeros((problem.n_tasks, len(OUTPUTS)), np.float32)
    same[:, 1:] = weights
    return same


def saved(folder: Path, decode: str = "full", kept: Any = None) -> Path:
    config = DeepSchedConfig(width=8, rounds=1, decode=decode)
    network = build_network("deepsched", config)
    meta = {"constants": shipped(decode) if kept is None else kept}
    save_checkpoint(folder, network, "deepsched", config, meta)
    return folder


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Callable[[DeepSchedScheduler, Problem], bool]:
    """Return what tells whether a scheduler asks its network about a problem."""
    passes: list[int] = []
    forward = scheduler.forward_pass

    def counted(*given: Any, **more: Any) -> Any:
        passes.append(1)
        return forward(*given, **more)

    monkeypatch.setattr(scheduler, "forward_pass", counted)

    def asks(made: DeepSchedScheduler, problem: Problem) -> bool:
        passes.clear()
        assert violations(problem, made(problem)) == []
        return bool(passes)

    return asks


@pytest.fixture
def small_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "LARGE", 200)
    monkeypatch.setattr(constants, "PER_MACHINE", 30)
    monkeypatch.setattr(scheduler, "MOST_LARGER", 200)
    monkeypatch.setattr(scheduler, "MOST_DESCENDED", 200)


@pytest.mark.parametrize("decode", ["full", "topk"])
@pytest.mark.parametrize("seed", range(6))
def test_they_are_those_under_which_the_first_tasks_end_soonest(decode: str, seed: int) -> None:
    problem = limited(seed) if seed == 0 else layered(400, 12, seed, ccr=0.5 * seed)
    view = decoder_view(problem, decode=decode)
    tried = np.array(shipped(decode), np.float32)
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


@pytest.mark.usefixtures("small_is_large")
@pytest.mark.parametrize("decode", ["full", "topk"])
def test_one_pass_over_a_large_problem_is_theirs_alone(
    decode: str, asked: Callable[..., bool], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    made = DeepSchedScheduler.load(saved(tmp_path, decode), samples=1, guard=False)
    problem = layered(300, 8, ccr=3.0)
    assert not asked(made, problem)
    view = decoder_view(problem, decode=decode)
    best = best_constants(problem, view, np.array(shipped(decode), np.float32), 1)
    own = decode_schedule(problem, view, best, "x")
    assert made(problem).aft.tobytes() == own.aft.tobytes() != heft(problem).aft.tobytes()
    assert asked(made.with_options(samples=6), problem)
    assert asked(made.with_options(budget=0.05), problem)
    assert asked(made.with_options(objective="turnaround"), problem)
    assert asked(made.with_options(decode="argmax"), problem)
    for size, most in ((constants, "LARGE"), (scheduler, "MOST_LARGER")):
        with monkeypatch.context() as patch:
            patch.setattr(size, most, 300)
            assert asked(made, problem)
    monkeypatch.setattr(constants, "PER_MACHINE", 40)
    assert asked(made, problem)


@pytest.mark.usefixtures("small_is_large")
@pytest.mark.parametrize("ccr", [3.0, 5.0])
@pytest.mark.parametrize(("kept", "winner"), [(None, NAME), ([[0.0, 60.0, 0.0]], "heft")])
def test_a_large_problem_s_guard_is_heft_whole_whoever_makes_it(
    ccr: float, kept: Any, winner: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(concurrency, "ENOUGH", 100)
    monkeypatch.setattr(scheduler, "LEAST_SHARED", 100)
    made = DeepSchedScheduler.load(saved(tmp_path, kept=kept), samples=1)
    problem = layered(300, 8, ccr=ccr)
    reference = heft(problem)
    alone = made.with_options(guard=False)(problem)
    for threads in (1, 2):
        report = Report(heft_wanted=True)
        found = made.with_options(threads=threads)(problem, report=report)
        assert report.heft == reference.makespan
        assert found.winner == winner
        best = alone if winner == NAME else reference
        assert found.aft.tobytes() == best.aft.tobytes()
        assert made.with_options(threads=threads)(problem).aft.tobytes() == best.aft.tobytes()


@pytest.mark.usefixtures("small_is_large")
def test_a_network_without_any_is_asked_at_any_size(
    asked: Callable[..., bool], tmp_path: Path
) -> None:
    network = build_network("deepsched", CONFIG)
    save_checkpoint(tmp_path, network, "deepsched", CONFIG, {"steps": 3})
    problem = layered(300, 8)
    assert asked(DeepSchedScheduler.load(tmp_path, samples=1), problem)
    with_them = DeepSchedScheduler.load(saved(tmp_path / "with"), samples=1)
    assert not asked(with_them, problem)
    assert asked(with_them.without_network(), problem)


@pytest.mark.usefixtures("small_is_large")
@pytest.mark.parametrize("more", [{"samples": 6}, {"samples": 1, "budget": 0.05}])
def test_beside_a_network_they_are_another_head(
    more: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    made = DeepSchedScheduler.load(saved(tmp_path), guard=False, **more)
    decoded: list[int] = []
    best = scheduler.decode_best

    def counted(problem: Problem, view: Any, heads: np.ndarray, *more: Any) -> Any:
        decoded.append(len(heads))
        return best(problem, view, heads, *more)

    monkeypatch.setattr(scheduler, "decode_best", counted)
    problem = layered(300, 8, ccr=3.0)
    made(problem)
    first = decoded[0]
    assert first == made.heads_for(problem).stop + 1
    decoded.clear()
    monkeypatch.setattr(constants, "LARGE", 300)
    made(problem)
    assert decoded[0] == first - 1


@pytest.mark.parametrize("decode", ["full", "topk"])
def test_those_that_come_with_the_package(decode: str) -> None:
    folder = SHIPPED[decode]
    assert load_checkpoint(folder).config.decode == decode
    kept = constants.constants_of(DeepSchedScheduler.load(folder).meta)
    assert kept is not None
    assert kept.shape == (len(shipped(decode)), len(OUTPUTS) - 1)
    assert decode == "full" or not kept[:, 0].any()  # there is no table of optimistic costs


@pytest.mark.parametrize(
    "wrong",
    [
        [],
        [[]],
        [[1, 2]],
        [1, 2, 3],
        [[1, 2, "x"]],
        [[1, 2, None]],
        [[1, 2, 1e400]],
        {},
        5,
        [[1], 2],
    ],
)
def test_wrong_ones_are_refused(wrong: Any, tmp_path: Path) -> None:
    saved(tmp_path)
    path = tmp_path / "config.json"
    document = json.loads(path.read_text(encoding="utf-8"))
    document["meta"]["constants"] = wrong
    path.write_text(json.dumps(document), encoding="utf-8")
    with pytest.raises(InvalidInput, match=r"config\.json: meta\.constants: not rows of 3 numbers"):
        DeepSchedScheduler.load(tmp_path)


@pytest.mark.parametrize("decode", ["full", "topk"])
def test_warming_up_compiles_them_too(
    decode: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    placed: list[int] = []
    first_finish = _decode_kernels.first_finish

    def counted(*given: Any) -> float:
        placed.append(1)
        return float(first_finish(*given))

    monkeypatch.setattr(_decode_kernels, "first_finish", counted)
    made = DeepSchedScheduler.load(saved(tmp_path, decode), samples=1)
    warm_up(made)
    assert placed
    placed.clear()
    made(layered(20, 2))
    assert not placed
