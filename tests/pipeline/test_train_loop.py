"""The plain training loop, in this process and without Ray."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

import pytest
import torch
from safetensors.torch import load_file

from deepsched.baselines.errors import InvalidInput, TooLarge
from deepsched.baselines.schedule import violations
from deepsched.model.networks.paper.scheduler import PaperScheduler
from deepsched.pipeline.dataset.storage import Dataset
from deepsched.pipeline.training.config import TrainConfig, make_config
from deepsched.pipeline.training.data import Share, Windows, count_samples, read_share
from deepsched.pipeline.training.loop import TrainingData, best_record, fit
from deepsched.pipeline.training.state import OPTIMIZER, STATE, load_history
from tests.pipeline.training_helpers import (
    SMALL,
    Notebook,
    tiny_dataset,
    tiny_problem,
    tiny_samples,
    without_seconds,
)

if TYPE_CHECKING:
    from pathlib import Path

DATA = TrainingData(train=[tiny_samples(16)], val=[tiny_samples(4, first=100)])


def config(**changes: Any) -> TrainConfig:
    return make_config({**SMALL, "epochs": 3, **changes}, where="test")


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def equal(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


def test_training_lowers_both_losses_and_beats_chance(tmp_path: Path):
    notebook = Notebook(tmp_path)
    history = fit(config(epochs=8), DATA, reporter=notebook)
    assert [record["epoch"] for record in history] == list(range(1, 9))
    assert history[-1]["train_loss"] < 0.9 * history[0]["train_loss"]
    assert history[-1]["val_loss"] < 0.95 * history[0]["val_loss"]
    assert history[-1]["val_accuracy"] > 1.2 * history[-1]["val_chance"]
    assert history[-1]["val_chance"] == pytest.approx(1 / 3)
    for record in history:
        assert record["val_loss"] == pytest.approx(record["val_cross_entropy"] + record["val_mse"])
        assert record["score"] == record["val_loss"]
    assert notebook.histories[-1] == history
    assert {epoch for epoch, _ in notebook.steps} == set(range(1, 9))


def test_a_checkpoint_schedules_and_remembers_its_origin(tmp_path: Path):
    fit(config(), DATA, reporter=Notebook(tmp_path), meta={"data": "somewhere"})
    learned = PaperScheduler.load(tmp_path / "epoch-3")
    problem = tiny_problem(7)
    assert violations(problem, learned(problem)) == []
    assert (learned.meta["data"], learned.meta["teacher"]) == ("somewhere", "heft")
    assert learned.meta["epoch"] == 3


def test_the_same_seed_gives_the_same_weights_and_another_one_others(tmp_path: Path):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        torch.rand(3)  # what was drawn before must not matter
        fit(config(seed=seed), DATA, reporter=Notebook(tmp_path / name))
    a, b, c = (weights(tmp_path / name / "epoch-3") for name in "abc")
    assert equal(a, b)
    assert not equal(a, c)


def test_an_interrupted_training_ends_as_if_it_had_run_through(tmp_path: Path):
    through = fit(config(epochs=4), DATA, reporter=Notebook(tmp_path / "through"))
    with pytest.raises(KeyboardInterrupt):
        fit(config(epochs=4), DATA, reporter=Notebook(tmp_path / "broken", stop_after=2))
    later = Notebook(tmp_path / "later")
    resumed = fit(config(epochs=4), DATA, reporter=later, start=tmp_path / "broken" / "epoch-2")
    assert [len(history) for history in later.histories] == [3, 4]
    assert without_seconds(resumed) == without_seconds(through)
    assert equal(weights(tmp_path / "through" / "epoch-4"), weights(tmp_path / "later" / "epoch-4"))


def test_a_resumed_training_takes_the_new_learning_rate(tmp_path: Path):
    fit(config(epochs=1), DATA, reporter=Notebook(tmp_path))
    fit(
        config(epochs=2, learning_rate=1e-12),
        DATA,
        reporter=Notebook(tmp_path),
        start=tmp_path / "epoch-1",
    )
    before, after = weights(tmp_path / "epoch-1"), weights(tmp_path / "epoch-2")
    assert max(float((before[key] - after[key]).abs().max()) for key in before) < 1e-8


def test_without_validation_samples_the_training_loss_decides(tmp_path: Path):
    data = TrainingData(train=DATA.train, val=[[]])
    history = fit(config(epochs=2), data, reporter=Notebook(tmp_path))
    assert {record["val_loss"] for record in history} == {None}
    assert [record["score"] for record in history] == [r["train_loss"] for r in history]


def test_the_best_epoch_is_the_first_of_the_least_score():
    history = [{"epoch": e, "score": s} for e, s in ((1, 3.0), (2, 1.0), (3, 1.0), (4, 2.0))]
    assert best_record(history)["epoch"] == 2


def test_a_diverging_training_is_stopped_with_a_remedy(tmp_path: Path):
    with pytest.raises(InvalidInput, match="lower the learning rate"):
        fit(config(learning_rate=1e30), DATA, reporter=Notebook(tmp_path))
    assert all(math.isfinite(v.sum()) for f in tmp_path.iterdir() for v in weights(f).values())


def test_the_padded_original_trains_and_refuses_larger_problems(tmp_path: Path):
    options = {**SMALL["network_options"], "max_machines": 3}
    padded = config(network_options={**options, "max_tasks": 20}, epochs=1)
    assert len(fit(padded, DATA, reporter=Notebook(tmp_path))) == 1
    with pytest.raises(TooLarge, match="max_tasks"):
        fit(
            config(network_options={**options, "max_tasks": 10}),
            DATA,
            reporter=Notebook(tmp_path),
        )


def test_a_damaged_state_is_refused_by_name(tmp_path: Path):
    fit(config(epochs=1), DATA, reporter=Notebook(tmp_path))
    folder = tmp_path / "epoch-1"
    saved = (folder / OPTIMIZER).read_bytes()
    (folder / OPTIMIZER).write_bytes(saved[:50])
    with pytest.raises(InvalidInput, match=OPTIMIZER):
        fit(config(), DATA, reporter=Notebook(tmp_path), start=folder)
    (folder / OPTIMIZER).write_bytes(saved)
    for text in ("{", "[]", json.dumps({"format": "other"})):
        (folder / STATE).write_text(text)
        with pytest.raises(InvalidInput, match=STATE):
            load_history(folder)


def test_shares_of_a_dataset_are_disjoint_and_complete(tmp_path: Path):
    def scales(share: Share, limit: int | None = None) -> list[float]:
        return [sample.scale for sample in read_share(uri, "heft", "train", share, limit)]

    for shard_size in (10, 1):  # dealt out by sample, and by shard
        uri = tiny_dataset(tmp_path / str(shard_size), 30, shard_size=shard_size)
        alone = scales(Share())
        assert len(alone) == 24
        parts = [scales(Share(rank=rank, world=2)) for rank in range(2)]
        assert sorted(parts[0] + parts[1]) == sorted(alone)
        assert min(len(part) for part in parts) >= 10
        assert scales(Share(), limit=5) == alone[:5]


def test_samples_are_counted_without_the_failed_ones(tmp_path: Path):
    dataset = Dataset.open(tiny_dataset(tmp_path / "ok", 25))
    assert [count_samples(dataset, "heft", split) for split in ("train", "val", "test")] == [
        len(list(dataset.samples("heft", split))) for split in ("train", "val", "test")
    ]
    failed = Dataset.open(tiny_dataset(tmp_path / "failed", 12, fails=True))
    assert count_samples(failed, "heft", "train") == 0


def test_streamed_samples_train_too(tmp_path: Path):
    samples = tiny_samples(16)
    streamed = TrainingData(train=Windows(lambda: iter(samples), 8_000), val=DATA.val)
    assert len(list(streamed.train)) > 2
    history = fit(config(epochs=4), streamed, reporter=Notebook(tmp_path))
    assert history[-1]["train_loss"] < history[0]["train_loss"]
