"""The training itself, in this process and without Ray."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from deepsched.baselines.errors import InvalidInput, TooLarge
from deepsched.baselines.schedule import violations
from deepsched.model.networks.deepsched.scheduler import DeepSchedScheduler
from deepsched.model.networks.paper.scheduler import PaperScheduler
from deepsched.pipeline.dataset.storage import Dataset
from deepsched.pipeline.training import loop, schedule
from deepsched.pipeline.training.checkpoints import STATE
from deepsched.pipeline.training.course import make_course
from deepsched.pipeline.training.history import best_record
from deepsched.pipeline.training.items import DatasetItems, training_sizes
from deepsched.pipeline.training.loop import Diverged, fit
from deepsched.pipeline.training.peers import Peers
from deepsched.pipeline.training.state import TENSORS, State, new_state, read_document
from tests.pipeline.training_helpers import (
    GENERATED,
    PAPER,
    SMALL,
    Notebook,
    config,
    files_in,
    in_unison,
    same_weights,
    tiny_dataset,
    tiny_problem,
    weights,
    without_seconds,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from deepsched.model.learning import Loss
    from deepsched.pipeline.training.config import TrainConfig
    from deepsched.pipeline.training.history import History

EPOCHS: dict[str, Any] = {**PAPER, "epochs": 3}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> str:
    return tiny_dataset(tmp_path_factory.mktemp("data") / "tiny", 30)


def train(
    folder: Path,
    base: Mapping[str, Any] = GENERATED,
    data: str | None = None,
    *,
    start: Path | None = None,
    stop_after: int | None = None,
    every_step: bool = False,
    **changes: Any,
) -> Notebook:
    notebook = Notebook(folder, stop_after=stop_after, every_step=every_step)
    course = make_course(data, config(base, **changes))
    try:
        files = files_in(start) if start else None
        history = fit(course, reporter=notebook, start=files, meta={"data": data})
    except KeyboardInterrupt:
        assert stop_after
    else:
        assert history[len(history) - len(notebook.records) :] == notebook.records
    return notebook


def history(notebook: Notebook) -> History:
    return without_seconds(read_document(files_in(notebook.at(notebook.steps[-1])))["history"])


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Notebook:
    return train(tmp_path_factory.mktemp("whole"), every_step=True)


@pytest.fixture(scope="module")
def whole_paper(tmp_path_factory: pytest.TempPathFactory, data: str) -> Notebook:
    return train(tmp_path_factory.mktemp("paper"), EPOCHS, data, every_step=True)


def test_a_history_says_how_schedules_compare_with_heft(whole: Notebook) -> None:
    assert whole.steps == [1, 2, 3, 4]
    assert [record["step"] for record in whole.records] == [2, 4]
    for record, measures in zip(
        whole.records, (whole.measures[:2], whole.measures[2:]), strict=True
    ):
        assert set(record) == {
            *("step", "epoch", "seconds", "shares", "busy", "tasks_per_second"),
            *("train_ratio", "train_best_ratio"),
            *("val_makespan", "val_makespan_guarded", "val_turnaround", "val_turnaround_guarded"),
            "score",
        }
        assert record["train_ratio"] == pytest.approx(np.mean([m["ratio"] for m in measures]))
        assert record["train_best_ratio"] <= record["train_ratio"]
        assert record["val_makespan_guarded"] <= min(record["val_makespan"], 1)
        assert record["val_turnaround_guarded"] <= min(record["val_turnaround"], 1)
        # Both are trained for.
        guarded = record["val_makespan_guarded"] + record["val_turnaround_guarded"]
        assert record["score"] == guarded / 2
        assert record["epoch"] == 0


@pytest.mark.parametrize(("share", "name"), [(0.0, "makespan"), (1.0, "turnaround")])
def test_the_score_is_that_of_what_is_trained_for(tmp_path: Path, share: float, name: str) -> None:
    (record,) = train(tmp_path, turnaround=share, steps=1).records
    assert record["score"] == record[f"val_{name}_guarded"]


def test_a_policy_gradient_makes_schedules_shorter(tmp_path: Path) -> None:
    found = train(
        tmp_path,
        network_options={"width": 16, "rounds": 1},
        rollouts=16,
        problems_per_micro_batch=8,
        most_tasks=60,
        development=30,
        steps=25,
        check_every=25,
        learning_rate=5e-3,
        ema=0.1,
    )
    (record,) = found.records
    assert record["val_makespan"] < 0.97
    assert record["val_turnaround"] < 0.99
    assert record["train_ratio"] < 0.97
    learned = DeepSchedScheduler.load(found.at(25))
    assert (learned.meta["step"], learned.meta["val_makespan"]) == (25, record["val_makespan"])
    assert "teacher" not in learned.meta
    # What was validated is what was kept.
    unguarded = DeepSchedScheduler.load(found.at(25), guard=False, samples=1)
    made = make_course(None, config(most_tasks=60, development=30)).items.validation()
    ratios = [unguarded(one.problem).makespan / one.reference for one in made]
    assert np.mean(ratios) == pytest.approx(record["val_makespan"], rel=1e-12)


def test_imitation_lowers_its_loss_and_beats_chance(data: str, tmp_path: Path) -> None:
    found = train(tmp_path, {**EPOCHS, "epochs": 8}, data).records
    assert [record["epoch"] for record in found] == list(range(1, 9))
    assert found[-1]["train_loss"] < 0.9 * found[0]["train_loss"]
    assert found[-1]["train_accuracy"] > 1.2 * found[-1]["train_chance"]
    assert found[-1]["train_chance"] == pytest.approx(1 / 3)
    for record in found:
        parts = record["train_cross_entropy"] + record["train_mse"]
        assert record["train_loss"] == pytest.approx(parts)
        # A guard would hide what an imitation is worth.
        assert record["score"] == record["val_makespan"] >= record["val_makespan_guarded"]
    (untaught,) = train(
        tmp_path / "1", {**EPOCHS, "epochs": 1, "learning_rate": 1e-9}, data
    ).records
    assert untaught["score"] > untaught["val_makespan_guarded"]


def test_imitation_goes_before_another_objective(tmp_path: Path) -> None:
    found = train(tmp_path, imitation_steps=2, teacher="heft", every_step=True)
    assert [set(one) for one in found.measures] == [{"loss"}] * 2 + [{"ratio", "best_ratio"}] * 2
    assert [r.get("train_loss") is not None for r in found.records] == [True, False]


def test_a_checkpoint_schedules_and_remembers_its_origin(whole_paper: Notebook, data: str) -> None:
    last = whole_paper.steps[-1]
    learned = PaperScheduler.load(whole_paper.at(last))
    problem = tiny_problem(7)
    assert violations(problem, learned(problem)) == []
    assert (learned.meta["data"], learned.meta["teacher"]) == (data, "heft")
    assert (learned.meta["step"], learned.meta["epoch"]) == (last, 3)
    assert learned.meta["train_config"] == config(EPOCHS).model_dump()


@pytest.mark.parametrize("base", [GENERATED, EPOCHS], ids=["deepsched", "paper"])
def test_the_same_seed_gives_the_same_weights_and_another_one_others(
    base: dict[str, Any], data: str, tmp_path: Path
) -> None:
    found = []
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        torch.rand(3)  # what was drawn before must not matter
        source = data if base is EPOCHS else None
        found.append(train(tmp_path / name, base, source, seed=seed))
    a, b, c = (one.at(one.steps[-1]) for one in found)
    assert same_weights(a, b)
    assert not same_weights(a, c)


def test_micro_batches_make_one_gradient(data: str, tmp_path: Path) -> None:
    """Many small ones, or one of all samples: the same step but for rounding."""
    few = train(tmp_path / "a", EPOCHS, data, epochs=1, tasks_per_micro_batch=10_000)
    many = train(tmp_path / "b", EPOCHS, data, epochs=1, micro_batches=100)
    assert few.steps == many.steps[:1] == [1]
    assert few.measures[0] == pytest.approx(many.measures[0], rel=1e-4)
    one, other = (weights(notebook.at(1)) for notebook in (few, many))
    # Where a gradient is nearly zero Adam makes a full step of its rounding error.
    close = [np.isclose(one[key], other[key], atol=1e-4).ravel() for key in one]
    assert np.concatenate(close).mean() > 0.98


@pytest.mark.parametrize("world", [2, 3])
@pytest.mark.parametrize("base", [GENERATED, EPOCHS], ids=["deepsched", "paper"])
def test_however_many_processes_take_part_the_weights_are_the_same(
    base: dict[str, Any],
    world: int,
    data: str,
    whole: Notebook,
    whole_paper: Notebook,
    tmp_path: Path,
) -> None:
    alone = whole if base is GENERATED else whole_paper
    course = make_course(data if base is EPOCHS else None, config(base))

    def work(peers: Peers) -> Any:
        # Each process reads for itself.
        own = make_course(data if base is EPOCHS else None, config(base))
        reporter = Notebook(tmp_path / str(peers.rank), every_step=True)
        return without_seconds(fit(own, reporter=reporter, peers=peers))

    found = in_unison(world, work)
    assert found == [history(alone)] * world
    for rank, step in itertools.product(range(world), range(1, course.steps.total + 1)):
        assert same_weights(tmp_path / str(rank) / f"step-{step}", alone.at(step))


def test_who_fails_is_noticed_by_all(tmp_path: Path) -> None:
    def work(peers: Peers) -> Any:
        course = make_course(
            None, config(learning_rate=1e30, steps=8, check_every=1, most_tasks=60)
        )
        return fit(course, reporter=Notebook(tmp_path / str(peers.rank)), peers=peers)

    errors = in_unison(2, work)
    assert [type(error) for error in errors] == [Diverged, Diverged]
    assert len({str(error) for error in errors}) == 1


@pytest.mark.parametrize("stop_after", [1, 2, 3, 4])
def test_an_interrupted_training_ends_as_if_it_had_run_through(
    stop_after: int, whole: Notebook, tmp_path: Path
) -> None:
    # Ctrl-C comes after a step and before its checkpoint: the step is done again.
    broken = train(tmp_path / "broken", stop_after=stop_after, every_step=True)
    assert broken.steps[-1] == stop_after
    saved = broken.at(stop_after - 1) if stop_after > 1 else None
    later = train(tmp_path / "later", start=saved, every_step=True)
    assert later.steps == whole.steps[stop_after - 1 :]
    assert history(later) == history(whole)
    for step in later.steps:
        assert same_weights(later.at(step), whole.at(step))
        one, other = ((n.at(step) / TENSORS).read_bytes() for n in (later, whole))
        assert one == other


def test_a_training_goes_on_at_any_step_of_an_epoch(
    data: str, whole_paper: Notebook, tmp_path: Path
) -> None:
    total = whole_paper.steps[-1]
    assert total > 6
    for step in (1, total // 2, total - 1):
        start = whole_paper.at(step)
        later = train(tmp_path / str(step), EPOCHS, data, start=start)
        assert history(later) == history(whole_paper)
        assert same_weights(later.at(total), whole_paper.at(total))


def test_a_finished_training_goes_on_with_more_epochs(
    data: str, whole_paper: Notebook, tmp_path: Path
) -> None:
    longer = train(tmp_path / "whole", EPOCHS, data, epochs=4)
    start = whole_paper.at(whole_paper.steps[-1])
    later = train(tmp_path / "later", EPOCHS, data, start=start, epochs=4)
    assert history(later) == history(longer)
    assert same_weights(later.at(later.steps[-1]), longer.at(longer.steps[-1]))


def test_a_training_beyond_its_last_step_is_refused_unless_it_was_validated_there(
    whole: Notebook, tmp_path: Path
) -> None:
    for steps in (2, 3):
        with pytest.raises(InvalidInput, match=r"3 steps are done already; give more --steps"):
            train(tmp_path, start=whole.at(3), steps=steps)
    assert train(tmp_path, start=whole.at(4)).steps == []


def test_a_resumed_training_takes_the_new_learning_rate(whole: Notebook, tmp_path: Path) -> None:
    later = train(tmp_path, start=whole.at(4), steps=5, learning_rate=1e-12, ema=1.0)
    state = [State.load(files_in(n.at(s)), config(), Peers()) for n, s in ((whole, 4), (later, 5))]
    before, after = (one.network.state_dict() for one in state)
    assert max(float((before[key] - after[key]).abs().max()) for key in before) < 1e-8


@pytest.mark.parametrize(
    ("schedule", "shares"),
    [
        ("constant", [1, 1, 1, 1]),
        ("root", [1, 0.75**0.5, 0.5**0.5, 0.25**0.5]),
        ("cosine", [1, 0.5 + 0.5**1.5, 0.5, 0.5 - 0.5**1.5]),
    ],
)
def test_the_step_size_falls_by_its_schedule(
    schedule: str, shares: list[float], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rates: list[float] = []

    class Watched(torch.optim.AdamW):
        def step(self, closure: Any = None) -> Any:
            rates.append(self.param_groups[0]["lr"])
            return super().step(closure)

    monkeypatch.setattr(torch.optim, "AdamW", Watched)
    train(tmp_path, schedule=schedule, learning_rate=0.004)
    assert rates == pytest.approx([0.004 * share for share in shares])


def test_the_step_size_never_vanishes() -> None:
    for name in ("root", "cosine"):
        assert schedule.share_left(name, 1 - 1e-9) == schedule.LEAST_RATE


def test_what_is_kept_is_the_running_mean_of_the_weights(tmp_path: Path) -> None:
    found = train(tmp_path, ema=0.25, every_step=True)
    mean = {
        key: value.clone() for key, value in new_state(config(), "cpu").mean.state_dict().items()
    }
    for step in found.steps:
        newest = State.load(files_in(found.at(step)), config(), Peers()).network.state_dict()
        for key, value in mean.items():
            value.lerp_(newest[key], 0.25)
        kept = weights(found.at(step))
        assert all(torch.equal(kept[key], mean[key]) for key in mean)
    plain = train(tmp_path / "plain", ema=1.0)
    newest = State.load(files_in(plain.at(4)), config(), Peers()).network.state_dict()
    assert all(torch.equal(weights(plain.at(4))[key], newest[key]) for key in newest)


def test_a_gradient_is_clipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    norms: list[float] = []

    class Watched(torch.optim.AdamW):
        def step(self, closure: Any = None) -> Any:
            parts = [p.grad.norm() for p in self.param_groups[0]["params"]]
            norms.append(float(torch.stack(parts).norm()))
            return super().step(closure)

    monkeypatch.setattr(torch.optim, "AdamW", Watched)
    train(tmp_path, steps=1, gradient_clip=0)
    train(tmp_path, steps=1, gradient_clip=norms[0] / 3)
    assert norms[1] == pytest.approx(norms[0] / 3, rel=1e-4)


class _Broken:
    """A learner whose gradient is no number from a step on."""

    def __init__(self, inner: Any, good: int) -> None:
        self._inner, self._left = inner, good
        self.measures = inner.measures

    def encode(self, items: Any) -> Any:
        return self._inner.encode(items)

    def loss(self, *args: Any) -> Loss:
        loss = self._inner.loss(*args)
        self._left -= 1
        return loss if self._left >= 0 else replace(loss, total=loss.total * math.nan)


def test_a_gradient_that_is_no_number_names_step_and_samples(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    learner = loop._Runner.learner  # noqa: SLF001
    broken: list[_Broken] = []

    def wrapped(self: Any, step: int) -> Any:
        name, inner = learner(self, step)
        broken.append(broken[0] if broken else _Broken(inner, good=5))
        return name, broken[0]

    monkeypatch.setattr(loop._Runner, "learner", wrapped)  # noqa: SLF001
    notebook = Notebook(tmp_path, every_step=True)
    with pytest.raises(Diverged, match=r"in step 3 \(samples 10, 11\): .*lower the learn"):
        fit(make_course(None, config()), reporter=notebook)
    assert notebook.steps == [1, 2]
    kept = [weights(notebook.at(step)) for step in notebook.steps]
    assert all(math.isfinite(value.sum()) for own in kept for value in own.values())


def test_imitation_goes_on_though_its_schedules_get_worse(
    data: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "DIVERGED", 1e-9)  # so that any schedule would be too long
    found = train(tmp_path, {**EPOCHS, "epochs": 2}, data)
    assert len(found.records) == 2
    monkeypatch.setattr(loop, "LOST", 1e-9)
    with pytest.raises(
        Diverged, match=r"by step \d+: the loss is .*, and was .* in the first step"
    ):
        train(tmp_path / "again", {**EPOCHS, "epochs": 2}, data)


def test_a_diverging_training_is_stopped_with_a_remedy(data: str, tmp_path: Path) -> None:
    with pytest.raises(Diverged, match="lower the learning rate"):
        train(tmp_path / "paper", EPOCHS, data, learning_rate=1e30)
    with pytest.raises(Diverged, match=r"by step 2: a weight is as large as 1.*e\+30; lower the"):
        train(tmp_path / "deepsched", learning_rate=1e30, most_tasks=60, development=20)
    one_head = {"width": 8, "rounds": 1, "heads": 1}
    with pytest.raises(
        Diverged, match=r"by step 2: .* the makespan is .* times HEFT's.*lower the learning"
    ):
        train(
            tmp_path / "one", learning_rate=500, most_tasks=60, development=20,
            network_options=one_head,
        )  # fmt: skip
    for folder in tmp_path.glob("*/step-*"):
        assert all(math.isfinite(value.sum()) for value in weights(folder).values())


def test_without_validation_samples_the_training_decides(tmp_path: Path) -> None:
    few = tiny_dataset(tmp_path / "data", 8)
    found = train(tmp_path / "model", EPOCHS, few, epochs=2).records
    assert {record["val_makespan"] for record in found} == {None}
    assert [record["score"] for record in found] == [record["train_loss"] for record in found]


def test_the_best_validation_is_the_first_of_the_least_score() -> None:
    found = [{"step": e, "score": s} for e, s in ((1, 3.0), (2, 1.0), (3, 1.0), (4, 2.0))]
    assert best_record(found)["step"] == 2


def test_the_padded_original_trains_and_refuses_larger_problems(data: str, tmp_path: Path) -> None:
    options = {**PAPER["network_options"], "max_machines": 3}
    padded = train(tmp_path, EPOCHS, data, network_options={**options, "max_tasks": 20}, epochs=1)
    assert len(padded.records) == 1
    with pytest.raises(TooLarge, match="max_tasks"):
        train(tmp_path, EPOCHS, data, network_options={**options, "max_tasks": 10})


def test_a_damaged_state_is_refused_by_name(whole: Notebook, tmp_path: Path) -> None:
    files = files_in(whole.at(2))
    settings, other = config(), config(network_options={"width": 4, "rounds": 1})
    with pytest.raises(InvalidInput, match=rf"{TENSORS}: cannot be read"):
        State.load({**files, TENSORS: files[TENSORS][:50]}, settings, Peers())
    with pytest.raises(InvalidInput, match=rf"{TENSORS}: does not fit the training"):
        State.load(files, other, Peers())
    for text in (b"{", b"[]", b'{"format": "other"}'):
        with pytest.raises(InvalidInput, match=STATE):
            read_document({**files, STATE: text})


def training_ids(uri: str, settings: TrainConfig, split: str = "train") -> list[int]:
    return [size.sample_id for size in training_sizes(Dataset.open(uri), settings, split)]


def test_samples_to_learn_from_are_those_that_a_teacher_has_scheduled(tmp_path: Path) -> None:
    uri = tiny_dataset(tmp_path / "ok", 25)
    dataset, settings = Dataset.open(uri), config(EPOCHS)
    for split in ("train", "val", "test"):
        expected = [sample.sample_id for sample in dataset.samples("heft", split)]
        assert training_ids(uri, settings, split) == expected
    assert training_ids(uri, config(EPOCHS, limit_samples=5)) == [0, 1, 2, 3, 4]
    failed = tiny_dataset(tmp_path / "failed", 12, fails=True)
    assert training_ids(failed, settings) == []


def test_a_dataset_is_read_a_shard_at_a_time(data: str) -> None:
    class Counted(DatasetItems):
        read: list[int]

        def _rows(self, shard: int, split: str) -> Iterator[Any]:
            self.read.append(shard)
            return super()._rows(shard, split)

    def items(cache_mb: int) -> Counted:
        made = Counted(data, config(EPOCHS, cache_mb=cache_mb))
        made.read = []
        return made

    ids = training_ids(data, config(EPOCHS))
    kept, tight = items(100), items(0)
    for made in (kept, tight):
        for sample_id in [*ids, *ids]:
            assert made.item(sample_id, imitated=True).sample_id == sample_id
    assert kept.read == [0, 1, 2]
    assert tight.read == [0, 1, 2, 0, 1, 2]
    assert [one.sample_id for one in kept.validation()] == [8, 18, 28]
    assert len(items(0).validation()) == 3


def test_deepsched_learns_from_a_dataset_too(data: str, tmp_path: Path) -> None:
    base = {**SMALL, "epochs": 2, "tasks_per_micro_batch": 100}
    found = train(tmp_path, base, data).records
    assert [record["epoch"] for record in found] == [1, 2]
    assert set(found[0]) > {"train_ratio", "val_makespan"}
    imitated = train(tmp_path / "x", {**base, "objective": "imitation"}, data, teacher="heft")
    assert set(imitated.measures[0]) == {"loss"}
