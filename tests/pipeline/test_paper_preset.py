"""Preset `paper`: what it draws, that machines are stored once, and what a plan of it says."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from deepsched.baselines.errors import InvalidInput
from deepsched.baselines.heft import heft
from deepsched.baselines.schedule import violations
from deepsched.pipeline.benchmarks.labelling import make_largest, paper_spec
from deepsched.pipeline.dataset.storage import Dataset
from deepsched.pipeline.label import command
from deepsched.pipeline.labelling.paper_preset import (
    CORES,
    FREQUENCY,
    GRAPHS,
    LENGTHS,
    MACHINE_MEMORY,
    N_MACHINES,
    PRIORITY,
    PRIORITY_SHARE,
    SAMPLES,
    TASK_MEMORY,
    TASKS,
    PaperSource,
    paper_machines,
)
from deepsched.pipeline.labelling.plan import project, spread
from deepsched.pipeline.labelling.request import default_shard_bytes
from deepsched.pipeline.labelling.run import label
from deepsched.pipeline.labelling.sources import TASK_BYTES
from deepsched.pipeline.labelling.spec import plan_shards

if TYPE_CHECKING:
    from pathlib import Path

    from deepsched.baselines.problem import Problem

SOURCE = PaperSource(seed=5)


@pytest.fixture(scope="module")
def small() -> list[Problem]:
    """The smaller ones of the first samples."""
    ids = [k for k in range(60) if SOURCE.size(k) < 4000 * TASK_BYTES]
    return [SOURCE.problem(k) for k in ids]


def run(*arguments: object) -> Any:
    return command.main([str(argument) for argument in arguments], standalone_mode=False)


def test_sizes_are_log_uniform_over_the_papers_range() -> None:
    tasks = np.array([SOURCE.size(k) // TASK_BYTES for k in range(4000)])
    low, high = TASKS
    assert low <= tasks.min() < 500
    assert 82_000 < tasks.max() <= high
    share = np.log(tasks / low) / np.log(high / low)
    assert np.histogram(share, 4, (0, 1))[0] == pytest.approx(1000, rel=0.12)


def test_problems_have_the_size_that_was_said_and_are_valid(small: list[Problem]) -> None:
    ids = [k for k in range(60) if SOURCE.size(k) < 4000 * TASK_BYTES]
    assert len(small) > 10
    for k, problem in zip(ids, small, strict=True):
        assert problem.n_tasks * TASK_BYTES == SOURCE.size(k)
        assert problem.n_machines == N_MACHINES
        assert violations(problem, heft(problem)) == []
        assert SOURCE.label(k) == f"paper/{problem.name.removeprefix('paper-').rsplit('-', 2)[0]}"
    assert {SOURCE.label(k).removeprefix("paper/") for k in range(200)} == set(GRAPHS)


def test_tasks_are_drawn_as_documented(small: list[Problem]) -> None:
    work = np.concatenate([p.work for p in small if p.work is not None])
    for least, most, share in LENGTHS:
        inside = (work >= least / 1000) & (work <= most / 1000)
        assert inside.mean() == pytest.approx(share, abs=0.02)
    memory = np.concatenate([p.memory for p in small])
    assert set(memory) == set(TASK_MEMORY)
    priority = np.concatenate([p.priority for p in small])
    for value, share in zip(PRIORITY, PRIORITY_SHARE, strict=True):
        assert (priority == value).mean() == pytest.approx(share, abs=0.01)
    for problem in small:
        assert (np.diff(problem.arrival) >= 0).all()
        assert problem.arrival[0] == 0
        assert (problem.arrival == np.floor(problem.arrival)).all()
        assert problem.arrival[-1] <= 14_267


def test_all_samples_share_the_machines_of_the_seed(small: list[Problem]) -> None:
    machines = paper_machines(5)
    assert all(problem.machines is machines for problem in small)
    assert set(machines.cores) == set(CORES)
    assert set(machines.frequency) == set(FREQUENCY)
    assert set(machines.memory) == set(MACHINE_MEMORY)
    assert not np.array_equal(paper_machines(6).cores, machines.cores)


def test_a_sample_depends_on_seed_and_id_alone() -> None:
    one, again = SOURCE.problem(17), PaperSource(seed=5).problem(17)
    assert one.etc.tobytes() == again.etc.tobytes()
    assert one.succ_bytes.tobytes() == again.succ_bytes.tobytes()
    other = PaperSource(seed=6).problem(17)
    assert other.n_tasks != one.n_tasks or other.etc.tobytes() != one.etc.tobytes()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("data") / "paper"
    assert run("--preset", "paper", "--fraction", 0.00006, "--workers", 0, "--out", out) == 0
    return out


def test_machines_are_stored_once_and_costs_as_factors(made: Path) -> None:
    dataset = Dataset.open(str(made))
    assert dataset.n_samples == 6
    assert dataset.manifest.machines is not None
    table = pq.read_table(made / dataset.manifest.problems[0].file)
    for column in ("etc", "noise", "machine_cores", "machine_memory", "bandwidth", "task_id"):
        assert table.column(column).null_count == table.num_rows
    source = PaperSource(seed=0)
    for sample_id, problem in dataset.problems():
        made_again = source.problem(sample_id)
        for name in ("etc", "arrival", "memory", "priority", "succ_ptr", "succ", "succ_bytes"):
            assert getattr(problem, name).tobytes() == getattr(made_again, name).tobytes(), name
    problems = [problem for _, problem in dataset.problems()]
    assert all(problem.machines is problems[0].machines for problem in problems)


@pytest.mark.parametrize(
    ("damage", "said"),
    [(b"", "has 0 bytes"), (None, "is missing"), (b"[" + b" " * 99, "bytes; the manifest says")],
)
def test_damaged_machines_are_named(
    made: Path, tmp_path: Path, damage: bytes | None, said: str
) -> None:
    import shutil

    copy = shutil.copytree(made, tmp_path / "copy")
    if damage is None:
        (copy / "machines.json").unlink()
    else:
        (copy / "machines.json").write_bytes(damage)
    with pytest.raises(InvalidInput, match=rf"machines\.json.*{said}"):
        list(Dataset.open(str(copy)).problems())


def test_a_prefix_holds_the_same_samples(made: Path, tmp_path: Path) -> None:
    spec = replace(paper_spec(str(tmp_path), 2), shard_bytes=10)
    label(spec)
    few = {k: p.etc.tobytes() for k, p in Dataset.open(str(tmp_path)).problems()}
    all_ = {k: p.etc.tobytes() for k, p in Dataset.open(str(made)).problems()}
    assert few == {k: all_[k] for k in (0, 1)}


def test_shards_are_even_in_bytes_and_in_order() -> None:
    shard_bytes = default_shard_bytes(SOURCE, SAMPLES)
    shards = plan_shards(SOURCE, 2000, shard_bytes)
    assert [s.first for s in shards] == [0, *(s.stop for s in shards[:-1])]
    assert shards[-1].stop == 2000
    total = [sum(SOURCE.size(k) for k in range(s.first, s.stop)) for s in shards]
    assert max(total) <= shard_bytes
    assert all(a + b > shard_bytes for a, b in itertools.pairwise(total))
    for shard in shards:
        assert shard.largest == max(SOURCE.size(k) for k in range(shard.first, shard.stop))


def test_a_plan_says_how_much_and_writes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    arguments = ["--preset", "paper", "--samples", 4, "--schedulers", "heft,mct", "--out", out]
    assert run(*arguments, "--dry-run") == 0
    said = capsys.readouterr().out
    assert "4 in 4 shards" in said
    assert "12 of about" in said
    assert "core-hours" in said
    assert not out.exists()


def test_a_projection_is_the_mean_times_the_samples() -> None:
    spec = paper_spec("", 40)
    chosen = spread(spec, 3)
    sizes = [SOURCE.size(k) for k in range(40)]
    spread_sizes = [spec.source.size(k) for k in chosen]
    assert len(sizes) == 40
    assert spread_sizes == sorted(spread_sizes)
    found = project(replace(spec, samples=40), 3)
    assert found.measured == tuple(chosen)
    assert set(found.seconds) == {
        "generate",
        "encode problem",
        "heft: schedule",
        "heft: check",
        "heft: encode",
    }
    assert found.core_hours == pytest.approx(40 * sum(found.seconds.values()) / 3600)
    assert found.gigabytes == pytest.approx(40 * sum(found.bytes.values()) / 1e9)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--preset", "paper", "--machines", "4"), "has its own machines"),
        (("--preset", "paper", "--noise", "0.1"), "has its own machines"),
        (("--preset", "paper", "--samples", "4", "--fraction", "0.1"), "either --samples or"),
        (("--traces", "tests", "--fraction", "0.1"), "--fraction is for --preset"),
        (("--preset", "small", "--resource", "gpu"), "'gpu' is not NAME=N"),
        (("--preset", "small", "--resource", "gpu=-1"), "'gpu=-1' is not NAME=N"),
    ],
)
def test_options_that_do_not_fit(arguments: tuple[str, ...], said: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=said):
        run(*arguments, "--out", tmp_path / "x")
    assert not (tmp_path / "x").exists()


def test_the_benchmark_measures_memory() -> None:
    # A small sample: the largest takes seconds.
    smallest = min(range(400), key=paper_spec("", 400).source.size)
    assert 50 < make_largest(smallest) < 2000
