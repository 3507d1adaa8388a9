"""`deepsched schedule --server`: a service schedules, and all else is as it is without."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from deepsched.pipeline import schedule as command
from deepsched.pipeline.client import conversations
from tests.pipeline.cli_helpers import EXAMPLE, ROOT, deepsched_here, said_by
from tests.pipeline.stub_service import Stub, stub_service

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stub]:
    monkeypatch.delenv("DEEPSCHED_TOKEN", raising=False)
    monkeypatch.setattr(conversations, "FIRST_POLL", 0.01)
    with stub_service() as running:
        yield running


@pytest.fixture
def example(tmp_path: Path) -> Path:
    path = tmp_path / "example.json"
    path.write_text(EXAMPLE)
    return path


def test_it_says_what_it_says_without(
    stub: Stub, example: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    there, here = (
        deepsched_here(capsys, "schedule", example, "--scheduler", "heft", "--schedule", *more)
        for more in (("--server", stub.url), ())
    )
    assert (there.returncode, said_by(there)) == (0, [])
    # All but the time that it took, which ends the first line and stands in one of its own.
    first, *rest = there.stdout.splitlines()
    expected_first, *expected = here.stdout.splitlines()
    assert first.rpartition("; ")[0] == expected_first.rpartition("; ")[0]
    assert [line for line in rest if "scheduling time" not in line] == [
        line for line in expected if "scheduling time" not in line
    ]
    assert "scheduling time  0.002 s" in there.stdout  # the service's


def test_every_output_is_written(
    stub: Stub, example: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kinds = ("json", "csv", "gantt", "svg", "trace", "wfformat", "node-link", "dot")
    options = [part for kind in kinds for part in (f"--{kind}", tmp_path / f"out-{kind}")]
    done = deepsched_here(capsys, "schedule", example, "--server", stub.url, *options)
    assert (done.returncode, done.stdout) == (0, "")
    assert "deepsched 8 s, same as HEFT, optimal; 2 machines, σ 0; 32 samples, 2 ms" in done.stderr
    assert all((tmp_path / f"out-{kind}").stat().st_size for kind in kinds)
    document = json.loads((tmp_path / "out-json").read_text())
    assert (document["scheduler"], document["winner"], document["makespan"]) == (
        "deepsched",
        "heft",
        8,
    )
    assert [task["id"] for task in document["tasks"]] == ["split", "left", "right", "join"]


def test_the_problem_is_read_here_with_the_same_options(
    stub: Stub, capsys: pytest.CaptureFixture[str]
) -> None:
    file = ROOT / "tests/data/wfformat.json"
    options = ("--machines", "5", "--noise", "0.3", "--scheduler", "heft", "--json", "-")
    there, here = (
        json.loads(deepsched_here(capsys, "schedule", file, *options, *more).stdout)
        for more in (("--server", stub.url), ())
    )
    assert there["tasks"] == here["tasks"]
    assert "noise" not in stub.seen[-1].query


def test_options_of_the_network_go_along(
    stub: Stub, example: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ("--samples", "4", "--no-guard", "--seed", "7", "--budget", "1")
    done = deepsched_here(capsys, "schedule", example, "--server", stub.url, *options)
    assert done.returncode == 0
    assert "4 samples" in done.stdout
    query = stub.seen[-1].query
    assert query.pop("machines_sha256")
    assert query == {"samples": "4", "guard": "false", "seed": "7", "budget": "1.0"}


def test_a_long_search_is_a_job(
    stub: Stub, example: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    done = deepsched_here(capsys, "schedule", example, "--server", stub.url, "--budget", "30")
    assert done.returncode == 0
    assert said_by(done) == ["searching for 30 s; Ctrl-C cancels"]
    assert "POST /v1/jobs" in stub.paths()


def test_ctrl_c_cancels_a_job(stub: Stub, example: Path) -> None:
    stub.job_speed = 0.0
    words = ("schedule", str(example), "--server", stub.url, "--budget", "30")
    running = subprocess.Popen(
        [sys.executable, "-m", "deepsched", *words],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 60
    while not any("GET /v1/jobs/" in path for path in stub.paths()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    running.send_signal(signal.SIGINT)
    out, said = running.communicate(timeout=30)
    assert (running.returncode, out) == (130, "")
    assert "interrupted" in said
    assert "Traceback" not in said
    assert stub.paths()[-1].startswith("DELETE /v1/jobs/")


def test_tokens_come_from_a_file_or_the_environment(
    example: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    token = tmp_path / "token"
    token.write_text("secret\n")
    with stub_service(token="secret") as guarded:
        words = ("schedule", example, "--server", guarded.url)
        done = deepsched_here(capsys, *words)
        assert done.returncode == 2
        assert said_by(done) == [
            f"deepsched: {guarded.url} answers 401: a token is needed: Authorization: Bearer TOKEN"
        ]
        assert deepsched_here(capsys, *words, "--token-file", token).returncode == 0
        monkeypatch.setenv("DEEPSCHED_TOKEN", "secret")
        assert deepsched_here(capsys, *words).returncode == 0


def test_what_makes_no_sense_is_refused_by_name(
    stub: Stub, example: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    empty = tmp_path / "empty"
    empty.write_text(" \n")
    there = ("--server", stub.url)
    for line, options in {
        "--checkpoint is not for --server": (*there, "--checkpoint", tmp_path),
        "--scheduler own.py:mine is not for --server": (*there, "--scheduler", "own.py:mine"),
        "--token-file is for --server": ("--token-file", empty),
        f"--token-file {empty}: the file is empty": (*there, "--token-file", empty),
        f"--token-file {tmp_path}/no: No such file": (*there, "--token-file", tmp_path / "no"),
        "'there' is no address of a service": ("--server", "there"),
    }.items():
        done = deepsched_here(capsys, "schedule", example, *options)
        assert (done.returncode, done.stdout) == (2, "")
        assert [line in said for said in said_by(done)] == [True]
    assert stub.seen == []


def test_a_refusal_is_one_line(
    stub: Stub, example: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stub.faults = [(400, {})]
    out = tmp_path / "out.json"
    done = deepsched_here(capsys, "schedule", example, "--server", stub.url, "--json", out)
    assert done.returncode == 2
    assert said_by(done) == [f"deepsched: {stub.url} answers 400: told to"]
    assert not out.exists()


def test_nobody_there_is_one_line_and_said_while_it_is_tried(
    example: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "RETRY_FOR", 0.3)
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{bound.getsockname()[1]}"
        done = deepsched_here(capsys, "schedule", example, "--server", url)
    assert (done.returncode, done.stdout) == (2, "")
    trying, failed = said_by(done)
    assert trying == f"{url} cannot be reached: [Errno 111] Connection refused; trying again"
    assert failed == f"deepsched: {url} cannot be reached: [Errno 111] Connection refused"


def test_a_missing_package_is_one_line(
    stub: Stub, example: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "httpx", None)
    done = deepsched_here(capsys, "schedule", example, "--server", stub.url)
    assert done.returncode == 2
    assert said_by(done) == ["deepsched: --server needs httpx: pip install 'deepsched[client]'"]
