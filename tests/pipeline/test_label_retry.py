"""`--retry-failed`: labels that failed are tried again, and a new generation is published."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest

from deepsched.baselines.heft import heft
from deepsched.baselines.registry import get_scheduler
from deepsched.baselines.schedule import make_schedule
from deepsched.pipeline.dataset.manifest import Manifest, label_part, record_of
from deepsched.pipeline.dataset.storage import Dataset
from deepsched.pipeline.label import command
from deepsched.pipeline.labelling import shard
from deepsched.pipeline.labelling.presets import PRESETS
from deepsched.pipeline.labelling.run import label
from deepsched.pipeline.labelling.spec import LabelSpec
from tests.pipeline.cli_helpers import deepsched_here
from tests.pipeline.label_helpers import EvenPreset

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import numpy as np

    from deepsched.baselines.problem import Problem
    from deepsched.baselines.schedule import Schedule

    Failing = Callable[["Problem", "np.random.Generator"], "Schedule"]

SOURCE = EvenPreset(name="small", seed=3, preset=PRESETS["small"])
SAMPLES, SHARDS = 11, 4
BAD = (4, 6)  # of the second and the third shard


def spec_for(out: object, **changes: Any) -> LabelSpec:
    settings: dict[str, Any] = {"teachers": ("heft", "mct"), "samples": SAMPLES} | changes
    return LabelSpec(out=str(out), source=SOURCE, shard_bytes=3, seed=3, **settings)


def fails(problem: Problem, rng: np.random.Generator) -> Schedule:
    raise ZeroDivisionError("for now")


def overlaps(problem: Problem, rng: np.random.Generator) -> Schedule:
    good = heft(problem, rng)
    return make_schedule("heft", good.proc, good.ast - 1e6, good.aft - 1e6)


def never_ends(problem: Problem, rng: np.random.Generator) -> Schedule:
    time.sleep(60)
    return heft(problem, rng)


@pytest.fixture
def poison(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Make heft do something else on some samples, until it is called again with none."""

    def on(teacher: Failing, *samples: int) -> None:
        names = {SOURCE.problem(sample).name for sample in samples}

        def poisoned(problem: Problem, rng: np.random.Generator) -> Schedule:
            return teacher(problem, rng) if problem.name in names else heft(problem, rng)

        monkeypatch.setattr(
            shard,
            "get_scheduler",
            lambda name: poisoned if name == "heft" else get_scheduler(name),
        )

    return on


def states(out: Path) -> dict[str, tuple[int, int]]:
    """Return what changes when a file is written again."""
    found = [path for path in out.rglob("*") if path.is_file() and path.name != ".lock"]
    return {str(p.relative_to(out)): (p.stat().st_ino, p.stat().st_mtime_ns) for p in found}


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    return label(spec_for(tmp_path_factory.mktemp("good")))


@pytest.mark.parametrize(("teacher", "status"), [(fails, "failed"), (overlaps, "invalid")])
def test_what_works_now_becomes_a_new_generation(
    tmp_path: Path, poison: Any, good: Manifest, teacher: Failing, status: str
) -> None:
    poison(teacher, *BAD)
    first = label(spec_for(tmp_path))
    assert [part.status for part in first.labels["heft"]] == [
        {"ok": 3}, {status: 1, "ok": 2}, {status: 1, "ok": 2}, {"ok": 2},
    ]  # fmt: skip
    old, before = states(tmp_path), (tmp_path / "manifest.json").read_bytes()

    poison(teacher)
    assert label(spec_for(tmp_path)) == first  # only where it is asked for
    kept: dict[int, frozenset[str]] = {}
    second = label(
        spec_for(tmp_path),
        retry_failed=True,
        on_report=lambda report: kept.update({report.shard: report.kept}),
    )
    assert (first.generation, second.generation) == (1, 2)
    assert [part.file for part in second.labels["heft"]] == [
        label_part("heft", 0),
        label_part("heft", 1, 2),
        label_part("heft", 2, 2),
        label_part("heft", 3),
    ]
    assert [shard for shard, names in sorted(kept.items()) if "heft" not in names] == [1, 2]
    # The labels are those of a teacher that never failed, and mct's are none the less there.
    assert [p.sha256 for p in second.labels["heft"]] == [p.sha256 for p in good.labels["heft"]]
    assert second.labels["mct"] == good.labels["mct"]
    assert second.problems == good.problems
    # Nothing but manifest, card and tables of the splits was replaced, and the manifest was kept.
    new = states(tmp_path)
    replaced = {name for name in old if new[name] != old[name]}
    assert {name for name in replaced if not name.startswith("samples/")} == {
        "manifest.json",
        "README.md",
    }
    assert set(new) - set(old) == {
        "manifests/1.json",
        *(name for k in (1, 2) for name in (label_part("heft", k, 2),)),
        *(record_of(label_part("heft", k, 2)) for k in (1, 2)),
    }
    assert (tmp_path / "manifests" / "1.json").read_bytes() == before
    dataset = Dataset.open(str(tmp_path))
    assert dataset.failures("heft") == {}
    assert len(dataset.seconds("heft")) == len(list(dataset.samples("heft"))) == SAMPLES


def test_both_generations_pass_verify(
    tmp_path: Path, poison: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    poison(fails, 4)
    label(spec_for(tmp_path))
    poison(fails)
    label(spec_for(tmp_path), retry_failed=True)
    done = deepsched_here(capsys, "verify", tmp_path)
    assert done.returncode == 0
    assert "generation 2" in done.stdout
    assert "result    all well\n" in done.stdout
    (tmp_path / "manifest.json").write_bytes((tmp_path / "manifests" / "1.json").read_bytes())
    (tmp_path / "manifests" / "1.json").unlink()
    done = deepsched_here(capsys, "verify", tmp_path)
    assert done.returncode == 0
    assert f"{label_part('heft', 1, 2)} is in no manifest" in done.stdout


def test_nothing_changes_when_all_fail_again(tmp_path: Path, poison: Any) -> None:
    poison(fails, *BAD)
    first = label(spec_for(tmp_path))
    before = states(tmp_path)
    assert label(spec_for(tmp_path), retry_failed=True) == first
    assert states(tmp_path) == before


def test_some_may_work_now_and_others_later(tmp_path: Path, poison: Any, good: Manifest) -> None:
    poison(fails, *BAD)
    label(spec_for(tmp_path))
    poison(fails, 6)
    second = label(spec_for(tmp_path), retry_failed=True)
    poison(fails)
    third = label(spec_for(tmp_path), retry_failed=True)
    assert [second.generation, third.generation] == [2, 3]
    assert [part.file for part in third.labels["heft"]][1:3] == [
        label_part("heft", 1, 2),
        label_part("heft", 2, 3),
    ]
    assert [p.sha256 for p in third.labels["heft"]] == [p.sha256 for p in good.labels["heft"]]
    older = [json.loads((tmp_path / "manifests" / f"{k}.json").read_text()) for k in (1, 2)]
    assert [manifest["generation"] for manifest in older] == [1, 2]
    for manifest in older:  # still as published
        for part in manifest["labels"]["heft"]:
            assert (tmp_path / part["file"]).stat().st_size == part["bytes"]


def test_an_interrupted_retry_goes_on(
    tmp_path: Path, poison: Any, good: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    poison(fails, *BAD)
    first = label(spec_for(tmp_path))
    poison(fails)

    def stop(report: Any) -> None:
        if report.shard == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        label(spec_for(tmp_path), retry_failed=True, order=range(SHARDS), on_report=stop)
    assert Dataset.open(str(tmp_path)).manifest == first
    assert len(list(Dataset.open(str(tmp_path)).samples("heft"))) == SAMPLES - 2
    left = states(tmp_path)
    assert label_part("heft", 1, 2) in left
    assert label_part("heft", 2, 2) not in left
    # What lies there ready is taken: heft would fail on it now.
    poison(fails, 4)
    second = label(spec_for(tmp_path), retry_failed=True)
    assert [p.sha256 for p in second.labels["heft"]] == [p.sha256 for p in good.labels["heft"]]
    assert states(tmp_path)[label_part("heft", 1, 2)] == left[label_part("heft", 1, 2)]


def test_a_lost_part_of_a_later_generation_is_made_where_it_lay(
    tmp_path: Path, poison: Any
) -> None:
    poison(fails, *BAD)
    label(spec_for(tmp_path))
    poison(fails)
    second = label(spec_for(tmp_path), retry_failed=True)
    before = states(tmp_path)
    (tmp_path / label_part("heft", 1, 2)).unlink()
    assert label(spec_for(tmp_path)) == second
    Dataset.open(str(tmp_path)).check()
    after = states(tmp_path)
    changed = {name for name in before if after[name] != before[name]}
    assert changed == {label_part("heft", 1, 2), record_of(label_part("heft", 1, 2))}


def test_a_new_teacher_in_a_retry_has_plain_names(tmp_path: Path, poison: Any) -> None:
    poison(fails, 4)
    label(spec_for(tmp_path, teachers=("heft",)))
    poison(fails)
    manifest = label(spec_for(tmp_path, teachers=("mct",)), retry_failed=True)
    assert [part.file for part in manifest.labels["mct"]] == [
        label_part("mct", k) for k in range(SHARDS)
    ]
    assert manifest.labels["heft"][1].file == label_part("heft", 1, 2)


def test_what_took_too_long_is_tried_again(
    tmp_path: Path, poison: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--preset", "small", "--seed", 3, "--samples", 4, "--workers", 0, "--out"]
    words = [str(word) for word in (*arguments, tmp_path)]
    poison(never_ends, 2)
    assert command.main([*words, "--timeout", "0.3"], standalone_mode=False) == 1
    assert "failed    1 labels are missing; --retry-failed" in capsys.readouterr().out
    dataset = Dataset.open(str(tmp_path))
    assert [reason.split(":")[0] for reason in dataset.failures("heft").values()] == ["timeout"]
    assert list(dataset.failures("heft")) == [2]
    poison(never_ends)
    assert command.main([*words, "--retry-failed"], standalone_mode=False) == 0
    assert "generation 2" in capsys.readouterr().out
    assert Dataset.open(str(tmp_path)).failures("heft") == {}
