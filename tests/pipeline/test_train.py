"""`deepsched train`: what it refuses, what it leaves behind, and real runs on Ray Train."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from deepsched.baselines.errors import InvalidInput, UnknownName
from deepsched.baselines.schedule import violations
from deepsched.model.networks.paper.scheduler import PaperScheduler
from deepsched.pipeline import train
from deepsched.pipeline.training.board import Board, Status
from deepsched.pipeline.training.checkpoints import Checkpoints
from deepsched.pipeline.training.course import make_course
from deepsched.pipeline.training.history import best_record
from deepsched.pipeline.training.loop import fit
from deepsched.pipeline.training.plan import note_training, plan_training, plan_workers
from deepsched.pipeline.training.run import run_training, start_board, train_here
from tests.pipeline.cli_helpers import EXAMPLE, ROOT, deepsched_here, said_by
from tests.pipeline.training_helpers import (
    GENERATED,
    PAPER,
    Notebook,
    config,
    same_weights,
    tiny_dataset,
    tiny_problem,
    without_seconds,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from deepsched.pipeline.training.history import History
    from tests.pipeline.s3_server import S3

# Ray's own: Ray Data warns of settings of its own, whoever imports it.
pytestmark = pytest.mark.filterwarnings("ignore:`use_\\w+` is deprecated")

PAPER_EPOCHS: dict[str, Any] = {**PAPER, "epochs": 3}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> str:
    return tiny_dataset(tmp_path_factory.mktemp("data") / "tiny", 30)


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    return written(tmp_path / "small.json", GENERATED)


def written(path: Path, values: Mapping[str, Any]) -> Path:
    path.write_text(json.dumps(values))
    return path


def here(out: Path, options: Mapping[str, Any], data: str | None = None, **more: Any) -> Any:
    """Train in this process, without Ray."""
    plan = plan_training(data, out, options={**options, "workers": 0}, **more)
    return train_here(plan, on_status=lambda _: None)


def there(out: Path, options: Mapping[str, Any], data: str | None = None, **more: Any) -> Any:
    """Train on the Ray that runs."""
    plan = plan_training(data, out, options=options, **more)
    return run_training(plan, on_status=lambda _: None)


def test_by_default_one_process_a_gpu_or_one_or_two_on_cpus() -> None:
    def planned(resources: dict[str, float], **options: int) -> tuple[int, bool]:
        return plan_workers(config(**options), resources)

    assert planned({"CPU": 16, "GPU": 4}) == (4, True)
    assert planned({"CPU": 16, "GPU": 4}, workers=2) == (2, True)
    assert planned({"CPU": 2}) == (1, False)
    assert planned({"CPU": 3}) == (1, False)
    assert planned({"CPU": 64}) == (2, False)
    assert planned({"CPU": 64}, workers=3) == (3, False)
    assert planned({"CPU": 64}, max_workers=1) == (1, False)
    assert planned({"CPU": 16, "GPU": 4}, max_workers=3) == (3, True)
    assert planned({"CPU": 16, "GPU": 4}, max_workers=8) == (4, True)


def test_a_local_ray_has_as_many_cpus_as_have_to_run_at_once(tmp_path: Path) -> None:
    """Or training would wait for them for ever."""
    many = 3 * (os.cpu_count() or 1)
    for options in ({"workers": many}, {"workers": many - 1, "rollout_workers": 1}):
        assert train._cpus(plan_training(None, tmp_path, options=options)) == many  # noqa: SLF001
    alone = train._cpus(plan_training(None, tmp_path))  # noqa: SLF001
    assert alone == os.cpu_count()


def test_states_are_found_from_any_folder_and_not_begun_anew_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    out = tmp_path / "model"
    here(out, GENERATED, storage="kept")
    monkeypatch.chdir(tmp_path / "elsewhere")
    plan = plan_training(None, out, resume=True, options={"steps": 6})
    assert plan.storage == str(tmp_path / "kept")
    assert Checkpoints.at(plan.states).steps() == [2, 4]
    moved = {"resume": True, "storage": str(tmp_path / "moved")}
    with pytest.raises(InvalidInput, match=r"states of this training are at .*kept.* move it to"):
        plan_training(None, out, **moved)
    (tmp_path / "moved").mkdir()
    (tmp_path / "kept" / plan.run).rename(tmp_path / "moved" / plan.run)
    again = plan_training(None, out, **moved)
    assert Checkpoints.at(again.states).steps() == [2, 4]


def test_a_training_that_ended_early_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "model"
    options = {**GENERATED, "steps": 50, "check_every": 1, "learning_rate": 1e-30}
    found = here(out, {**options, "early_stop": 2})
    assert found.history[-1]["step"] == 3
    done = deepsched_here(capsys, "train", "--out", out, "--resume", "--steps", 60)
    assert done.returncode == 0
    assert "training ended early after step 3; a larger --early-stop goes on" in done.stderr


def test_each_note_is_said_once_whoever_wrote_it(capsys: pytest.CaptureFixture[str]) -> None:
    show = train._Progress(10, 3)  # noqa: SLF001
    for notes in ([], ["no curves"], ["damaged", "no curves"], ["damaged", "damaged", "no curves"]):
        show.status(Status(notes=notes))
    assert capsys.readouterr().err.split("\n") == ["no curves", "damaged", "damaged", ""]


def test_what_cannot_be_trained_on_is_refused_before_ray_starts(
    dataset: str, tmp_path: Path
) -> None:
    for options in (
        {"network": "paper", "teacher": "peft"},
        {"objective": "imitation", "teacher": "peft"},
        {"imitation_steps": 3, "teacher": "peft"},
    ):
        with pytest.raises(InvalidInput, match="no labels of 'peft'; it has: heft"):
            plan_training(dataset, tmp_path, options=options)
    # Whose schedules nobody asks for need not be there.
    assert plan_training(dataset, tmp_path, options={"teacher": "peft"}).n_train == 24
    with pytest.raises(UnknownName, match="papyrus"):
        plan_training(dataset, tmp_path, options={"network": "papyrus"})
    with pytest.raises(InvalidInput, match="network_options: unknown field 'wdth'; one of: width"):
        plan_training(dataset, tmp_path, options={"network_options": {"wdth": 3}})
    with pytest.raises(InvalidInput, match="learning_rate = -1"):
        plan_training(dataset, tmp_path, options={"learning_rate": -1})
    with pytest.raises(InvalidInput, match=r"manifest\.json is missing"):
        plan_training(str(tmp_path / "nothing"), tmp_path)
    failed = tiny_dataset(tmp_path / "failed", 12, fails=True)
    with pytest.raises(InvalidInput, match=r"12 of 12 could not be scheduled, .* sample 0: "):
        plan_training(failed, tmp_path, options={"teacher": "heft"})


def test_another_run_gets_another_name_unless_it_resumes(dataset: str, tmp_path: Path) -> None:
    first = plan_training(dataset, tmp_path, options={"epochs": 7})
    assert plan_training(dataset, tmp_path).run != first.run
    second = plan_training(dataset, tmp_path, options={"epochs": 7, "learning_rate": 0.5})
    note_training(second)
    again = plan_training(dataset, tmp_path, resume=True, options={"epochs": 9})
    assert (again.run, again.config.learning_rate, again.config.epochs) == (second.run, 0.5, 9)
    counted = plan_training(dataset, tmp_path, resume=True, options={"steps": 9})
    assert (counted.config.steps, counted.config.epochs) == (9, None)
    assert (again.n_train, again.n_val) == (24, 3)
    limited = plan_training(dataset, tmp_path / "x", options={"limit_samples": 5})
    assert (limited.n_train, limited.n_val) == (5, 3)


def test_a_training_goes_on_only_as_what_it_was(dataset: str, tmp_path: Path) -> None:
    note_training(plan_training(dataset, tmp_path, options={"teacher": "heft"}))
    for name, value, there in (
        ("seed", 1, 0),
        ("rollouts", 16, 32),
        ("micro_batches", 3, 2),
        ("objective", "imitation", "policy-gradient"),
        ("turnaround", 0.5, 0.3),
    ):
        words = f"a training with {name} {there!r}, not {value!r}; give another --out"
        with pytest.raises(InvalidInput, match=words):
            plan_training(dataset, tmp_path, resume=True, options={name: value})
    with pytest.raises(InvalidInput, match="which was another dataset than generated problems"):
        plan_training(None, tmp_path, resume=True, options={"steps": 5})
    (tmp_path / "train.json").write_text("{}")
    with pytest.raises(InvalidInput, match=r"train\.json: cannot be read"):
        plan_training(dataset, tmp_path, resume=True)


@pytest.mark.parametrize("options", [PAPER, {"teacher": "heft"}], ids=["paper", "deepsched"])
def test_a_dataset_with_another_teacher_is_the_same_and_other_problems_are_not(
    options: dict[str, Any], tmp_path: Path
) -> None:
    data = tiny_dataset(tmp_path / "data", 20)
    first = plan_training(data, tmp_path / "model", options=options)
    note_training(first)
    tiny_dataset(tmp_path / "data", 20, teachers=("mct",))
    again = plan_training(data, tmp_path / "model", resume=True)
    assert (again.run, again.dataset) == (first.run, first.dataset)
    moved = (tmp_path / "data").rename(tmp_path / "moved")
    assert plan_training(str(moved), tmp_path / "model", resume=True).run == first.run
    others = {"more": {"samples": 30}, "other": {"samples": 20, "first": 100}}
    for name, changes in others.items():
        other = tiny_dataset(tmp_path / name, **changes)
        with pytest.raises(InvalidInput, match="which was another dataset"):
            plan_training(other, tmp_path / "model", resume=True)


def test_a_schedule_of_the_own_teacher_makes_another_dataset(tmp_path: Path) -> None:
    data = tiny_dataset(tmp_path / "data", 20)
    first = plan_training(data, tmp_path, options={"teacher": "mct"})
    tiny_dataset(tmp_path / "data", 20, teachers=("mct",))
    assert plan_training(data, tmp_path, options={"teacher": "mct"}).dataset != first.dataset


def test_the_command_trains_goes_on_and_says_when_it_is_done(
    settings: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "model"
    line = ["train", "--out", out, "--config", settings, "--workers", 0]
    done = deepsched_here(capsys, *line)
    assert done.returncode == 0, done.stderr
    said = done.stderr.splitlines()
    assert [text.split(",")[0] for text in said if text.startswith("step ")] == [
        "step 2/4",
        "step 4/4",
    ]
    assert f"checkpoint  {out / 'checkpoint'}" in done.stdout
    assert "network     deepsched, policy-gradient" in done.stdout
    assert {path.name for path in (out / "checkpoint").iterdir()} == {
        "config.json",
        "model.safetensors",
    }
    history = json.loads((out / "history.json").read_text())
    assert [record["step"] for record in history] == [2, 4]
    meta = json.loads((out / "checkpoint" / "config.json").read_text())
    assert meta["config"] == {"width": 8, "rounds": 1, "heads": 4, "decode": "full"}
    assert meta["meta"]["step"] == best_record(history)["step"]

    diamond = tmp_path / "diamond.json"
    diamond.write_text(EXAMPLE)
    scheduled = deepsched_here(capsys, "schedule", diamond, "--checkpoint", out / "checkpoint")
    assert scheduled.returncode == 0, scheduled.stderr

    refused = deepsched_here(capsys, *line)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "holds a finished training" in refused.stderr
    kept = deepsched_here(capsys, "train", "--out", out, "--workers", 0, "--resume")
    assert (kept.returncode, kept.stdout) == (0, done.stdout)
    assert f"{out} holds all 4 steps already" in kept.stderr

    # It goes on with more steps, from the last one and not from the best.
    more = deepsched_here(capsys, "train", "--out", out, "--workers", 0, "--resume", "--steps", 6)
    assert more.returncode == 0, more.stderr
    assert "step 6/6" in more.stderr
    assert "step 4/" not in more.stderr
    longer = json.loads((out / "history.json").read_text())
    assert longer[:2] == history
    assert [record["step"] for record in longer] == [2, 4, 6]


def test_ctrl_c_loses_no_more_than_the_steps_since_the_last_checkpoint(tmp_path: Path) -> None:
    whole = here(tmp_path / "whole", {**GENERATED, "steps": 5})
    out = tmp_path / "parts"
    plan = plan_training(
        None, out, options={**GENERATED, "steps": 5, "workers": 0, "checkpoint_seconds": 1e-9}
    )

    def stop_at(step: int) -> Any:
        def on_status(status: Status) -> None:
            if status.step == step:
                raise KeyboardInterrupt

        return on_status

    for step, kept in ((3, 2), (4, 3)):
        with pytest.raises(KeyboardInterrupt):
            train_here(plan, on_status=stop_at(step))
        assert not (out / "history.json").exists()
        plan = plan_training(None, out, resume=True)
        assert Checkpoints.at(plan.states).newest()[0] == kept
    with pytest.raises(InvalidInput, match="broken off after step 3; --resume goes on"):
        plan_training(None, out, options=GENERATED)
    begun: list[int] = []
    found = train_here(plan, on_status=lambda status: begun.append(status.begun))
    assert begun[0] == 3
    assert without_seconds(found.history) == without_seconds(whole.history)
    assert same_weights(found.checkpoint, whole.checkpoint)


def test_ctrl_c_is_one_line_and_an_exit_code(
    settings: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from deepsched.pipeline.training import run

    def interrupted(*_: Any, **__: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(run, "fit", interrupted)
    done = deepsched_here(
        capsys, "train", "--out", tmp_path / "x", "--config", settings, "--workers", 0
    )
    assert (done.returncode, done.stdout) == (130, "")
    assert "--resume goes on" in done.stderr
    assert not (tmp_path / "x" / "history.json").exists()


@pytest.mark.parametrize("network", ["deepsched", "paper"])
def test_a_training_that_diverges_is_one_line_and_leaves_no_network(
    network: str, dataset: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    values = {**GENERATED, "most_tasks": 60, "development": 20}
    values = values if network == "deepsched" else PAPER_EPOCHS
    line = ["train", "--out", tmp_path / "x", "--workers", 0, "--learning-rate", "1e30"]
    line += ["--config", written(tmp_path / "c.json", values)]
    done = deepsched_here(capsys, *line, *(("--data", dataset) if network == "paper" else ()))
    assert (done.returncode, done.stdout) == (2, "")
    (said,) = [text for text in said_by(done) if not text.startswith("step ")]
    assert said.startswith("deepsched: training diverged")
    assert said.endswith("lower the learning rate")
    assert not (tmp_path / "x" / "checkpoint").exists()
    assert not (tmp_path / "x" / "history.json").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--network", "papyrus"), "unknown network 'papyrus'"),
        (("--objective", "luck"), "objective 'luck': the network deepsched is trained by"),
        (("--network", "paper", "--objective", "policy-gradient"), "is trained by imitation"),
        (("--data", "DATA", "--problems", "training"), "give either --data or --problems"),
        (("--problems", "small"), "--problems"),
        (("--rollouts", 3), "rollouts = 3"),
        (("--epochs", 3), "generated problems have no end"),
        (("--data", "DATA", "--epochs", 3, "--steps", 3), "give steps or epochs, not both"),
        (("--data", "DATA", "--epochs", 0), "epochs = 0"),
        (("--data", "DATA", "--network", "paper", "--teacher", "peft"), "no labels of 'peft'"),
        (("--data", "nowhere"), "nowhere"),
        (("--steps", 0), "steps = 0"),
        (("--workers", -1), "workers = -1"),
        (("--most-tasks", 9), "least_tasks is more than most_tasks"),
        (("--network-option", "wdth=3"), "unknown field 'wdth'"),
        (("--objective", "imitation", "--staleness", 1), "staleness: there are no rollouts"),
        (("--config", "nowhere.json"), "nowhere.json: cannot be read"),
    ],
)
def test_mistakes_are_one_line(
    options: tuple[Any, ...],
    words: str,
    dataset: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    given = [dataset if option == "DATA" else option for option in options]
    done = deepsched_here(capsys, "train", "--out", tmp_path / "x", "--workers", 0, *given)
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    assert len(said_by(done)) == 1
    assert words in done.stderr
    assert not (tmp_path / "x").exists()


def test_the_paper_is_trained_on_generated_problems_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    values = {**PAPER, "steps": 2, "problems_per_micro_batch": 2, "most_tasks": 30}
    values["learning_rate"] = 1e-3
    path = written(tmp_path / "c.json", values)
    line = ["train", "--out", tmp_path / "x", "--workers", 0, "--config", path]
    done = deepsched_here(capsys, *line)
    assert done.returncode == 0, done.stderr
    assert "paper, imitates heft" in done.stdout
    assert "times the chance of" in done.stdout
    assert PaperScheduler.load(tmp_path / "x" / "checkpoint").meta["teacher"] == "heft"


@pytest.mark.ray
@pytest.mark.usefixtures("local_ray")
@pytest.mark.parametrize("workers", [{"workers": 1, "rollout_workers": 1}, {"workers": 2}], ids=str)
def test_processes_and_rollout_workers_change_no_bit_of_deepsched(
    workers: dict[str, int], tmp_path: Path
) -> None:
    alone = here(tmp_path / "alone", GENERATED)
    together = there(tmp_path / "ray", {**GENERATED, **workers})
    assert without_seconds(together.history) == without_seconds(alone.history)
    assert same_weights(together.checkpoint, alone.checkpoint)


@pytest.mark.ray
@pytest.mark.usefixtures("local_ray")
def test_two_processes_learn_the_papers_network_as_one_does(
    dataset: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    alone = here(tmp_path / "alone", PAPER_EPOCHS, dataset)
    out = tmp_path / "two"
    line = ["train", "--data", dataset, "--out", out, "--workers", 2]
    done = deepsched_here(capsys, *line, "--config", written(tmp_path / "c.json", PAPER_EPOCHS))
    assert done.returncode == 0, done.stderr
    history = json.loads((out / "history.json").read_text())
    assert [record["epoch"] for record in history] == [1, 2, 3]
    assert without_seconds(history) == without_seconds(alone.history)
    assert same_weights(out / "checkpoint", alone.checkpoint)
    learned = PaperScheduler.load(out / "checkpoint")
    assert learned.meta["step"] == best_record(history)["step"]
    assert violations(tiny_problem(3), learned(tiny_problem(3))) == []


@pytest.mark.ray
@pytest.mark.usefixtures("local_ray")
def test_a_users_mistake_met_in_training_is_noted_and_not_met_again(
    dataset: str, tmp_path: Path
) -> None:
    import ray
    from ray.train.torch import TorchTrainer
    from ray.train.v2.api.config import ScalingConfig

    from deepsched.pipeline.training.worker import WorkerSpec, train_worker

    board: Any = ray.remote(num_cpus=0)(Board).remote(3)
    diverging = config(PAPER_EPOCHS, learning_rate=1e30)
    spec = WorkerSpec(data=dataset, states=str(tmp_path), config=diverging, meta={})
    for _ in range(2):  # as after a restart by Ray Train
        task = {"spec": spec, "board": board}
        in_this_process: Any = ScalingConfig(num_workers=0)
        TorchTrainer(train_worker, train_loop_config=task, scaling_config=in_this_process).fit()
        status = ray.get(board.status.remote())
        assert "lower the learning rate" in status.error
        assert status.attempt == 1


def test_crashes_are_counted_by_the_hour(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr("deepsched.pipeline.training.board.time.monotonic", lambda: now)
    board = Board(2)
    for now in (0.0, 1000.0, 2000.0, 4700.0):  # noqa: B007 - the clock reads it
        assert board.begin(5, [], [], 1)
    assert board.status().attempt == 4
    now = 4800.0
    assert not board.begin(5, [], [], 1)
    assert board.status().gave_up
    assert board.status().error == "the training processes crashed 3 times within an hour"


def test_what_processes_died_of_is_told_of_the_attempt_before(
    capsys: pytest.CaptureFixture[str],
) -> None:
    board, show = Board(2), train._Progress(10, 2)  # noqa: SLF001
    board.begin(0, [], [], 2)
    show.status(board.status())
    board.died("RuntimeError: no room [left]")
    board.died("DistBackendError: the peer is gone")
    for _ in range(2):
        board.begin(0, [], [], 2)
        show.status(board.status())
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith("a training process died (RuntimeError: no room [left]): 2 go on from")
    assert second.startswith("a training process died: 2 go on from")
    board.died("RuntimeError: again")
    assert not board.begin(0, [], [], 2)
    told = str(board.status().error)
    assert told.endswith("3 times within an hour, the last time of RuntimeError: again")


@pytest.mark.ray
@pytest.mark.usefixtures("local_ray")
def test_an_error_that_is_nobodys_mistake_is_told_to_the_driver(
    dataset: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import ray
    from ray.train.torch import TorchTrainer
    from ray.train.v2.api.config import ScalingConfig

    from deepsched.pipeline.training import worker

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("no memory\nmore of it")

    monkeypatch.setattr(worker, "fit", broken)
    board: Any = ray.remote(num_cpus=0)(Board).remote(3)
    spec = worker.WorkerSpec(
        data=dataset, states=str(tmp_path), config=config(PAPER_EPOCHS), meta={}
    )
    task = {"spec": spec, "board": board}
    alone: Any = ScalingConfig(num_workers=0)
    with pytest.raises(Exception, match="no memory"):
        TorchTrainer(worker.train_worker, train_loop_config=task, scaling_config=alone).fit()
    ray.get(board.begin.remote(0, [], [], 1))
    assert ray.get(board.status.remote()).died_of == "RuntimeError: no memory"


def test_there_is_no_pace_before_the_second_step_after_a_restart() -> None:
    board = Board(3)
    board.begin(0, [], [], 1)
    board.step(1, {}, 10)
    board.step(2, {}, 20)
    assert board.status().steps_per_second > 0
    board.begin(1, [], [], 1)
    board.step(2, {}, 20)
    assert board.status().steps_per_second == board.status().tasks_per_second == 0


@pytest.mark.ray
@pytest.mark.usefixtures("local_ray")
def test_the_board_lies_on_the_drivers_node(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray puts an actor without CPUs on any node; one that dies would take it along."""
    import ray

    remote, asked = ray.remote, list[Any]()

    def noted(**options: Any) -> Any:
        asked.append(options.get("scheduling_strategy"))
        return remote(**options)

    monkeypatch.setattr(ray, "remote", noted)
    board = start_board(3, ["a note"])
    assert ray.get(board.status.remote()).notes == ["a note"]
    (where,) = asked
    assert (where.node_id, where.soft) == (ray.get_runtime_context().get_node_id(), False)


def test_more_processes_are_no_crash_and_fewer_are(monkeypatch: pytest.MonkeyPatch) -> None:
    board = Board(1)
    for world in (1, 2, 3, 8):
        assert board.begin(5, [], [], world)
    assert board.begin(5, [], [], 7)
    assert (board.status().attempt, board.status().world) == (5, 7)
    assert not board.begin(5, [], [], 7)


@pytest.mark.ray
@pytest.mark.usefixtures("local_ray")
def test_neither_ctrl_c_nor_a_killed_process_changes_what_is_learned(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "model"
    # Of a falling learning rate each step depends on how many there are.
    values = {**GENERATED, "schedule": "constant", "steps": 100_000, "check_every": 5}
    line = ["--out", str(out), "--workers", "1"]
    line += ["--config", str(written(tmp_path / "c.json", values))]
    said = []
    with subprocess.Popen(
        [sys.executable, str(ROOT / "pipeline" / "train.py"), *line],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "RAY_ADDRESS": "local"},
    ) as process:
        assert process.stderr is not None
        for text in process.stderr:
            said.append(text)
            if text.startswith("step 25/"):
                process.send_signal(signal.SIGINT)
    text = "".join(said)
    assert process.returncode == 130, text
    assert "Traceback" not in text
    assert "with --resume goes on" in text
    assert not (out / "history.json").exists()

    done = max(int(line.split("/")[0].split()[1]) for line in said if line.startswith("step "))
    steps = done + 150  # enough of them for the kill to come between two
    seen: list[Status] = []
    killed: list[int] = []

    def kill_once(status: Status) -> None:
        seen.append(status)
        if status.step > done + 5 and status.attempt == 1 and not killed:
            killed.append(kill_training_process())

    plan = plan_training(None, out, options={"steps": steps}, resume=True)
    trained = run_training(plan, on_status=kill_once)
    assert len(killed) == 1
    assert seen[-1].attempt == 2
    # It went on from the newest state.
    assert seen[-1].begun >= done + 5
    assert seen[-1].begun % 5 == 0
    notebook = Notebook(tmp_path / "plain")
    expected: History = fit(make_course(None, plan.config), reporter=notebook)
    assert without_seconds(trained.history) == without_seconds(expected)
    assert json.loads((out / "history.json").read_text()) == trained.history
    assert same_weights(out / "checkpoint", notebook.at(best_record(expected)["step"]))

    # Finished: refused, or said, as the user asks.
    refused = deepsched_here(capsys, "train", *line)
    assert refused.returncode == 2
    assert "holds a finished training" in refused.stderr
    kept = deepsched_here(capsys, "train", *line, "--steps", steps, "--resume")
    assert kept.returncode == 0
    assert "steps already" in kept.stderr


@pytest.mark.ray
@pytest.mark.usefixtures("local_ray")
def test_states_on_an_object_store_are_gone_on_from(
    tmp_path: Path, s3_server: S3, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in s3_server.environment.items():
        monkeypatch.setenv(name, value)
    storage = s3_server.uri("states", login=s3_server.login)
    whole = here(tmp_path / "whole", {**GENERATED, "steps": 6})
    first = here(tmp_path / "parts", {**GENERATED, "schedule": "root"}, storage=storage)
    plan = plan_training(None, tmp_path / "parts", options={"steps": 6}, resume=True)
    assert Checkpoints.at(plan.states).steps() == [2, 4]
    assert without_seconds(first.history) != without_seconds(whole.history)
    options = {**GENERATED, "steps": 6, "checkpoint_seconds": 1e-9}
    two = there(tmp_path / "two", {**options, "workers": 2}, storage=storage)
    assert same_weights(two.checkpoint, whole.checkpoint)
    assert not (tmp_path / "two" / "states").exists()
    again = plan_training(None, tmp_path / "two", resume=True)
    assert Checkpoints.at(again.states).steps()[-2:] == [5, 6]
    # What Ray notes of a run is not kept.
    left = Checkpoints.at(again.states)._folder.names()  # noqa: SLF001
    assert {name.split("/")[0][:5] for name in left} == {"step-", "write"}


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
