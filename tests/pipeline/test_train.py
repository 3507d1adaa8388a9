"""`deepsched train`: what it refuses, and real runs on Ray Train."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from deepsched.baselines.errors import InvalidInput
from deepsched.baselines.schedule import violations
from deepsched.model.networks.paper.scheduler import PaperScheduler
from deepsched.pipeline.train import command
from deepsched.pipeline.training.board import Board
from deepsched.pipeline.training.config import make_config
from deepsched.pipeline.training.data import Share
from deepsched.pipeline.training.loop import TrainingData, fit
from deepsched.pipeline.training.plan import note_training, plan_training, plan_workers
from deepsched.pipeline.training.run import run_training
from deepsched.pipeline.training.worker import WorkerSpec, train_worker, training_data
from tests.pipeline.training_helpers import (
    SMALL,
    Notebook,
    tiny_dataset,
    tiny_problem,
    without_seconds,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from deepsched.pipeline.training.board import Status
    from deepsched.pipeline.training.state import History

# Ray's own: Ray Data warns of settings of its own, whoever imports it.
pytestmark = pytest.mark.filterwarnings("ignore:`use_\\w+` is deprecated")

ROOT = Path(__file__).resolve().parent.parent.parent
WEIGHTS = "model.safetensors"


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> str:
    return tiny_dataset(tmp_path_factory.mktemp("data") / "tiny", 30)


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    path = tmp_path / "small.json"
    path.write_text(json.dumps(SMALL))
    return path


def plain(uri: str, folder: Path, options: Mapping[str, Any]) -> History:
    """Train in this process, without Ray."""
    plan = plan_training(uri, folder, options={**SMALL, **options})
    share = training_data(uri, plan.config, Share())
    data = TrainingData(train=list(share.train), val=list(share.val))
    return fit(plan.config, data, reporter=Notebook(folder))


def run(*args: object) -> Any:
    return command.main([str(arg) for arg in args], standalone_mode=False)


def run_fails(*args: object) -> bool:
    with pytest.raises(InvalidInput):
        run(*args)
    return True


def assert_published(out: Path, epochs: int) -> History:
    history = json.loads((out / "history.json").read_text())
    assert [record["epoch"] for record in history] == list(range(1, epochs + 1))
    learned = PaperScheduler.load(out / "checkpoint")
    best = min(history, key=lambda record: record["val_loss"])
    assert learned.meta["epoch"] == best["epoch"]
    problem = tiny_problem(3)
    assert violations(problem, learned(problem)) == []
    return history


def test_by_default_one_process_a_gpu_or_one_or_two_on_cpus():
    assert plan_workers(None, {"CPU": 16, "GPU": 4}) == (4, True)
    assert plan_workers(2, {"CPU": 16, "GPU": 4}) == (2, True)
    assert plan_workers(None, {"CPU": 2}) == (1, False)
    assert plan_workers(None, {"CPU": 3}) == (1, False)
    assert plan_workers(None, {"CPU": 64}) == (2, False)
    assert plan_workers(3, {"CPU": 64}) == (3, False)


def test_what_cannot_be_trained_on_is_refused_before_ray_starts(dataset: str, tmp_path: Path):
    with pytest.raises(InvalidInput, match="no labels of 'peft'; it has: heft"):
        plan_training(dataset, tmp_path, options={"teacher": "peft"})
    for network in ("papyrus", "deepsched"):
        with pytest.raises(
            InvalidInput, match=f"network '{network}': paper is trained here; `deepsched improve`"
        ):
            plan_training(dataset, tmp_path, options={"network": network})
    with pytest.raises(InvalidInput, match="network_options: unknown field 'wdth'; one of: width"):
        plan_training(dataset, tmp_path, options={"network_options": {"wdth": 3}})
    with pytest.raises(InvalidInput, match="learning_rate = -1"):
        plan_training(dataset, tmp_path, options={"learning_rate": -1})
    with pytest.raises(InvalidInput, match=r"manifest\.json is missing"):
        plan_training(str(tmp_path / "nothing"), tmp_path)
    failed = tiny_dataset(tmp_path / "failed", 12, fails=True)
    with pytest.raises(InvalidInput, match=r"12 of 12 could not be scheduled, .* sample 0: "):
        plan_training(failed, tmp_path)
    assert run_fails("--data", dataset, "--out", tmp_path / "new", "--epochs", 0)
    assert not (tmp_path / "new").exists()


def test_another_run_gets_another_name_unless_it_resumes(dataset: str, tmp_path: Path):
    first = plan_training(dataset, tmp_path, options={"epochs": 7})
    assert plan_training(dataset, tmp_path).run != first.run
    second = plan_training(dataset, tmp_path, options={"epochs": 7, "learning_rate": 0.5})
    note_training(second)
    again = plan_training(dataset, tmp_path, resume=True, options={"epochs": 9})
    assert (again.run, again.config.learning_rate, again.config.epochs) == (second.run, 0.5, 9)
    assert (again.n_train, again.n_val) == (24, 3)
    limited = plan_training(dataset, tmp_path / "x", options={"limit_samples": 5})
    assert (limited.n_train, limited.n_val) == (5, 3)


def test_a_training_goes_on_only_as_what_it_was(dataset: str, tmp_path: Path):
    note_training(plan_training(dataset, tmp_path))
    with pytest.raises(InvalidInput, match="a training with seed 0, not 1; give another --out"):
        plan_training(dataset, tmp_path, resume=True, options={"seed": 1})
    other = tiny_dataset(tmp_path / "other", 20)
    with pytest.raises(InvalidInput, match="which was another dataset"):
        plan_training(other, tmp_path, resume=True)
    (tmp_path / "train.json").write_text("{}")
    with pytest.raises(InvalidInput, match=r"train\.json: cannot be read"):
        plan_training(dataset, tmp_path, resume=True)


@pytest.mark.ray
@pytest.mark.usefixtures("local_ray")
def test_two_processes_learn_what_one_does_with_their_batches_together(
    dataset: str, settings: Path, tmp_path: Path
):
    # One step an epoch over all samples, so that one process and two do the same sums.
    whole = {"tasks_per_batch": 100_000, "epochs": 3}
    out = tmp_path / "two"
    run(
        *("--data", dataset, "--out", out, "--config", settings, "--workers", 2, "--epochs", 3),
        *("--tasks-per-batch", 100_000),
    )
    history = assert_published(out, 3)
    expected = plain(dataset, tmp_path / "plain", whole)
    for mine, theirs in zip(history, expected, strict=True):
        for name in ("train_loss", "val_loss", "val_accuracy", "val_chance"):
            assert mine[name] == pytest.approx(theirs[name], rel=1e-4)
    two = load_file(out / "checkpoint" / WEIGHTS)
    best = min(expected, key=lambda record: record["val_loss"])["epoch"]
    one = load_file(tmp_path / "plain" / f"epoch-{best}" / WEIGHTS)
    # Where a gradient is nearly zero Adam makes a full step of its rounding error.
    close = np.concatenate([np.isclose(two[key], one[key], atol=1e-4).ravel() for key in one])
    assert close.mean() > 0.98


@pytest.mark.ray
@pytest.mark.usefixtures("local_ray")
def test_a_users_mistake_met_in_training_is_noted_and_not_met_again(dataset: str):
    import ray
    from ray.train.torch import TorchTrainer
    from ray.train.v2.api.config import ScalingConfig

    board: Any = ray.remote(num_cpus=0)(Board).remote()
    diverging = make_config({**SMALL, "learning_rate": 1e30}, where="test")
    spec = WorkerSpec(data=dataset, config=diverging, meta={})
    for _ in range(2):  # as after a restart by Ray Train
        task = {"spec": spec, "board": board}
        in_this_process: Any = ScalingConfig(num_workers=0)
        TorchTrainer(train_worker, train_loop_config=task, scaling_config=in_this_process).fit()
        status = ray.get(board.status.remote())
        assert "lower the learning rate" in status.error
        assert status.attempt == 1


@pytest.mark.ray
@pytest.mark.usefixtures("local_ray")
def test_neither_ctrl_c_nor_a_killed_process_changes_what_is_learned(
    dataset: str, settings: Path, tmp_path: Path
):
    out = tmp_path / "model"
    args = ["--data", dataset, "--out", str(out), "--config", str(settings), "--workers", "1"]
    said = []
    with subprocess.Popen(
        [sys.executable, str(ROOT / "pipeline" / "train.py"), *args, "--epochs", "100000"],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "RAY_ADDRESS": "local"},
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            said.append(line)
            if line.startswith("epoch 5/"):
                process.send_signal(signal.SIGINT)
    text = "".join(said)
    assert process.returncode == 130, text
    assert "Traceback" not in text
    assert "with --resume goes on" in text
    assert not (out / "history.json").exists()

    done = max(int(line.split("/")[0].split()[1]) for line in said if line.startswith("epoch "))
    epochs = done + 30  # enough of them for the kill to come between two
    seen: list[Status] = []
    killed: list[int] = []

    def kill_once(status: Status) -> None:
        seen.append(status)
        if len(status.history) > done and status.attempt == 1 and not killed:
            killed.append(kill_training_process())

    plan = plan_training(dataset, out, options={"epochs": epochs}, resume=True)
    trained = run_training(plan, on_status=kill_once)
    assert len(killed) == 1
    assert seen[-1].attempt == 2
    # It went on, though maybe not from the very last epoch: Ray Train takes note a moment later.
    assert all(len(status.history) >= 1 for status in seen if status.attempt)
    expected = plain(dataset, tmp_path / "plain", {"epochs": epochs})
    assert without_seconds(trained.history) == without_seconds(expected)
    assert assert_published(out, epochs) == trained.history
    best = min(expected, key=lambda record: record["val_loss"])["epoch"]
    published = load_file(out / "checkpoint" / WEIGHTS)
    for key, value in load_file(tmp_path / "plain" / f"epoch-{best}" / WEIGHTS).items():
        assert torch.equal(published[key], value)

    # Finished: refused, or said, as the user asks.
    with pytest.raises(InvalidInput, match=r"holds a finished training; .* --resume"):
        run(*args)
    run(*args, "--resume")


def kill_training_process() -> int:
    """Kill the one training process of the Ray that runs, and return its id."""
    import ray
    from ray.util.state import list_actors

    # Without the address, the actors of another Ray on this machine could be meant.
    address = ray.get_runtime_context().gcs_address
    actors = list_actors(address, filters=[("state", "=", "ALIVE")])
    (pid,) = (actor.pid for actor in actors if "TrainWorker" in actor.class_name)
    os.kill(pid, signal.SIGKILL)
    return int(pid)
