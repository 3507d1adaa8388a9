"""The evaluation: what it measures, against schedules whose numbers are known."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from deepsched.baselines.errors import InvalidInput, UnknownName
from deepsched.baselines.metrics import METRICS
from deepsched.baselines.registry import SCHEDULERS, teacher_rng
from deepsched.model.checkpoint import WEIGHTS, save_checkpoint
from deepsched.model.networks import build_network, network_config
from deepsched.model.networks.deepsched.scheduler import PRETRAINED, DeepSchedScheduler
from deepsched.model.networks.paper.decode import ProblemPrediction
from deepsched.model.networks.paper.features import time_scale
from deepsched.model.networks.paper.scheduler import PaperScheduler, chance
from deepsched.pipeline.dataset.storage import Dataset
from deepsched.pipeline.evaluation.cases import RETIMED, dataset_groups
from deepsched.pipeline.evaluation.document import EvaluationSpec
from deepsched.pipeline.evaluation.measure import (
    Case,
    Row,
    evaluate_case,
)
from deepsched.pipeline.evaluation.report import render
from deepsched.pipeline.evaluation.run import evaluate
from deepsched.pipeline.evaluation.search_curve import WAYS
from deepsched.pipeline.evaluation.side_by_side import best_and_worst
from deepsched.pipeline.evaluation.summary import seconds_by_size, summarise_group, verdicts
from tests.pipeline.cli_helpers import deepsched_here
from tests.pipeline.training_helpers import tiny_dataset, tiny_problem

if TYPE_CHECKING:
    from pathlib import Path

SAMPLES = 30
FEW = ("heft", "mct", "random")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> str:
    return tiny_dataset(tmp_path_factory.mktemp("data"), SAMPLES)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model") / "checkpoint"
    folder.mkdir()
    torch.manual_seed(0)
    config = network_config("paper", {"width": 8, "recurrent_width": 8})
    meta = {"teacher": "heft", "epoch": 1}
    save_checkpoint(folder, build_network("paper", config), "paper", config, meta)
    return folder


@pytest.fixture(scope="module")
def spec(data: str, checkpoint: Path) -> EvaluationSpec:
    return EvaluationSpec(data=data, checkpoint=checkpoint, schedulers=FEW, workers=0, limit=12)


@pytest.fixture(scope="module")
def document(spec: EvaluationSpec) -> dict[str, Any]:
    return evaluate(replace(spec, unseen="small"))


def row(sample: int, scheduler: str, makespan: float | None, **changes: Any) -> Row:
    values = {
        "group": "seen",
        "sample_id": sample,
        "source": f"g{sample}",
        "tasks": 10,
        "machines": 2,
        "mean_turnaround": makespan and makespan / 2,
        "mean_waiting": makespan and makespan / 4,
        "lower_bound": 5.0,
        "same_machine": 0.5,
        "seconds": 0.1,
        **changes,
    }
    return Row(scheduler=scheduler, makespan=makespan, **values)


def test_a_group_is_summarised_as_by_hand() -> None:
    rows = [row(0, "heft", 10.0), row(1, "heft", 20.0), row(0, "ga", 15.0), row(1, "ga", 10.0)]
    found = summarise_group(rows, [], learned="paper", known_sources=frozenset({"g1"}))
    assert (found["samples"], found["sources"], found["known"]) == (2, 2, 1)
    ga = found["schedulers"]["ga"]
    assert (ga["makespan"], ga["mean_turnaround"], ga["mean_waiting"]) == (12.5, 6.25, 3.125)
    assert ga["above_bound"] == 2.5
    assert ga["ratio"]["makespan"]["mean"] == (1.5 + 0.5) / 2
    assert ga["ratio"]["makespan"]["worst"] == 1.5
    assert (ga["ratio"]["makespan"]["better"], ga["ratio"]["makespan"]["worse"]) == (1, 1)
    assert found["schedulers"]["heft"]["ratio"]["makespan"]["equal"] == 2


def test_a_refused_sample_is_counted_and_left_out_of_the_means() -> None:
    rows = [row(0, "heft", 10.0), row(1, "heft", 20.0), row(0, "ga", 5.0), row(1, "ga", None)]
    ga = summarise_group(rows, [], learned="paper", known_sources=frozenset())["schedulers"]["ga"]
    assert (ga["samples"], ga["refused"], ga["makespan"]) == (1, 1, 5.0)
    assert ga["ratio"]["makespan"]["mean"] == 0.5


@pytest.mark.parametrize(
    ("own", "said"),
    [
        ([8.0, 18.0], "15.0 % lower than heft's"),
        ([12.0, 22.0], "15.0 % higher than heft's"),
        ([30.0, 50.0], "2.75 times heft's"),
        ([10.0, 20.0], "within 0.05 % of heft's"),
    ],
    ids=["win", "loss", "large loss", "tie"],
)
def test_wins_and_losses_are_said_in_the_same_words(own: list[float], said: str) -> None:
    rows = [row(0, "heft", 10.0), row(1, "heft", 20.0)]
    rows += [row(k, "paper", value) for k, value in enumerate(own)]
    group = summarise_group(rows, [], learned="paper", known_sources=frozenset())
    (sentence,) = verdicts(group, ("heft",))
    assert sentence.startswith(f"On average its makespan is {said}")
    shorter = sum(a < b for a, b in zip(own, [10.0, 20.0], strict=True))
    longer = sum(a > b for a, b in zip(own, [10.0, 20.0], strict=True))
    tally = (
        f"shorter on {shorter}, equal on {2 - shorter - longer}, longer on {longer} of 2 samples"
    )
    assert tally in sentence


def test_seconds_are_medians_by_size() -> None:
    rows = [
        row(0, "heft", 1.0, seconds=1.0),
        row(1, "heft", 1.0, seconds=9.0),
        row(2, "heft", 1.0, seconds=2.0),
        row(3, "heft", 1.0, seconds=5.0, tasks=100),
        row(4, "heft", 1.0, seconds=None),
    ]
    small, large = seconds_by_size(rows)
    assert (small["tasks"], small["seconds"], small["runs"]) == ("1–50", {"heft": 2.0}, {"heft": 3})
    assert (large["tasks"], large["seconds"]) == ("51–200", {"heft": 5.0})


def test_a_case_is_measured_by_the_metrics() -> None:
    problem = tiny_problem(3)
    case = Case(group="seen", sample_id=3, source="tiny", problem=problem)
    rows, target = evaluate_case(case, {name: SCHEDULERS[name] for name in FEW}, "heft", seed=7)
    assert [found.scheduler for found in rows] == list(FEW)
    for found in rows:
        schedule = SCHEDULERS[found.scheduler](problem, teacher_rng(7, 3, found.scheduler))
        assert found.makespan == METRICS["makespan"](problem, schedule)
        assert found.mean_turnaround == METRICS["mean_turnaround"](problem, schedule)
        assert found.mean_waiting == METRICS["mean_waiting"](problem, schedule)
        assert found.same_machine == (schedule.proc == target.proc).mean()
        assert found.seconds is not None
        assert found.reproduced is None


@pytest.mark.parametrize("retime", [False, True])
def test_a_stored_schedule_is_read_and_compared_where_it_is_made_again(retime: bool) -> None:
    problem = tiny_problem(0)
    heft, mct = (SCHEDULERS[name](problem, teacher_rng(0, 0, name)) for name in ("heft", "mct"))
    # The label claims to be HEFT's and is MCT's: it must be taken as it is, and found out.
    labels = {"heft": replace(mct, scheduler="heft")}
    assert not np.array_equal(heft.aft, mct.aft)
    case = Case(
        group="seen", sample_id=0, source="t", problem=problem, labels=labels, retime=retime
    )
    (found,), target = evaluate_case(case, {"heft": SCHEDULERS["heft"]}, "heft", seed=0)
    assert target is labels["heft"]
    if retime:
        assert (found.makespan, found.reproduced) == (heft.makespan, False)
        assert found.seconds is not None
    else:
        assert (found.makespan, found.seconds, found.reproduced) == (mct.makespan, None, None)


def test_the_networks_errors_are_those_of_its_prediction(checkpoint: Path) -> None:
    problem = tiny_problem(2)
    target = SCHEDULERS["heft"](problem, teacher_rng(0, 2, "heft"))
    scale = time_scale(problem)
    score = np.zeros(problem.etc.shape)
    score[np.arange(problem.n_tasks), target.proc] = 1.0
    score[0] = np.roll(score[0], 1)  # one task wrong

    class Known(PaperScheduler):
        def predict(self, problems: Any) -> list[ProblemPrediction]:
            return [
                ProblemPrediction(
                    network="known",
                    score=score,
                    start=target.ast + 0.5 * scale,
                    finish=target.aft - np.where(np.arange(problem.n_tasks) == 0, scale, 0.0),
                )
            ]

    fit = Known.load(checkpoint).agreement(problem, target)
    n = problem.n_tasks
    assert (fit["tasks"], fit["chance"]) == (n, chance(problem))
    assert fit["accuracy"] == (n - 1) / n
    assert (fit["ast_mae"], fit["ast_rmse"]) == pytest.approx((0.5, 0.5))
    assert (fit["aft_mae"], fit["aft_rmse"]) == pytest.approx((1 / n, (1 / n) ** 0.5))


def test_the_groups_are_the_splits(document: dict[str, Any]) -> None:
    ids = {
        name: sorted({r["sample_id"] for r in document["rows"] if r["group"] == name})
        for name in ("seen", "unseen", "other")
    }
    assert all(k % 10 not in (8, 9) for k in ids["seen"])
    assert len(ids["seen"]) == 12
    assert ids["unseen"] == [9, 19, 29]
    assert ids["other"] == list(range(12))


def test_every_scheduler_is_there_and_heft_is_the_measure(document: dict[str, Any]) -> None:
    for group in document["groups"]:
        assert list(group["schedulers"]) == ["paper", *FEW]
        heft = group["schedulers"]["heft"]["ratio"]
        assert heft["makespan"]["mean"] == heft["mean_turnaround"]["worst"] == 1.0
        assert group["schedulers"]["heft"]["same_machine"] == 1.0
        assert set(group["versus"]) == set(FEW)


def test_the_summary_follows_from_the_rows(document: dict[str, Any]) -> None:
    for group in document["groups"]:
        rows = [r for r in document["rows"] if r["group"] == group["name"]]
        base = {r["sample_id"]: r["makespan"] for r in rows if r["scheduler"] == "heft"}
        for name, found in group["schedulers"].items():
            own = [r for r in rows if r["scheduler"] == name]
            ratio = [r["makespan"] / base[r["sample_id"]] for r in own]
            assert found["ratio"]["makespan"]["mean"] == pytest.approx(np.mean(ratio))
            assert found["ratio"]["makespan"]["median"] == pytest.approx(np.median(ratio))
            assert found["ratio"]["makespan"]["worst"] == max(ratio)
            turnarounds = [r["mean_turnaround"] for r in own]
            assert found["mean_turnaround"] == pytest.approx(np.mean(turnarounds))


def test_stored_labels_are_reproduced(document: dict[str, Any]) -> None:
    seen = document["groups"][0]["schedulers"]
    # All problems are of one range of sizes, of which so many are made again.
    assert seen["heft"]["compared"] == seen["heft"]["reproduced"] == RETIMED
    assert seen["mct"]["compared"] == 0


def test_the_document_is_strict_json_and_the_same_again(
    document: dict[str, Any], spec: EvaluationSpec
) -> None:
    text = json.dumps(document, allow_nan=False)
    assert json.loads(text) == document

    def timeless(value: Any) -> Any:
        if isinstance(value, dict):
            skipped = {"seconds", "median_seconds", "date"}
            return {key: timeless(item) for key, item in value.items() if key not in skipped}
        return [timeless(item) for item in value] if isinstance(value, list) else value

    assert timeless(evaluate(replace(spec, unseen="small"))) == timeless(document)


def test_a_training_on_a_part_has_seen_only_that(data: str) -> None:
    dataset = Dataset.open(data)
    seen, unseen = dataset_groups(dataset, "val", 100, trained_on=5)
    assert [case.sample_id for case in seen.cases()] == [0, 1, 2, 3, 4]
    assert [case.sample_id for case in unseen.cases()] == [8, 18, 28]
    assert len(seen.known_sources) == 5


def test_a_limit_spreads_over_the_split(data: str) -> None:
    seen, _ = dataset_groups(Dataset.open(data), "test", 3)
    assert [case.sample_id for case in seen.cases()] == [0, 10, 20]


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"schedulers": ("best",)}, UnknownName, "unknown scheduler 'best'"),
        ({"unseen": "nowhere"}, InvalidInput, "nowhere"),
        ({"data": "nowhere"}, InvalidInput, "nowhere"),
        ({"split": "all-of-it"}, InvalidInput, "unknown split"),
    ],
    ids=["scheduler", "unseen", "data", "split"],
)
def test_what_is_not_there_is_named(
    changes: dict[str, Any], error: type[Exception], words: str, spec: EvaluationSpec
) -> None:
    with pytest.raises(error, match=words):
        evaluate(replace(spec, **changes))


def test_the_training_data_are_no_other_kind(spec: EvaluationSpec) -> None:
    with pytest.raises(InvalidInput, match="is the dataset of the training itself"):
        evaluate(replace(spec, unseen=spec.data))


def test_a_network_that_imitates_nobody_has_seen_nothing(
    spec: EvaluationSpec, tmp_path: Path
) -> None:
    own = shutil.copytree(PRETRAINED, tmp_path / "own")
    few = replace(spec, checkpoint=own, schedulers=("deepsched", *FEW), limit=3)
    found = evaluate(few)
    (group,) = found["groups"]
    assert (group["name"], group["known"], group["network"]) == ("unseen", 0, None)
    # The name is that of the checkpoint's network, which is measured once.
    assert list(group["schedulers"]) == ["deepsched", *FEW]
    scheduler = DeepSchedScheduler.load(own)
    ratios = []
    for sample_id, problem in Dataset.open(spec.data).problems("test"):
        made = scheduler(problem, teacher_rng(0, sample_id, "deepsched"))
        heft = SCHEDULERS["heft"](problem, teacher_rng(0, sample_id, "heft"))
        ratios.append(made.makespan / heft.makespan)
    assert group["schedulers"]["deepsched"]["ratio"]["makespan"]["mean"] == np.mean(ratios) < 1
    page = render(found)
    assert "deepsched is a network that bends the rule of heft" in page
    assert f"{np.mean(ratios):.3f} × HEFT" in page
    assert "chance</span>" not in page
    assert "<h2>Training</h2>" not in page
    # However it was trained, its history is shown.
    history = tmp_path / "history.json"
    record = {"step": 2, "epoch": 0, "train_ratio": 1, "val_makespan": 0.9, "val_turnaround": 0.9}
    history.write_text(json.dumps([record]))
    assert "<h2>Training</h2>" in render(evaluate(replace(few, history=history)))


def test_without_a_checkpoint_the_pretrained_network_is_compared(
    data: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    done = deepsched_here(
        capsys,
        *("evaluate", "--data", data, "--out", out, "--workers", 0, "--schedulers", "mct"),
    )
    assert done.returncode == 0
    found = json.loads((out / "evaluation.json").read_text())
    (group,) = found["groups"]
    assert (group["learned"], group["name"]) == ("deepsched", "unseen")
    assert set(group["schedulers"]) == {"deepsched", "heft", "mct"}
    assert found["provenance"]["checkpoint"] == "pretrained"
    page = (out / "report.html").read_text()
    assert "<h2>Training</h2>" not in page
    # No way is worse than a dearer one; but of 100 problems 3 to 9 are better by one pass than by
    # eight samples, here one of three: both improve their best by steps drawn at random.
    (curve,) = found["search"]
    assert [point["way"] for point in curve["points"]] == list(WAYS)
    one, *more = (point["ratio"] for point in curve["points"])
    assert more == sorted(more, reverse=True)
    assert more[1] < one <= 1
    assert more[0] < one + 0.01
    assert curve["samples"] == 3
    # The charts are those of the rows.
    rows = {(row["sample_id"], row["scheduler"]): row["makespan"] for row in found["rows"]}
    assert [chart["kind"] for chart in found["charts"]] == ["best", "best", "worst"]
    ratios = [chart["ratio"] for chart in found["charts"]]
    assert ratios[0] <= ratios[1] <= ratios[2]
    for chart in found["charts"]:
        k = chart["sample_id"]
        assert chart["ratio"] == rows[k, "deepsched"] / rows[k, "heft"]
        assert f'href="{chart["file"]}"' in page
        chart_page = (out / chart["file"]).read_text()
        assert all(name in chart_page for name in ("heft", "deepsched"))


def test_best_and_worst_are_never_the_same_sample() -> None:
    rows = [
        row(k, name, 10.0 + (k if name == "x" else 0)) for k in range(5) for name in ("heft", "x")
    ]
    rows += [row(9, "heft", 1.0), row(9, "x", None)]
    found = best_and_worst(rows, "x")
    assert [(one["kind"], one["sample_id"]) for one in found] == [
        ("best", 0),
        ("best", 1),
        ("best", 2),
        ("worst", 4),
        ("worst", 3),
    ]
    assert best_and_worst(rows[-2:], "x") == []


def test_teachers_machine_is_a_share_of_all_tasks() -> None:
    rows = [row(0, "heft", 1.0, tasks=30, same_machine=1.0)]
    rows += [row(1, "heft", 1.0, tasks=10, same_machine=0.5)]
    group = summarise_group(rows, [], learned="x", known_sources=frozenset())
    assert group["schedulers"]["heft"]["same_machine"] == (30 * 1.0 + 10 * 0.5) / 40


@pytest.mark.parametrize("text", ["{", "{}", '[{"epoch": 1}]'], ids=["broken", "no list", "short"])
def test_a_bad_history_is_named(text: str, spec: EvaluationSpec, tmp_path: Path) -> None:
    path = tmp_path / "history.json"
    path.write_text(text)
    with pytest.raises(InvalidInput, match=r"history\.json"):
        evaluate(replace(spec, history=path))


def test_the_command_writes_both_files_and_keeps_them(
    data: str, checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, model = tmp_path / "out", tmp_path / "model"
    shutil.copytree(checkpoint, model)
    arguments = [
        *("evaluate", "--data", data, "--checkpoint", model, "--out", out, "--workers", 0),
        *("--limit", 2, "--schedulers", "mct", "--resume"),
    ]
    done = deepsched_here(capsys, *arguments)
    assert done.returncode == 0
    assert {path.name for path in out.iterdir()} == {"evaluation.json", "report.html", "gantt"}
    assert f"report: {out / 'report.html'}" in done.stdout
    first = (out / "evaluation.json").read_bytes()
    kept = deepsched_here(capsys, *arguments)
    assert "holds this comparison already" in kept.stderr
    assert kept.stdout == done.stdout
    assert (out / "evaluation.json").read_bytes() == first
    # Another network: the old report is not its.
    torch.manual_seed(1)
    config = network_config("paper", {"width": 8, "recurrent_width": 8})
    save_checkpoint(model, build_network("paper", config), "paper", config, {"teacher": "heft"})
    assert (model / WEIGHTS).read_bytes() != (checkpoint / WEIGHTS).read_bytes()
    again = deepsched_here(capsys, *arguments)
    assert "already" not in again.stderr
    assert (out / "evaluation.json").read_bytes() != first


@pytest.mark.ray
def test_workers_change_nothing_but_times(
    local_ray: None, spec: EvaluationSpec, document: dict[str, Any]
) -> None:
    found = evaluate(replace(spec, unseen="small", workers=2))
    assert len(found["rows"]) == len(document["rows"])
    for one, other in zip(found["rows"], document["rows"], strict=True):
        assert {**one, "seconds": None} == {**other, "seconds": None}


def test_a_network_for_smaller_problems_refuses_the_others(
    spec: EvaluationSpec, tmp_path: Path
) -> None:
    sizes = {"max_tasks": 14, "max_machines": 3, "width": 8, "recurrent_width": 8}
    config = network_config("paper", sizes)
    save_checkpoint(tmp_path, build_network("paper", config), "paper", config, {"teacher": "heft"})
    found = evaluate(replace(spec, checkpoint=tmp_path))
    own = [r for r in found["rows"] if r["scheduler"] == "paper"]
    assert {r["tasks"] > 14 for r in own} == {True, False}
    assert all((r["makespan"] is None) == (r["tasks"] > 14) for r in own)
    assert found["groups"][0]["schedulers"]["paper"]["refused"] > 0
    assert any("paper is not offered for problems as large" in note for note in found["notes"])
    assert "not offered" in render(found)
