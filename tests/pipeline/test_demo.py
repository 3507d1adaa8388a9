"""The demo: its stages are commands that exist, and run end to end; run again, they are kept."""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

from deepsched.baselines.errors import InvalidInput
from deepsched.baselines.readers import ReadOptions, read_problem
from deepsched.baselines.schedule import make_schedule, violations
from deepsched.pipeline.demo import NOISE, QUICK, example_workflow, find_data, steps
from deepsched.pipeline.demo import command as demo_command
from deepsched.pipeline.label import command as label_command
from tests.pipeline.cli_helpers import ROOT


def workflow(name: str, tasks: int) -> dict[str, Any]:
    """Return a WfFormat document: one task, `tasks` - 2 in parallel, one behind them all."""
    ids = [f"t{k}" for k in range(tasks)]
    middle = ids[1:-1]
    specification = [
        {"name": i, "id": i, "parents": parents, "children": children, **files}
        for i, parents, children, files in [
            (ids[0], [], middle, {"inputFiles": [], "outputFiles": ["a"]}),
            *((i, [ids[0]], [ids[-1]], {"inputFiles": ["a"], "outputFiles": [i]}) for i in middle),
            (ids[-1], middle, [], {"inputFiles": middle, "outputFiles": []}),
        ]
    ]
    files = [{"id": i, "sizeInBytes": 1_000_000} for i in ("a", *middle)]
    execution = [{"id": i, "runtimeInSeconds": 1.0 + k % 3} for k, i in enumerate(ids)]
    return {
        "name": name,
        "schemaVersion": "1.5",
        "workflow": {
            "specification": {"tasks": specification, "files": files},
            "execution": {"makespanInSeconds": 9, "executedAt": "2026", "tasks": execution},
        },
    }


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data" / "wfinstances" / "fan"
    folder.mkdir(parents=True)
    for tasks in (6, 9, 12):
        (folder / f"fan-{tasks}.json").write_text(json.dumps(workflow(f"fan-{tasks}", tasks)))
    return tmp_path / "data"


@pytest.mark.parametrize("tune", [False, True])
@pytest.mark.parametrize("traces", [None, Path("/data/wfinstances")])
def test_every_step_is_a_command_that_takes_these_options(
    traces: Path | None, tune: bool, tmp_path: Path
) -> None:
    found = steps(traces, tmp_path, Path("x.json"), QUICK, tune=tune)
    stages = ["label", "tune", "train", "train", "evaluate", "schedule"]
    assert [step.stage for step in found] == (
        stages if tune else [s for s in stages if s != "tune"]
    )
    for step in found:
        stage = importlib.import_module(f"deepsched.pipeline.{step.stage}").command
        # Parses and checks the options without running anything.
        stage.make_context(step.stage, list(step.arguments))
    source = found[0].arguments[:2]
    assert source == (("--preset", "demo") if traces is None else ("--traces", str(traces)))


def test_the_data_folder_is_the_options_or_the_environments(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DEEPSCHED_DATA", raising=False)
    monkeypatch.chdir(data / "wfinstances")
    assert find_data(None) is None
    assert find_data(data) == data / "wfinstances"
    monkeypatch.setenv("DEEPSCHED_DATA", str(data))
    assert find_data(None) == data / "wfinstances"


def test_fetched_workflows_are_used_and_their_results_lie_apart(
    data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """So that `make demo`, `deepsched fetch wfinstances`, `make demo` is no change of a dataset."""
    made: list[str] = []
    monkeypatch.delenv("DEEPSCHED_DATA", raising=False)
    monkeypatch.chdir(data.parent)
    monkeypatch.setattr("deepsched.pipeline.demo.ray_session", lambda **_: contextlib.nullcontext())
    monkeypatch.setattr(
        "deepsched.pipeline.demo.run_step", lambda step: made.append(step.arguments[1])
    )
    monkeypatch.setattr("deepsched.pipeline.demo.ask_service", lambda checkpoint, workflow: None)
    ratios = {"trained_unguarded": 0.971, "shipped_guarded": 0.95, "ga": 2.0, "problems": 42}
    monkeypatch.setattr("deepsched.pipeline.demo.held_out_ratios", lambda *_: dict(ratios))
    demo_command.main([], standalone_mode=False)
    said = capsys.readouterr()
    assert made[0] == str(data / "wfinstances")
    assert f"the demo runs on the workflow files in {data / 'wfinstances'}\n" in said.err
    assert str(data.parent / "runs/demo-traces/evaluation/report.html") in said.out
    shutil.rmtree(data)
    made.clear()
    demo_command.main([], standalone_mode=False)
    said = capsys.readouterr()
    assert made[0] == "demo"
    assert "generated problems" in said.err
    assert json.loads(Path("runs/demo/summary.json").read_text()) == ratios
    assert re.search(r"deepsched, trained just now, without guard +0\.971\n", said.out)
    assert re.search(r"\nHEFT [\d.]+ → deepsched [\d.]+ s \(−[\d.]+ %\)\n$", said.out)
    assert str(data.parent / "runs/demo/evaluation/report.html") in said.out


def test_a_data_folder_without_workflows_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InvalidInput, match=f"--data {tmp_path}: there is no folder wfinstances"):
        find_data(tmp_path)
    monkeypatch.setenv("DEEPSCHED_DATA", str(tmp_path))
    with pytest.raises(InvalidInput, match="DEEPSCHED_DATA"):
        find_data(None)
    (tmp_path / "wfinstances").mkdir()
    with pytest.raises(InvalidInput, match="no workflow file"):
        example_workflow(tmp_path / "wfinstances", tmp_path)


def test_the_example_is_of_middling_size_or_generated(data: Path, tmp_path: Path) -> None:
    assert example_workflow(data / "wfinstances", tmp_path).name == "fan-9.json"
    generated = example_workflow(None, tmp_path)
    assert read_problem(generated).n_tasks > 1


def demo(data: Path, out: Path, ray_folder: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, ROOT / "pipeline" / "demo.py", "--quick", "--data", data, "--out", out],
        env={
            **os.environ,
            "RAY_AUTH_MODE": "disabled",
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_TMPDIR": ray_folder,
        },
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


@pytest.mark.ray
@pytest.mark.usefixtures("local_ray")
def test_the_demo_runs_every_stage_and_keeps_what_is_finished(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    ray_folder = tempfile.mkdtemp(prefix="rt", dir="/tmp")  # short: socket paths are limited
    try:
        first = demo(data, out, ray_folder)
    finally:
        shutil.rmtree(ray_folder, ignore_errors=True)
    assert first.returncode == 0, first.stderr
    assert "Traceback" not in first.stderr
    assert str(out / "evaluation" / "report.html") in first.stdout
    assert "tasks scheduled by deepsched, makespan" in first.stdout
    document = json.loads((out / "evaluation" / "evaluation.json").read_text())
    assert [group["samples"] for group in document["groups"]] == [4, 4, 4]
    page = (out / "evaluation" / "report.html").read_text()
    for name in document["groups"][0]["schedulers"]:
        assert name in first.stdout
        assert name in page
    assert [record["step"] for record in document["training"]] == [5, 10, 15, 20]
    summary = json.loads((out / "summary.json").read_text())
    assert summary.pop("problems") == 4
    assert set(summary) == {*("trained_unguarded", "shipped_guarded", "shipped_32", "ga", "paper")}
    assert summary["shipped_32"] <= summary["shipped_guarded"] <= 1.0 < summary["paper"]
    assert re.search(r"\nHEFT [\d.]+ → deepsched [\d.]+ s \([+−][\d.]+ %\)\n$", first.stdout)
    problem = read_problem(data / "wfinstances" / "fan" / "fan-9.json", ReadOptions(noise=NOISE))
    answer = json.loads((out / "schedule.json").read_text())
    places = {name: k for k, name in enumerate(problem.machines.ids)}
    schedule = make_schedule(
        answer["scheduler"],
        [places[task["machine"]] for task in answer["tasks"]],
        [task["start"] for task in answer["tasks"]],
        [task["finish"] for task in answer["tasks"]],
    )
    assert violations(problem, schedule) == []
    assert (out / "schedule.html").exists()

    # Again, here; the service was asked once, which is enough.
    files = ("data/problems/part-00000.parquet", "model/history.json", "evaluation/evaluation.json")
    stamps = {name: (out / name).stat().st_mtime_ns for name in files}
    monkeypatch.setattr("deepsched.pipeline.demo.ask_service", lambda checkpoint, workflow: None)
    capfd.readouterr()
    demo_command.main(["--quick", "--data", str(data), "--out", str(out)], standalone_mode=False)
    again = capfd.readouterr().out
    assert {name: (out / name).stat().st_mtime_ns for name in files} == stamps
    parts = re.search(r"files +(\d+) of .*; (\d+) of them were there already", again)
    assert parts is not None
    assert parts[1] == parts[2]
    assert str(out / "evaluation" / "report.html") in again


def test_a_stage_that_fails_ends_the_demo(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from click.exceptions import Exit

    from deepsched.pipeline.demo import Step, run_step

    monkeypatch.setattr(label_command, "callback", lambda **_: 1)
    with pytest.raises(Exit) as stopped:
        run_step(Step(stage="label", arguments=("--out", str(tmp_path))))
    assert stopped.value.exit_code == 1
