"""`deepsched tune` on Ray: killed and restored, several processes a trial, PBT, a time budget."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from deepsched.model.checkpoint_files import WEIGHTS
from deepsched.pipeline.training.config import merged_config
from deepsched.pipeline.training.course import make_course
from deepsched.pipeline.training.loop import fit
from deepsched.pipeline.training.plan import plan_training
from deepsched.pipeline.tune import command
from deepsched.pipeline.tuning import run
from tests.pipeline.training_helpers import GENERATED, PAPER, Notebook, config, tiny_dataset

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = [
    pytest.mark.ray,
    pytest.mark.usefixtures("local_ray"),
    # Ray's own: Ray Data warns of settings of its own, whoever imports it.
    pytest.mark.filterwarnings("ignore:`use_\\w+` is deprecated"),
]

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> str:
    return tiny_dataset(tmp_path_factory.mktemp("data") / "tiny", 30)


def settings(folder: Path, values: dict[str, Any]) -> str:
    path = folder / "settings.json"
    path.write_text(json.dumps(values))
    return str(path)


def trial_files(out: Path) -> list[bytes]:
    return [path.read_bytes() for path in sorted((out / "trials").iterdir())]


def on_validation(
    monkeypatch: pytest.MonkeyPatch, told: Callable[[Any, int, dict[str, Any]], None]
) -> None:
    """Let `told` see what a search hears of each validation, before it is written down."""
    validated = run.Watch.validated

    def seen(watch: Any, trial: Any, result: dict[str, Any]) -> None:
        told(watch, run.trial_number(trial), result)
        validated(watch, trial, result)

    monkeypatch.setattr(run.Watch, "validated", seen)


def test_a_search_survives_kills_of_driver_and_trial_and_a_damaged_note_of_ray(
    dataset: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
):
    out = tmp_path / "tune"
    args = ["--data", dataset, "--out", str(out), "--config", settings(tmp_path, PAPER)]
    args += ["--trials", "3", "--epochs", "3", "--max-concurrent", "1", "--scheduler", "none"]
    # The first trial has the setting as it is, a third one another; one of the rates diverges.
    args += ["--search", "learning_rate=1e-2,1e30", "--seed", "1"]
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
            if line.startswith("trial 1/3 ended"):
                process.kill()
    assert process.returncode == -9, "".join(said)
    assert not (out / "best.json").exists()
    before = trial_files(out)[0]
    assert json.loads(before)["state"] == "finished"
    notes = list((out / "ray").rglob("tuner.pkl"))
    assert len(notes) == 1
    notes[0].write_bytes(b"")

    killed: list[int] = []
    again: list[int] = []  # steps that the killed trial was validated after

    def told(watch: Any, number: int, result: dict[str, Any]) -> None:
        if number and not result.get("error"):
            again.append(result["step"])
            if not killed:
                killed.append(number)
                os.kill(result["pid"], signal.SIGKILL)

    on_validation(monkeypatch, told)
    assert command.main(args, standalone_mode=False) is None
    said = [line for line in capfd.readouterr().err.splitlines() if "tuner.pkl" in line]
    assert len(said) == 1
    assert "tuner.pkl: damaged" in said[0]
    assert len(killed) == 1
    assert trial_files(out)[0] == before
    rows = json.loads((out / "results.json").read_text())
    assert sorted(row["trial"] for row in rows) == [0, 1, 2]
    for row in rows:
        diverged = row["params"]["learning_rate"] == 1e30
        assert (row["state"] == "failed") == (row["score"] is None) == diverged
        assert ("lower the learning rate" in (row["error"] or "")) == diverged
        steps = [step for step, _ in row["validations"]]
        assert diverged or steps == sorted(set(steps)) == sorted(set(again))
    finished = [row["validations"] for row in rows if row["state"] == "finished"]
    assert len(finished) == 2
    assert finished[0] == finished[1]  # the same settings: the kill has changed nothing

    best = merged_config(out / "best.json", {})
    assert best.learning_rate == 1e-2
    plan = plan_training(dataset, tmp_path / "model", config_file=out / "best.json")
    assert plan.config == best
    assert command.main(args, standalone_mode=False) is None
    assert "holds the results of this search already" in capfd.readouterr().err


def test_two_processes_train_a_trial_as_one_does_until_time_is_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    out = tmp_path / "tune"
    args = ["--out", str(out), "--config", settings(tmp_path, GENERATED), "--trials", "3"]
    args += ["--steps", "6"]
    args += ["--workers-per-trial", "2", "--search", "learning_rate=5e-4..2e-3"]
    kept = []
    monkeypatch.setattr(run, "_remove", kept.append)  # leaves the states there
    # Room for one trial at a time: time is over in the second one.
    ended = False

    def told(watch: Any, number: int, result: dict[str, Any]) -> None:
        nonlocal ended
        ended = ended or number == 1

    on_validation(monkeypatch, told)
    monkeypatch.setattr(run.Watch, "over", property(lambda _: ended))
    assert command.main([*args, "--time-budget", "1h"], standalone_mode=False) is None
    rows = {row["trial"]: row for row in json.loads((out / "results.json").read_text())}
    assert {number: row["state"] for number, row in rows.items()} == {0: "finished", 1: "stopped"}
    assert rows[1]["steps"] == 4  # Tune asks for the time before it tells of a validation

    alone = Notebook(tmp_path / "alone")
    fit(make_course(None, config(GENERATED, steps=6)), reporter=alone)
    assert rows[0]["validations"] == [[r["step"], r["score"]] for r in alone.records]
    states = Path(kept[0]) / "trial-00000"
    assert (states / "step-00000006" / WEIGHTS).read_bytes() == (alone.at(6) / WEIGHTS).read_bytes()
    assert (
        "1 finished, 1 stopped; 1 of 3 did not begin in time" in (out / "report.html").read_text()
    )


def test_in_pbt_a_bad_trial_goes_on_from_the_state_of_a_good_one(dataset: str, tmp_path: Path):
    out = tmp_path / "tune"
    args = ["--data", dataset, "--out", str(out), "--config", settings(tmp_path, PAPER)]
    args += ["--trials", "2", "--epochs", "3", "--scheduler", "pbt", "--seed", "3"]
    args += ["--search", "learning_rate=1e-2,1e-9"]
    assert command.main(args, standalone_mode=False) is None
    one, other = json.loads((out / "results.json").read_text())
    assert {one["state"], other["state"]} == {"finished"}
    # Both have the first epochs of one of them: a rate of 1e-9 learns nothing.
    assert one["validations"][0] == other["validations"][0]
    assert one["validations"][0][1] != 0


# Two nodes of one CPU; the second one is killed when its trial has been validated once. A process
# of its own, as another Ray runs in that of the tests.
NODE_KILLED = """
import sys
from pathlib import Path
import ray
from ray.cluster_utils import Cluster
from deepsched.pipeline.tune import command
from deepsched.pipeline.tuning import run

cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
second = cluster.add_node(num_cpus=1)
ray.init(address=cluster.address, log_to_driver=False)
raylets = {process.process.pid for process in second.all_processes["raylet"]}
validated = run.Watch.validated

def told(watch, trial, result):
    validated(watch, trial, result)
    parent = int(Path(f"/proc/{result['pid']}/stat").read_text().rsplit(")", 1)[1].split()[1])
    if parent in raylets and not killed:
        killed.append(run.trial_number(trial))
        cluster.remove_node(second, allow_graceful=False)

killed = []
run.Watch.validated = told
command.main(sys.argv[1:], standalone_mode=False)
assert killed
ray.shutdown()
cluster.shutdown()
"""


def test_a_trial_whose_node_is_killed_goes_on_elsewhere(tmp_path: Path):
    out = tmp_path / "tune"
    args = ["--out", str(out), "--config", settings(tmp_path, {**GENERATED, "steps": 40})]
    args += ["--trials", "2", "--scheduler", "none", "--search", "seed=0"]
    done = subprocess.run(
        [sys.executable, "-c", NODE_KILLED, *args],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    one, other = json.loads((out / "results.json").read_text())
    assert {one["trial"], other["trial"]} == {0, 1}
    assert one["state"] == other["state"] == "finished"
    assert one["steps"] == 40
    assert one["validations"] == other["validations"]  # the same seed: only one was broken off
