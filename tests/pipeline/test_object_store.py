"""Datasets on an object store: a real S3 server on this machine, with keys and signatures."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

from deepsched.baselines.errors import InvalidInput, UnwritableOutput
from deepsched.pipeline.dataset import lease
from deepsched.pipeline.dataset.files import open_folder
from deepsched.pipeline.dataset.manifest import Manifest, label_part
from deepsched.pipeline.dataset.storage import Dataset
from deepsched.pipeline.dataset.stores import UnreadableStore, reason, without_secret
from deepsched.pipeline.labelling.presets import PRESETS
from deepsched.pipeline.labelling.run import Workers, label
from deepsched.pipeline.labelling.spec import LabelSpec
from deepsched.pipeline.verify import shard_checks
from tests.pipeline.cli_helpers import ROOT, deepsched_here
from tests.pipeline.label_helpers import Even, EvenPreset

if TYPE_CHECKING:
    from collections.abc import Iterator

    from deepsched.baselines.problem import Problem
    from tests.pipeline.s3_server import S3

SOURCE = EvenPreset(name="small", seed=3, preset=PRESETS["small"])


@dataclass(frozen=True, kw_only=True)
class Deadly(Even):
    """Kills the process that makes its seventh problem."""

    def problem(self, sample_id: int) -> Problem:
        if sample_id == 6:
            os.kill(os.getpid(), signal.SIGKILL)
        return SOURCE.problem(sample_id)

    def label(self, sample_id: int) -> str:
        return SOURCE.label(sample_id)

    def document(self) -> dict[str, Any]:
        return SOURCE.document()


def spec_for(out: object, **changes: Any) -> LabelSpec:
    spec = LabelSpec(
        out=str(out), source=SOURCE, samples=11, shard_bytes=3, seed=3, teachers=("heft", "random")
    )
    return replace(spec, **changes)


@pytest.fixture
def s3(s3_server: S3, monkeypatch: pytest.MonkeyPatch) -> S3:
    """The server, its key in the environment."""
    for name, value in s3_server.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(lease, "SETTLES", 0.05)
    return s3_server


@pytest.fixture(scope="module", autouse=True)
def unreachable(s3_server: S3) -> Iterator[subprocess.Popen[str]]:
    """A command whose store does not answer. It tries for six seconds, beside the other tests."""
    uri = s3_server.uri("x", login="NOBODY:hidden", address="127.0.0.1:1")
    with subprocess.Popen(
        [sys.executable, "-m", "deepsched", "verify", uri],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        yield process
        process.kill()


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    return label(spec_for(tmp_path_factory.mktemp("local")))


def test_a_dataset_on_a_store_is_the_one_on_a_disk(
    s3: S3, local: Manifest, capsys: pytest.CaptureFixture[str]
) -> None:
    uri = s3.uri("same/data")
    assert label(spec_for(uri, teachers=("heft",))).labels["heft"] == local.labels["heft"]
    folder = open_folder(uri)
    before = folder.read(label_part("heft", 1)).to_pybytes()
    manifest = label(spec_for(uri, teachers=("random",)))  # a second teacher
    assert manifest == local
    assert folder.read(label_part("heft", 1)).to_pybytes() == before
    dataset = Dataset.open(uri)
    dataset.check()
    assert len(list(dataset.samples("random"))) == 11
    assert len(dataset.seconds("heft")) == 11
    assert [name for name in folder.names() if name.startswith(".")] == []  # no lease left

    done = deepsched_here(capsys, "verify", uri)
    assert done.returncode == 0
    assert "schedules 22 checked" in done.stdout
    folder.write(label_part("heft", 1), before[:-1])
    folder.delete(label_part("random", 0))
    done = deepsched_here(capsys, "verify", uri)
    assert done.returncode == 1
    assert [line.split("?")[0] for line in done.stdout.splitlines()[:2]] == [
        f"s3://bucket/same/data/{label_part('random', 0)}",
        f"s3://bucket/same/data/{label_part('heft', 1)}",
    ]


def test_a_killed_run_goes_on(s3: S3, local: Manifest) -> None:
    uri = s3.uri("killed")
    code = (
        "import tests.pipeline.test_object_store as t\n"
        "from deepsched.pipeline.dataset import lease\n"
        "lease.SETTLES = 0.05\n"
        f"t.label(t.spec_for({uri!r}, source=t.Deadly()), order=range(4))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, timeout=120, check=False, capture_output=True
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    folder = open_folder(uri)
    assert lease.LEASE in folder.names()  # of a process that is no more
    with pytest.raises(InvalidInput, match="not finished here"):
        Dataset.open(uri)
    kept: list[frozenset[str]] = []
    manifest = label(spec_for(uri), order=range(4), on_report=lambda r: kept.append(r.kept))
    assert [len(names) for names in kept] == [3, 3, 0, 0]
    assert manifest == local
    assert lease.LEASE not in folder.names()


def test_traces_from_a_disk_go_to_a_store(s3: S3, capsys: pytest.CaptureFixture[str]) -> None:
    uri = s3.uri("traces")
    trace = ROOT / "tests" / "data" / "wfformat.json"
    done = deepsched_here(
        capsys, "label", "--traces", trace, "--samples", 4, "--machines", 3, "--workers", 0,
        "--out", uri,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert len(list(Dataset.open(uri).samples("heft"))) == 4


def test_workers_reach_the_store_by_the_key_in_the_uri(
    local_ray: None, s3_server: S3, local: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "SETTLES", 0.05)
    uri = s3_server.uri("ray", login=s3_server.login)
    assert label(spec_for(uri), Workers(count=2)) == local
    dataset = Dataset.open(uri)
    found = list(shard_checks(dataset, quick=False, workers=2))
    assert sum(check.schedules for check in found) == 22
    assert [check.findings for check in found] == [()] * 4
    # What a worker cannot read is an error of one line here too.
    other = open_folder(s3_server.uri("ray", login="NOBODY:hidden"))
    with pytest.raises(UnreadableStore, match="is denied") as raised:
        list(shard_checks(replace(dataset, folder=other), quick=True, workers=1))
    assert "\n" not in str(raised.value)


# Leases


def note(folder: Any, *, age: float, host: str = "elsewhere", pid: int = 1) -> None:
    text = json.dumps({"owner": "x", "host": host, "pid": pid, "time": time.time() - age})
    folder.write(lease.LEASE, text.encode())


def test_a_lease_refuses_a_second_run(s3: S3) -> None:
    folder = open_folder(s3.uri("leased"))
    with (
        folder.locked(),
        pytest.raises(UnwritableOutput, match=rf"process {os.getpid()} on .*; if it was killed"),
    ):
        label(spec_for(s3.uri("leased")))
    note(folder, age=100)
    with pytest.raises(UnwritableOutput, match=r"process 1 on elsewhere; .* ends in (19|20) s"):
        label(spec_for(s3.uri("leased")))
    assert folder.names() == [lease.LEASE]


@pytest.mark.parametrize("kind", ["old", "of a dead process", "half-written"])
def test_a_lease_that_nobody_holds_is_taken_over(s3: S3, kind: str) -> None:
    folder = open_folder(s3.uri(f"free/{len(kind)}"))
    if kind == "old":
        note(folder, age=121)
    elif kind == "half-written":
        folder.write(lease.LEASE, b'{"owner": "x", ')
    else:
        gone = subprocess.Popen(["true"])
        gone.wait()
        note(folder, age=0, host=socket.gethostname(), pid=gone.pid)
    with folder.locked():
        assert json.loads(folder.read(lease.LEASE).to_pybytes())["pid"] == os.getpid()
    assert folder.names() == []


def test_a_lease_is_renewed(s3: S3, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "LASTS", 0.4)
    folder = open_folder(s3.uri("renewed"))
    with folder.locked():
        first = json.loads(folder.read(lease.LEASE).to_pybytes())["time"]
        time.sleep(0.6)
        assert json.loads(folder.read(lease.LEASE).to_pybytes())["time"] > first


# Faults


DENIED = "access to bucket 'bucket' is denied; check the credentials"


@pytest.mark.parametrize(
    ("command", "fault", "message"),
    [
        ("label", "key", DENIED),
        ("label", "secret", DENIED),
        ("label", "bucket", "there is no bucket 'none'"),
        ("verify", "key", DENIED),
        ("verify", "bucket", "there is no dataset here"),
    ],
)
def test_a_store_that_refuses_is_one_line(
    s3: S3, capsys: pytest.CaptureFixture[str], command: str, fault: str, message: str
) -> None:
    uri = {
        "key": s3.uri("x", login="NOBODY:hidden"),
        "secret": s3.uri("x", login=f"{s3.key}:hidden"),
        "bucket": replace(s3, bucket="none").uri("x"),
    }[fault]
    line = ["--preset", "small", "--samples", 4, "--workers", 0, "--out"]
    begin = time.monotonic()
    done = deepsched_here(capsys, command, *(line if command == "label" else []), uri)
    assert time.monotonic() - begin < 30
    assert done.returncode == 2
    assert done.stdout == ""
    assert message in done.stderr
    assert "Request ID" not in done.stderr
    assert "hidden" not in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_store_that_does_not_answer_is_one_line(unreachable: subprocess.Popen[str]) -> None:
    said, message = unreachable.communicate(timeout=60)
    assert (unreachable.returncode, said) == (2, "")
    assert "no connection to the store of bucket 'bucket'" in message
    assert "hidden" not in message
    assert message.count("\n") == 1


def test_a_uri_that_cannot_be_hides_its_secret_too() -> None:
    with pytest.raises(InvalidInput, match=r"s3://KEY:\*\*\*@bucket/x\?surprise=1: not a place"):
        open_folder("s3://KEY:hidden@bucket/x?surprise=1")
    assert without_secret("s3://bucket/a:b@c") == "s3://bucket/a:b@c"
    assert without_secret("/disk/a:b@c") == "/disk/a:b@c"


def test_what_the_store_says_otherwise_is_kept() -> None:
    text = "When x for key 'a' in bucket 'b': AWS Error SLOW_DOWN during GetObject operation: Wait."
    assert reason(OSError(text)) == "SLOW_DOWN (Wait.)"
    assert reason(OSError(28, "No space left on device")) == "No space left on device"


def test_a_failed_upload_leaves_the_file_as_it_was(s3: S3) -> None:
    folder = open_folder(s3.uri("whole"))
    folder.write("x", b"before")
    with pytest.raises(
        UnwritableOutput, match=r"cannot write s3://NOBODY:\*\*\*@bucket/whole/x\?.*denied"
    ):
        open_folder(s3.uri("whole", login="NOBODY:hidden")).write("x", b"after" * 4_000_000)
    assert folder.read("x").to_pybytes() == b"before"
    with pytest.raises(UnreadableStore, match="denied"):
        open_folder(s3.uri("whole", login="NOBODY:hidden")).read("x")


def test_a_large_file_goes_in_parts(s3: S3) -> None:
    folder = open_folder(s3.uri("large"))
    content = pa.py_buffer(os.urandom(12_000_000))
    folder.write("x", content)
    assert folder.size("x") == content.size
    assert folder.read("x") == content
