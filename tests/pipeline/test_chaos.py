"""Labelling when something breaks: killed drivers, failing disks, two runs in one place."""

from __future__ import annotations

import errno
import io
import itertools
import json
import multiprocessing
import os
import random
import signal
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from pyarrow import fs as pafs

from deepsched.pipeline.common.ray_session import JOB_VARIABLE
from deepsched.pipeline.dataset import files, lease
from deepsched.pipeline.dataset.files import Folder
from deepsched.pipeline.dataset.storage import Dataset
from deepsched.pipeline.faults import label as chaos
from deepsched.pipeline.faults.disk import PLACES, failing, fill, small_disk
from deepsched.pipeline.faults.guest import guest
from deepsched.pipeline.faults.label_trial import LabelTrial, finished_parts
from deepsched.pipeline.faults.trial import Broken, NotPossible, temporaries
from deepsched.pipeline.labelling.presets import PRESETS, PresetSource
from deepsched.pipeline.labelling.run import label
from deepsched.pipeline.labelling.spec import LabelSpec, plan_shards
from tests.pipeline.cli_helpers import deepsched_here, said_by

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator
    from multiprocessing.process import BaseProcess
    from pathlib import Path

SAMPLES = 20
COMMAND = ("label", "--preset", "small", "--samples", SAMPLES, "--schedulers", "heft",
           "--shard-mb", 0.005, "--workers", 0)  # fmt: skip
FORKS = multiprocessing.get_context("forkserver")


def spec_for(out: Path) -> LabelSpec:
    """Return what COMMAND makes."""
    return LabelSpec(
        out=str(out),
        source=PresetSource(name="small", seed=0, preset=PRESETS["small"]),
        samples=SAMPLES,
        shard_bytes=5_000,
        seed=0,
        teachers=("heft",),
    )


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> str:
    return label(spec_for(tmp_path_factory.mktemp("undisturbed"))).digest()


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "RETRY_AFTER", (0.0, 0.0))


def drive(out: Path, die_at_fsync: int | None = None) -> None:
    """Label as a driver on a slow disk, which may die in the middle of a write."""
    count, fsync = 0, os.fsync

    def slow(handle: int) -> None:
        nonlocal count
        if count == die_at_fsync:
            os.kill(os.getpid(), signal.SIGKILL)
        count += 1
        time.sleep(0.005)  # so that no driver is done before it is looked at
        fsync(handle)

    os.fsync = slow
    label(spec_for(out))


@pytest.fixture
def drivers() -> Iterator[list[BaseProcess]]:
    """Drivers in processes of their own, which end with the test at the latest."""
    started: list[BaseProcess] = []
    yield started
    for process in started:
        process.kill()
        process.join()


def start(drivers: list[BaseProcess], *arguments: Any) -> BaseProcess:
    # A server forks them, so that only one more interpreter has to import Ray.
    FORKS.set_forkserver_preload([__name__])
    process = FORKS.Process(target=drive, args=arguments)
    process.start()
    drivers.append(process)
    return process


def wait_for_parts(process: BaseProcess, out: Path, count: int) -> None:
    deadline = time.monotonic() + 120
    while process.is_alive() and len(finished_parts(out)) < count:
        assert time.monotonic() < deadline
        time.sleep(0.002)


# Killed drivers


def test_a_driver_killed_at_random_moments_goes_on_where_it_was(
    tmp_path: Path, undisturbed: str, drivers: list[BaseProcess]
) -> None:
    out, rng = tmp_path / "data", random.Random(5)
    kills = 0
    before = finished_parts(out)
    for _ in range(2):
        process = start(drivers, out)
        wait_for_parts(process, out, len(before) + 1)
        time.sleep(rng.uniform(0, 0.1))
        process.kill()
        process.join()
        kills += not (out / "manifest.json").exists()
        now = finished_parts(out)
        assert len(now) > len(before)
        assert {name: now[name] for name in before} == before
        before = now
    assert kills >= 1
    manifest = label(spec_for(out))
    assert {name: finished_parts(out)[name] for name in before} == before
    assert manifest.digest() == undisturbed
    assert temporaries(out) == []


def test_what_a_killed_driver_was_writing_is_collected(
    tmp_path: Path, undisturbed: str, drivers: list[BaseProcess]
) -> None:
    process = start(drivers, tmp_path, 12)  # every other one comes before a rename
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert len(temporaries(tmp_path)) == 1
    assert label(spec_for(tmp_path)).digest() == undisturbed
    assert temporaries(tmp_path) == []


def test_a_second_driver_stops_and_a_crash_lets_go(
    tmp_path: Path,
    undisturbed: str,
    drivers: list[BaseProcess],
    capsys: pytest.CaptureFixture[str],
) -> None:
    first = start(drivers, tmp_path)
    wait_for_parts(first, tmp_path, 1)
    assert first.pid is not None
    os.kill(first.pid, signal.SIGSTOP)  # it must not be done before the second one has looked
    assert not (tmp_path / "manifest.json").exists()
    before = finished_parts(tmp_path)
    second = deepsched_here(capsys, *COMMAND, "--out", tmp_path)
    assert second.returncode == 2
    assert second.stderr == f"deepsched: {tmp_path}: another run is writing there now\n"
    assert finished_parts(tmp_path) == before
    first.kill()
    first.join()
    third = deepsched_here(capsys, *COMMAND, "--out", tmp_path)
    assert third.returncode == 0
    assert undisturbed in third.stdout
    assert {name: finished_parts(tmp_path)[name] for name in before} == before


def test_the_order_of_the_shards_does_not_matter(tmp_path: Path, undisturbed: str) -> None:
    spec = spec_for(tmp_path)
    order = list(range(len(plan_shards(spec.source, spec.samples, spec.shard_bytes))))
    random.Random(7).shuffle(order)
    assert len(order) > 5
    assert label(spec, order=order).digest() == undisturbed


# Failing disks


@pytest.mark.parametrize(
    ("place", "error", "after"),
    [
        ("write", errno.ENOSPC, 0),
        *itertools.product(PLACES, [errno.ENOSPC, errno.EIO], [9]),
    ],
)
def test_a_failing_disk_stops_the_run_with_the_file(
    tmp_path: Path,
    undisturbed: str,
    capsys: pytest.CaptureFixture[str],
    place: str,
    error: int,
    after: int,
) -> None:
    with failing(place, error, after) as failed:
        stopped = deepsched_here(capsys, *COMMAND, "--out", tmp_path)
    assert len(failed) == (1 if error == errno.ENOSPC else 3)
    assert stopped.returncode == 2
    [line] = [text for text in said_by(stopped) if not text.startswith("labelling: ")]
    assert line.startswith(f"deepsched: cannot write {tmp_path}/")
    assert line.endswith(f": {os.strerror(error)}")
    assert temporaries(tmp_path) == []
    assert not (tmp_path / "manifest.json").exists()
    before = finished_parts(tmp_path)
    assert bool(before) == (after > 0)
    assert deepsched_here(capsys, *COMMAND, "--out", tmp_path).returncode == 0
    assert {name: finished_parts(tmp_path)[name] for name in before} == before
    dataset = Dataset.open(str(tmp_path))
    dataset.check()
    assert dataset.manifest.digest() == undisturbed


@pytest.mark.parametrize("place", PLACES)
def test_an_error_that_passes_is_overcome(tmp_path: Path, undisturbed: str, place: str) -> None:
    with failing(place, errno.EIO, after=6, times=2) as failed:
        assert label(spec_for(tmp_path)).digest() == undisturbed
    assert len(failed) == 2
    assert temporaries(tmp_path) == []


class Stream(io.RawIOBase):
    """A stream of an object store; what has arrived is there when it is closed."""

    def __init__(self, path: Path, fault: Callable[[str], None]) -> None:
        self.path, self.fault, self.arrived = path, fault, b""

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self.arrived += bytes(data)[: len(data) // 2]
        self.fault("write")
        self.arrived += bytes(data)[len(data) // 2 :]
        return len(data)

    def close(self) -> None:
        if not self.closed:
            super().close()
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.path.write_bytes(self.arrived)
            self.fault("close")


def object_store(top: Path, fault: Callable[[str], None]) -> pafs.PyFileSystem:
    """Return a store of files under a folder, in which `fault` may raise at each step."""
    there = pafs.SubTreeFileSystem(str(top), pafs.LocalFileSystem())

    def forward(name: str) -> Any:
        method = getattr(there, name.removesuffix("_selector"), None)
        return lambda self, *arguments: method(*arguments)

    def open_output_stream(self: Any, path: str, metadata: Any) -> pa.NativeFile:
        fault("open")
        return pa.PythonFile(Stream(top / path, fault), mode="w")

    methods = {name: forward(name) for name in pafs.FileSystemHandler.__abstractmethods__}
    methods["get_type_name"] = lambda self: "store"
    methods["open_output_stream"] = open_output_stream
    return pafs.PyFileSystem(type("Handler", (pafs.FileSystemHandler,), methods)())


@pytest.mark.parametrize("place", ["open", "write", "close"])
@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EIO])
def test_after_a_failing_object_store_the_run_goes_on(
    tmp_path: Path,
    undisturbed: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    place: str,
    error: int,
) -> None:
    left = {place: 8}

    def fault(step: str) -> None:
        left[step] = left.get(step, 1000) - 1
        if left[step] < 0:
            raise OSError(error, os.strerror(error))

    store = object_store(tmp_path, fault)
    monkeypatch.setattr(files, "open_store", lambda uri: (store, "data"))
    monkeypatch.setattr(lease, "SETTLES", 0.0)
    stopped = deepsched_here(capsys, *COMMAND, "--out", "store://data")
    assert stopped.returncode == 2
    assert stopped.stderr.startswith("deepsched: cannot write store://data/"), stopped.stderr
    assert os.strerror(error) in stopped.stderr
    before = finished_parts(tmp_path / "data")
    assert before
    left.clear()
    assert deepsched_here(capsys, *COMMAND, "--out", "store://data").returncode == 0
    after = finished_parts(tmp_path / "data")
    assert {name: after[name] for name in before} == before
    assert Dataset.open("store://data").manifest.digest() == undisturbed


def test_a_part_that_cannot_be_read_is_made_again(
    tmp_path: Path, undisturbed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    label(spec_for(tmp_path))
    before, read = finished_parts(tmp_path), Folder.read
    [sick, *_] = [name for name in sorted(before) if name.startswith("labels/heft")]

    def reading(folder: Folder, name: str) -> Any:
        if name == sick:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return read(folder, name)

    monkeypatch.setattr(Folder, "read", reading)
    assert label(spec_for(tmp_path)).digest() == undisturbed
    after = finished_parts(tmp_path)
    assert {name for name in before if after[name] != before[name]} == {sick}


def test_a_full_disk(tmp_path: Path, undisturbed: str, capsys: pytest.CaptureFixture[str]) -> None:
    with small_disk(tmp_path / "disk", megabytes=4) as disk:
        if disk is None:
            pytest.skip("no disk can be mounted here without rights")
        ballast = fill(disk, 60_000)
        stopped = deepsched_here(capsys, *COMMAND, "--out", disk / "data")
        assert stopped.returncode == 2
        assert stopped.stderr.endswith(": No space left on device\n")
        assert temporaries(disk / "data") == []
        before = finished_parts(disk / "data")
        assert before
        ballast.unlink()
        assert label(spec_for(disk / "data")).digest() == undisturbed
        after = finished_parts(disk / "data")
    assert {name: after[name] for name in before} == before


# The command


def chaos_label(
    capsys: pytest.CaptureFixture[str], *arguments: object
) -> subprocess.CompletedProcess[str]:
    return deepsched_here(capsys, "chaos", "label", "--samples", 12, *arguments)


def test_chaos_label_prints_what_it_broke(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--scenario", "order", "--json", tmp_path / "found.json", "--out", tmp_path / "x"]
    done = chaos_label(capsys, *arguments)
    assert done.returncode == 0, done.stdout
    assert done.stdout.count("order: order of shards: ") == 3
    [row] = json.loads((tmp_path / "found.json").read_text())["scenarios"]
    assert (row["scenario"], row["outcome"], len(row["events"])) == ("order", "same", 3)


def test_an_unknown_scenario_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    done = chaos_label(capsys, "--scenario", "flood")
    assert done.returncode == 2
    assert "unknown scenario 'flood'; one of: counts, ctrl-c, disk" in done.stderr


def other_seed(trial: LabelTrial) -> None:
    """Make another dataset."""
    trial.disturbed("the seed", hit=True)
    trial.seed += 1
    label(trial.spec)
    trial.seed -= 1
    trial.check()


def idle(trial: LabelTrial) -> None:
    """Hit nothing."""
    trial.disturbed("a worker without work", hit=False)


def broken(trial: LabelTrial) -> None:
    """Break a promise."""
    raise Broken("a part is lost")


def impossible(trial: LabelTrial) -> None:
    """Ask for more than there is."""
    raise NotPossible("no moon")


def test_a_used_folder_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "thesis.tex").touch()
    done = chaos_label(capsys, "--scenario", "order", "--out", tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert "is not empty; give --out a new or empty folder" in done.stderr


def test_what_the_system_does_not_allow_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(chaos, "SCENARIOS", {"it": impossible})
    done = chaos_label(capsys)
    assert done.returncode == 0
    assert "it: not run: no moon" in done.stdout


@pytest.mark.parametrize(
    ("scenario", "outcome"),
    [
        (other_seed, "DIFFERENT"),
        (idle, "FAILED: nothing was disturbed"),
        (broken, "FAILED: a part is lost"),
    ],
)
def test_what_is_not_the_same_fails(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    scenario: Any,
    outcome: str,
) -> None:
    monkeypatch.setattr(chaos, "SCENARIOS", {"it": scenario})
    done = chaos_label(capsys, "--scenario", "it")
    assert done.returncode == 1
    assert f"it: {outcome}" in done.stdout


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (("--scenario", "head", "--out", "x"), "head breaks more than its own"),
        ((), "--address needs --out"),
    ],
)
def test_somebody_elses_cluster_is_not_broken(
    capsys: pytest.CaptureFixture[str], line: tuple[str, ...], message: str
) -> None:
    done = chaos_label(capsys, "--address", "127.0.0.1:1", *line)
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr


def test_a_guest_kills_its_own_workers_only(local_ray: None) -> None:
    import ray

    def label_shard() -> None:
        for _ in range(3_000):  # a cancelled task ends between two sleeps
            time.sleep(0.02)

    task: Any = ray.remote(num_cpus=0, max_retries=0)(label_shard)
    with guest(ray.get_runtime_context().gcs_address) as cluster:
        assert cluster.workers() == []
        foreign = task.remote()
        job = json.loads(cluster.environment[JOB_VARIABLE])["runtime_env"]
        own = task.options(runtime_env={"env_vars": job["env_vars"]}).remote()
        deadline = time.monotonic() + 60
        while not (found := [worker for worker in cluster.workers() if worker.busy]):
            assert time.monotonic() < deadline
        replace(found[0], mark="another").kill()
        assert [worker.pid for worker in cluster.workers() if worker.busy] == [found[0].pid]
        found[0].kill()
        with pytest.raises(ray.exceptions.WorkerCrashedError):
            ray.get(own)
        assert ray.wait([foreign], timeout=0)[1] == [foreign]
        ray.cancel(foreign)
