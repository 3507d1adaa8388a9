"""Hostile clients of the service: what they send, how they judge, and a tiny run of each kind."""

from __future__ import annotations

import json
import random
import socket
import threading
from pathlib import Path

import pytest

from deepsched.baselines.readers import problem_from_json
from deepsched.pipeline.benchmarks.serving_processes import Usage
from deepsched.pipeline.faults import serve as chaos
from deepsched.pipeline.faults.serve_hostile import Material, bomb, hostile, material
from deepsched.pipeline.faults.serve_slow import ATTACKS, Probes, held_up
from deepsched.pipeline.faults.serve_trial import Held, content_of
from deepsched.pipeline.faults.serve_wire import Answer, NoAnswer, exchange, fault, request
from tests.pipeline.cli_helpers import deepsched_here

DATA = Path(__file__).resolve().parent.parent / "data"


@pytest.fixture(scope="module")
def given() -> Material:
    return material(DATA)


def test_requests_are_their_seeds_and_of_all_kinds(given: Material) -> None:
    def made() -> list[bytes]:
        return [hostile(given, random.Random(f"0-{k}")).data for k in range(400)]

    sent = made()
    assert sent == made()
    assert len(set(sent)) > 380
    everything = b"".join(sent)
    for word in (b"/v1/schedule:batch", b"PUT /v1/machines", b"/v1/jobs", b"gzip", b"chunked"):
        assert word in everything


def test_without_examples_there_are_drawn_problems() -> None:
    found = material(None)
    assert found.files == []
    for document in found.documents:
        assert problem_from_json(json.loads(document), "drawn").n_machines == 3


def test_a_bomb_is_small() -> None:
    assert len(bomb(b"{},")) < 100_000


def served(*parts: bytes) -> tuple[str, int]:
    """Answer one connection with these bytes, and close it; without any, never."""
    listener = socket.create_server(("127.0.0.1", 0))

    def answer() -> None:
        with listener, listener.accept()[0] as link:
            link.recv(1_000_000)
            for part in parts:
                link.sendall(part)
            if not parts:
                link.recv(1)

    threading.Thread(target=answer, daemon=True).start()
    found: tuple[str, int] = listener.getsockname()
    return found


@pytest.mark.parametrize(
    ("parts", "body"),
    [
        ([b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc"], b"abc"),
        (
            [b"HTTP/1.1 200 OK\r\n", b"Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n"],
            b"ab",
        ),
        ([b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\nto the end"], b"to the end"),
        ([b"HTTP/1.1 204 No Content\r\n\r\n"], b""),
    ],
)
def test_answers_are_read_however_they_end(parts: list[bytes], body: bytes) -> None:
    answer = exchange(served(*parts), request("GET", "/", [], b""), within=10)
    assert answer.body == body
    assert answer.continued == (b" 100 " in parts[0])


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ([b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc"], "closed without"),
        ([b"nonsense\r\n\r\n"], "not HTTP"),
        ([], "hung"),
    ],
)
def test_what_is_no_answer_is_said(parts: list[bytes], said: str) -> None:
    with pytest.raises(NoAnswer, match=said):
        exchange(served(*parts), b"x", within=0.3)


def answered(status: int, body: bytes, **headers: str) -> Answer:
    found = {"content-type": "application/json", **headers}
    return Answer(status=status, headers=found, body=body, continued=False, seconds=0.0)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (answered(200, b"anything"), None),
        (answered(400, b'{"error": "tasks must be a list"}'), None),
        (answered(500, b'{"error": "internal error"}'), "status 500"),
        (answered(501, b'{"error": "x"}'), "status 501"),
        (answered(503, b'{"error": "busy"}'), "without Retry-After"),
        (answered(503, b'{"error": "busy"}', **{"retry-after": "1"}), None),
        (answered(503, b'{"status": "not ready"}', **{"retry-after": "1"}), None),
        (answered(404, b"Not Found"), "no JSON line"),
        (answered(404, b"[]"), "no JSON line"),
        (answered(404, b'{"error": "a", "more": 1}'), "no JSON line"),
        (answered(404, b'{"error": "a"}', **{"content-type": "text/plain"}), "no JSON line"),
        (answered(400, json.dumps({"error": "x" * 401}).encode()), "one short line"),
        (answered(400, json.dumps({"error": "a\nb"}).encode()), "one short line"),
        (answered(400, b'{"error": "Traceback of"}'), "the inside"),
        (answered(400, b'{"error": "no /home/me/code"}'), "the inside"),
    ],
)
def test_answers_are_judged(answer: Answer, said: str | None) -> None:
    found = fault(answer, is_head=False, hidden="/home/me")
    assert found is None if said is None else said in str(found)


def test_growth_is_told() -> None:
    before = Held(processes=3, usage=Usage(megabytes=100, descriptors=20, threads=9))
    assert before.more_than(before) is None
    after = Held(processes=4, usage=Usage(megabytes=900, descriptors=20, threads=9))
    assert "more processes and MB: 3 processes, 100 MB" in str(after.more_than(before))


def test_answers_are_compared_without_their_times() -> None:
    one = {"makespan": 1.0, "seconds": 2.0, "timing": {"queue": 1}, "tasks": [{"id": "a"}]}
    assert content_of(json.dumps(one).encode(), False) == {"makespan": 1.0, "tasks": [{"id": "a"}]}


def test_probes_that_fail_or_wait_are_told() -> None:
    idle = Probes(ms={"new health": [10.0] * 50, "kept small": [40.0] * 50})
    fine = Probes(ms={"new health": [45.0] * 50, "kept small": [110.0] * 50})
    fine.others["new small 503"] += 1
    assert held_up(idle, fine) == []
    bad = Probes(ms={"new health": [60.0] * 50, "kept small": [40.0] * 50})
    bad.others["new health 503"] += 2
    assert held_up(idle, bad) == [
        "2 probes of new health 503",
        "new health took 60 ms, 6.0 times as long",
    ]


def test_scenarios_and_addresses_that_are_none_are_one_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    done = deepsched_here(capsys, "chaos", "serve", "--scenario", "all")
    assert done.returncode == 2
    assert "unknown scenario 'all'" in done.stderr


@pytest.fixture
def no_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Judge no times, and let some kinds of slow clients stand for all."""
    some = ("half-sent bodies", "endless headers", "answers that nobody reads", *list(ATTACKS)[-2:])
    monkeypatch.setattr(
        "deepsched.pipeline.faults.serve_slow.ATTACKS", {name: ATTACKS[name] for name in some}
    )
    monkeypatch.setattr("deepsched.pipeline.faults.serve_slow.MOST_RATIO", 100.0)
    monkeypatch.setattr("deepsched.pipeline.faults.serve_slow.LITTLE", 1_000.0)
    # Beside other tests a process that is ended and begins anew may take longer than /health waits.
    monkeypatch.setattr(
        "deepsched.pipeline.faults.serve_slow.MAY_BE_REFUSED", ("small 503", "health 503")
    )
    monkeypatch.setattr("deepsched.pipeline.faults.serve_gone.MOST_CPU", 0.5)


@pytest.mark.ray
@pytest.mark.usefixtures("no_figures")
def test_the_service_holds(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not its figures, which a machine that runs tests beside cannot show."""
    narrow = (*chaos.NARROW, "--header-timeout", 1, "--body-timeout", 1, "--idle-timeout", 1,
              "--gateways", 1, "--replicas", 1)  # fmt: skip
    monkeypatch.setattr(chaos, "NARROW", tuple(map(str, narrow)))
    done = deepsched_here(
        capsys, "chaos", "serve", "--requests", 150, "--rounds", 2, "--share", 0.01,
        "--json", tmp_path / "found.json",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    found = json.loads((tmp_path / "found.json").read_text())["scenarios"]
    assert [row["outcome"] for row in found] == ["held"] * len(chaos.SCENARIOS), done.stdout
