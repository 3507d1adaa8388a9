"""The paper's claims: oracles err as often as they say, means, and nothing is measured twice."""

from __future__ import annotations

import itertools
import json
import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from deepsched.baselines.errors import InvalidInput
from deepsched.baselines.heft import heft
from deepsched.baselines.machines import make_machines
from deepsched.baselines.problem import make_problem
from deepsched.baselines.ranks import release_order
from deepsched.baselines.registry import teacher_rng
from deepsched.baselines.schedule import violations
from deepsched.pipeline.benchmarks.claims.cells import Cell, result, stored
from deepsched.pipeline.benchmarks.claims.means import arithmetic_mean, geometric_mean
from deepsched.pipeline.benchmarks.claims.problems import SMALL, family, small_problems, source
from deepsched.pipeline.benchmarks.claims.simple import (
    ACCURACIES,
    SIMPLE,
    arrival_order,
    earliest_finish,
    fastest,
    oracle,
    simple_ratios,
)
from deepsched.pipeline.labelling.paper_preset import GRAPHS, PaperSource
from tests.pipeline.cli_helpers import deepsched_here

if TYPE_CHECKING:
    from pathlib import Path


def test_problems_are_the_presets_on_few_machines_and_splits_share_none() -> None:
    groups = {split: small_problems(split, 9, 16) for split in ("train", "val", "test")}
    ids = {
        split: [int(problem.name.rpartition("sample")[2]) for problem in problems]
        for split, problems in groups.items()
    }
    assert ids["train"] == [0, 1, 2, 3, 4, 5, 6, 7, 10]
    assert ids["val"] == [8, 18, 28, 38, 48, 58, 68, 78, 88]
    assert all(k % 10 == 9 for k in ids["test"])
    for problem in (one for problems in groups.values() for one in problems):
        assert problem.n_machines == 16
        assert SMALL[0] <= problem.n_tasks <= SMALL[1]
        assert family(problem) in GRAPHS


def test_at_the_papers_size_they_are_those_of_the_preset() -> None:
    preset = PaperSource(seed=0)
    own = source(188, preset.tasks).problem(3)
    np.testing.assert_array_equal(own.etc, preset.problem(3).etc)


@pytest.mark.parametrize("accuracy", ACCURACIES)
def test_an_oracle_is_right_as_often_as_it_says(accuracy: float) -> None:
    problems = small_problems("test", 12, 16)
    hits, tasks, expected = 0, 0, 0.0
    for k, problem in enumerate(problems):
        schedule = oracle(problem, teacher_rng(0, k, "oracle"), accuracy=accuracy)
        assert violations(problem, schedule) == []
        hits += int((schedule.proc == heft(problem).proc).sum())
        tasks += problem.n_tasks
        chance = 1 / np.isfinite(problem.etc).sum(axis=1)  # where it errs it may hit, too
        expected += float((accuracy + (1 - accuracy) * chance).sum())
    deviation = math.sqrt(tasks * accuracy * (1 - accuracy))
    assert abs(hits - expected) <= 4 * deviation


def test_an_oracle_that_is_always_right_makes_the_schedule_of_heft() -> None:
    for k, problem in enumerate(small_problems("test", 5, 16)):
        schedule = oracle(problem, teacher_rng(0, k, "oracle"), accuracy=1.0)
        np.testing.assert_allclose(schedule.aft, heft(problem).aft)


def test_a_worse_oracle_errs_wherever_a_better_one_does() -> None:
    (problem,) = small_problems("test", 1, 16)
    wrong = [
        oracle(problem, teacher_rng(0, 0, "oracle"), accuracy=one).proc != heft(problem).proc
        for one in ACCURACIES
    ]
    for better, worse in itertools.pairwise(wrong):
        assert (worse | ~better).all()


def test_the_fastest_machine_and_the_earliest_finish_by_hand() -> None:
    problem = make_problem(
        machines=make_machines(2), etc=[[2.0, 3.0], [2.0, 3.0], [4.0, 9.0]], arrival=[0, 0, 1]
    )
    schedule = fastest(problem)
    assert schedule.proc.tolist() == [0, 0, 0]
    assert sorted(schedule.aft.tolist()) == [2.0, 4.0, 8.0]
    # Both tasks of time 0 tie but for their index; the second one finishes earlier on the other.
    schedule = earliest_finish(problem, release_order(problem))
    assert schedule.proc.tolist() == [0, 1, 0]
    assert schedule.aft.tolist() == [2.0, 3.0, 6.0]
    only = np.array([[True, False], [True, False], [False, True]])
    assert earliest_finish(problem, release_order(problem), only).proc.tolist() == [0, 0, 1]


def test_tasks_run_as_they_arrive_where_edges_allow() -> None:
    problem = make_problem(
        machines=make_machines(1), etc=np.ones((3, 1)), edges=([0], [1], [0.0]), arrival=[5, 0, 1]
    )
    assert arrival_order(problem).tolist() == [2, 0, 1]


def test_every_scheduler_has_its_ratio() -> None:
    (problem,) = small_problems("test", 1, 16)
    found = simple_ratios(problem, 9)
    assert list(found) == list(SIMPLE)
    assert found["HEFT"] == 1.0
    assert min(found.values()) > 0


def test_both_means_by_hand() -> None:
    assert arithmetic_mean([1.0, 2.0, 4.0]) == pytest.approx(7 / 3)
    assert geometric_mean([1.0, 2.0, 4.0]) == pytest.approx(2.0)


def counting(name: str, calls: list[str], settings: dict[str, Any]) -> Cell:
    def make(folder: Path) -> dict[str, Any]:
        calls.append(name)
        if settings.get("fails"):
            raise KeyboardInterrupt
        return {"name": name}

    return Cell(name=name, settings=settings, make=make)


def test_a_cell_that_is_there_is_not_measured_again(tmp_path: Path) -> None:
    calls: list[str] = []
    one = counting("one", calls, {"steps": (1, 2)})
    with pytest.raises(KeyboardInterrupt):
        result(counting("two", calls, {"fails": True}), tmp_path)
    assert result(one, tmp_path) == result(one, tmp_path) == {"name": "one"}
    assert calls == ["two", "one"]
    assert [path.name for path in tmp_path.iterdir()] == ["one.json"]


def test_a_cell_of_other_settings_or_a_damaged_one_is_named(tmp_path: Path) -> None:
    result(counting("one", [], {"steps": 1}), tmp_path)
    with pytest.raises(InvalidInput, match=r"one\.json: was measured with other settings"):
        stored(counting("one", [], {"steps": 2}), tmp_path)
    (tmp_path / "one.json").write_text('{"cell": "one"')
    with pytest.raises(InvalidInput, match=r"one\.json: cannot be read"):
        stored(counting("one", [], {"steps": 1}), tmp_path)


def test_the_command_goes_on_where_it_was_stopped(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "claims"
    line = ["benchmark", "claims", "--out", out, "--samples", 2, "--largest", 1000]
    line += ["--part", "untrained", "--part", "time", "--sizes", "20,40"]
    first = deepsched_here(capsys, *line)
    assert first.returncode == 0, first.stderr
    files = {path: path.read_bytes() for path in out.iterdir()}
    assert len(files) == 2 * 2 + 2
    removed = out / "time-40.json"
    removed.unlink()
    assert deepsched_here(capsys, *line).returncode == 0
    again = {path: path.read_bytes() for path in out.iterdir()}
    assert {path for path in files if files[path] != again[path]} <= {removed}
    assert set(json.loads(removed.read_text())["result"]) >= {"HEFT", "GA"}
    for words in ("GA, tasks by release", "published by the paper", "188 machines"):
        assert words in " ".join(first.stdout.split())


def test_sizes_that_are_none_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for sizes in ("many", "0"):
        line = ["benchmark", "claims", "--out", tmp_path, "--sizes", sizes]
        assert deepsched_here(capsys, *line).returncode == 2
