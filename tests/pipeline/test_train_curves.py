"""What TensorBoard shows of a training, read by its own reader."""

from __future__ import annotations

import math
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboardX import event_file_writer

from deepsched.pipeline.training.board import Status
from deepsched.pipeline.training.curves import Curves
from deepsched.pipeline.training.plan import plan_training
from deepsched.pipeline.training.run import train_here
from tests.pipeline.training_helpers import GENERATED

if TYPE_CHECKING:
    from pathlib import Path


def curves(out: Path) -> dict[str, list[tuple[int, float]]]:
    reader = EventAccumulator(str(out / "tensorboard"))
    reader.Reload()
    return {
        name: [(event.step, event.value) for event in reader.Scalars(name)]
        for name in reader.Tags()["scalars"]
    }


def test_every_training_has_curves_and_goes_on_with_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both begin within a second."""
    monkeypatch.setattr(event_file_writer, "time", SimpleNamespace(time=lambda: 1.7e9))
    options = {**GENERATED, "workers": 0}

    def train(**more: Any) -> Any:
        plan = plan_training(None, tmp_path, **more)
        return train_here(plan, on_status=lambda _: None).history

    train(options=options)
    history = train(options={"steps": 6}, resume=True)
    found = curves(tmp_path)
    assert [step for step, _ in found["train/ratio"]] == [1, 2, 3, 4, 5, 6]
    assert len(found["speed/tasks_per_second"]) >= 4
    for name in ("makespan", "turnaround", "makespan_guarded", "turnaround_guarded"):
        expected = [(record["step"], record[f"val_{name}"]) for record in history]
        assert found[f"validation/{name}"] == [
            (step, pytest.approx(value)) for step, value in expected
        ]
    assert {name for name in found if name.startswith("shares/")} >= {
        "shares/rollouts",
        "shares/data",
    }


def test_a_disk_that_fails_ends_the_curves_and_not_the_training(tmp_path: Path) -> None:
    (tmp_path / "tensorboard").write_text("no folder")
    notes: list[list[str]] = []
    plan = plan_training(None, tmp_path, options={**GENERATED, "workers": 0})
    trained = train_here(plan, on_status=lambda status: notes.append(status.notes))
    assert [record["step"] for record in trained.history] == [2, 4]
    assert notes[-1] == [f"{tmp_path / 'tensorboard'}: no more curves: File exists"]


def test_a_value_that_no_axis_has_room_for_is_left_out(tmp_path: Path) -> None:
    told = {"good": 1.5, "nan": math.nan, "infinite": -math.inf, "beyond float32": 1e300}
    with Curves(tmp_path) as written:
        written.note(replace(Status(), attempt=1, step=1, measures=told))
    assert written.failure is None
    assert curves(tmp_path) == {"train/good": [(1, 1.5)]}
