"""Downloads from a server that is slow, wrong, gone or hostile: the right file, or none."""

from __future__ import annotations

import errno
import os
import socket
from typing import TYPE_CHECKING

import pytest

from deepsched.pipeline.fetching.download import CHUNK, Patience
from deepsched.pipeline.fetching.place import part_of
from deepsched.pipeline.fetching.run import Outcome, fetch_all
from tests.pipeline.file_server import (
    Answer,
    Origin,
    cut,
    endless,
    hang,
    instead,
    partial,
    redirect,
    serving_files,
    silent,
    status,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from deepsched.pipeline.fetching.sources import Source

HASTY = Patience(timeout=0.25, waits=(0.01, 0.01, 0.01))
CONTENT = bytes(range(256)) * 1000  # some chunks
SIZE = len(CONTENT)
HALF = CHUNK + 1000
REST = f"bytes={HALF}-{SIZE - 1}"
WRONG = CONTENT[::-1]


@pytest.fixture
def origin(monkeypatch: pytest.MonkeyPatch) -> Iterator[Origin]:
    monkeypatch.setenv("no_proxy", "*")
    with serving_files() as origin:
        yield origin


@pytest.fixture
def source(origin: Origin) -> Source:
    return origin.add("stg/a/x.stg", CONTENT)


def fetch(source: Source, out: Path, origin: Origin, patience: Patience = HASTY) -> Outcome:
    """Fetch one file, and check that it is there exactly where the outcome says so."""
    [outcome] = fetch_all([source], out, origin.url, patience=patience)
    target = out / source.here
    if outcome.status == "failed":
        assert not target.exists()
        assert source.url(origin.url) in outcome.reason
    else:
        assert target.read_bytes() == CONTENT
        assert not part_of(target).exists()
    return outcome


def left_part(source: Source, out: Path, content: bytes) -> Path:
    """Leave what a killed download leaves."""
    part = part_of(out / source.here)
    part.parent.mkdir(parents=True)
    part.write_bytes(content)
    return part


def test_a_download_goes_on_where_it_was_killed(
    origin: Origin, source: Source, tmp_path: Path
) -> None:
    left_part(source, tmp_path, CONTENT[:HALF])
    assert fetch(source, tmp_path, origin).status == "fetched"
    assert origin.ranges_asked(source) == [REST]
    assert origin.sent == SIZE - HALF


def test_a_part_that_is_whole_needs_no_server(
    origin: Origin, source: Source, tmp_path: Path
) -> None:
    left_part(source, tmp_path, CONTENT)
    assert fetch(source, tmp_path, origin).status == "fetched"
    assert origin.asked == []


@pytest.mark.parametrize(
    ("part", "asked"),
    [(WRONG[:HALF], [REST, None]), (WRONG, [None]), (CONTENT + b"more", [None]), (b"", [None])],
    ids=["wrong half", "wrong whole", "too long", "empty"],
)
def test_a_part_that_is_of_no_use_is_fetched_anew(
    part: bytes, asked: list[str | None], origin: Origin, source: Source, tmp_path: Path
) -> None:
    left_part(source, tmp_path, part)
    assert fetch(source, tmp_path, origin).status == "fetched"
    assert origin.ranges_asked(source) == asked


@pytest.mark.parametrize(
    ("answers", "requests"),
    [
        ([], 1),
        ([status(416)], 2),
        ([partial(f"bytes 0-{SIZE - 1}/{SIZE}", CONTENT)], 2),
        ([partial(f"bytes {HALF}-{SIZE - 1}/{SIZE + 5}", CONTENT[HALF:])], 2),
        ([partial("nonsense", CONTENT[HALF:])], 2),
    ],
    ids=["ignores it", "416", "other range", "other file", "no range"],
)
def test_a_server_that_does_not_continue_is_asked_for_the_whole(
    answers: list[Answer], requests: int, origin: Origin, source: Source, tmp_path: Path
) -> None:
    origin.ranges = False
    origin.misbehave(source, *answers)
    left_part(source, tmp_path, CONTENT[:HALF])
    assert fetch(source, tmp_path, origin).status == "fetched"
    assert origin.ranges_asked(source) == [REST, None][:requests]


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (instead(WRONG), "does not have the SHA-256"),
        (instead(CONTENT + b"more"), f"the server has {SIZE + 4} bytes of it, the list {SIZE}"),
        (instead(CONTENT[:-1]), f"the server has {SIZE - 1} bytes"),
        (endless(WRONG), "does not have the SHA-256"),
    ],
    ids=["corrupted", "too long", "too short", "endless"],
)
def test_wrong_content_is_asked_for_twice_and_never_kept(
    answer: Answer, why: str, origin: Origin, source: Source, tmp_path: Path
) -> None:
    origin.misbehave(source, answer)
    assert fetch(source, tmp_path / "lucky", origin).status == "fetched"
    origin.asked.clear()
    origin.misbehave(source, answer, answer)
    outcome = fetch(source, tmp_path / "not", origin)
    assert why in outcome.reason
    assert origin.ranges_asked(source) == [None, None]
    assert not part_of(tmp_path / "not" / source.here).exists()


def test_nothing_is_read_behind_the_size(origin: Origin, source: Source, tmp_path: Path) -> None:
    origin.misbehave(source, endless(CONTENT))
    assert fetch(source, tmp_path, origin).status == "fetched"
    assert len(origin.asked) == 1


@pytest.mark.parametrize("fault", [cut(HALF), hang(HALF)], ids=["ends early", "hangs"])
def test_an_answer_that_stops_is_continued(
    fault: Answer, origin: Origin, source: Source, tmp_path: Path
) -> None:
    origin.misbehave(source, fault)
    assert fetch(source, tmp_path, origin).status == "fetched"
    assert origin.ranges_asked(source) == [None, REST]


def test_what_has_come_stays_when_the_attempts_are_used_up(
    origin: Origin, source: Source, tmp_path: Path
) -> None:
    origin.misbehave(source, cut(HALF), *[status(500)] * 3)
    assert "the server answered 500" in fetch(source, tmp_path, origin).reason
    assert part_of(tmp_path / source.here).read_bytes() == CONTENT[:HALF]
    origin.asked.clear()
    assert fetch(source, tmp_path, origin).status == "fetched"
    assert origin.ranges_asked(source) == [REST]


@pytest.mark.parametrize("code", [503, 500, 429])
def test_a_busy_server_is_asked_again(
    code: int, origin: Origin, source: Source, tmp_path: Path
) -> None:
    origin.misbehave(source, *[status(code)] * 3)
    assert fetch(source, tmp_path / "patient", origin).status == "fetched"
    origin.asked.clear()
    origin.misbehave(source, *[status(code)] * 4)
    outcome = fetch(source, tmp_path / "not", origin)
    assert f"the server answered {code}" in outcome.reason
    assert "tried 4 times" in outcome.reason
    assert len(origin.asked) == 4


@pytest.mark.parametrize("code", [404, 403, 204, 206])
def test_what_is_not_to_be_had_is_asked_for_once(
    code: int, origin: Origin, source: Source, tmp_path: Path
) -> None:
    origin.misbehave(source, status(code))
    assert f"the server answered {code}" in fetch(source, tmp_path, origin).reason
    assert len(origin.asked) == 1


def test_a_redirection_is_followed_to_http_only(
    origin: Origin, source: Source, tmp_path: Path
) -> None:
    elsewhere = origin.add("stg/a/y.stg", CONTENT, "other/place")
    origin.misbehave(source, redirect(elsewhere.url(origin.url)))
    assert fetch(source, tmp_path / "http", origin).status == "fetched"
    assert [path for path, _ in origin.asked] == [source.path, elsewhere.path]
    secret = tmp_path / "secret"
    secret.write_bytes(CONTENT)
    origin.misbehave(source, redirect(secret.as_uri()))
    assert "the server answered 302" in fetch(source, tmp_path / "file", origin).reason


def test_where_nobody_answers_the_rest_is_not_tried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("no_proxy", "*")
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # and does not listen
        origin = Origin(url=f"http://127.0.0.1:{closed.getsockname()[1]}")
        sources = [origin.add(f"stg/a/{k}", CONTENT) for k in range(5)]
        outcomes = fetch_all(sources, tmp_path, origin.url, jobs=1, patience=HASTY)
    assert [outcome.status for outcome in outcomes] == ["failed", *["not tried"] * 4]
    assert outcomes[0].reason.startswith("Connection refused (tried 4 times): http://")


def test_a_silent_server_is_left_in_time(origin: Origin, source: Source, tmp_path: Path) -> None:
    origin.misbehave(source, silent, silent)
    outcome = fetch(source, tmp_path, origin, Patience(timeout=0.1, waits=(0.01,)))
    assert outcome.reason.startswith("no answer in time (tried 2 times)")
    assert outcome.unreachable


def test_one_silent_file_does_not_count_as_a_silent_server(
    origin: Origin, source: Source, tmp_path: Path
) -> None:
    others = [origin.add(f"stg/a/{k}", CONTENT) for k in range(3)]
    origin.misbehave(source, silent)
    patience = Patience(timeout=0.1, waits=())
    sources = [others[0], source, *others[1:]]
    outcomes = fetch_all(sources, tmp_path, origin.url, jobs=1, patience=patience)
    assert [outcome.status for outcome in outcomes] == ["fetched", "failed", "fetched", "fetched"]


def test_a_file_that_cannot_be_written_is_no_matter_of_the_network(
    origin: Origin, source: Source, tmp_path: Path
) -> None:
    (tmp_path / source.here / "in the way").mkdir(parents=True)
    [outcome] = fetch_all([source], tmp_path, origin.url, patience=HASTY)
    assert outcome.status == "failed"
    assert outcome.reason == f"cannot be written: {os.strerror(errno.EISDIR)}"
    assert len(origin.asked) == 1
