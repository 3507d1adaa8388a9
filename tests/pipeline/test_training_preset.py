"""The problems that `deepsched` trains on: their shapes, and that `label` makes the same ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from deepsched.baselines.generate import FAMILIES
from deepsched.pipeline.dataset.storage import Dataset
from deepsched.pipeline.labelling import training_preset as preset
from deepsched.pipeline.training.items import GeneratedItems
from tests.pipeline.cli_helpers import deepsched_here
from tests.pipeline.training_helpers import GENERATED, config

if TYPE_CHECKING:
    from pathlib import Path

    from deepsched.baselines.problem import Problem


def same(one: Problem, other: Problem) -> bool:
    return all(
        a.tobytes() == b.tobytes()
        for a, b in ((one.etc, other.etc), (one.arrival, other.arrival), *_edges(one, other))
    )


def _edges(one: Problem, other: Problem) -> list[Any]:
    return list(zip(one.predecessors, other.predecessors, strict=True))


def test_problems_are_of_many_shapes_and_no_held_out_family() -> None:
    rng = np.random.default_rng(0)
    drawn = [preset.draw_problem(rng, (20, 100)) for _ in range(150)]
    families = {problem.name.split("-1")[0].split("-2")[0] for problem in drawn}
    assert {name.rpartition("-")[0] or name for name in families} >= {"grown", "layered"}
    assert all(20 <= problem.n_tasks <= 101 for problem in drawn)
    assert {problem.n_machines for problem in drawn} == set(preset.MACHINES)
    assert set(preset.FAMILIES) - {"grown"} < set(FAMILIES)


def test_development_problems_are_always_the_same_and_never_drawn() -> None:
    one, other = (preset.TrainingSource(seed=0, development=True) for _ in range(2))
    assert [one.problem(k).etc.tobytes() for k in range(4)] == [
        other.problem(k).etc.tobytes() for k in range(4)
    ]
    assert preset.TRAINING_SEEDS[1] <= preset.DEVELOPMENT_SEEDS[0]


def test_a_problem_follows_from_seed_and_number_alone() -> None:
    source, again = (preset.TrainingSource(seed=3, tasks=(20, 40)) for _ in range(2))
    assert same(source.problem(5), again.problem(5))
    others = [
        source.problem(6),
        preset.TrainingSource(seed=4, tasks=(20, 40)).problem(5),
        preset.TrainingSource(seed=3, tasks=(20, 40), development=True).problem(5),
    ]
    assert len({p.etc.tobytes() for p in [source.problem(5), *others]}) == 4


@pytest.mark.parametrize("sample_id", range(12))
def test_size_and_label_are_those_of_the_problem(sample_id: int) -> None:
    source = preset.TrainingSource(seed=0, tasks=(20, 60))
    problem = source.problem(sample_id)
    family = source.label(sample_id).removeprefix("training/")
    assert problem.name.startswith(family)
    assert source.size(sample_id) > 8 * problem.etc.size / 2


def test_no_seed_of_a_training_changes_what_it_is_validated_on() -> None:
    one, other = (GeneratedItems(config(GENERATED, seed=seed)) for seed in (0, 1))
    pairs = list(zip(one.validation(), other.validation(), strict=True))
    assert len(pairs) == GENERATED["development"]
    assert all(same(a.problem, b.problem) for a, b in pairs)
    learned, others = (items.item(0, imitated=False) for items in (one, other))
    assert learned.problem.etc.tobytes() != others.problem.etc.tobytes()
    assert learned.target is None
    assert one.item(0, imitated=True).target is not None


def test_the_objective_is_drawn_for_each_problem_alone() -> None:
    items = GeneratedItems(config(GENERATED, turnaround=0.3))
    drawn = [items.item(k, imitated=False) for k in range(100)]
    assert 0.15 < np.mean([one.objective == "turnaround" for one in drawn]) < 0.45
    assert items.item(7, imitated=False).objective == drawn[7].objective
    for share, expected in ((0.0, "makespan"), (1.0, "turnaround")):
        items = GeneratedItems(config(GENERATED, turnaround=share))
        assert {items.item(k, imitated=False).objective for k in range(10)} == {expected}


def test_label_makes_the_problems_of_the_training(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = ["label", "--preset", "training", "--samples", 4, "--seed", 5, "--out", tmp_path / "d"]
    done = deepsched_here(capsys, *line, "--schedulers", "heft", "--workers", 0)
    assert done.returncode == 0, done.stderr
    items = GeneratedItems(config(GENERATED, seed=5, most_tasks=preset.TASKS[1]))
    for sample_id, problem in Dataset.open(str(tmp_path / "d")).problems():
        assert same(problem, items.item(sample_id, imitated=False).problem)
