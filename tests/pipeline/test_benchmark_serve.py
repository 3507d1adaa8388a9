"""`deepsched benchmark serve`: its arithmetic, what it asks, and one run against a real service."""

from __future__ import annotations

import contextlib
import json
import math
import os
import re
import socket
import socketserver
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from deepsched.pipeline.benchmarks import serving
from deepsched.pipeline.benchmarks import serving_cost as cost
from deepsched.pipeline.benchmarks import serving_kill as kill
from deepsched.pipeline.benchmarks import serving_mixed as mixed
from deepsched.pipeline.benchmarks import serving_overload as overload
from deepsched.pipeline.benchmarks import serving_runs as runs
from deepsched.pipeline.benchmarks import serving_soak as soak
from deepsched.pipeline.benchmarks.serving_bodies import (
    BATCH,
    MIDDLE,
    Size,
    arrow_batch,
    arrow_request,
    gzip_request,
    json_batch,
    json_request,
    on_same_machines,
)
from deepsched.pipeline.benchmarks.serving_cost_table import beyond
from deepsched.pipeline.benchmarks.serving_goals import Goal
from deepsched.pipeline.benchmarks.serving_library import Library, scheduling
from deepsched.pipeline.benchmarks.serving_load import (
    LEFT,
    LOST,
    Load,
    Outcome,
    ask,
    going_on,
    percentile,
    together,
)
from deepsched.pipeline.benchmarks.serving_processes import (
    Process,
    cpu_by_kind,
    family,
    kind_of,
    per_request,
    usage_by_kind,
)
from deepsched.pipeline.benchmarks.serving_service import HEALTH, NotServed, running_service
from deepsched.pipeline.wire.arrow import answers_from_stream
from deepsched.pipeline.wire.machines import machines_bytes
from deepsched.pipeline.wire.streams import CONTENT_TYPE
from tests.pipeline.cli_helpers import deepsched, deepsched_here, said_by

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

TINY = Size(tasks=8, machines=3, noise=0.2)


# --- numbers ---


@pytest.mark.parametrize(
    ("values", "share", "expected"),
    [
        ([3.0], 0.99, 3.0),
        ([5.0, 1.0, 4.0, 2.0, 3.0], 0.5, 3.0),
        ([1.0, 2.0, 3.0, 4.0], 0.5, 2.0),
        ([float(k) for k in range(1, 101)], 0.99, 99.0),
        ([float(k) for k in range(1, 102)], 0.99, 100.0),
        ([1.0, 2.0], 0.0, 1.0),
    ],
)
def test_percentile_is_the_least_value_that_so_many_do_not_exceed(
    values: list[float], share: float, expected: float
) -> None:
    assert percentile(values, share) == expected


def test_percentile_of_nothing_is_no_number() -> None:
    assert math.isnan(percentile([], 0.5))


def test_cpu_a_request_leaves_out_what_nobody_asked_for() -> None:
    found = per_request(
        {"gateway": 10.0, "quick": 5.0, "ray": 1.0},
        {"gateway": 10.4, "quick": 6.0, "ray": 1.2, "slow": 0.1},
        seconds=4.0,
        idle={"gateway": 0.0, "quick": 0.05, "ray": 0.1},
        requests=100,
    )
    # ray: 0.2 s were used, and 0.4 are usual without any request.
    assert found == pytest.approx({"gateway": 4.0, "quick": 8.0, "ray": 0.0, "slow": 1.0})


@pytest.mark.parametrize(
    ("goal", "reached", "line"),
    [
        (Goal(text="a", value=60, bound=50, unit="/s"), True, "60 /s; at least 50 wanted (20 % "),
        (
            Goal(text="a", value=40, bound=50),
            False,
            "missed: a: 40; at least 50 wanted (20 % below",
        ),
        (
            Goal(text="a", value=50, bound=50),
            True,
            "reached: a: 50; at least 50 wanted (0 % ",
        ),
        (
            Goal(text="a", value=9, bound=3, unit="x", at_least=False),
            False,
            "missed: a: 9 x; at most 3 wanted (200 % above)",
        ),
        (Goal(text="a", value=0, bound=0, at_least=False), True, "reached: a: 0; at most 0 wanted"),
        (Goal(text="a", value=math.nan, bound=3, at_least=False), False, "missed: a: not measured"),
    ],
)
def test_a_goal_says_whether_it_is_reached_and_by_how_much(
    goal: Goal, reached: bool, line: str
) -> None:
    assert goal.reached == reached
    assert line in goal.line
    json.loads(json.dumps(goal.to_json(), allow_nan=False))


def test_growth_is_what_the_line_rises_by() -> None:
    assert soak.growth([0, 10, 20], [5, 5, 5]) == pytest.approx(0)
    assert soak.growth([0, 30, 60], [100, 130, 160]) == pytest.approx(60)
    assert math.isnan(soak.growth([0], [1]))


def test_only_the_second_half_of_a_soak_has_to_be_flat() -> None:
    def sample(k: int, megabytes: float) -> soak.Sample:
        return soak.Sample(
            seconds=30.0 * k,
            megabytes=megabytes,
            descriptors=100,
            threads=20,
            files=7 * k,
            file_megabytes=0,
        )

    warmed = [sample(k, min(500 + 100 * k, 1000)) for k in range(20)]
    verdicts = {goal.text.split()[5]: goal for goal in soak.goals(warmed)}
    assert verdicts["megabytes"].reached
    assert verdicts["descriptors"].reached
    assert not verdicts["files"].reached
    assert verdicts["files"].value == pytest.approx(63)  # 7 a sample, 10 samples
    leaking = [sample(k, 500 + 10 * k) for k in range(20)]
    assert not next(goal for goal in soak.goals(leaking) if "megabytes" in goal.text).reached


def test_the_longest_gap_is_between_neighbours() -> None:
    assert kill.longest_gap([1.0, 5.0, 2.0, 2.5]) == 2.5
    assert math.isnan(kill.longest_gap([1.0]))


# --- processes ---


def a_process(proc: Path, pid: int, parent: int, title: str, cpu: tuple[int, ...]) -> None:
    folder = proc / str(pid)
    (folder / "fd").mkdir(parents=True)
    (folder / "fd" / "0").touch()
    own, system, children, their_system = cpu
    rest = f"S {parent} 1 1 0 -1 0 0 0 0 0 {own} {system} {children} {their_system} 20 0"
    (folder / "stat").write_text(f"{pid} (a) b (c)) {rest}")
    (folder / "cmdline").write_text(title.replace(" ", "\0"))
    (folder / "status").write_text("Name:\ta\nThreads:\t3\n")
    (folder / "smaps_rollup").write_text("0-f ---p 0 00:00 0 [rollup]\nPss:    1000 kB\n")


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    """Return a folder like /proc, with a service and two strangers."""
    a_process(tmp_path, 10, 1, "python deepsched serve", (1, 0, 0, 0))
    a_process(tmp_path, 11, 10, "raylet", (100, 0, 0, 0))
    a_process(tmp_path, 12, 11, "ray::ServeReplica:deepsched:Gateway", (200, 50, 0, 0))
    a_process(tmp_path, 13, 11, "ray::ServeReplica:deepsched:Slow", (10, 0, 300, 40))
    a_process(tmp_path, 14, 13, "python -c spawned", (25, 5, 0, 0))
    a_process(tmp_path, 15, 11, "ray::ProxyActor", (7, 0, 0, 0))
    a_process(tmp_path, 20, 1, "ray::ServeReplica:deepsched:Quick", (999, 0, 0, 0))
    a_process(tmp_path, 21, 20, "python", (999, 0, 0, 0))
    (tmp_path / "meminfo").touch()
    return tmp_path


def test_processes_are_of_a_kind_and_helpers_of_that_of_whom_they_help(proc: Path) -> None:
    ticks = os.sysconf("SC_CLK_TCK")
    expected = {"ray": 101, "gateway": 250, "slow": 350 + 30, "proxy": 7}
    assert cpu_by_kind(10, proc) == pytest.approx({k: v / ticks for k, v in expected.items()})
    assert [one.pid for one in family(10, proc)] == [10, 11, 12, 13, 15, 14]
    assert family(99, proc) == []
    held = usage_by_kind(10, proc)["slow"]
    assert (held.megabytes, held.descriptors, held.threads) == (2 * 1.024, 2, 6)


@pytest.mark.parametrize(
    ("title", "kind"),
    [
        ("ray::ServeReplica:deepsched:Quick", "quick"),
        ("ray::ServeReplica:deepsched:Gateway.handle_request", "gateway"),
        ("ray::ProxyActor", "proxy"),
        ("ray::HAProxyManager", "proxy"),
        ("ray::ServeController", "ray"),
        ("ray::IDLE", "ray"),
        ("python -c from multiprocessing", None),
        ("", None),
    ],
)
def test_a_title_says_the_kind(title: str, kind: str | None) -> None:
    assert kind_of(title) == kind


def test_cpu_of_this_process_is_what_python_says() -> None:
    before, begin = sum(cpu_by_kind(os.getpid()).values()), time.process_time()
    while time.process_time() - begin < 0.3:
        pass
    spent = sum(cpu_by_kind(os.getpid()).values()) - before
    assert spent == pytest.approx(0.3, abs=0.05)


def test_one_of_each_kind_is_to_be_killed_and_of_helpers_the_busiest() -> None:
    def process(pid: int, parent: int, kind: str, cpu: float = 0.0) -> Process:
        return Process(pid=pid, parent=parent, kind=kind, cpu=cpu)

    processes = [
        process(1, 0, "ray"),
        process(2, 1, "gateway"),
        process(3, 1, "gateway"),
        process(4, 1, "slow"),
        process(5, 4, "slow", 1.0),  # starts the others, and is none itself
        process(6, 5, "slow", 0.2),
        process(7, 5, "slow", 0.4),
    ]
    found = {name: one.pid for name, one in kill.victims(processes).items()}
    assert found == {"gateway": 2, "slow": 4, "slow's helper": 7}
    assert kill.below(4, processes) == [5, 6, 7]
    assert kill.below(7, processes) == []


# --- what is asked ---


@pytest.fixture(scope="module")
def library() -> Library:
    return Library()


def test_every_kind_of_request_gets_the_schedules_that_the_library_makes(library: Library) -> None:
    problems = on_same_machines(TINY, 2)
    assert machines_bytes(problems[0].machines) == machines_bytes(problems[1].machines)
    machines = library.know(machines_bytes(problems[0].machines))
    by_samples = [
        [library.networks.choose(None, options).run(one, None).makespan for one in problems]  # type: ignore[arg-type]
        for options in ({}, {"samples": 1})
    ]
    kinds = cost.kinds(TINY, machines, problems)
    assert list(kinds) == [
        "JSON",
        "JSON, gzip",
        "Arrow",
        "Arrow, known machines",
        f"Arrow, {BATCH} at once",
        f"JSON, {BATCH} at once",
        "JSON, one pass",
        "Arrow, known machines, one pass",
        f"Arrow, {BATCH} at once, one pass",
        f"JSON, {BATCH} at once, one pass",
    ]
    for name, requests in kinds.items():
        expected = by_samples["one pass" in name]
        for request, makespan in zip(requests, expected, strict=False):
            headers = {key.lower(): value for key, value in request.headers.items()}
            reply = library.reply(request.path, headers, request.data)
            assert scheduling(reply) > 0
            found = makespans(reply.body, arrow=headers.get("accept") == CONTENT_TYPE)
            wanted = [makespan] if request.problems == 1 else expected * (BATCH // 2)
            assert found == pytest.approx(wanted), name


def makespans(body: bytes, *, arrow: bool) -> list[float]:
    if arrow:
        return [answer["makespan"] for answer in answers_from_stream(body)]
    value = orjson.loads(body)
    return [answer["makespan"] for answer in value.get("answers", [value])]


def test_a_reply_without_a_schedule_is_no_cost(library: Library) -> None:
    with pytest.raises(RuntimeError, match="status 400"):
        scheduling(library.reply("/v1/schedule", {"content-type": "application/json"}, b"{"))


def test_requests_say_how_long_they_are_and_how_they_are_packed() -> None:
    problem = TINY.problem()
    good = json_request(problem)
    problem_json = good.data
    head, _, body = gzip_request(problem).raw("h:1").partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    assert lines[0] == "POST /v1/schedule HTTP/1.1"
    assert f"Content-Length: {len(body)}" in lines
    assert "Content-Encoding: gzip" in lines
    assert "Host: h:1" in lines
    assert f"Content-Length: {2 * len(problem_json)}".encode() in soak.half(good).raw("h:1")
    known, whole = arrow_request(problem, "ab"), arrow_request(problem)
    assert known.path == "/v1/schedule?machines_sha256=ab"
    assert len(known.data) < len(whole.data)
    assert json_batch([problem, problem]).problems == arrow_batch([problem] * 2, "ab").problems == 2


def test_a_running_service_is_asked_with_the_token_of_the_environment(
    scripted: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEEPSCHED_TOKEN", "secret")
    request = json_request(TINY.problem())
    with running_service(f"127.0.0.1:{scripted}", None) as service:
        written = Path(service.file(request)).read_bytes()
        assert service.checked(replace(request, path="/200/2")) == b"xx"
        with pytest.raises(NotServed, match="status 403: xxx"):
            service.checked(replace(request, path="/403/3"))
    assert b"\r\nAuthorization: Bearer secret\r\n" in written


def test_all_bad_requests_are_refused(library: Library) -> None:
    for request in soak.bad_requests(json_request(TINY.problem())):
        if request.method == "GET" or request.path == "/v1/nothing":
            continue  # the gateway's to refuse
        headers = {key.lower(): value for key, value in request.headers.items()}
        with contextlib.suppress(Exception):  # what the gateway finds in the query or the headers
            assert 400 <= library.reply(request.path, headers, request.data).status < 500


# --- asking ---


WHOLE = re.compile(rb"(?s)(?:.*?content-length: (\d+))?.*?\r\n\r\n", re.IGNORECASE)


class _Scripted(socketserver.BaseRequestHandler):
    """Answers as the path says: /status/bytes, /wait, /drop, /chunked."""

    def handle(self) -> None:
        while True:
            request = self._read()
            if request is None:
                return
            path = request.split(" ")[1]
            if path == "/drop":
                return
            if path == HEALTH:
                path = "/200/0"
            if path == "/wait":
                time.sleep(0.6)
            if path == "/chunked":
                self.request.sendall(
                    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab\r\n0\r\n"
                )
                time.sleep(0.02)
                self.request.sendall(b"0\r\n\r\n")
                continue
            status, length = ("200", "3") if path == "/wait" else path.split("/")[1:]
            head = f"HTTP/1.1 {status} x\r\nRetry-After: 1\r\nContent-Length: {length}\r\n\r\n"
            self.request.sendall(head.encode() + b"x" * int(length))

    def _read(self) -> str | None:
        data = b""
        while not (found := WHOLE.match(data)) or len(data) < found.end() + int(found[1] or 0):
            more = self.request.recv(65536)
            if not more:
                return None
            data += more
        return data.decode()


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    request_queue_size = 128


@pytest.fixture(scope="module")
def scripted() -> Iterator[int]:
    """Return the port of a server that answers as it is told."""
    with _Server(("127.0.0.1", 0), _Scripted) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


@pytest.fixture
def load(scripted: int, tmp_path: Path) -> Callable[..., Load]:
    def made(*paths: str, **how: Any) -> Load:
        files = []
        for k, path in enumerate(paths):
            file = tmp_path / f"{k}-{len(list(tmp_path.iterdir()))}"
            file.write_text(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n")
            files.append(str(file))
        return Load(port=scripted, files=files, **how)

    return made


def test_answers_are_counted_by_status_in_turns(load: Callable[..., Load]) -> None:
    found = ask(load("/200/70000", "/400/5", "/chunked", connections=2, most=9))
    assert found.statuses == {"200": 6, "400": 3}
    assert found.ok == found.in_time == len(found.ms) == 6
    assert found.rate == pytest.approx(6 / found.seconds)
    assert found.failures == 0
    assert min(found.ms) > 0


def test_a_broken_connection_and_a_fault_are_failures(load: Callable[..., Load]) -> None:
    found = ask(load("/drop", "/500/2", "/200/1", most=6))
    assert found.statuses == {LOST: 2, "500": 2, "200": 2}
    assert found.failures == 4
    assert found.fault == "500 xx"


def test_nobody_listens_and_that_is_said(tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    (tmp_path / "r").write_text("GET / HTTP/1.1\r\n\r\n")
    found = ask(Load(port=port, files=[str(tmp_path / "r")], most=2))
    assert found.statuses == {LOST: 2}
    assert math.isnan(percentile(found.ms, 0.5))


def test_times_of_requests_that_are_due_hold_their_waiting(load: Callable[..., Load]) -> None:
    # Ten a second for half a second, each answered after 0.6 s.
    found = ask(load("/wait", connections=16, rate=10.0, seconds=0.45))
    assert found.statuses == {"200": 5}
    assert min(found.ms) >= 590
    assert found.in_time == 0  # all came after the end
    few = ask(load("/wait", connections=2, rate=10.0, seconds=0.45))
    assert few.statuses == {"200": 2, "unsent": 3}


def test_who_is_refused_waits_as_long_as_it_is_told(load: Callable[..., Load]) -> None:
    hasty = ask(load("/503/0", seconds=0.3))
    patient = ask(load("/503/0", seconds=0.3, patient=True))
    assert hasty.statuses["503"] > 20
    assert patient.statuses == {"503": 1}


def test_clients_can_leave_before_their_answer(load: Callable[..., Load]) -> None:
    found = ask(load("/wait", most=3, leave_after=0.05))
    assert found.statuses == {LEFT: 3}
    assert found.failures == 0


def test_a_load_goes_on_until_it_is_ended(load: Callable[..., Load]) -> None:
    with going_on(load("/200/1", connections=2)) as found:
        time.sleep(0.7)
        assert found.ok == 0  # known at the end
    assert found.statuses["200"] == found.ok > 20
    assert set(found.statuses) == {"200"}


def test_asking_loads_nothing_that_takes_long() -> None:
    program = (
        "import sys, deepsched.pipeline.benchmarks.serving_load; "
        "print([m for m in ('numpy', 'torch', 'ray', 'pyarrow', 'click') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


# --- verdicts ---


def a_run(**given: Any) -> runs.Run:
    usual: dict[str, Any] = {
        "target": runs.SERVICE,
        "size": MIDDLE.name,
        "kind": cost.KNOWN,
        "connections": 1,
        "problems": 10,
        "rate": 10.0,
        "cpu": {"gateway": 2.0, "quick": 9.0},
        "p50": 10.0,
        "p99": 12.0,
        "statuses": {},
    }
    return runs.Run(**{**usual, **given})


def test_cost_is_held_against_the_library_and_the_best_number_of_connections() -> None:
    found = [
        a_run(rate=40.0),
        a_run(rate=60.0),
        a_run(connections=4, rate=120.0),
        a_run(connections=4, rate=90.0),
        a_run(connections=16, rate=80.0),
        a_run(target=runs.PLAIN, rate=900.0),
        a_run(target=runs.LIBRARY, connections=0, cpu={"library": 8.0}, scheduling=5.0),
        a_run(kind=f"Arrow, {BATCH} at once", rate=210.0),
    ]
    assert cost.best_rate(found, MIDDLE.name, cost.KNOWN) == 105.0  # of two rounds
    assert beyond(found, MIDDLE.name, cost.KNOWN) == pytest.approx(3.0)
    goals = {goal.text: goal for goal in cost.goals(found)}
    assert goals[f"{MIDDLE.name}, {cost.KNOWN}"].reached
    assert goals[f"{MIDDLE.name}, {cost.KNOWN}, CPU beyond the library"].reached
    gain = goals[f"{MIDDLE.name}, Arrow, {BATCH} at once, throughput against one at a time"]
    assert gain.value == pytest.approx(2.0)
    assert gain.reached
    alone = next(goal for text, goal in goals.items() if text.endswith(", on one connection"))
    assert alone.value == pytest.approx(210.0 / 50.0)
    assert not goals[f"{MIDDLE.name}, JSON"].reached  # nobody measured it


def test_the_overhead_of_large_problems_is_time_that_is_not_scheduling() -> None:
    large = cost.LARGE.name
    found = [
        a_run(size=large, kind="JSON", overhead=1.2),
        a_run(size=large, kind="JSON", overhead=1.8),
        a_run(size=large, kind="JSON", target=runs.PLAIN, overhead=0.2),
    ]
    assert cost.overhead(found, "JSON") == pytest.approx(1.5)
    [goal] = [goal for goal in cost.goals(found) if goal.text.startswith(large)]
    assert not goal.reached


def test_a_cpu_that_is_not_known_is_not_said_to_be_small() -> None:
    found = [a_run(cpu={}), a_run(target=runs.LIBRARY, connections=0, cpu={"library": 8.0})]
    assert math.isnan(beyond(found, MIDDLE.name, cost.KNOWN))


def test_small_requests_are_held_against_themselves_alone() -> None:
    alone = {"small": Outcome(statuses={"200": 4}, ms=[10.0, 10.0, 11.0, 12.0])}
    loaded = {"small": Outcome(statuses={"200": 3, "503": 1}, ms=[20.0, 30.0, 30.0])}
    ratio, refused = mixed.goals(alone, loaded)
    assert ratio.value == pytest.approx(2.5)
    assert ratio.reached
    assert refused.value == 1
    assert not refused.reached


def test_of_two_idle_times_the_less_disturbed_counts() -> None:
    disturbed, quiet = Outcome(ms=[1.0, 1.0, 90.0]), Outcome(ms=[5.0, 5.0, 6.0])
    assert mixed.quieter(disturbed, quiet) is quiet
    assert mixed.quieter(quiet, disturbed) is quiet


def test_that_others_work_on_the_machine_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    monkeypatch.setattr(os, "getloadavg", lambda: (0.9, 5.0, 5.0))
    assert serving.busy_machine() is None
    monkeypatch.setattr(os, "getloadavg", lambda: (3.0, 0.0, 0.0))
    assert serving.busy_machine() == (
        "others work on this machine (load 3.0, 2 cores): trust CPU and ratios only"
    )


def test_overload_wants_goodput_deliberate_statuses_and_steady_memory() -> None:
    row = {
        "way": "many",
        "capacity": 100.0,
        "goodput": 85.0,
        "statuses": {"200": 850, "503": 9000, "500": 2, LOST: 3, "unsent": 5},
        "mb_before": 1000.0,
        "mb_after": 1050.0,
    }
    goodput, wrong, memory = overload.goals(row)
    assert (goodput.value, goodput.reached) == (pytest.approx(0.85), True)
    assert (wrong.value, wrong.reached) == (5, False)
    assert (memory.value, memory.reached) == (1.05, True)


def test_what_several_processes_asked_is_added_up() -> None:
    both = together(
        [
            Outcome(statuses={"200": 2}, in_time=1, ms=[1.0, 2.0], seconds=3.0, cpu=0.5),
            Outcome(statuses={"200": 1, "503": 4}, ms=[9.0], seconds=2.0, cpu=0.1, fault="500 x"),
        ]
    )
    assert both == Outcome(
        statuses={"200": 3, "503": 4},
        in_time=1,
        ms=[1.0, 2.0, 9.0],
        seconds=3.0,
        cpu=0.6,
        fault="500 x",
    )


# --- the command ---


def test_the_command_refuses_what_makes_no_sense(capsys: pytest.CaptureFixture[str]) -> None:
    def error_of(*options: object) -> str:
        done = deepsched_here(capsys, "benchmark", "serve", *options)
        assert done.returncode == 2
        return said_by(done)[-1]

    assert error_of("--pid", 1) == (
        "deepsched: --pid belongs to a service that runs already: give its --url, too"
    )
    assert "give one such as http://127.0.0.1:8000" in error_of("--url", "ftp://x")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        assert f"port {port} says that it is ready" in error_of("--url", f"http://127.0.0.1:{port}")


@pytest.mark.ray
def test_a_quick_run_measures_a_service_of_its_own_and_leaves_nothing(tmp_path: Path) -> None:
    out = tmp_path / "rows.json"
    done = deepsched("benchmark", "serve", "--quick", "--part", "mixed", "--json", out)
    assert done.returncode == 0, done.stderr
    assert "mixed load, small: p99 against that of an idle service" in done.stdout
    found = json.loads(out.read_text())["mixed"]
    assert {row["probe"] for row in found["rows"]} == {"small", "health"}
    assert all(row["answers"] > 0 for row in found["rows"])
    assert all(set(row["statuses"]) == {"200"} for row in found["rows"])
