"""The scheduling service on Ray Serve, asked over HTTP."""

from __future__ import annotations

import contextlib
import gzip
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
import torch

from deepsched.baselines.errors import InvalidInput
from deepsched.baselines.generate import GeneratorSpec, generate
from deepsched.baselines.readers import ReadOptions, problem_document, problem_from_json
from deepsched.baselines.registry import OPTIONAL, SCHEDULERS
from deepsched.baselines.schedule import make_schedule, violations
from deepsched.model.checkpoint import save_checkpoint
from deepsched.model.networks import build_network
from deepsched.model.networks.paper.scheduler import PaperScheduler
from deepsched.pipeline.serving.app import build_app
from deepsched.pipeline.serving.settings import ServeArgs
from deepsched.pipeline.serving.start import check_port, start_service
from tests.pipeline.cli_helpers import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from deepsched.baselines.problem import Problem

pytestmark = pytest.mark.ray

QUEUE = 16


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    json: Any


Ask = "Callable[..., Answer]"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def ask(port: int, method: str, path: str, body: Any = None, **headers: str) -> Answer:
    """Send one request; a body that yields is sent in chunks of unknown total."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=100)
    try:
        connection.request(method, path, body, {k.replace("_", "-"): v for k, v in headers.items()})
        response = connection.getresponse()
        content = response.read()
        found = {key.lower(): value for key, value in response.getheaders()}
        return Answer(response.status, found, json.loads(content))
    finally:
        connection.close()


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the checkpoint of a small network with random weights."""
    folder = tmp_path_factory.mktemp("serve") / "checkpoint"
    torch.manual_seed(0)
    config = {"width": 8, "recurrent_width": 8}
    save_checkpoint(folder, build_network("paper", config), "paper", config, {})
    return folder


@pytest.fixture(scope="module")
def service(local_ray: None, checkpoint: Path) -> Iterator[Callable[..., Answer]]:
    """Start the service with narrow limits; return what sends a request to it."""
    from ray import serve

    port = free_port()
    args = ServeArgs(
        checkpoint=checkpoint,
        port=port,
        replicas=1,
        gateways=1,
        max_queued=QUEUE,
        max_body_mb=1,
        max_tasks=600,
        max_batch_tasks=100,
    )
    start_service(build_app(args), args, print)
    yield lambda method, path, body=None, **headers: ask(port, method, path, body, **headers)
    serve.shutdown()


def drawn(tasks: int, seed: int = 0, machines: int = 4) -> Problem:
    return generate(GeneratorSpec(family="layered", tasks=tasks, machines=machines), seed)


def document(problem: Problem) -> str:
    return json.dumps(problem_document(problem))


def check_valid(problem: Problem, answer: Answer) -> None:
    """Rebuild the schedule from the answer and judge it."""
    assert answer.status == 200
    tasks = answer.json["tasks"]
    assert [task["id"] for task in tasks] == list(problem.task_ids)
    machine = {name: k for k, name in enumerate(problem.machines.ids)}
    proc, ast, aft = zip(
        *((machine[t["machine"]], t["start"], t["finish"]) for t in tasks), strict=True
    )
    schedule = make_schedule("answer", proc, ast, aft)
    assert violations(problem, schedule) == []
    assert answer.json["makespan"] == schedule.makespan
    assert answer.json["lower_bound"] <= schedule.makespan * (1 + 1e-9)


@pytest.mark.parametrize("name", SCHEDULERS)
def test_every_scheduler_answers_a_valid_schedule(service, name):
    problem = drawn(30)
    answer = service("POST", f"/v1/schedule?scheduler={name}&seed=3", document(problem))
    check_valid(problem, answer)
    assert answer.json["scheduler"] == name


def test_heft_reaches_the_published_makespan(service):
    body = (ROOT / "tests/data/topcuoglu.json").read_bytes()
    assert service("POST", "/v1/schedule?scheduler=heft", body).json["makespan"] == 80.0


def test_a_workflow_trace_on_the_machines_of_the_query(service):
    body = (ROOT / "tests/data/wfformat.json").read_bytes()
    options = ReadOptions(n_machines=3, machine_seed=2, noise=0.2, noise_seed=1, bandwidth=1e6)
    problem = problem_from_json(json.loads(body), "trace", options)
    query = "machines=3&machine_seed=2&noise=0.2&noise_seed=1&bandwidth=1e6"
    check_valid(problem, service("POST", f"/v1/schedule?{query}", body))
    packed = service("POST", f"/v1/schedule?{query}", gzip.compress(body), Content_Encoding="gzip")
    check_valid(problem, packed)


@pytest.mark.data
def test_real_traces(service, data_dir):
    for path in sorted(data_dir.glob("wfinstances/*/*.json.gz"))[::25]:
        packed = path.read_bytes()
        options = ReadOptions(n_machines=4)
        problem = problem_from_json(json.loads(gzip.decompress(packed)), "trace", options)
        if problem.n_tasks <= 600:
            check_valid(problem, service("POST", "/v1/schedule?machines=4", packed))


def test_requests_at_the_same_time_share_batches_bounded_by_their_tasks(service, checkpoint):
    problems = [drawn(10 + k, seed=k) for k in range(14)]
    with ThreadPoolExecutor(len(problems)) as pool:
        answers = list(
            pool.map(lambda problem: service("POST", "/v1/schedule", document(problem)), problems)
        )
    learned = PaperScheduler.load(checkpoint)
    for problem, answer in zip(problems, answers, strict=True):
        check_valid(problem, answer)
        assert answer.json["makespan"] == pytest.approx(learned(problem).makespan, rel=1e-5)
    batches = Counter(int(answer.headers["x-batch-requests"]) for answer in answers)
    assert max(batches) > 1
    # Batches hold at most 100 tasks, of which each request has at least 10.
    assert max(batches) <= 10
    assert all(count % size == 0 for size, count in batches.items())


def test_a_bad_request_among_good_ones_fails_alone(service):
    problem = drawn(12)
    good = document(problem)
    bad = json.dumps(problem_document(problem) | {"tasks": []})
    bodies = [good, bad] * 4
    with ThreadPoolExecutor(len(bodies)) as pool:
        answers = list(pool.map(lambda body: service("POST", "/v1/schedule", body), bodies))
    assert [answer.status for answer in answers] == [200, 400] * 4


def test_a_problem_larger_than_a_batch_goes_alone(service):
    problem = drawn(150)
    answer = service("POST", "/v1/schedule", document(problem))
    check_valid(problem, answer)
    assert answer.headers["x-batch-requests"] == "1"


@pytest.mark.parametrize(
    ("query", "body", "status"),
    [
        ("", b"not json", 400),
        ("", b'{"format": "deepsched-problem/1", "tasks": NaN}', 400),
        ("", b"\xff\xfe\x00", 400),
        ("", b"", 400),
        ("?scheduler=nobody", b"{}", 400),
        ("?machines=-1", b"{}", 400),
        ("?scheduler=heft", document(drawn(601)).encode(), 413),
    ],
    ids=["text", "nan", "binary", "empty", "scheduler", "machines", "tasks"],
)
def test_bad_requests(service, query, body, status):
    answer = service("POST", f"/v1/schedule{query}", body)
    assert answer.status == status
    assert list(answer.json) == ["error"]
    assert len(answer.json["error"]) <= 400
    assert "Traceback" not in answer.json["error"]


@pytest.mark.parametrize("chunked", [False, True])
def test_an_oversized_body_is_refused(service, chunked):
    body = (bytes(50_000) for _ in range(30)) if chunked else bytes(1_500_000)
    answer = service("POST", "/v1/schedule", body)
    assert (answer.status, answer.json) == (413, {"error": "request body over 1 MB"})


def test_an_endless_body_is_cut_off(service):
    sent = 0

    def endless() -> Iterator[bytes]:
        nonlocal sent
        while sent < 500_000_000:
            sent += 100_000
            yield bytes(100_000)

    # The connection may end while the client is still sending.
    with contextlib.suppress(ConnectionError, http.client.HTTPException):
        assert service("POST", "/v1/schedule", endless()).status == 413
    assert sent < 500_000_000


def test_routes(service):
    assert service("GET", "/health").json["status"] == "ready"
    assert service("GET", "/v2/health/live").json == {"status": "live"}
    listed = service("GET", "/v1/schedulers").json
    assert listed["default"] == "paper"
    assert {*SCHEDULERS, *OPTIONAL, "paper", "deepsched"} == set(listed["schedulers"])
    assert service("GET", "/v1/schedule").status == 405
    assert service("POST", "/v2/schedule", b"{}").status == 404


def test_under_load_every_request_is_answered_and_the_queue_is_bounded(service):
    body = document(drawn(600))
    live: list[float] = []
    stop = threading.Event()

    def watch() -> None:
        while not stop.is_set():
            begin = time.perf_counter()
            assert service("GET", "/health").status == 200
            live.append(time.perf_counter() - begin)
            time.sleep(0.1)

    with ThreadPoolExecutor(61) as pool:
        watching = pool.submit(watch)
        answers = list(
            pool.map(lambda _: service("POST", "/v1/schedule?scheduler=ga", body), range(60))
        )
        stop.set()
        watching.result()
    statuses = Counter(answer.status for answer in answers)
    assert set(statuses) == {200, 503}
    assert statuses[503] >= 10
    assert all(int(a.headers["retry-after"]) >= 1 for a in answers if a.status == 503)
    assert len(live) > 2
    # It goes on as before.
    check_valid(drawn(12), service("POST", "/v1/schedule?scheduler=heft", document(drawn(12))))


def test_the_command_serves_until_ctrl_c(tmp_path_factory):
    port = free_port()
    environment = os.environ | {"RAY_AUTH_MODE": "disabled", "RAY_TMPDIR": "/tmp"}
    process = subprocess.Popen(
        [sys.executable, ROOT / "pipeline/serve.py", "--port", str(port)],
        env=environment,
        cwd=tmp_path_factory.mktemp("cwd"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        assert process.stdout.readline() == f"http://127.0.0.1:{port}/v1/schedule\n"
        check_valid(drawn(12), ask(port, "POST", "/v1/schedule", document(drawn(12))))
        with pytest.raises(InvalidInput, match=f"cannot listen on 127.0.0.1 port {port}: Address"):
            check_port("127.0.0.1", port)
        os.killpg(process.pid, signal.SIGINT)  # what Ctrl-C in a terminal does
        _, said = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 0
    assert "Traceback" not in said
    check_port("127.0.0.1", port)  # it is free again
