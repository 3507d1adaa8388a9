"""The client that waits for each answer."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import httpx

from deepsched.pipeline.client.answers import schedule_of
from deepsched.pipeline.client.connections import broken, checked_base, http_settings, reply_of
from deepsched.pipeline.client.conversations import Service
from deepsched.pipeline.client.exchange import Wait
from deepsched.pipeline.wire.models import ENDED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from types import TracebackType

    from deepsched.baselines.problem import Problem
    from deepsched.baselines.schedule import Schedule
    from deepsched.pipeline.client.answers import Answered
    from deepsched.pipeline.client.bodies import Asked
    from deepsched.pipeline.client.errors import ServiceError
    from deepsched.pipeline.client.exchange import Conversation, Outcome, Request
    from deepsched.pipeline.wire.models import Job, Model, Ready, SchedulersAnswer

T = TypeVar("T")


class Client:
    """A client of a scheduling service; threads may share it.

    Parameters
    ----------
    url : address, such as `http://127.0.0.1:8000`.
    token : for a service that asks for one; default the environment's `DEEPSCHED_TOKEN`.
    timeout : s for one answer; the service gives up after 120 s by default.
    retry_for : s for which a request is tried again where the service cannot be reached, the
        connection breaks, or it has no room (429, 503); 0: never.
    waiting : is told in one line why a request is tried again.

    Raises
    ------
    InvalidInput
        If the address or the token cannot be one.

    Examples
    --------
    >>> import deepsched as ds
    >>> from deepsched.client import Client
    >>> problem = ds.problem(etc=[[3, 5], [4, 2]], edges=[(0, 1, 1e6)])
    >>> with Client("http://127.0.0.1:8000") as client:  # doctest: +SKIP
    ...     print(client.schedule(problem).makespan)
    5.008
    """

    def __init__(
        self,
        url: str,
        token: str | None = None,
        *,
        timeout: float = 130.0,
        retry_for: float = 60.0,
        waiting: Callable[[str], None] | None = None,
    ) -> None:
        base = checked_base(url)
        self._service = Service(base, retry_for, waiting)
        self._http = httpx.Client(**http_settings(base, token, timeout))

    def __repr__(self) -> str:
        return f"Client({self._service.base!r})"

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def schedule(
        self, problem: Asked, scheduler: str | None = None, *, check: bool = True, **options: Any
    ) -> Schedule:
        """Schedule a problem, as `deepsched.schedule` does.

        Parameters
        ----------
        problem : a `Problem`; or a path, or the bytes, of a workflow file, or the dict of a JSON
            document, which go as they are.
        scheduler : a name that `schedulers()` lists; default the service's own, a network.
        check : whether the schedule of a `Problem` is held against all rules.
        options : `seed`; of the network `samples`, `budget`, `objective`, `decode`, `guard`; for a
            file or document that brings no machines `machines`, `machine_seed`, `noise`,
            `noise_seed`, `bandwidth`, `latency`.

        Raises
        ------
        ServiceError
            With the service's line, or why there is no answer.
        InvalidInput
            If the file cannot be read.
        """
        return self.ask(problem, scheduler, check=check, **options).schedule

    def ask(
        self, problem: Asked, scheduler: str | None = None, *, check: bool = True, **options: Any
    ) -> Answered:
        """Do what :meth:`schedule` does; return the schedule and all that the service answers."""
        every = {"scheduler": scheduler, **options}
        return self._run(self._service.ask(problem, every, check=check))

    def schedule_many(
        self,
        problems: Sequence[Problem],
        scheduler: str | None = None,
        *,
        check: bool = True,
        **options: Any,
    ) -> list[Schedule]:
        """Schedule many problems in a few requests; the first that has no schedule is raised."""
        found = self.ask_many(problems, scheduler, check=check, **options)
        return [schedule_of(one, number) for number, one in enumerate(found)]

    def ask_many(
        self,
        problems: Sequence[Problem],
        scheduler: str | None = None,
        *,
        check: bool = True,
        **options: Any,
    ) -> list[Answered | ServiceError]:
        """Do what :meth:`schedule_many` does; the error stands in the place of what has none."""
        every = {"scheduler": scheduler, **options}
        return self._run(self._service.ask_many(problems, every, check=check))

    def submit(
        self,
        problem: Asked,
        scheduler: str | None = None,
        *,
        budget: float | None = None,
        check: bool = True,
        **options: Any,
    ) -> JobHandle:
        """Hand in a problem to be worked on for longer than one waits for an answer.

        Parameters
        ----------
        budget : s of search of the network, for which the default is 60.
        problem, scheduler, check, options : as for :meth:`schedule`.
        """
        every = {"scheduler": scheduler, "budget": budget, **options}
        job = self._run(self._service.submit(problem, every))
        return JobHandle(self._run, self._service, job.id, problem, check=check)

    def job(self, id: str, problem: Asked | None = None, *, check: bool = True) -> JobHandle:
        """Return the handle of a job that was submitted before.

        Parameters
        ----------
        problem : what was submitted, where it is at hand.
        """
        return JobHandle(self._run, self._service, id, problem, check=check)

    def models(self) -> list[Model]:
        """Return the networks that answer."""
        return self._run(self._service.models())

    def schedulers(self) -> SchedulersAnswer:
        """Return the schedulers' names, which is the default, and the service's limits."""
        return self._run(self._service.schedulers())

    def ready(self) -> Ready:
        """Return whether requests can be worked on now, and if not, why."""
        return self._run(self._service.ready())

    def _run(self, conversation: Conversation[T]) -> T:
        outcome: Outcome = None
        try:
            while True:
                step = conversation.send(outcome)
                if isinstance(step, Wait):
                    time.sleep(step.seconds)
                    outcome = None
                else:
                    outcome = self._send(step)
        except StopIteration as done:
            result: T = done.value
            return result

    def _send(self, request: Request) -> Outcome:
        try:
            response = self._http.request(
                request.method,
                request.path,
                params=request.query,
                headers=request.headers,
                content=request.content,
            )
        except httpx.HTTPError as error:
            return broken(error)
        return reply_of(response)


class _Run(Protocol):
    def __call__(self, conversation: Conversation[T], /) -> T: ...


class JobHandle:
    """A job of the service, as :meth:`Client.submit` returns it.

    Attributes
    ----------
    id : by which :meth:`Client.job` finds it again.
    """

    def __init__(
        self, run: _Run, service: Service, id: str, problem: Asked | None, *, check: bool
    ) -> None:
        self.id = id
        self._run = run
        self._service = service
        self._problem = problem
        self._check = check

    def __repr__(self) -> str:
        return f"JobHandle({self.id!r})"

    def status(self) -> Job:
        """Return how it stands."""
        return self._run(self._service.status(self.id))

    def watch(self) -> Iterator[Job]:
        """Yield the job now, whenever its state or best makespan changes, and when it has ended."""
        job = None
        while job is None or job.state not in ENDED:
            job = self._run(self._service.change(self.id, job))
            yield job

    def result(self) -> Schedule:
        """Wait for its end and return the schedule.

        Raises
        ------
        ServiceError
            If it failed, was cancelled, or is no longer known.
        """
        return self.answer().schedule

    def answer(self) -> Answered:
        """Do what :meth:`result` does; return the schedule and all that the service answers."""
        return self._run(self._service.result(self.id, self._problem, check=self._check))

    def cancel(self) -> Job:
        """Cancel it and return it; one that has ended stays as it is."""
        return self._run(self._service.cancel(self.id))
