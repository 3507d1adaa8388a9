"""Labelling: the same bytes however it is run, resumed after anything, bad samples kept as null."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from deepsched.baselines.errors import InvalidInput, TooLarge, UnknownName, UnwritableOutput
from deepsched.baselines.heft import heft
from deepsched.baselines.registry import get_scheduler
from deepsched.baselines.schedule import Schedule, make_schedule, violations
from deepsched.baselines.text import plain
from deepsched.pipeline.common.ray_session import JOB_VARIABLE
from deepsched.pipeline.dataset.files import open_folder
from deepsched.pipeline.dataset.manifest import Manifest, label_part, problem_part
from deepsched.pipeline.dataset.storage import Dataset
from deepsched.pipeline.label import command
from deepsched.pipeline.labelling import shard
from deepsched.pipeline.labelling.presets import PRESETS, PresetSource, preset_source
from deepsched.pipeline.labelling.run import Workers, label
from deepsched.pipeline.labelling.spec import LabelSpec
from tests.pipeline.cli_helpers import deepsched_here, disguised_interrupt
from tests.pipeline.label_helpers import Even, EvenPreset, make_shard, shards_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from deepsched.baselines.problem import Problem

ROOT = Path(__file__).resolve().parent.parent.parent
SOURCE = EvenPreset(name="small", seed=3, preset=PRESETS["small"])


def spec_for(out: object, **changes: Any) -> LabelSpec:
    spec = LabelSpec(
        out=str(out),
        source=SOURCE,
        samples=11,
        shard_bytes=3,
        seed=3,
        teachers=("heft", "random"),
    )
    return replace(spec, **changes)


def run(*arguments: object) -> Any:
    """Run the command as the command line does, and return its exit code."""
    return command.main([str(argument) for argument in arguments], standalone_mode=False)


def contents(out: Path) -> dict[str, bytes]:
    """Return the bytes of everything that hashes cover."""
    return {str(path.relative_to(out)): path.read_bytes() for path in out.rglob("part-*.parquet")}


def states(out: Path) -> dict[str, tuple[int, int]]:
    """Return what changes when a file is written again."""
    parts = out.rglob("part-*.parquet")
    return {str(p.relative_to(out)): (p.stat().st_ino, p.stat().st_mtime_ns) for p in parts}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    return label(spec_for(tmp_path_factory.mktemp("undisturbed")))


# One shard


def test_a_shard_holds_its_samples_and_valid_schedules(tmp_path: Path) -> None:
    spec = spec_for(tmp_path)
    assert [list(range(shard.first, shard.stop)) for shard in shards_of(spec)] == [
        [0, 1, 2],
        [3, 4, 5],
        [6, 7, 8],
        [9, 10],
    ]
    report = make_shard(3, spec)
    assert report.kept == frozenset()
    assert report.problems.part.status == {"ok": 2}
    assert set(report.labels) == {"heft", "random"}
    assert len(report.labels["random"].seconds) == 2
    assert sorted(contents(tmp_path)) == [
        label_part("heft", 3),
        label_part("random", 3),
        problem_part(3),
    ]


def test_a_finished_shard_is_not_made_again(tmp_path: Path) -> None:
    first = make_shard(0, spec_for(tmp_path))
    before = states(tmp_path)
    second = make_shard(0, spec_for(tmp_path))
    assert second.kept == {problem_part(0), "heft", "random"}
    assert (second.problems, second.labels) == (first.problems, first.labels)
    assert states(tmp_path) == before


@pytest.mark.parametrize("name", [problem_part(0), label_part("heft", 0)])
@pytest.mark.parametrize("damage", [b"", b"damaged"])
def test_a_damaged_part_is_made_again_as_it_was(tmp_path: Path, name: str, damage: bytes) -> None:
    make_shard(0, spec_for(tmp_path))
    before = contents(tmp_path)
    (tmp_path / name).write_bytes(damage)
    report = make_shard(0, spec_for(tmp_path))
    assert contents(tmp_path) == before
    assert ("random" in report.kept) == (name != problem_part(0))


def test_labels_of_other_problems_are_made_again(tmp_path: Path) -> None:
    make_shard(0, spec_for(tmp_path))
    (tmp_path / problem_part(0)).unlink()
    other = spec_for(tmp_path, source=replace(SOURCE, seed=4), teachers=())
    make_shard(0, other)
    spec = spec_for(tmp_path, source=other.source)
    report = make_shard(0, spec)
    assert report.kept == {problem_part(0)}
    fresh = make_shard(0, replace(spec, out=str(tmp_path / "fresh")))
    assert report.labels["heft"].part == fresh.labels["heft"].part


def poison(
    monkeypatch: pytest.MonkeyPatch, teacher: Callable[[Problem, np.random.Generator], Schedule]
) -> None:
    """Make heft do something else on the problems with an odd number of tasks."""

    def poisoned(problem: Problem, rng: np.random.Generator) -> Schedule:
        return teacher(problem, rng) if problem.n_tasks % 2 else heft(problem, rng)

    monkeypatch.setattr(
        shard,
        "get_scheduler",
        lambda name: poisoned if name == "heft" else get_scheduler(name),
    )


def raises(problem: Problem, rng: np.random.Generator) -> Schedule:
    raise ZeroDivisionError(f"at {object()}\nand on a second line")


def refuses(problem: Problem, rng: np.random.Generator) -> Schedule:
    raise TooLarge("only up to 2 tasks")


def overlaps(problem: Problem, rng: np.random.Generator) -> Schedule:
    good = heft(problem, rng)
    return make_schedule("heft", good.proc, good.ast - 1e6, good.aft - 1e6)


@pytest.mark.parametrize(
    ("teacher", "message"),
    [
        (raises, "failed: ZeroDivisionError: at <object object at 0x...> and on a second line"),
        (refuses, "too-large: TooLarge: only up to 2 tasks"),
        (overlaps, "invalid: task "),
    ],
)
def test_a_sample_that_fails_keeps_a_null_row_and_its_reason(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    teacher: Any,
    message: str,
) -> None:
    poison(monkeypatch, teacher)
    out = tmp_path / "data"
    arguments = ["--preset", "small", "--samples", 12, "--workers", 0]
    code = run(*arguments, "--schedulers", "heft,mct", "--out", out)
    assert code == 1
    dataset = Dataset.open(str(out))
    sizes = {size.sample_id: size.n_tasks for size in dataset.sizes()}
    odd = {k for k, n in sizes.items() if n % 2}
    assert 0 < len(odd) < 12
    failures = dataset.failures("heft")
    assert set(failures) == odd
    assert all(reason.startswith(message) for reason in failures.values())
    assert {sample.sample_id for sample in dataset.samples("heft")} == set(sizes) - odd
    assert {sample.sample_id for sample in dataset.samples("mct")} == set(sizes)
    assert set(dataset.seconds("heft")) == set(sizes) - odd
    assert sum(part.status.get("ok", 0) for part in dataset.manifest.labels["heft"]) == 12 - len(
        odd
    )
    assert f"without a label: sample {min(odd)}, heft: {message}" in capfd.readouterr().err


@dataclass(frozen=True, kw_only=True)
class Unsound(Even):
    """Makes the problems of another source, but for one sample."""

    bad: int

    def problem(self, sample_id: int) -> Problem:
        if sample_id == self.bad:
            raise InvalidInput("x.json: tasks[3].etc is missing")
        return SOURCE.problem(sample_id)

    def label(self, sample_id: int) -> str:
        return f"file {sample_id}"

    def document(self) -> dict[str, Any]:
        return {"bad": self.bad}


def test_a_problem_that_cannot_be_made_keeps_its_row_too(tmp_path: Path) -> None:
    manifest = label(spec_for(tmp_path, source=Unsound(bad=4)))
    assert manifest.problems[1].status == {"failed": 1, "ok": 2}
    dataset = Dataset.open(str(tmp_path))
    assert [sample_id for sample_id, _ in dataset.problems()] == [0, 1, 2, 3, 5, 6, 7, 8, 9, 10]
    assert dataset.failures("heft") == {4: "no-problem: the problem could not be made"}
    record = json.loads((tmp_path / "records" / "problems" / "part-00001.json").read_text())
    assert record["failures"][0]["error"] == "InvalidInput: x.json: tasks[3].etc is missing"


# A whole run


def test_every_stored_schedule_is_valid(tmp_path: Path) -> None:
    label(spec_for(tmp_path, samples=30))
    dataset = Dataset.open(str(tmp_path))
    for teacher in dataset.teachers:
        for sample in dataset.samples(teacher):
            assert violations(sample.problem, sample.schedule) == []


@pytest.mark.ray
@pytest.mark.parametrize("workers", [1, 2])
def test_the_dataset_is_the_same_for_any_number_of_workers(
    local_ray: None, tmp_path: Path, undisturbed: Manifest, workers: int
) -> None:
    manifest = label(spec_for(tmp_path), Workers(count=workers))
    assert manifest.digest() == undisturbed.digest()
    Dataset.open(str(tmp_path)).check()


def test_parts_that_nothing_vouches_for_are_not_adopted(tmp_path: Path) -> None:
    make_shard(0, spec_for(tmp_path))
    for force in (False, True):
        with pytest.raises(InvalidInput, match=r"but no spec\.json"):
            label(spec_for(tmp_path), force=force)
    assert (tmp_path / problem_part(0)).exists()


def test_a_new_teacher_changes_no_existing_byte(tmp_path: Path) -> None:
    label(spec_for(tmp_path))
    before, written = contents(tmp_path), states(tmp_path)
    manifest = label(spec_for(tmp_path, teachers=("mct",)))
    assert list(manifest.labels) == ["heft", "random", "mct"]
    after = contents(tmp_path)
    assert {name: after[name] for name in before} == before
    assert {name: states(tmp_path)[name] for name in written} == written
    assert all(name.startswith("labels/mct/") for name in set(after) - set(before))
    assert (
        label(spec_for(tmp_path / "x", teachers=("mct",))).labels["mct"] == (manifest.labels["mct"])
    )


@pytest.mark.parametrize(
    ("changes", "difference"),
    [
        (["--seed", 1], "seed is 0 there, 1 now"),
        (["--samples", 9], "samples is 8 there, 9 now"),
        (["--machines", 2], "machines is [2, 3, 4] there, [2] now"),
        (["--shard-mb", 0.005], "shard_bytes is 20000 there, 5000 now"),
    ],
)
def test_another_command_on_the_same_place_is_refused(
    tmp_path: Path, changes: list[Any], difference: str
) -> None:
    out = tmp_path / "data"
    arguments = ["--preset", "small", "--samples", 8, "--workers", 0, "--out", out]
    assert run(*arguments) == 0
    before = contents(out)
    with pytest.raises(InvalidInput) as raised:
        run(*arguments, *changes)
    assert f"was made by another command: {difference}; give another --out" in str(raised.value)
    assert contents(out) == before
    assert run(*arguments, *changes, "--force") == 0
    assert contents(out) != before
    Dataset.open(str(out)).check()


def test_a_folder_with_other_content_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    for force in (False, True):
        with pytest.raises(InvalidInput, match=r"holds no dataset: there is thesis\.tex"):
            label(spec_for(tmp_path), force=force)
    assert (tmp_path / "thesis.tex").read_text() == "years of work"


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UnwritableOutput, match=r"file/data"):
        label(spec_for(tmp_path / "file" / "data"))


# Interruptions


def start(out: Path, *arguments: object) -> subprocess.Popen[str]:
    line = [sys.executable, ROOT / "pipeline" / "label.py", *SLOW, *arguments, "--out", out]
    return subprocess.Popen(
        [str(word) for word in line], stderr=subprocess.PIPE, text=True, cwd=out.parent
    )


SLOW = ("--preset", "demo", "--samples", 24, "--shard-mb", 0.05, "--schedulers", "ga")
SLOW_SPEC: dict[str, Any] = {
    "source": PresetSource(name="demo", seed=0, preset=PRESETS["demo"]),
    "samples": 24,
    "shard_bytes": 50_000,
    "seed": 0,
    "teachers": ("ga",),
}


@pytest.fixture(scope="module")
def slow_digest(tmp_path_factory: pytest.TempPathFactory) -> str:
    return label(spec_for(tmp_path_factory.mktemp("slow"), **SLOW_SPEC)).digest()


def wait_for_parts(process: subprocess.Popen[str], out: Path, count: int) -> None:
    """Wait until some labels are there, with their records."""
    deadline = time.monotonic() + 180
    while len(list(out.glob("records/labels/ga/*.json"))) < count:
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize(
    ("workers", "signal_"),
    [
        (0, signal.SIGINT),
        pytest.param(2, signal.SIGINT, marks=pytest.mark.ray),
    ],
)
def test_an_interrupted_run_goes_on_where_it_stopped(
    tmp_path: Path, slow_digest: str, workers: int, signal_: signal.Signals
) -> None:
    out = tmp_path / "data"
    process = start(out, "--workers", workers)
    wait_for_parts(process, out, 2)
    process.send_signal(signal_)
    message = process.communicate(timeout=60)[1]
    if signal_ == signal.SIGINT:
        assert process.returncode == 130, message
        assert "interrupted" in message
        assert "Traceback" not in message
    assert not (out / "manifest.json").exists()
    with pytest.raises(InvalidInput, match="not finished here"):
        Dataset.open(str(out))
    finished = {
        f"{name.relative_to(out / 'records').with_suffix('')}.parquet"
        for name in out.glob("records/*/**/part-*.json")
    }
    before = {name: state for name, state in states(out).items() if name in finished}
    assert len(before) == len(finished) >= 4

    manifest = label(spec_for(out, **SLOW_SPEC))
    assert {name: states(out)[name] for name in before} == before
    assert manifest.digest() == slow_digest
    assert [name for name in open_folder(str(out)).names() if name.endswith(".tmp")] == []


def test_ctrl_c_in_compiled_code_is_no_failed_sample(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(problem: Problem, rng: np.random.Generator) -> Schedule:
        raise disguised_interrupt()

    poison(monkeypatch, interrupted)
    with pytest.raises(KeyboardInterrupt):
        label(spec_for(tmp_path))
    assert not list(tmp_path.rglob("manifest.json"))
    assert b"returned a result" not in b"".join(contents(tmp_path).values())


STUCK = """
import sys, time
import numpy as np
import deepsched.pipeline.labelling.shard as shard
import deepsched.pipeline.labelling.stuck as stuck
from deepsched.baselines.registry import get_scheduler
from numba import njit
from deepsched.pipeline.label import command

@njit(nogil=True)
def spin(n):
    total = 0.0
    for k in range(n):
        total += np.sin(k)
    return total

def get(name):
    def scheduler(problem, rng):
        if problem.n_tasks % 2:
            spin(10**12)
        return get_scheduler(name)(problem, rng)
    return scheduler

spin(1)
shard.get_scheduler, shard.warm_up, stuck.GRACE = get, lambda teacher: None, 0.1
sys.exit(command.main(sys.argv[1:], standalone_mode=False))
"""


def test_a_scheduler_that_does_not_come_back_costs_one_sample(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "data"
    source = preset_source("small", 0)
    odd = next(k for k in range(50) if source.problem(k).n_tasks % 2)
    words = ("--preset", "small", "--samples", str(odd + 1), "--workers", "0", "--timeout", "0.2")
    done = subprocess.run(
        [sys.executable, "-c", STUCK, *words, "--out", str(out)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 1
    assert "does not come back" in done.stderr
    # The same command again goes on behind it.
    assert deepsched_here(capsys, "label", *words, "--out", out).returncode == 1
    failures = Dataset.open(str(out)).failures("heft")
    assert failures == {odd: "timeout: took longer than 0.2 s"}


@dataclass(frozen=True, kw_only=True)
class Deadly(Even):
    """Kills the worker that makes one of its problems, the first few times."""

    marks: Path
    times: int

    def problem(self, sample_id: int) -> Problem:
        if sample_id == 4:
            for k in range(self.times):
                mark = self.marks / str(k)
                if not mark.exists():
                    mark.touch()
                    os.kill(os.getpid(), signal.SIGKILL)
        return SOURCE.problem(sample_id)

    def label(self, sample_id: int) -> str:
        return SOURCE.label(sample_id)

    def document(self) -> dict[str, Any]:
        return SOURCE.document()


@pytest.mark.ray
def test_killed_workers_are_replaced(
    local_ray: None, tmp_path: Path, undisturbed: Manifest
) -> None:
    marks = tmp_path / "marks"
    marks.mkdir()
    spec = spec_for(tmp_path / "data", source=Deadly(marks=marks, times=3))
    assert label(spec, Workers(count=2)).digest() == undisturbed.digest()
    assert len(list(marks.iterdir())) == 3


# The command


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (["--preset", "small", "--traces", "."], InvalidInput, "either --traces or --preset"),
        ([], InvalidInput, "either --traces or --preset"),
        (["--preset", "huge"], UnknownName, "unknown preset 'huge'"),
        (["--preset", "small", "--schedulers", "best"], UnknownName, "unknown scheduler 'best'"),
        (["--preset", "small", "--schedulers", ","], InvalidInput, "names none"),
        (["--preset", "small", "--latency", "1"], InvalidInput, "--latency is for --traces"),
        (["--preset", "small", "--machines", "x"], InvalidInput, "--machines 'x'"),
        (["--traces", "/nonexistent"], InvalidInput, "/nonexistent: no such file"),
    ],
)
def test_options_that_cannot_be_leave_nothing_behind(
    tmp_path: Path, arguments: list[str], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        run(*arguments, "--out", tmp_path / "data", "--workers", 0)
    assert list(tmp_path.iterdir()) == []


def test_a_relative_output_is_refused_under_a_ray_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(JOB_VARIABLE, "{}")
    with pytest.raises(InvalidInput, match="--out 'runs/x' is relative: under a Ray job"):
        run("--preset", "small", "--workers", 0, "--out", "runs/x")
    assert run("--preset", "small", "--samples", 4, "--workers", 0, "--out", tmp_path / "x") == 0
    monkeypatch.delenv(JOB_VARIABLE)
    assert run("--preset", "small", "--samples", 4, "--workers", 0, "--out", "y") == 0
    Dataset.open(str(tmp_path / "y")).check()


@pytest.mark.ray
def test_a_trace_that_is_lost_stops_the_run_with_its_name(local_ray: None, tmp_path: Path) -> None:
    trace = tmp_path / "flow.json"
    trace.write_bytes((ROOT / "tests" / "data" / "wfformat.json").read_bytes())
    from deepsched.pipeline.labelling.request import trace_source
    from deepsched.pipeline.labelling.traces import machine_choice

    source, _ = trace_source((trace,), 4, seed=0, machines=(machine_choice("3"),))
    trace.write_text("{}")
    with pytest.raises(InvalidInput, match=r"flow\.json has changed since"):
        label(spec_for(tmp_path / "data", source=source, samples=4), Workers(count=2))
    assert not (tmp_path / "data" / "manifest.json").exists()


@pytest.mark.data
def test_real_traces_are_labelled(data_dir: Path, tmp_path: Path) -> None:
    traces = data_dir / "wfinstances" / "srasearch"
    out = tmp_path / "data"
    code = run("--traces", traces, "--machines", "4,16", "--noise", 0.2, "--samples", 40,
               "--schedulers", "heft,random", "--workers", 0, "--out", out)  # fmt: skip
    assert code == 0
    dataset = Dataset.open(str(out))
    spans = {
        teacher: [schedule.makespan for _, schedule in dataset.schedules(teacher)]
        for teacher in dataset.teachers
    }
    assert len(spans["heft"]) == 40
    assert np.mean(np.divide(spans["random"], spans["heft"])) > 1.2
    assert {problem.n_machines for _, problem in dataset.problems()} == {4, 16}


@pytest.mark.ray
@pytest.mark.usefixtures("local_ray")
def test_shards_that_need_more_than_there_is_are_not_waited_for(tmp_path: Path) -> None:
    for needs, said in (
        ({"cpus": 64}, "needs CPU 64; this machine has CPU 2"),
        ({"resources": {"fpga": 1}}, "fpga 1; this machine has CPU 2, fpga 0"),
    ):
        with pytest.raises(InvalidInput, match=said):
            label(spec_for(tmp_path), Workers(**needs))


@pytest.mark.ray
@pytest.mark.usefixtures("local_ray")
def test_progress_is_counted_in_rays_metrics(tmp_path: Path) -> None:
    import ray

    out = tmp_path / "dätä"  # a tag takes ASCII alone
    shown = re.escape(plain(out).replace("\\", r"\\"))
    assert run("--preset", "small", "--samples", 12, "--out", out, "--cpus-per-task", 0.5) == 0
    [node] = ray.nodes()
    url = f"http://{node['NodeManagerAddress']}:{node['MetricsExportPort']}/metrics"
    wanted = re.compile(rf'deepsched_label_samples\w*{{[^}}]*dataset="{shown}"[^}}]*}} (\S+)')
    deadline = time.monotonic() + 60
    while True:
        with urllib.request.urlopen(url, timeout=10) as response:
            found = wanted.search(response.read().decode())
        if found:
            break
        assert time.monotonic() < deadline
        time.sleep(0.5)
    assert float(found[1]) == 12
