"""Self-improvement: what is drawn, what is learned, and that nothing is lost on the way."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from deepsched.baselines.errors import InvalidInput
from deepsched.baselines.generate import FAMILIES
from deepsched.model.networks.deepsched.config import DeepSchedConfig
from deepsched.model.networks.deepsched.network import DeepSchedNetwork
from deepsched.model.networks.deepsched.scheduler import DeepSchedScheduler
from deepsched.pipeline.improving import problems
from deepsched.pipeline.improving.gradient import learn_micro_batch
from deepsched.pipeline.improving.run import HISTORY, improve, measure
from deepsched.pipeline.improving.spec import CHECKPOINT, ImproveSpec, StepSpec
from tests.pipeline.cli_helpers import deepsched_here

if TYPE_CHECKING:
    from pathlib import Path


STEP = StepSpec(network=DeepSchedConfig(width=8, rounds=1), problems=3, rollouts=8, tasks=(20, 60))
SPEC = ImproveSpec(step=STEP, steps=6, micro_batches=2, check_every=2, development=5)


def weights(step: StepSpec = STEP) -> dict[str, np.ndarray]:
    return {
        key: value.numpy() for key, value in DeepSchedNetwork(step.network).state_dict().items()
    }


def without_seconds(history: list[dict[str, float]]) -> list[dict[str, float]]:
    return [{key: value for key, value in r.items() if key != "seconds"} for r in history]


def test_problems_are_of_many_shapes_and_no_held_out_family() -> None:
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
    one, same, other = (learn_micro_batch(place, (STEP, weights_)) for place, weights_ in _places())
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


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"network": DeepSchedConfig(width=8, rounds=1, decode="topk")},
        {"imitation_steps": 10},
        {"imitation_steps": 10, "teacher": "heft"},
    ],
)
def test_each_part_of_the_network_learns_where_it_is_asked_to(changes: dict[str, Any]) -> None:
    step = replace(STEP, **changes)
    known = weights(step)
    for key in known:
        if key.startswith("leave"):
            known[key] = np.full_like(known[key], 0.1)
    micro_batch = learn_micro_batch((1, 0), (step, known))
    first = 0
    for key, value in known.items():
        part = micro_batch.gradient[first : first + value.size]
        first += value.size
        assert np.abs(part).max() > 0, key
    assert first == micro_batch.gradient.size
    plain = learn_micro_batch((1, 0), (replace(step, imitation_steps=0), known))
    same = plain.gradient.tobytes() == micro_batch.gradient.tobytes()
    assert same == (step.imitation_steps == 0)
    assert micro_batch.ratios[0] == plain.ratios[0]


def test_it_learns(tmp_path: Path) -> None:
    step = replace(STEP, network=DeepSchedConfig(width=16, rounds=1), problems=8, rollouts=16)
    spec = replace(SPEC, step=step, steps=25, check_every=25, development=30, learning_rate=5e-3)
    (record,) = improve(tmp_path, spec, workers=0)
    assert record["makespan"] < 0.97
    assert record["turnaround"] < 0.98
    assert record["makespan_guarded"] <= record["makespan"]
    scheduler = DeepSchedScheduler.load(tmp_path / CHECKPOINT)
    assert scheduler.meta["improve"]["steps"] == 25
    own = measure(
        dict(scheduler._weights),  # noqa: SLF001
        problems.development_problems(30, step.tasks),
    )
    assert own["makespan"] == record["makespan"]


def test_an_interrupted_improvement_ends_as_if_it_had_run_through(tmp_path: Path) -> None:
    whole = improve(tmp_path / "whole", SPEC, workers=0)

    def stop(step: int) -> None:
        if step == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        improve(tmp_path / "parts", SPEC, workers=0, on_step=stop)
    with pytest.raises(InvalidInput, match="holds an improvement; give another --out, or --resu"):
        improve(tmp_path / "parts", SPEC, workers=0)
    with pytest.raises(InvalidInput, match="with other settings"):
        improve(tmp_path / "parts", replace(SPEC, micro_batches=1), workers=0, resume=True)
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
    line = ["improve", "--out", tmp_path / "x", "--steps", 2, "--check-every", 1, "--workers", 0]
    line += ["--problems", 1, "--rollouts", 2, "--tasks", 20, 30, "--width", 4, "--rounds", 1]
    line += ["--decode", "topk", "--imitation-steps", 1, "--teacher", "heft"]
    done = deepsched_here(capsys, *line)
    assert done.returncode == 0
    assert "step 2, " in done.stdout
    assert "x HEFT in training" in done.stdout
    assert str(tmp_path / "x" / CHECKPOINT) in done.stdout
    config = json.loads((tmp_path / "x" / CHECKPOINT / "config.json").read_text())
    assert config["config"] == {"width": 4, "rounds": 1, "decode": "topk"}
    step = config["meta"]["improve"]["step"]
    assert (step["teacher"], step["network"]) == ("heft", config["config"])
    again = deepsched_here(capsys, *line)
    assert (again.returncode, again.stdout) == (2, "")
    assert "--resume" in again.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--rollouts", "3"), "must be even"),
        (("--tasks", "50", "20"), "the least comes first"),
        (("--steps", "0"), "'--steps': 0 is not in the range"),
    ],
)
def test_mistakes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: tuple[Any, ...], message: str
) -> None:
    done = deepsched_here(capsys, "improve", "--out", tmp_path / "x", *options)
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr
    assert not (tmp_path / "x").exists()
