"""Self-improvement: what is drawn, what is learned, and that nothing is lost on the way."""

from __future__ import annotations

import bisect
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from deepsched.baselines.errors import InvalidInput
from deepsched.baselines.generate import FAMILIES
from deepsched.baselines.heft import heft
from deepsched.baselines.machines import make_machines
from deepsched.baselines.problem import make_problem
from deepsched.baselines.ranks import downward_rank, optimistic_cost, upward_rank
from deepsched.baselines.registry import SCHEDULERS
from deepsched.model.networks.deepsched.config import DeepSchedConfig
from deepsched.model.networks.deepsched.decode import decode_schedule
from deepsched.model.networks.deepsched.features import graph_view, with_codes
from deepsched.model.networks.deepsched.loss import imitation_loss, replayed
from deepsched.model.networks.deepsched.network import DeepSchedNetwork
from deepsched.model.networks.deepsched.scheduler import DeepSchedScheduler
from deepsched.pipeline.improving import problems
from deepsched.pipeline.improving.gradient import improve_piece
from deepsched.pipeline.improving.run import HISTORY, improve, measure
from deepsched.pipeline.improving.spec import CHECKPOINT, ImproveSpec, TurnSpec
from deepsched.pipeline.improving.times import times_loss
from tests import strategies
from tests.baselines import reference
from tests.model.examples import layered
from tests.pipeline.cli_helpers import deepsched_here

if TYPE_CHECKING:
    from pathlib import Path

    from deepsched.baselines.problem import Problem

TURN = TurnSpec(network=DeepSchedConfig(width=8, rounds=1), problems=3, changes=8, tasks=(20, 60))
SPEC = ImproveSpec(turn=TURN, turns=6, pieces=2, check_every=2, development=5)


def weights(turn: TurnSpec = TURN) -> dict[str, np.ndarray]:
    return {
        key: value.numpy() for key, value in DeepSchedNetwork(turn.network).state_dict().items()
    }


def without_seconds(history: list[dict[str, float]]) -> list[dict[str, float]]:
    return [{key: value for key, value in r.items() if key != "seconds"} for r in history]


def test_problems_are_of_many_shapes_and_no_family_of_the_exam() -> None:
    rng = np.random.default_rng(0)
    drawn = [problems.draw_problem(rng, (20, 100)) for _ in range(150)]
    families = {problem.name.split("-1")[0].split("-2")[0] for problem in drawn}
    assert {name.rpartition("-")[0] or name for name in families} >= {"grown", "layered"}
    assert all(20 <= problem.n_tasks <= 101 for problem in drawn)
    assert {problem.n_machines for problem in drawn} == set(problems.MACHINES)
    assert set(problems.FAMILIES) - {"grown"} < set(FAMILIES)


def test_development_problems_are_always_the_same_and_never_drawn() -> None:
    one, other = (problems.development_problems(4, (20, 60)) for _ in range(2))
    assert [p.etc.tobytes() for p in one] == [p.etc.tobytes() for p in other]
    assert problems.TRAINING_SEEDS[1] <= problems.DEVELOPMENT_SEEDS[0]


def test_a_piece_is_decided_by_its_place() -> None:
    one, same, other = (improve_piece(place, (TURN, weights_)) for place, weights_ in _places())
    assert one.gradient.tobytes() == same.gradient.tobytes()
    assert one.gradient.tobytes() != other.gradient.tobytes()
    # Zero outputs are HEFT.
    assert one.ratios == pytest.approx(1.0)
    assert (one.best <= one.ratios).all()
    assert one.best.min() < 0.99


def _places() -> list[tuple[tuple[int, int], dict[str, np.ndarray]]]:
    same = weights()
    for key in same:
        if key.startswith("leave"):
            same[key] = np.zeros_like(same[key])
    return [((0, 1), same), ((0, 1), same), ((1, 1), same)]


@settings(max_examples=60)
@given(problem=strategies.problems(), teacher=st.sampled_from(["heft", "min-min", "cpop"]))
def test_a_replay_says_what_each_machine_offers(problem: Problem, teacher: str) -> None:
    taught, view = SCHEDULERS[teacher](problem, np.random.default_rng(0)), graph_view(problem)
    order, eft, terms = replayed(problem, view, taught)
    proc, aft = taught.proc.tolist(), taught.aft.tolist()
    table = np.where(np.isfinite(problem.etc), optimistic_cost(problem), np.inf)
    busy: list[list[tuple[float, float]]] = [[] for _ in range(problem.n_machines)]
    host: dict[int, tuple[float, int]] = {}
    for i in order.tolist():
        for q in range(problem.n_machines):
            duration = float(problem.etc[i, q])
            if duration == np.inf:
                assert (eft[i, q], *terms[i, :, q]) == (np.inf, 0, 0, 0)
                continue
            begin = reference.earliest_start(
                busy[q], reference.ready(problem, i, q, proc, aft), duration
            )
            near = sum(
                reference.mean_transfer(problem, data)
                for child, data in reference.children(problem, i)
                if child in host and host[child][1] == q
            )
            expected = (table[i, q] - table[i].min(), duration - problem.etc[i].min(), -near)
            assert eft[i, q] == pytest.approx(begin + duration, rel=1e-9)
            size = 1e-5 * float(view.terms.through[i, q]) * view.terms.unit
            assert terms[i, :, q].tolist() == pytest.approx(expected, rel=1e-5, abs=size)
        q = proc[i]
        bisect.insort(busy[q], (float(taught.ast[i]), aft[i]))
        for child, data in reference.children(problem, i):
            seconds = reference.mean_transfer(problem, data)
            if child not in host or seconds > host[child][0]:
                host[child] = (seconds, q)


def test_who_does_as_heft_has_nothing_to_learn_from_its_machines() -> None:
    chain = make_problem(
        machines=make_machines(3, bandwidth=2.0),
        etc=np.random.default_rng(0).uniform(1, 3, (20, 3)),
        edges=(range(19), range(1, 20), [1.0] * 19),
    )
    outputs = torch.zeros((20, 4), requires_grad=True)
    loss = imitation_loss(chain, graph_view(chain), outputs, torch.zeros((0, 3)), heft(chain))
    loss.backward()  # type: ignore[no-untyped-call]
    assert outputs.grad is not None
    assert outputs.grad[:, 1:].abs().max() < 1e-6


def test_outputs_without_a_network_learn_to_make_a_teachers_schedule() -> None:
    problem = layered(60, 6, 3, ccr=5.0)
    view = graph_view(problem, machines=True)
    assert view.machines is not None
    kept = torch.from_numpy(view.machines[:, :2].T.copy())
    taught = SCHEDULERS["best-of"](problem, np.random.default_rng(0))
    outputs = torch.zeros((60, 6), requires_grad=True)
    optimizer = torch.optim.Adam([outputs], 0.1)
    for _ in range(200):
        optimizer.zero_grad()
        imitation_loss(problem, view, outputs, kept, taught).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    view = with_codes(view, kept.numpy().astype(float))
    own = decode_schedule(problem, view, outputs.detach().numpy(), "x")
    assert taught.makespan < 0.8 * heft(problem).makespan
    assert own.makespan < 1.02 * taught.makespan
    assert (own.proc == taught.proc).mean() > 0.9


def test_times_are_what_is_added_to_the_downward_rank() -> None:
    problem = layered(40, 3)
    view, schedule = graph_view(problem), heft(problem)
    down, mean = downward_rank(problem), problem.etc.mean(axis=1)
    span = max(upward_rank(problem).max(), mean.sum() / 3)
    late = np.stack([(schedule.ast - down) / span, (schedule.aft - down - mean) / span], axis=1)
    right = torch.from_numpy(late.astype(np.float32))
    assert float(times_loss(problem, view, right, schedule)) < 1e-12
    assert float(times_loss(problem, view, right + 0.5, schedule)) == pytest.approx(0.25, rel=1e-4)


@pytest.mark.parametrize(
    "changes",
    [
        {"network": DeepSchedConfig(width=8, rounds=1, machine_code=2)},
        {"network": DeepSchedConfig(width=8, rounds=1, machine_code=2, decode="topk")},
        {"network": DeepSchedConfig(width=8, rounds=1, recurrence=True, machine_code=2)},
        {
            "network": DeepSchedConfig(width=8, rounds=1, recurrence=True, machine_code=2),
            "imitate": 10,
        },
        {"network": DeepSchedConfig(width=8, rounds=1, times=True), "times": 0.1},
        {"imitate": 10},
        {"imitate": 10, "teacher": "heft"},
    ],
)
def test_each_part_of_the_network_learns_where_it_is_asked_to(changes: dict[str, Any]) -> None:
    turn = replace(TURN, **changes)
    known = weights(turn)
    for key in known:
        if key.startswith(("leave", "times")):
            known[key] = np.full_like(known[key], 0.1)
    piece = improve_piece((1, 0), (turn, known))
    first = 0
    for key, value in known.items():
        part = piece.gradient[first : first + value.size]
        first += value.size
        assert np.abs(part).max() > 0, key
    assert first == piece.gradient.size
    plain = improve_piece((1, 0), (replace(turn, imitate=0, times=0.0), known))
    same = plain.gradient.tobytes() == piece.gradient.tobytes()
    assert same == (turn.imitate == 0 and turn.times == 0)
    assert piece.ratios[0] == plain.ratios[0]


def test_it_learns(tmp_path: Path) -> None:
    turn = replace(TURN, network=DeepSchedConfig(width=16, rounds=1), problems=8, changes=16)
    spec = replace(SPEC, turn=turn, turns=25, check_every=25, development=30, learning_rate=5e-3)
    (record,) = improve(tmp_path, spec, workers=0)
    assert record["makespan"] < 0.97
    assert record["turnaround"] < 0.98
    assert record["makespan_guarded"] <= record["makespan"]
    scheduler = DeepSchedScheduler.load(tmp_path / CHECKPOINT)
    assert scheduler.meta["improve"]["turns"] == 25
    own = measure(
        dict(scheduler._weights),  # noqa: SLF001
        problems.development_problems(30, turn.tasks),
    )
    assert own["makespan"] == record["makespan"]


def test_an_interrupted_improvement_ends_as_if_it_had_run_through(tmp_path: Path) -> None:
    whole = improve(tmp_path / "whole", SPEC, workers=0)

    def stop(turn: int) -> None:
        if turn == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        improve(tmp_path / "parts", SPEC, workers=0, on_turn=stop)
    with pytest.raises(InvalidInput, match="holds an improvement; give another --out, or --resu"):
        improve(tmp_path / "parts", SPEC, workers=0)
    with pytest.raises(InvalidInput, match="with other settings"):
        improve(tmp_path / "parts", replace(SPEC, pieces=1), workers=0, resume=True)
    again = improve(tmp_path / "parts", SPEC, workers=0, resume=True)
    # What was measured in training before the kill is gone; the network is the same.
    assert [{k: v for k, v in r.items() if k != "training"} for r in without_seconds(again)] == [
        {k: v for k, v in r.items() if k != "training"} for r in without_seconds(whole)
    ]
    assert json.loads((tmp_path / "parts" / HISTORY).read_text()) == again
    assert improve(tmp_path / "parts", SPEC, workers=0, resume=True) == again


@pytest.mark.ray
def test_ray_tasks_give_the_same_network(local_ray: None, tmp_path: Path) -> None:
    here = improve(tmp_path / "here", SPEC, workers=0)
    there = improve(tmp_path / "ray", SPEC, workers=2)
    assert without_seconds(there) == without_seconds(here)


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = ["improve", "--out", tmp_path / "x", "--turns", 2, "--check-every", 1, "--workers", 0]
    line += ["--problems", 1, "--changes", 2, "--tasks", 20, 30, "--width", 4, "--rounds", 1]
    line += ["--machine-code", 2, "--times", 0.1, "--imitate", 1, "--teacher", "heft"]
    done = deepsched_here(capsys, *line)
    assert done.returncode == 0
    assert "turn 2, " in done.stdout
    assert "x HEFT in training" in done.stdout
    assert str(tmp_path / "x" / CHECKPOINT) in done.stdout
    config = json.loads((tmp_path / "x" / CHECKPOINT / "config.json").read_text())
    assert (config["config"]["machine_code"], config["config"]["times"]) == (2, True)
    assert config["meta"]["improve"]["turn"]["teacher"] == "heft"
    again = deepsched_here(capsys, *line)
    assert (again.returncode, again.stdout) == (2, "")
    assert "--resume" in again.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--changes", "3"), "must be even"),
        (("--tasks", "50", "20"), "the least comes first"),
        (("--turns", "0"), "'--turns': 0 is not in the range"),
    ],
)
def test_mistakes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: tuple[Any, ...], message: str
) -> None:
    done = deepsched_here(capsys, "improve", "--out", tmp_path / "x", *options)
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr
    assert not (tmp_path / "x").exists()
