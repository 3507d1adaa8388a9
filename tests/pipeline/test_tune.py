"""`deepsched tune` without Ray: search spaces, plans, records, results and the report."""

from __future__ import annotations

import csv
import pickle
import re
from contextlib import nullcontext
from dataclasses import asdict
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import click
import numpy as np
import pytest

from deepsched.baselines.errors import InvalidInput
from deepsched.model.networks import NETWORKS, network_config
from deepsched.pipeline.training.config import TrainConfig, complete, make_config
from deepsched.pipeline.tune import Duration, command
from deepsched.pipeline.tuning.choices import make_scheduler, make_searcher
from deepsched.pipeline.tuning.importance import importance
from deepsched.pipeline.tuning.plan import note_search, plan_search
from deepsched.pipeline.tuning.records import TrialRecord, read_records, write_record
from deepsched.pipeline.tuning.report import render
from deepsched.pipeline.tuning.results import TrialResult, finished_search, results_csv
from deepsched.pipeline.tuning.run import remove_older_runs
from deepsched.pipeline.tuning.search_space import (
    CHANGEABLE,
    default_space,
    drawn,
    parse_search,
    perturbations,
    present_values,
    search_space,
    trial_config,
    within,
)
from tests.pipeline.training_helpers import tiny_dataset

if TYPE_CHECKING:
    from pathlib import Path

# Ray's own: Ray Data warns of settings of its own, whoever imports it.
pytestmark = pytest.mark.filterwarnings("ignore:`use_\\w+` is deprecated")

CONFIG = make_config({"network": "paper"}, where="test")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> str:
    return tiny_dataset(tmp_path_factory.mktemp("data") / "tiny", 30)


def draws(
    ranges: dict[str, str], n: int = 200, config: TrainConfig = CONFIG
) -> list[dict[str, Any]]:
    space = search_space(config, ranges)
    np.random.seed(0)  # noqa: NPY002 - Tune draws from numpy's global generator
    return [{name: domain.sample() for name, domain in space.items()} for _ in range(n)]


def test_a_range_is_log_uniform_and_a_list_uniform():
    found = draws({"learning_rate": "1e-4..1e-2", "network_options.width": "8,16"}, 400)
    rates = np.array([params["learning_rate"] for params in found])
    assert 1e-4 <= rates.min() < rates.max() <= 1e-2
    assert 0.4 < (rates < 1e-3).mean() < 0.6
    widths = [params["network_options.width"] for params in found]
    assert set(widths) == {8, 16}
    assert 0.4 < np.mean([width == 8 for width in widths]) < 0.6


def test_a_range_of_whole_numbers_has_both_ends():
    found = {params["network_options.width"] for params in draws({"network_options.width": "2..4"})}
    assert found == {2, 3, 4}


@pytest.mark.parametrize("generated", [False, True])
@pytest.mark.parametrize("network", NETWORKS)
def test_every_default_search_gives_settings_that_the_network_takes(network: str, generated: bool):
    config = complete(make_config({"network": network}, where="test"), generated=generated)
    ranges = default_space(config, generated=generated)
    assert ("tasks_per_micro_batch" in ranges) == (network == "paper" and not generated)
    assert present_values(config, ranges) is not None  # so that the first trial has the defaults
    for number in range(1, 20):
        params = drawn(config, ranges, number)
        trial = trial_config(config, params, where="test")
        assert trial.learning_rate == params["learning_rate"]
        built = network_config(network, trial.network_options)
        for name, value in params.items():
            if name.startswith("network_options."):
                assert getattr(built, name.removeprefix("network_options.")) == value


def test_rollouts_are_not_searched_where_there_are_none():
    values = {"objective": "imitation"}
    config = complete(make_config(values, where="test"), generated=True)
    assert "rollouts" not in default_space(config, generated=True)


def test_a_trial_draws_by_its_number_and_the_first_one_has_the_settings_as_they_are():
    config = complete(CONFIG, generated=False)
    ranges = {"learning_rate": "1e-3..1e-2", "network_options.width": "16,64"}
    there = {"learning_rate": 4e-3, "network_options.width": 64}
    assert drawn(config, ranges, 0) == there
    two, three = drawn(config, ranges, 2), drawn(config, ranges, 3)
    assert two != three
    assert drawn(config, ranges, 2) == two
    beyond = {"learning_rate": "1e-5..1e-3"}
    assert present_values(config, beyond) is None
    assert 1e-5 <= drawn(config, beyond, 0)["learning_rate"] <= 1e-3


def test_pbt_perturbs_what_may_change_and_within_its_range():
    assert {"learning_rate", "ema", "weight_decay", "gradient_clip"} <= set(CHANGEABLE)
    assert not {"rollouts", "seed", "network_options", "micro_batches"} & set(CHANGEABLE)
    ranges = {"learning_rate": "1e-3..1e-2", "network_options.width": "8,16", "schedule": "root"}
    found = perturbations(complete(CONFIG, generated=False), ranges)
    assert list(found) == ["learning_rate", "schedule"]
    assert found["schedule"] == ["root"]
    params = {"learning_rate": 0.012, "schedule": "root", "network_options.width": 8}
    assert within(ranges, params) == params | {"learning_rate": 1e-2}
    with pytest.raises(InvalidInput, match="search at least one of learning_rate, schedule"):
        perturbations(CONFIG, {"network_options.width": "8,16"})


@pytest.mark.parametrize(
    ("pair", "part"),
    [
        ("learning_rate", "is not FIELD=LOW..HIGH or FIELD=A,B,C"),
        ("rate=1..2", "unknown field 'rate'"),
        ("network_options.wide=1,2", "wide"),
        ("learning_rate=1e-2..1e-3", "the ends of a range"),
        ("learning_rate=-1,1", "learning_rate = -1"),
        ("tasks_per_micro_batch=many,1", "tasks_per_micro_batch = 'many'"),
        ("weight_decay=0..1", "the first one above 0"),
        ("epochs=1,2", "cannot be searched"),
        ("staleness=0,1", "cannot be searched"),
        ("precision=bf16,float32", "cannot be searched"),
        ("max_workers=1,2", "cannot be searched"),
        ("early_stop=1,2", "cannot be searched"),
    ],
)
def test_a_bad_search_is_refused_with_its_field(pair: str, part: str):
    with pytest.raises(InvalidInput) as caught:
        search_space(CONFIG, parse_search([pair]))
    assert part in str(caught.value)


def test_another_search_in_the_same_folder_is_refused(dataset: str, tmp_path: Path):
    ranges = {"learning_rate": "1e-3..1e-2"}
    note_search(plan_search(dataset, tmp_path, CONFIG, ranges, 4))
    search = plan_search(dataset, tmp_path, CONFIG, ranges, 4)
    assert finished_search(search) is None
    with pytest.raises(InvalidInput, match="trials is 4 there, 5 now; give another --out"):
        plan_search(dataset, tmp_path, CONFIG, ranges, 5)
    (tmp_path / "results.json").write_text("{")
    with pytest.raises(InvalidInput, match=r"results\.json: cannot be read"):
        finished_search(search)


def test_a_search_without_validation_samples_is_refused(tmp_path: Path):
    few = tiny_dataset(tmp_path / "few", 5)
    with pytest.raises(InvalidInput, match="no validation sample"):
        plan_search(few, tmp_path, CONFIG, {}, 2)


def result(trial: int, score: float | None, **changes: Any) -> TrialResult:
    values: dict[str, Any] = {
        "trial": trial,
        "params": {"learning_rate": 10.0 ** -(2 + trial % 3), "schedule": "root"},
        "state": "failed" if score is None else "finished",
        "steps": 4,
        "score": score,
        "error": "<diverged> & gone" if score is None else None,
        "validations": [] if score is None else [(2, score + 0.1), (4, score)],
    }
    return TrialResult(**(values | changes))


def test_the_table_lists_every_trial_and_every_setting():
    results = [
        result(1, 0.5, params={"x": 1}),
        result(0, None, params={"x": 2}),
    ]
    rows = list(csv.DictReader(results_csv(results).splitlines()))
    assert [(row["rank"], row["trial"], row["x"]) for row in rows] == [
        ("1", "1", "1"),
        ("2", "0", "2"),
    ]
    assert (rows[0]["score"], rows[1]["error"]) == ("0.5", "<diverged> & gone")


def test_an_error_in_the_table_is_no_formula():
    (row,) = csv.DictReader(results_csv([result(0, None, error="=1+1")]).splitlines())
    assert row["error"] == "'=1+1"


def test_the_report_shows_all_trials_and_needs_nothing_from_the_network():
    results = [result(k, 0.9 + k / 100) for k in range(9)] + [result(9, None)]
    ranges = {"learning_rate": "1e-4..1e-2", "schedule": "root,constant"}
    document = {
        "network": "paper",
        "objective": "imitation",
        "data": "runs/<data>",
        "trials": 12,
        "scheduler": "asha",
        "searcher": "random",
        "ranges": ranges,
        "defaults": results[1].params,
        "results": [asdict(one) for one in results],
    }
    page = render(document)
    assert "10 trials on runs/&lt;data&gt;: 9 finished, 1 failed; 2 of 12 did not begin" in page
    assert "trial 0, 0.9000 × HEFT" in page
    assert "The defaults came to 0.9100" in page
    assert "&lt;diverged&gt; &amp; gone" in page
    assert page.count("<figure>") == 3
    found = set(re.findall(r'(?:src|href)="([^"]{0,20})|url\(|@import|<script', page))
    assert found == {"data:image/svg+xml;b"}


def test_importance_is_the_share_of_the_variance_of_ranks():
    rng = np.random.default_rng(0)
    params = [{"a": k % 2, "b": float(rng.random()), "c": "x"} for k in range(40)]
    scores: list[float | None] = [1.0 + one["a"] + 1e-6 * k for k, one in enumerate(params)]
    scores[1] = None  # a failed one counts as the worst
    found = importance(params, scores)
    # Ranks 0 to 39 in two halves: the variance is (40² - 1)/12, within a half (20² - 1)/12.
    adjusted = 1 - (399 / 1599) * 39 / 38
    assert found["a"] == pytest.approx(adjusted, abs=1e-3)
    assert found["b"] is not None
    assert found["b"] < 0.1
    assert found["c"] is None
    assert next(iter(found)) == "a"


def test_a_record_comes_back_and_a_damaged_one_is_named(tmp_path: Path):
    known = TrialRecord(trial=1, params={"x": 0.1}, validations=[(2, 1.5), (4, 1.25)])
    write_record(tmp_path, known)
    path = tmp_path / "trials" / "00002.json"
    for text in ("", '{"trial": 2', "[]", (path.with_name("00001.json")).read_text()):
        path.write_text(text)
        found, wrong = read_records(tmp_path, 3)
        assert found == {1: known}
        assert [line.startswith(f"{path}: cannot be read") for line in wrong] == [True]
    assert (known.steps, known.score) == (4, 1.25)


def test_asha_knows_the_trials_that_ended_before_a_restart(tmp_path: Path):
    search = plan_search(None, tmp_path, CONFIG, {"learning_rate": "1e-3..1e-2"}, 4)
    ended = [(1, 1.0), (2, 1.0), (3, 1.0)]
    records = {
        0: TrialRecord(trial=0, params={}, state="finished", validations=ended),
        1: TrialRecord(trial=1, params={}, state="running", validations=[(1, 9.0)]),
    }
    for known, decision in ((records, "STOP"), ({}, "CONTINUE")):
        scheduler = make_scheduler(search, 9, known)
        trial: Any = SimpleNamespace(trial_id="new")
        controller: Any = None
        scheduler.on_trial_add(controller, trial)
        first = {"validation": 1, "score": 2.0}
        assert scheduler.on_trial_result(controller, trial, first) == decision


def test_optuna_begins_with_what_is_given_and_never_draws_the_same_again(tmp_path: Path):
    ranges = {"learning_rate": "1e-3..1e-2", "network_options.width": "16,64"}
    search = plan_search(None, tmp_path, CONFIG, ranges, 30, searcher="optuna")

    def suggested(known: dict[int, TrialRecord], left: list[int], n: int) -> list[dict[str, Any]]:
        searcher, space, _ = make_searcher(search, known, left, None)
        assert space == {}
        return [searcher.suggest(str(k))["params"] for k in range(n)]

    new = suggested({}, list(range(30)), 3)
    assert new == suggested({}, list(range(30)), 3)
    assert new[0] == {"learning_rate": 4e-3, "network_options.width": 64}  # the defaults
    assert all(set(params) == set(ranges) for params in new)
    known = {
        0: TrialRecord(trial=0, params=new[0], state="finished", validations=[(1, 1.0)]),
        1: TrialRecord(trial=1, params=new[1], state="failed", error="diverged"),
        2: TrialRecord(trial=2, params=new[2]),
    }
    again = suggested(known, list(range(2, 30)), 3)
    assert again[0] == new[2]
    assert again[1] not in new


def test_what_ray_has_noted_is_removed_and_a_damaged_note_is_named(tmp_path: Path):
    search = plan_search(None, tmp_path, CONFIG, {"learning_rate": "1e-3..1e-2"}, 4)
    whole = pickle.dumps({"a": list(range(100))})
    for data, damaged in ((whole, False), (b"", True), (whole[:50], True), (b"\xff" * 9, True)):
        folder = tmp_path / "ray" / search.run / "ray-0123"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "tuner.pkl").write_bytes(data)
        (folder.parent / "trial-00000").mkdir(exist_ok=True)
        (folder.parent / "trial-00000" / "state").write_bytes(b"1")
        notes = remove_older_runs(search)
        assert len(notes) == damaged
        assert all("tuner.pkl: damaged" in note and "\n" not in note for note in notes)
        assert not (folder / "tuner.pkl").exists()
        assert (folder.parent / "trial-00000" / "state").exists()


def test_an_end_of_file_within_ray_is_no_interrupt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
):
    def broken(*_: Any, **__: Any) -> None:
        raise EOFError

    monkeypatch.setattr("deepsched.pipeline.tune.ray_session", lambda **_: nullcontext())
    monkeypatch.setattr("deepsched.pipeline.tuning.run.run_search", broken)
    code = command.main(["--out", str(tmp_path / "out")], standalone_mode=False)
    assert code == 1
    said = capfd.readouterr().err
    assert "Ray Tune broke off: EOFError; the same command goes on" in said
    assert "interrupted" not in said


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("90s", 90), ("20m", 1200), ("1.5h", 5400)]
)
def test_a_time_has_a_unit(text: str, seconds: float):
    assert Duration().convert(text, None, None) == seconds


@pytest.mark.parametrize("text", ["", "m", "20 minutes", "-1s", "nan", "infh", "0"])
def test_a_bad_time_is_refused(text: str):
    with pytest.raises(click.BadParameter, match="is not a time such as 90s, 20m or 2h"):
        Duration().convert(text, None, None)


def test_pbt_needs_random_settings_and_all_trials_at_once(tmp_path: Path):
    rates = {"learning_rate": "1e-3..1e-2"}
    with pytest.raises(InvalidInput, match="--searcher random"):
        plan_search(None, tmp_path, CONFIG, rates, 4, scheduler="pbt", searcher="optuna")
    args = ["--out", str(tmp_path), "--scheduler", "pbt", "--max-concurrent", "2"]
    with pytest.raises(InvalidInput, match="no --max-concurrent"):
        command.main(args, standalone_mode=False)
