"""What is said to the service and how its answers are taken, by whatever sends it."""

from __future__ import annotations

import json
import uuid
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

from deepsched.baselines.errors import InvalidInput
from deepsched.baselines.problem import Problem
from deepsched.pipeline.client.answers import Answered, one_line, read_answers, read_as
from deepsched.pipeline.client.bodies import JSON, Asked, chunks, document_body, query_of
from deepsched.pipeline.client.errors import ServiceError
from deepsched.pipeline.client.exchange import Conversation, Reply, Request, Wait
from deepsched.pipeline.client.patience import Patience
from deepsched.pipeline.wire.arrow import problems_to_stream
from deepsched.pipeline.wire.machines import machines_bytes, machines_hash
from deepsched.pipeline.wire.models import (
    ENDED,
    Job,
    Model,
    ModelsAnswer,
    Ready,
    SchedulersAnswer,
)
from deepsched.pipeline.wire.streams import CONTENT_TYPE as ARROW

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from deepsched.baselines.machines import Machines

AGAIN = frozenset({429, 502, 503})  # the service, or what stands before it, says: not now
UNKNOWN_MACHINES = frozenset({404, 412})
MOST_MACHINES = 16  # sets of machines whose documents are kept
NETWORK = "deepsched"
DEFAULT_BUDGET = 60.0  # s, of a job of the network
FIRST_POLL, LONGEST_POLL = 0.1, 2.0  # s between two looks at a job


class Service:
    """A service as a client sees it: its address, and the machines that it has been told.

    Parameters
    ----------
    base : address, for messages.
    retry_for : s for which a request that fails is tried again.
    waiting : is told, once a request, why it is tried again.
    """

    def __init__(
        self, base: str, retry_for: float, waiting: Callable[[str], None] | None = None
    ) -> None:
        self.base = base
        self._retry_for = retry_for
        self._waiting = waiting
        self._documents: OrderedDict[int, tuple[Machines, bytes, str]] = OrderedDict()
        self._told: set[str] = set()  # hashes of machines

    def exchange(
        self, request: Request, passing: frozenset[int] = frozenset()
    ) -> Conversation[Reply]:
        """Send a request until there is an answer, and return a good one, or one `passing`.

        Raises
        ------
        ServiceError
            With the service's line where it refuses, or why there is no answer.
        """
        patience = Patience(self._retry_for)
        said = False
        while True:
            outcome = yield request
            if isinstance(outcome, Reply):
                if outcome.status < 300 or outcome.status in passing:
                    return outcome
                error = self._fault(outcome)
                again = outcome.status in AGAIN
                asked = _seconds(outcome.headers.get("retry-after", ""))
            else:
                assert outcome is not None  # that is what comes after a pause
                error, again, asked = self._broken(outcome.message), outcome.again, 0.0
            wait = patience.wait(asked) if again else None
            if wait is None:
                raise error
            if self._waiting is not None and not said:
                self._waiting(f"{error}; trying again")
                said = True
            yield Wait(seconds=wait)

    def _broken(self, message: str) -> ServiceError:
        return ServiceError(f"{self.base} {message}")

    def _fault(self, reply: Reply) -> ServiceError:
        try:
            document = json.loads(reply.content)
            line = document["error"] if isinstance(document, dict) else ""
        except (ValueError, KeyError, RecursionError):
            line = ""
        if not isinstance(line, str) or not line:
            line = f"redirects to {reply.headers['location']}" if _moved(reply) else "no reason"
        text = f"{self.base} answers {reply.status}: {one_line(line)}"
        return ServiceError(text, reply.status)

    def ask(self, asked: Asked, options: dict[str, Any], *, check: bool) -> Conversation[Answered]:
        """Return the answer to one problem."""
        reply = yield from self._post("/v1/schedule", asked, query_of(options, asked))
        return self._only(reply, asked, check)

    def ask_many(
        self, problems: Sequence[Problem], options: dict[str, Any], *, check: bool
    ) -> Conversation[list[Answered | ServiceError]]:
        """Return the answers to many, the error in the place of one that has none."""
        for number, problem in enumerate(problems):
            if not isinstance(problem, Problem):
                raise InvalidInput(
                    f"problem {number} is a {type(problem).__name__}; several go as Problems: "
                    "deepsched.read_problem makes one of a file"
                )
        found: list[Answered | ServiceError] = []
        query = query_of(options, *problems[:1])
        for chunk in chunks(problems):
            reply = yield from self._post_problems("/v1/schedule:batch", chunk, query, {})
            found += read_answers(reply, chunk, self.base, check=check, many=True)
        return found

    def submit(self, asked: Asked, options: dict[str, Any]) -> Conversation[Job]:
        """Hand a problem in as a job and return that."""
        if options.get("budget") is None and options.get("scheduler") in (None, NETWORK):
            options = {**options, "budget": DEFAULT_BUDGET}
        # A retry of the request has the same key, and makes no second job.
        key = {"Idempotency-Key": str(uuid.uuid4())}
        return self._job((yield from self._post("/v1/jobs", asked, query_of(options, asked), key)))

    def status(self, job: str) -> Conversation[Job]:
        """Return how a job stands."""
        request = Request(method="GET", path=f"/v1/jobs/{job}")
        return self._job((yield from self.exchange(request)))

    def change(self, job: str, before: Job | None) -> Conversation[Job]:
        """Return a job as soon as its state or best makespan is not as `before`."""
        pause = FIRST_POLL
        while True:
            now = yield from self.status(job)
            if before is None or (now.state, now.makespan) != (before.state, before.makespan):
                return now
            yield Wait(seconds=pause)
            pause = min(1.5 * pause, LONGEST_POLL)

    def cancel(self, job: str) -> Conversation[Job]:
        """Cancel a job and return it; one that has ended stays as it is."""
        request = Request(method="DELETE", path=f"/v1/jobs/{job}")
        return self._job((yield from self.exchange(request)))

    def result(self, job: str, asked: Asked | None, *, check: bool) -> Conversation[Answered]:
        """Wait for the end of a job and return its answer.

        Raises
        ------
        ServiceError
            If it failed or was cancelled.
        """
        now: Job | None = None
        while now is None or now.state not in ENDED:
            now = yield from self.change(job, now)
        if now.state == "failed":
            line = one_line(now.error or "no reason is given")
            raise ServiceError(f"{self.base}: job {job} failed: {line}", 410)
        kind = ARROW if isinstance(asked, Problem) else JSON
        request = Request(method="GET", path=f"/v1/jobs/{job}/result", headers={"Accept": kind})
        return self._only((yield from self.exchange(request)), asked, check)

    def models(self) -> Conversation[list[Model]]:
        """Return the networks that answer."""
        reply = yield from self.exchange(Request(method="GET", path="/v1/models"))
        return read_as(ModelsAnswer, reply, self.base).models

    def schedulers(self) -> Conversation[SchedulersAnswer]:
        """Return the schedulers, which is the default, and the service's limits."""
        reply = yield from self.exchange(Request(method="GET", path="/v1/schedulers"))
        return read_as(SchedulersAnswer, reply, self.base)

    def ready(self) -> Conversation[Ready]:
        """Return whether requests can be worked on now, and if not, why."""
        request = Request(method="GET", path="/v2/health/ready")
        reply = yield from self.exchange(request, frozenset({503}))
        return read_as(Ready, reply, self.base)

    def _job(self, reply: Reply) -> Job:
        return read_as(Job, reply, self.base)

    def _only(self, reply: Reply, asked: Asked | None, check: bool) -> Answered:
        problem = asked if isinstance(asked, Problem) else None
        (answer,) = read_answers(reply, [problem], self.base, check=check)
        if isinstance(answer, ServiceError):
            raise answer
        return answer

    def _post(
        self,
        path: str,
        asked: Asked,
        query: dict[str, str],
        headers: dict[str, str] | None = None,
    ) -> Conversation[Reply]:
        if isinstance(asked, Problem):
            return (yield from self._post_problems(path, [asked], query, headers or {}))
        body = document_body(asked)
        sent = {"Content-Type": body.kind, "Accept": JSON, **(headers or {})}
        # With all machines' names in their order a schedule can number them.
        query = {**query, "edges": "true"}
        return (
            yield from self.exchange(
                Request(method="POST", path=path, query=query, headers=sent, content=body.content)
            )
        )

    def _post_problems(
        self,
        path: str,
        problems: Sequence[Problem],
        query: dict[str, str],
        headers: dict[str, str],
    ) -> Conversation[Reply]:
        """Send problems whose machines the service is told once, and again if it forgot them."""
        machines = problems[0].machines
        sent = {"Content-Type": ARROW, "Accept": ARROW, **headers}
        content = problems_to_stream(problems, shared=machines)
        for _ in range(2):
            name = yield from self._tell(machines)
            reply = yield from self.exchange(
                Request(
                    method="POST",
                    path=path,
                    query={**query, "machines_sha256": name},
                    headers=sent,
                    content=content,
                ),
                UNKNOWN_MACHINES,
            )
            if reply.status not in UNKNOWN_MACHINES:
                return reply
            self._told.discard(name)
        # One of several services behind one address knows what another was told: send them along.
        content = problems_to_stream(problems)
        return (
            yield from self.exchange(
                Request(method="POST", path=path, query=query, headers=sent, content=content)
            )
        )

    def _tell(self, machines: Machines) -> Conversation[str]:
        """Return the hash of machines that the service has been told."""
        data, name = self._document(machines)
        if name not in self._told:
            headers = {"Content-Type": JSON}
            yield from self.exchange(
                Request(method="PUT", path="/v1/machines", headers=headers, content=data)
            )
            self._told.add(name)
        return name

    def _document(self, machines: Machines) -> tuple[bytes, str]:
        # Kept by identity, beside the machines themselves, so that no other can take their place.
        kept = self._documents.get(id(machines))
        if kept is None:
            data = machines_bytes(machines)
            kept = self._documents[id(machines)] = (machines, data, machines_hash(data))
            while len(self._documents) > MOST_MACHINES:
                self._documents.popitem(last=False)
        return kept[1:]


def _seconds(text: str) -> float:
    """Return the seconds of a `Retry-After`; 0 for what is none, such as a date."""
    return float(text) if text.isascii() and text.isdigit() else 0.0


def _moved(reply: Reply) -> bool:
    return 300 <= reply.status < 400 and "location" in reply.headers
