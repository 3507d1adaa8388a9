"""`deepsched tune`: search spaces, and one real search that is killed and restored."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deepsched.baselines.errors import InvalidInput
from deepsched.model.networks import NETWORKS, network_config
from deepsched.pipeline.training.config import TrainConfig, make_config, merged_config
from deepsched.pipeline.training.plan import plan_training
from deepsched.pipeline.tune import command
from deepsched.pipeline.tuning.plan import note_search, plan_search
from deepsched.pipeline.tuning.results import TrialResult, finished_search, results_csv
from deepsched.pipeline.tuning.search_space import (
    default_space,
    parse_search,
    search_space,
    trial_config,
)
from tests.pipeline.training_helpers import PAPER, tiny_dataset

# Ray's own: Ray Data warns of settings of its own, whoever imports it.
pytestmark = pytest.mark.filterwarnings("ignore:`use_\\w+` is deprecated")

ROOT = Path(__file__).resolve().parent.parent.parent
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


@pytest.mark.parametrize("network", NETWORKS)
def test_every_default_search_gives_settings_that_the_network_takes(network: str):
    config = make_config({"network": network}, where="test")
    for params in draws(default_space(network), 20, config):
        trial = trial_config(config, params, where="test")
        assert trial.learning_rate == params["learning_rate"]
        built = network_config(network, trial.network_options)
        for name, value in params.items():
            if name.startswith("network_options."):
                assert getattr(built, name.removeprefix("network_options.")) == value


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


def test_the_table_lists_every_trial_and_every_setting():
    results = [
        TrialResult(trial="a", params={"x": 1}, steps=3, score=0.5, error=None),
        TrialResult(trial="b", params={"x": 2}, steps=1, score=None, error="bad"),
    ]
    rows = list(csv.DictReader(results_csv(results).splitlines()))
    assert [(row["rank"], row["trial"], row["x"]) for row in rows] == [
        ("1", "a", "1"),
        ("2", "b", "2"),
    ]
    assert (rows[0]["score"], rows[1]["error"]) == ("0.5", "bad")


@pytest.mark.ray
@pytest.mark.usefixtures("local_ray")
def test_a_killed_search_is_restored_and_its_best_settings_train(
    dataset: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
):
    out = tmp_path / "tune"
    settings = tmp_path / "small.json"
    settings.write_text(json.dumps(PAPER))
    # One of the rates diverges: such a trial fails, the search goes on. This seed draws it third.
    args = ["--data", dataset, "--out", str(out), "--config", str(settings), "--trials", "3"]
    args += [
        "--epochs",
        "2",
        "--max-concurrent",
        "1",
        "--seed",
        "11",
        "--search",
        "learning_rate=1e-2,1e30",
    ]
    with subprocess.Popen(
        [sys.executable, str(ROOT / "pipeline" / "tune.py"), *args],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "RAY_ADDRESS": "local"},
    ) as process:
        assert process.stderr is not None
        said = []
        for line in process.stderr:
            said.append(line)
            if line.startswith("trial 2/3 ended"):
                process.kill()
    assert process.returncode == -9, "".join(said)
    assert not (out / "best.json").exists()
    first = sorted((out / "ray" / "search").glob("run_trial_*_00000_*"))
    assert len(first) == 1
    before = (first[0] / "result.json").read_bytes()
    assert before.count(b"\n") == 2

    assert command.main(args, standalone_mode=False) is None
    assert sorted((out / "ray" / "search").glob("run_trial_*_00000_*")) == first
    assert (first[0] / "result.json").read_bytes() == before
    rows = json.loads((out / "results.json").read_text())
    assert len({row["trial"] for row in rows}) == 3
    scores = [row["score"] for row in rows if row["score"] is not None]
    assert len(scores) == 2
    assert scores == sorted(scores)
    for row in rows:
        diverged = row["params"]["learning_rate"] == 1e30
        assert (row["score"] is None) == diverged
        assert ("lower the learning rate" in (row["error"] or "")) == diverged

    best = merged_config(out / "best.json", {})
    assert best.learning_rate == 1e-2
    plan = plan_training(dataset, tmp_path / "model", config_file=out / "best.json")
    assert plan.config == best
    capfd.readouterr()
    assert command.main(args, standalone_mode=False) is None
    assert "holds the results of this search already" in capfd.readouterr().err
