"""A service that answers as the contract says, with HEFT, and misbehaves as it is told."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

from deepsched.baselines.errors import DeepSchedError
from deepsched.baselines.heft import heft
from deepsched.baselines.readers import ReadOptions, problem_from_bytes
from deepsched.pipeline.wire.arrow import answers_to_stream, problems_from_stream
from deepsched.pipeline.wire.machines import machines_from_bytes, machines_hash
from deepsched.pipeline.wire.streams import CONTENT_TYPE as ARROW

if TYPE_CHECKING:
    from collections.abc import Iterator

    from deepsched.baselines.machines import Machines
    from deepsched.baselines.problem import Problem

LIMITS = {"max_budget_s": 10.0, "max_job_budget_s": 600.0}
TIMING = {"queue": 0.0, "parse": 0.001, "schedule": 0.002, "network": 0.0, "decode": 0.001}
MODEL = {
    "name": "deepsched",
    "version": "ab" * 32,
    "network": "deepsched",
    "default": True,
    "training": {},
}


@dataclass
class Seen:
    """A request that came."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes


@dataclass
class Stub:
    """What came, what is known, and how the next requests are treated.

    `faults` are used up first, one a request: a status with its headers, or how a connection is
    broken: "drop" before an answer, "cut" in the middle of one.
    """

    url: str = ""
    token: str | None = None
    seen: list[Seen] = field(default_factory=list)
    faults: list[Any] = field(default_factory=list)
    machines: dict[str, Machines] = field(default_factory=dict)
    remembers: bool = True
    job_keys: list[str | None] = field(default_factory=list)
    job_speed: float = 1.0  # how far a look at a job brings it
    jobs: dict[str, Any] = field(default_factory=dict)
    patched: dict[str, Any] = field(default_factory=dict)  # put over each answer

    def paths(self) -> list[str]:
        return [f"{one.method} {one.path}" for one in self.seen]


class Refused(Exception):
    def __init__(self, status: int, line: str) -> None:
        super().__init__(line)
        self.status = status


class _Server(ThreadingHTTPServer):
    """A server that, when it goes, takes its connections along, as a killed process does."""

    daemon_threads = True

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.connections: list[socket.socket] = []

    def process_request(self, request: Any, client_address: Any) -> None:
        self.connections.append(request)
        super().process_request(request, client_address)

    def server_close(self) -> None:
        super().server_close()
        for connection in self.connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def stub_service(port: int = 0, **settings: Any) -> Iterator[Stub]:
    """Run one in a thread."""
    stub = Stub(**settings)

    class Handler(_Handler):
        service = stub

    server = _Server(("127.0.0.1", port), Handler)
    stub.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield stub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    service: Stub

    def log_message(self, *_: Any) -> None:
        pass

    def setup(self) -> None:
        super().setup()
        self.connection.settimeout(20)

    def _any(self) -> None:
        parts = urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        headers = {name.lower(): value for name, value in self.headers.items()}
        seen = Seen(self.command, parts.path, dict(parse_qsl(parts.query)), headers, body)
        self.service.seen.append(seen)
        fault = self.service.faults.pop(0) if self.service.faults else None
        if fault == "drop":
            self.close_connection = True
            return
        if isinstance(fault, tuple):
            self._send(fault[0], json.dumps({"error": "told to"}).encode(), headers=fault[1])
            return
        try:
            status, content, kind = self._answer(seen)
        except Refused as error:
            status, kind = error.status, "application/json"
            content = json.dumps({"error": str(error)}).encode()
        except DeepSchedError as error:
            status, kind = 400, "application/json"
            content = json.dumps({"error": str(error)}).encode()
        self._send(status, content, kind, cut=fault == "cut")

    do_GET = do_POST = do_PUT = do_DELETE = _any

    def _send(
        self,
        status: int,
        content: bytes,
        kind: str = "application/json",
        headers: dict[str, str] | None = None,
        *,
        cut: bool = False,
    ) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content[: len(content) // 2] if cut else content)
        self.close_connection = self.close_connection or cut

    def _answer(self, seen: Seen) -> tuple[int, bytes, str]:
        stub, plain = self.service, "application/json"
        if stub.token and seen.headers.get("authorization") != f"Bearer {stub.token}":
            raise Refused(401, "a token is needed: Authorization: Bearer TOKEN")
        match (seen.method, seen.path.split("/")[1:]):
            case "PUT", ["v1", "machines"]:
                name = machines_hash(seen.body)
                machines = machines_from_bytes(seen.body, "body", check=lambda n: None)
                if stub.remembers:
                    stub.machines[name] = machines
                answer: Any = {"machines": name, "n_machines": len(machines)}
            case "POST", ["v1", "schedule" | "schedule:batch"]:
                return self._schedule(seen)
            case "POST", ["v1", "jobs"]:
                key = seen.headers.get("idempotency-key")
                stub.job_keys.append(key)
                if key not in stub.jobs:
                    stub.jobs[str(key)] = {"polls": 0, "answer": self._schedule(seen)}
                return 202, json.dumps(self._job(str(key))).encode(), plain
            case "GET", ["v1", "jobs", id]:
                self._known(id)["polls"] += stub.job_speed
                answer = self._job(id)
            case "DELETE", ["v1", "jobs", id]:
                self._known(id)["state"] = "cancelled"
                answer = self._job(id)
            case "GET", ["v1", "jobs", id, "result"]:
                state = self._job(id)["state"]
                if state != "done":
                    raise Refused(410 if state == "cancelled" else 409, f"the job is {state}")
                return self._known(id)["answer"]  # type: ignore[no-any-return]
            case "GET", ["v1", "models"]:
                answer = {"models": [MODEL], "limits": LIMITS}
            case "GET", ["v1", "schedulers"]:
                answer = {"default": "deepsched", "schedulers": ["heft"], "limits": LIMITS}
            case "GET", ["v2", "health", "ready"]:
                answer = {"status": "not ready", "reason": "starting", "workers": {"quick": 0}}
                return 503, json.dumps(answer).encode(), plain
            case _:
                raise Refused(404, f"there is no {seen.path}")
        return 200, json.dumps(answer).encode(), plain

    def _known(self, id: str) -> dict[str, Any]:
        if id not in self.service.jobs:
            raise Refused(404, f"there is no job {id}")
        return self.service.jobs[id]  # type: ignore[no-any-return]

    def _job(self, id: str) -> dict[str, Any]:
        """Return a job that gets better from look to look, and is done at the fourth."""
        kept = self._known(id)
        polls = kept["polls"]
        state = kept.get("state") or ("queued" if polls < 1 else "running" if polls < 4 else "done")
        best = None if polls < 1 else {1: 9.0, 2: 9.0, 3: 8.5}.get(polls, 8.0)
        times = dict.fromkeys(("started", "finished", "expires"))
        return {
            "id": id,
            "state": state,
            "scheduler": "deepsched",
            "created": 0.0,
            **times,
            "n_tasks": 4,
            "n_machines": 2,
            "heft_makespan": 9.0,
            "makespan": best,
            "history": [],
            "error": kept.get("error"),
            "ahead": 0,
        }

    def _schedule(self, seen: Seen) -> tuple[int, bytes, str]:
        stub = self.service
        if seen.query.get("scheduler") == "no-such-scheduler":
            raise Refused(400, "unknown scheduler")
        name = seen.query.get("machines_sha256")
        if name is not None and name not in stub.machines:
            raise Refused(404, "these machines are not known")
        many = seen.path.endswith(":batch")
        if seen.headers["content-type"] == ARROW:
            problems = problems_from_stream(
                seen.body,
                stub.machines.get(name or ""),
                "body",
                check=lambda *counts: None,
                most_rows=256 if many else 1,
            )
            if not many and isinstance(problems[0], DeepSchedError):
                raise problems[0]
        else:
            count = seen.query.get("machines")
            options = ReadOptions(n_machines=None if count is None else int(count))
            problems = [problem_from_bytes(seen.body, "body", options)]
        rows = [self._row(problem, seen.query) for problem in problems]
        if seen.headers.get("accept") == ARROW:
            return 200, answers_to_stream(rows), ARROW
        documents = [
            self._document(row, problem, seen.query)
            for row, problem in zip(rows, problems, strict=True)
        ]
        answer = {"answers": documents} if many else documents[0]
        return 200, json.dumps(answer).encode(), "application/json"

    def _row(self, problem: Problem | DeepSchedError, query: dict[str, str]) -> dict[str, Any]:
        if isinstance(problem, DeepSchedError):
            return {"status": 400, "error": str(problem)}
        if problem.name == "refuse me":
            return {"status": 413, "error": "too large for me"}
        schedule = heft(problem)
        name = query.get("scheduler", "deepsched")
        return {
            **schedule.to_json(problem, 0.002),
            "scheduler": name,
            "winner": "heft",
            "heft_makespan": schedule.makespan,
            "model": "deepsched",
            "model_version": "ab" * 32,
            "timing": TIMING,
            "proc": schedule.proc,
            "ast": schedule.ast,
            "aft": schedule.aft,
            **self.service.patched,
        }

    def _document(
        self, row: dict[str, Any], problem: Problem | DeepSchedError, query: dict[str, str]
    ) -> dict[str, Any]:
        kept = {key: value for key, value in row.items() if key not in ("proc", "ast", "aft")}
        if query.get("edges") == "true" and not isinstance(problem, DeepSchedError):
            kept["machines"] = problem.machines.ids
            kept["edges"] = []
        return kept
