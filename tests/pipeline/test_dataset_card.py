"""The card of a dataset says what is there, and other tools read the files by it."""

from __future__ import annotations

import functools
import os
import re
import subprocess
import sys
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
import yaml

from deepsched.baselines.registry import get_scheduler
from deepsched.pipeline.dataset.card import size_category
from deepsched.pipeline.dataset.manifest import label_part
from deepsched.pipeline.dataset.schema import LABELS, PROBLEMS
from deepsched.pipeline.dataset.storage import Dataset
from deepsched.pipeline.labelling import shard
from deepsched.pipeline.labelling.paper_preset import PaperSource
from deepsched.pipeline.labelling.presets import PRESETS, PresetSource
from deepsched.pipeline.labelling.run import label
from deepsched.pipeline.labelling.spec import LabelSpec
from tests.pipeline.cli_helpers import ROOT

if TYPE_CHECKING:
    from pathlib import Path

    from deepsched.baselines.problem import Problem
    from deepsched.baselines.schedule import Schedule

KINDS = ("own machines", "shared machines", "second generation")


def make(out: Path, kind: str) -> None:
    """Make a small dataset; of the second generation, one schedule still fails."""
    spec = LabelSpec(
        out=str(out),
        source=PresetSource(name="small", seed=3, preset=PRESETS["small"]),
        samples=12,
        shard_bytes=4000,
        seed=3,
        teachers=("mct", "heft"),
    )
    if kind == "shared machines":
        paper = PaperSource(seed=5)
        label(LabelSpec(**{**vars_of(spec), "source": paper, "samples": 3}))
        return
    if kind == "own machines":
        label(spec)
        return
    for bad in ({2, 7}, {7}):
        names = {spec.source.problem(k).name for k in bad}

        def poisoned(problem: Problem, rng: Any, names: set[str] = names) -> Schedule:
            if problem.name in names:
                raise ZeroDivisionError
            return get_scheduler("heft")(problem, rng)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(
                shard,
                "get_scheduler",
                lambda name, poisoned=poisoned: poisoned if name == "heft" else get_scheduler(name),
            )
            label(spec, retry_failed=True)


def vars_of(spec: LabelSpec) -> dict[str, Any]:
    return {name: getattr(spec, name) for name in spec.__dataclass_fields__}


@pytest.fixture(scope="module", params=KINDS)
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("card") / "data"
    make(out, request.param)
    return out


def head(made: Path) -> dict[str, Any]:
    """Return the YAML at the top, as `datasets` reads it."""
    text = (made / "README.md").read_text()
    return yaml.safe_load(text.split("---")[1])


def files_of(made: Path, config: str) -> list[str]:
    """Return the files that a configuration of the card names."""
    (split,) = next(c["data_files"] for c in head(made)["configs"] if c["config_name"] == config)
    patterns = split["path"]
    if isinstance(patterns, str):
        patterns = [patterns]
    return [str(path.relative_to(made)) for name in patterns for path in sorted(made.glob(name))]


def test_the_card_names_the_files_of_this_generation(made: Path) -> None:
    manifest = Dataset.open(str(made)).manifest
    assert [config["config_name"] for config in head(made)["configs"]] == [
        "samples",
        "problems",
        "labels-mct",
        "labels-heft",
    ]
    assert files_of(made, "problems") == [part.file for part in manifest.problems]
    for teacher, parts in manifest.labels.items():
        assert files_of(made, f"labels-{teacher}") == [part.file for part in parts]


def test_what_a_stopped_retry_left_is_not_read_with_the_rest(tmp_path: Path) -> None:
    make(tmp_path, "own machines")
    before = files_of(tmp_path, "labels-heft")
    (tmp_path / label_part("heft", 0, 2)).write_bytes(b"x")
    assert files_of(tmp_path, "labels-heft") == before


def test_the_card_lists_every_column_and_counts_every_row(made: Path) -> None:
    text = (made / "README.md").read_text()
    for schema in (PROBLEMS, LABELS):
        for field in schema:
            assert f"| `{field.name}` | {field.type} | " in text
    dataset = Dataset.open(str(made))
    n, manifest = dataset.n_samples, dataset.manifest
    assert f"| problems | {n} | {n} ok |" in text
    assert f"| mct | {n} | {n} ok |" in text
    failed = len(dataset.failures("heft"))
    states = f"{failed} failed, {n - failed} ok" if failed else f"{n} ok"
    assert f"| heft | {n} | {states} |" in text
    assert failed == (manifest.generation == 2)
    assert f"`{manifest.digest()}`" in text
    sizes = dataset.sizes()
    for column in ("tasks", "machines", "edges"):
        line = re.search(rf"^\* {column}: (.*)$", text, re.MULTILINE)
        assert line
        counts = {}
        for cell in line[1].split("; "):
            span, _, count = cell.replace(",", "").partition(": ")
            low, _, high = span.partition("–")
            counts[int(low), int(high or low)] = int(count)
        for (low, high), count in counts.items():
            assert count == sum(low <= getattr(size, f"n_{column}") <= high for size in sizes)
        assert sum(counts.values()) == n


def test_the_example_of_the_card_runs(tmp_path: Path) -> None:
    made = tmp_path / "data"
    make(made, "second generation")
    text = (made / "README.md").read_text()
    code = text.split("```python\n")[1].split("```")[0]
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=made,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "makespan" in done.stdout
    first = next(Dataset.open(str(made)).samples("mct", "train"))
    assert f"{first.problem.name} {first.schedule.makespan}" in done.stdout


# Other tools: the same numbers as through the package


def expected(made: Path) -> tuple[int, float, int]:
    """Return how many schedules of heft there are, their mean makespan, and their tasks."""
    schedules = [schedule for _, schedule in Dataset.open(str(made)).schedules("heft")]
    mean = float(np.mean([schedule.makespan for schedule in schedules]))
    return len(schedules), mean, sum(schedule.proc.size for schedule in schedules)


def test_pandas_reads_it(made: Path) -> None:
    count, mean, tasks = expected(made)
    problems = pd.concat([pd.read_parquet(made / name) for name in files_of(made, "problems")])
    labels = pd.concat([pd.read_parquet(made / name) for name in files_of(made, "labels-heft")])
    both = problems.merge(labels[labels.status == "ok"], on="sample_id")
    assert len(both) == count
    assert both.makespan.mean() == pytest.approx(mean)
    assert both.n_tasks.sum() == both["ast"].map(len).sum() == tasks
    own = not (made / "machines.json").exists()
    assert both.machine_cores.notna().all() == own
    assert all(isinstance(cell, np.ndarray) for cell in both.work.dropna())


def test_polars_reads_it(made: Path) -> None:
    polars = pytest.importorskip("polars")
    count, mean, tasks = expected(made)
    problems = polars.scan_parquet([made / name for name in files_of(made, "problems")])
    labels = polars.scan_parquet([made / name for name in files_of(made, "labels-heft")])
    both = problems.join(labels.filter(polars.col("status") == "ok"), on="sample_id").collect()
    assert (len(both), both["n_tasks"].sum()) == (count, tasks)
    assert both["makespan"].mean() == pytest.approx(mean)
    assert both["ast"].list.len().sum() == tasks


def test_duckdb_reads_it(made: Path) -> None:
    duckdb = pytest.importorskip("duckdb")
    problems, labels = (
        [str(made / name) for name in files_of(made, config)]
        for config in ("problems", "labels-heft")
    )
    found = duckdb.sql(
        f"select count(*), avg(makespan), sum(len(l.ast)) from read_parquet({problems}) "
        f"join read_parquet({labels}) l using (sample_id) where l.status = 'ok'"
    ).fetchall()
    assert found[0] == pytest.approx(expected(made))


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Give `datasets.load_dataset`, offline, with its cache in a folder of the test."""
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what it imports
        datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    return functools.partial(datasets.load_dataset, cache_dir=str(tmp_path / "cache"))


def test_datasets_gives_the_splits_without_a_name_of_a_configuration(made: Path, load: Any) -> None:
    dataset = Dataset.open(str(made))
    found = load(str(made))
    names = {"train": "train", "validation": "val", "test": "test"}
    ids = {name: [s.sample_id for s in dataset.sizes(split)] for name, split in names.items()}
    assert {name: rows["sample_id"][:] for name, rows in found.items()} == {
        name: of_split for name, of_split in ids.items() if of_split
    }
    schedules = dict(dataset.schedules("heft"))
    for rows in found.values():
        for row in rows:
            schedule = schedules.get(row["sample_id"])
            assert row["heft_makespan"] == (None if schedule is None else schedule.makespan)
            assert (row["heft_status"] == "ok") == (schedule is not None)


def test_datasets_reads_problems_and_labels(made: Path, load: Any) -> None:
    labels = load(str(made), "labels-heft", split="full")
    good = [row for row in labels if row["status"] == "ok"]
    count, mean, tasks = expected(made)
    assert (len(good), sum(len(row["ast"]) for row in good)) == (count, tasks)
    assert float(np.mean([row["makespan"] for row in good])) == pytest.approx(mean)
    problems = load(str(made), "problems")["full"]
    assert problems["sample_id"][:] == list(range(Dataset.open(str(made)).n_samples))
    wanted = load(str(made))["train"]["sample_id"][:]
    assert problems.select(wanted)["sample_id"][:] == labels.select(wanted)["sample_id"][:]
    assert problems.select(wanted)["sample_id"][:] == wanted


def test_the_head_has_licence_tags_and_size(made: Path) -> None:
    found = head(made)
    assert found["license"] == "cc0-1.0"
    assert found["size_categories"] == ["n<1K"]
    assert "scheduling" in found["tags"]
    assert found["task_categories"] == ["graph-ml"]


@pytest.mark.parametrize(
    ("samples", "words"),
    [
        (1, "n<1K"),
        (999, "n<1K"),
        (1000, "1K<n<10K"),
        (10_000, "10K<n<100K"),
        (99_999, "10K<n<100K"),
        (100_000, "100K<n<1M"),
        (3_000_000, "1M<n<10M"),
    ],
)
def test_sizes_have_the_words_of_the_hub(samples: int, words: str) -> None:
    assert size_category(samples) == words
