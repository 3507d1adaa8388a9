"""A stand-in for the service that serves its page, answers it, and can be told to misbehave.

Its schedules are real ones of plain schedulers, so that a test of the page needs neither Ray nor
a network.
"""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

import numpy as np

from deepsched.baselines.cpop import cpop
from deepsched.baselines.errors import DeepSchedError
from deepsched.baselines.heft import heft
from deepsched.baselines.peft import peft
from deepsched.baselines.perturbation import perturbation
from deepsched.baselines.readers import ReadOptions, problem_from_bytes
from deepsched.baselines.schedule import make_schedule
from deepsched.pipeline.serving.pages import INDEX, PAGE, POLICY
from deepsched.pipeline.wire.models import Job, ScheduleAnswer
from tests.pipeline.file_server import listening

if TYPE_CHECKING:
    from collections.abc import Iterator

    from deepsched.baselines.problem import Problem
    from deepsched.baselines.schedule import Schedule

TYPES = {
    "html": "text/html; charset=utf-8",
    "css": "text/css",
    "js": "text/javascript",
    "svg": "image/svg+xml",
    "json": "application/json",
}
VERSION = "c0ffee" + "0" * 58
SECONDS = 0.004


def shortest(problem: Problem) -> Schedule:
    """Stand in for the network, by its name, with its guard."""
    found, kept = perturbation(problem, np.random.default_rng(0)), heft(problem)
    if kept.makespan <= found.makespan:
        return make_schedule("deepsched", kept.proc, kept.ast, kept.aft, winner="heft")
    return make_schedule("deepsched", found.proc, found.ast, found.aft)


SCHEDULERS = {"heft": heft, "peft": peft, "cpop": cpop, "deepsched": shortest}
STEPS = ("queued", "running", "running", "running", "done")  # of a job, one for each question


@dataclass
class Asked:
    """A request, as it came."""

    method: str
    path: str
    query: dict[str, str]
    kind: str | None
    body: bytes


@dataclass
class Work:
    """A job and how often it was asked after."""

    answer: dict[str, Any]
    asked: int = 0
    cancelled: bool = False


@dataclass
class Service:
    """What the stand-in was asked, and how it answers.

    Attributes
    ----------
    token : without it as bearer token, requests to /v1/ are refused; None asks for none.
    refusals : answers to the next requests to /v1/schedule: status, line and Retry-After.
    answers : what to answer next to /v1/schedule in place of a schedule made here.
    patient : jobs run until they are cancelled.
    starting : requests for the schedulers that come before it has started.
    """

    url: str = ""
    token: str | None = None
    refusals: list[tuple[int, str, int | None]] = field(default_factory=list)
    answers: list[dict[str, Any]] = field(default_factory=list)
    patient: bool = False
    starting: int = 0
    asked: list[Asked] = field(default_factory=list)
    jobs: dict[str, Work] = field(default_factory=dict)

    def queries(self, path: str = "/v1/schedule") -> list[dict[str, str]]:
        """Return the queries of what was posted to a path."""
        return [one.query for one in self.asked if (one.method, one.path) == ("POST", path)]


def answer_to(problem: Problem, scheduler: str, arrivals: bool = True) -> dict[str, Any]:
    """Return the answer that carries a schedule of one of the stand-ins, with its edges."""
    schedule = SCHEDULERS[scheduler](problem)
    network = scheduler == "deepsched"
    parents, children, _ = problem.edge_list()
    value = {
        **schedule.to_json(problem, SECONDS),
        "model": "deepsched" if network else None,
        "model_version": VERSION if network else None,
        "heft_makespan": heft(problem).makespan,
        "timing": {"queue": 0.0, "parse": 0.0, "schedule": SECONDS},
        "machines": list(problem.machines.ids),
        "edges": list(zip(parents.tolist(), children.tolist(), strict=True)),
        **({"arrivals": problem.arrival.tolist()} if arrivals else {}),
    }
    ScheduleAnswer.model_validate(value)
    return value


def read(asked: Asked) -> Problem:
    """Return the problem of a request, on the machines of its query."""
    machines = asked.query.get("machines")
    options = ReadOptions(
        n_machines=None if machines is None else int(machines),
        machine_seed=int(asked.query.get("machine_seed", 0)),
        noise=float(asked.query.get("noise", 0)),
        noise_seed=int(asked.query.get("noise_seed", 0)),
    )
    return problem_from_bytes(asked.body, "request body", options)


def job_of(name: str, work: Work, patient: bool) -> dict[str, Any]:
    """Return a job's state after so many questions."""
    step = min(work.asked, len(STEPS) - 1)
    state = "running" if patient and STEPS[step] == "done" else STEPS[step]
    state = "cancelled" if work.cancelled else state
    best, began = work.answer["makespan"], state != "queued"
    history = [[0.5 * k, best * (1.3 - 0.1 * k)] for k in range(min(step, 4))] if began else []
    if state == "done":
        history[-1][1] = best
    value = {
        "id": name,
        "state": state,
        "scheduler": work.answer["scheduler"],
        "n_tasks": len(work.answer["tasks"]),
        "n_machines": len(work.answer["machines"]),
        "created": 1.0,
        "started": 2.0 if began else None,
        "finished": 4.0 if state in ("done", "cancelled") else None,
        "heft_makespan": work.answer["heft_makespan"] if began else None,
        "makespan": history[-1][1] if history else None,
        "history": history,
        "ahead": 0 if began else 2,
    }
    Job.model_validate(value)
    return value


class Handler(BaseHTTPRequestHandler):
    """The routes that the page uses."""

    service: Service

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        asked = self._note()
        if asked.path == "/" or asked.path.startswith("/static/"):
            self._send_file(asked.path.removeprefix("/static/").removeprefix("/") or INDEX)
        elif self._may():
            self._get(asked)

    def _get(self, asked: Asked) -> None:
        jobs = self.service.jobs
        if asked.path == "/v1/schedulers" and self.service.starting:
            self.service.starting -= 1
            self._send(503, {"error": "the service is starting"}, {"Retry-After": "1"})
        elif asked.path == "/v1/schedulers":
            limits = {"max_body_mb": 64, "max_budget_s": 10}
            value = {"default": "deepsched", "schedulers": list(SCHEDULERS), "limits": limits}
            self._send(200, value)
        elif asked.path == "/v1/models":
            self._send(200, {"models": [{"name": "deepsched", "network": "deepsched"}]})
        elif asked.path.removeprefix("/v1/jobs/") in jobs:
            name = asked.path.removeprefix("/v1/jobs/")
            jobs[name].asked += 1
            self._send(200, job_of(name, jobs[name], self.service.patient))
        elif asked.path.endswith("/result"):
            self._send(200, jobs[asked.path.split("/")[-2]].answer)
        else:
            self._send(404, {"error": "there is nothing here"})

    def do_POST(self) -> None:
        asked = self._note()
        if not self._may():
            return
        if self.service.refusals:
            status, line, wait = self.service.refusals.pop(0)
            headers = {} if wait is None else {"Retry-After": str(wait)}
            self._send(status, {"error": line}, headers)
            return
        if self.service.answers:
            self._send(200, self.service.answers.pop(0))
            return
        try:
            answer = answer_to(read(asked), asked.query["scheduler"])
        except DeepSchedError as error:
            self._send(400, {"error": str(error)})
            return
        if asked.path == "/v1/jobs":
            name = f"j{len(self.service.jobs)}"
            self.service.jobs[name] = Work(answer)
            headers = {"Location": f"/v1/jobs/{name}"}
            self._send(202, job_of(name, self.service.jobs[name], self.service.patient), headers)
        else:
            self._send(200, answer)

    def do_DELETE(self) -> None:
        asked = self._note()
        name = asked.path.removeprefix("/v1/jobs/")
        if self._may():
            self.service.jobs[name].cancelled = True
            self._send(200, job_of(name, self.service.jobs[name], self.service.patient))

    def _note(self) -> Asked:
        parts = urlsplit(self.path)
        asked = Asked(
            method=self.command,
            path=parts.path,
            query=dict(parse_qsl(parts.query)),
            kind=self.headers["Content-Type"],
            body=self.rfile.read(int(self.headers["Content-Length"] or 0)),
        )
        self.service.asked.append(asked)
        return asked

    def _may(self) -> bool:
        wanted = self.service.token
        if wanted is None or self.headers["Authorization"] == f"Bearer {wanted}":
            return True
        self._send(401, {"error": "a token is needed"}, {"WWW-Authenticate": "Bearer"})
        return False

    def _send(self, status: int, value: Any, headers: dict[str, str] | None = None) -> None:
        body = json.dumps(value).encode()
        self._reply(status, body, {"Content-Type": TYPES["json"], **(headers or {})})

    def _send_file(self, name: str) -> None:
        path = PAGE / name
        if not path.is_file():
            self._send(404, {"error": "there is no such file"})
            return
        headers = {"Content-Type": TYPES[name.rpartition(".")[2]]}
        self._reply(200, path.read_bytes(), {**headers, "Content-Security-Policy": POLICY})

    def _reply(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


@contextmanager
def serving_page() -> Iterator[Service]:
    """Run a stand-in on a port of its own."""
    service = Service()
    handler = type("PageHandler", (Handler,), {"service": service})
    with listening(handler) as url:
        service.url = f"{url}/"
        yield service
