"""`deepsched fetch`: every file in its place, verified, and kept; and how it ends."""

from __future__ import annotations

import gzip
import json
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from deepsched.pipeline.dataset.files import LOCK, open_folder
from deepsched.pipeline.demo import example_workflow, find_data
from deepsched.pipeline.fetching.place import is_right, part_of, put
from deepsched.pipeline.fetching.run import fetch_all
from tests.pipeline.cli_helpers import ROOT, deepsched_here
from tests.pipeline.file_server import (
    COMMIT,
    Origin,
    hang,
    instead,
    list_text,
    send_file,
    serving_files,
    status,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from deepsched.pipeline.fetching.sources import Source
    from tests.pipeline.file_server import Handler

    Fetch = Callable[..., subprocess.CompletedProcess[str]]

TRACE = json.dumps({"name": "fan", "tasks": list(range(2000))}).encode()
PACKED = gzip.compress(b"packed at its origin already", mtime=0)


@pytest.fixture
def origin(monkeypatch: pytest.MonkeyPatch) -> Iterator[Origin]:
    monkeypatch.setenv("no_proxy", "*")
    with serving_files() as origin:
        yield origin


@pytest.fixture
def sources(origin: Origin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Source]:
    """Four files, offered and listed in place of the packaged list."""
    sources = [
        origin.add("wfinstances/fan/fan-1.json.gz", TRACE, "pegasus/fän/a b?#%,1.json"),
        origin.add("stg/50/x.stg", random.Random(1).randbytes(200_000)),
        origin.add("hcsp/u.0_MS_1,5.sol", b"0\n1\n"),
        origin.add("other/packed.gz", PACKED, "packed.gz"),
    ]
    path = tmp_path / "list.tsv"
    path.write_text(list_text(sources))
    monkeypatch.setattr("deepsched.pipeline.fetching.sources.LIST", path)
    return sources


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "some folder"


@pytest.fixture
def fetch(capsys: pytest.CaptureFixture[str], origin: Origin, out: Path) -> Fetch:
    """Run the command on the made-up server."""

    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        options = ("--base-url", origin.url + "/", "--out", out)
        return deepsched_here(capsys, "fetch", *options, *arguments)

    return run


def files_in(folder: Path) -> dict[str, bytes]:
    """Return names and contents of everything below a folder but the lock."""
    found = [path for path in folder.rglob("*") if path.is_file() and path.name != LOCK]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


def test_every_file_arrives_at_its_place(
    fetch: Fetch, origin: Origin, sources: list[Source], out: Path
) -> None:
    done = fetch("all")
    assert done.returncode == 0, done.stderr
    found = files_in(out)
    assert set(found) == {source.here for source in sources}
    trace, *others = sources
    assert gzip.decompress(found[trace.here]) == TRACE
    for source in others:
        assert found[source.here] == origin.files[source.path]
    assert sorted(origin.asked) == sorted((source.path, None) for source in sources)
    assert "4: 4 fetched, 0 kept" in done.stdout
    assert f"{sum(source.size for source in sources) / 1e6:.1f} MB in" in done.stdout
    for notice in ("WfInstances, LGPL-3.0", "see the origin", "Apache-2.0"):
        assert f"{notice}; https://github.com/someone/Files/tree/{COMMIT}\n" in done.stdout
    assert done.stdout.endswith(f"Use them: DEEPSCHED_DATA='{out}' make demo\n")


def test_what_is_there_is_not_fetched_again(
    fetch: Fetch, origin: Origin, sources: list[Source], out: Path
) -> None:
    fetch("all")
    origin.asked.clear()
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file()}
    left = part_of(out / sources[0].here)
    left.write_bytes(b"of an earlier run")
    done = fetch("all")
    assert done.returncode == 0
    assert "4: 0 fetched, 4 kept" in done.stdout
    assert origin.asked == []
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert not left.exists()


def test_damaged_files_are_replaced_and_named(
    fetch: Fetch, origin: Origin, sources: list[Source], out: Path
) -> None:
    fetch("all")
    right = files_in(out)
    trace, plain, short, packed = sources
    (out / trace.here).write_bytes(right[trace.here][:-20])
    (out / plain.here).write_bytes(right[plain.here][::-1])
    (out / short.here).write_bytes(b"0\n")
    (out / packed.here).write_bytes(gzip.compress(b"another", mtime=0))
    origin.asked.clear()
    done = fetch("all")
    assert done.returncode == 0
    assert files_in(out) == right
    assert len(origin.asked) == 4
    for source in sources:
        assert f"{source.here}: replaced, since it was not the file of the list" in done.stderr


def test_a_packed_file_with_other_content_is_not_right(tmp_path: Path, origin: Origin) -> None:
    source = origin.add("a/b.json.gz", TRACE)
    target = tmp_path / "b.json.gz"
    for content, right in [(TRACE, True), (TRACE + b" ", False), (TRACE[:-1], False)]:
        target.write_bytes(gzip.compress(content))
        assert is_right(target, source) is right
    target.write_bytes(TRACE)
    assert not is_right(target, source)


def test_packing_depends_on_the_content_alone(tmp_path: Path, origin: Origin) -> None:
    files = []
    for name, when in [("one", 1.0), ("two", 2e9)]:
        source = origin.add(f"a/{name}.json.gz", TRACE)
        part = tmp_path / f"{name}.part"
        part.write_bytes(TRACE)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(time, "time", lambda when=when: when)
            put(part, tmp_path / name, source)
        files.append((tmp_path / name).read_bytes())
        assert not part.exists()
    assert files[0] == files[1]
    # RFC 1952: magic, deflate, no flags (so no name), and no time.
    assert files[0][:8] == bytes([0x1F, 0x8B, 8, 0, 0, 0, 0, 0])
    assert gzip.decompress(files[0]) == TRACE


def test_only_the_groups_that_are_named(fetch: Fetch, sources: list[Source], out: Path) -> None:
    done = fetch("hcsp", "stg", "stg")
    assert set(files_in(out)) == {source.here for source in sources[1:3]}
    assert "2: 2 fetched" in done.stdout
    assert "WfInstances" not in done.stdout
    assert done.stdout.endswith(f"Use them: deepsched schedule '{out}/stg/50/x.stg'\n")


@pytest.mark.usefixtures("sources")
def test_an_unknown_group_names_the_known(fetch: Fetch, out: Path) -> None:
    done = fetch("stg", "gocj")
    assert done.returncode == 2
    names = "all, hcsp, other, stg, wfinstances"
    assert done.stderr == f"deepsched: unknown group 'gocj'; one of: {names}\n"
    assert not out.exists()


def test_a_dry_run_lists_and_does_nothing(
    fetch: Fetch, origin: Origin, sources: list[Source], out: Path
) -> None:
    done = fetch("all", "--dry-run")
    assert done.returncode == 0
    assert not out.exists()
    assert origin.asked == []
    for source in sources:
        assert f"{source.size:,}  {out / source.here}  {source.url(origin.url)}\n" in done.stdout
    fetch("stg")
    origin.asked.clear()
    done = fetch("all", "--dry-run")
    assert "x.stg" not in done.stdout
    assert "to fetch: 3 files of 0.0 MB; 1 are there already\n" in done.stdout
    assert origin.asked == []


def test_files_that_cannot_be_fetched_are_listed_and_the_others_are_there(
    fetch: Fetch, origin: Origin, sources: list[Source], out: Path
) -> None:
    trace, plain, short, packed = sources
    origin.misbehave(trace, status(404))
    origin.misbehave(plain, *[instead(bytes(plain.size))] * 2)
    done = fetch("all")
    assert done.returncode == 1
    assert set(files_in(out)) == {short.here, packed.here}
    lines = [line for line in done.stderr.splitlines() if line.startswith("not fetched: ")]
    assert lines == [
        f"not fetched: {trace.here}: the server answered 404 Not Found: {trace.url(origin.url)}",
        f"not fetched: {plain.here}: the content does not have the SHA-256 of the list: "
        f"{plain.url(origin.url)}",
    ]
    assert "4: 2 fetched, 0 kept" in done.stdout
    assert "Use them" not in done.stdout
    assert fetch("all").returncode == 0


def test_files_come_at_once_but_no_more_than_asked(origin: Origin, tmp_path: Path) -> None:
    meeting = threading.Barrier(4)

    def together(handler: Handler) -> None:
        meeting.wait(10)  # breaks where fewer than four are asked for at a time
        send_file(handler)

    sources = [origin.add(f"stg/{k}", b"%d" % k) for k in range(12)]
    for source in sources:
        origin.misbehave(source, together)
    outcomes = fetch_all(sources, tmp_path, origin.url, jobs=4)
    assert [outcome.source for outcome in outcomes] == sources
    assert {outcome.status for outcome in outcomes} == {"fetched"}
    assert origin.at_once == 4


@pytest.mark.parametrize(
    ("base", "words"),
    [
        ("file:///tmp", "must begin with https:// or http://"),
        ("example.org", "must begin with https:// or http://"),
        ("https://", "must begin with https:// or http://"),
        ("ftp://example.org", "must begin with https:// or http://"),
        ("http://a..b", "is not a URL"),
        ("http://example.org:port", "is not a URL"),
        ("http://name:word@example.org", "a host, a port and a path only"),
        ("http://example.org/?a=b", "a host, a port and a path only"),
        ("http://example.org/a b", "a host, a port and a path only"),
    ],
)
@pytest.mark.usefixtures("sources")
def test_a_base_that_is_none_is_refused(base: str, words: str, fetch: Fetch, out: Path) -> None:
    done = fetch("all", "--base-url", base)
    assert done.returncode == 2
    assert f"--base-url {base!r}" in done.stderr
    assert words in done.stderr
    assert not out.exists()


@pytest.mark.usefixtures("sources")
def test_a_folder_that_cannot_be_written_is_refused(
    fetch: Fetch, origin: Origin, out: Path
) -> None:
    out.mkdir()
    (out / "stg").touch()
    (out / "file").touch()
    for place, words in [
        (out / "file", f"--out {out}/file cannot be made"),
        (out, f"{out}/stg/50 cannot be made"),
        ("s3://bucket", "--out s3://bucket must be a local folder"),
    ]:
        done = fetch("all", "--out", place)
        assert done.returncode == 2
        assert words in done.stderr
    assert origin.asked == []


@pytest.mark.usefixtures("sources")
def test_two_runs_do_not_write_to_one_folder(fetch: Fetch, out: Path) -> None:
    with open_folder(str(out)).locked():
        done = fetch("all")
    assert done.returncode == 2
    assert "another run is writing there now" in done.stderr


def test_an_interrupted_run_leaves_what_has_come_for_the_next(
    fetch: Fetch, origin: Origin, sources: list[Source], out: Path, tmp_path: Path
) -> None:
    plain = sources[1]
    origin.misbehave(plain, hang(100_000))
    program = tmp_path / "interrupted.py"
    program.write_text(
        "import pathlib, sys\n"
        "import deepsched.pipeline.fetching.sources as sources\n"
        "from deepsched.__main__ import main\n"
        "sources.LIST = pathlib.Path(sys.argv.pop(1))\n"
        "main()\n"
    )
    options = ("fetch", "all", "--base-url", origin.url, "--out", out)
    with subprocess.Popen(
        [sys.executable, program, tmp_path / "list.tsv", *options],
        env={"PYTHONPATH": str(ROOT), "no_proxy": "*"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        part = part_of(out / plain.here)
        deadline = time.monotonic() + 60
        while not (part.exists() and part.stat().st_size == 100_000):
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        said, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "interrupted; run the same command again" in errors
    assert "Traceback" not in errors
    assert said == ""
    origin.asked.clear()
    assert fetch("all").returncode == 0
    assert origin.ranges_asked(plain) == [f"bytes=100000-{plain.size - 1}"]
    assert set(files_in(out)) == {source.here for source in sources}


def test_the_demo_finds_what_was_fetched(
    origin: Origin,
    sources: list[Source],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.delenv("DEEPSCHED_DATA", raising=False)
    monkeypatch.chdir(tmp_path)
    part = part_of(Path("data", sources[0].here))
    part.parent.mkdir(parents=True)
    part.write_bytes(TRACE[:10])
    assert find_data(None) is None  # nothing whole in it
    done = deepsched_here(capsys, "fetch", "wfinstances", "--base-url", origin.url)
    assert done.stdout.endswith("Use them: DEEPSCHED_DATA=data make demo\n")
    traces = find_data(None)
    assert traces == tmp_path / "data" / "wfinstances"
    assert example_workflow(traces, tmp_path) == traces / "fan" / "fan-1.json.gz"
