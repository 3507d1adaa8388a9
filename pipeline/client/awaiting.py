"""The client whose answers are awaited; it says what the blocking one says."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import httpx

from deepsched.pipeline.client.answers import schedule_of
from deepsched.pipeline.client.connections import broken, checked_base, http_settings, reply_of
from deepsched.pipeline.client.conversations import Service
from deepsched.pipeline.client.exchange import Wait
from deepsched.pipeline.wire.models import ENDED

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence
    from types import TracebackType

    from deepsched.baselines.problem import Problem
    from deepsched.baselines.schedule import Schedule
    from deepsched.pipeline.client.answers import Answered
    from deepsched.pipeline.client.bodies import Asked
    from deepsched.pipeline.client.errors import ServiceError
    from deepsched.pipeline.client.exchange import Conversation, Outcome, Request
    from deepsched.pipeline.wire.models import Job, Model, Ready, SchedulersAnswer

T = TypeVar("T")


class AsyncClient:
    """The :class:`Client` of coroutines: the same methods, each to be awaited.

    Parameters
    ----------
    url, token, timeout, retry_for, waiting : as of :class:`Client`.

    Examples
    --------
    >>> import asyncio
    >>> from deepsched.client import AsyncClient
    >>> async def makespans(problems):
    ...     async with AsyncClient("http://127.0.0.1:8000") as client:
    ...         found = await asyncio.gather(*(client.schedule(each) for each in problems))
    ...     return [schedule.makespan for schedule in found]
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
        self._http = httpx.AsyncClient(**http_settings(base, token, timeout))

    def __repr__(self) -> str:
        return f"AsyncClient({self._service.base!r})"

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def schedule(
        self, problem: Asked, scheduler: str | None = None, *, check: bool = True, **options: Any
    ) -> Schedule:
        """Schedule a problem, as :meth:`Client.schedule` does."""
        return (await self.ask(problem, scheduler, check=check, **options)).schedule

    async def ask(
        self, problem: Asked, scheduler: str | None = None, *, check: bool = True, **options: Any
    ) -> Answered:
        """Return the schedule and all that the service answers, as :meth:`Client.ask` does."""
        every = {"scheduler": scheduler, **options}
        return await self._run(self._service.ask(problem, every, check=check))

    async def schedule_many(
        self,
        problems: Sequence[Problem],
        scheduler: str | None = None,
        *,
        check: bool = True,
        **options: Any,
    ) -> list[Schedule]:
        """Schedule many problems, as :meth:`Client.schedule_many` does."""
        found = await self.ask_many(problems, scheduler, check=check, **options)
        return [schedule_of(one, number) for number, one in enumerate(found)]

    async def ask_many(
        self,
        problems: Sequence[Problem],
        scheduler: str | None = None,
        *,
        check: bool = True,
        **options: Any,
    ) -> list[Answered | ServiceError]:
        """Return an answer or an error for each problem, as :meth:`Client.ask_many` does."""
        every = {"scheduler": scheduler, **options}
        return await self._run(self._service.ask_many(problems, every, check=check))

    async def submit(
        self,
        problem: Asked,
        scheduler: str | None = None,
        *,
        budget: float | None = None,
        check: bool = True,
        **options: Any,
    ) -> AsyncJobHandle:
        """Hand in a problem as a job, as :meth:`Client.submit` does."""
        every = {"scheduler": scheduler, "budget": budget, **options}
        job = await self._run(self._service.submit(problem, every))
        return AsyncJobHandle(self._run, self._service, job.id, problem, check=check)

    def job(self, id: str, problem: Asked | None = None, *, check: bool = True) -> AsyncJobHandle:
        """Return the handle of a job that was submitted before; nothing is asked, or awaited."""
        return AsyncJobHandle(self._run, self._service, id, problem, check=check)

    async def models(self) -> list[Model]:
        """Return the networks that answer."""
        return await self._run(self._service.models())

    async def schedulers(self) -> SchedulersAnswer:
        """Return the schedulers' names, which is the default, and the service's limits."""
        return await self._run(self._service.schedulers())

    async def ready(self) -> Ready:
        """Return whether requests can be worked on now, and if not, why."""
        return await self._run(self._service.ready())

    async def _run(self, conversation: Conversation[T]) -> T:
        outcome: Outcome = None
        try:
            while True:
                step = conversation.send(outcome)
                if isinstance(step, Wait):
                    await asyncio.sleep(step.seconds)
                    outcome = None
                else:
                    outcome = await self._send(step)
        except StopIteration as done:
            result: T = done.value
            return result

    async def _send(self, request: Request) -> Outcome:
        try:
            response = await self._http.request(
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
    async def __call__(self, conversation: Conversation[T], /) -> T: ...


class AsyncJobHandle:
    """The :class:`JobHandle` of coroutines.

    Attributes
    ----------
    id : by which :meth:`AsyncClient.job` finds it again.
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
        return f"AsyncJobHandle({self.id!r})"

    async def status(self) -> Job:
        """Return how it stands."""
        return await self._run(self._service.status(self.id))

    async def watch(self) -> AsyncIterator[Job]:
        """Yield the job whenever it changes, as :meth:`JobHandle.watch` does."""
        job = None
        while job is None or job.state not in ENDED:
            job = await self._run(self._service.change(self.id, job))
            yield job

    async def result(self) -> Schedule:
        """Wait for its end and return the schedule, as :meth:`JobHandle.result` does."""
        return (await self.answer()).schedule

    async def answer(self) -> Answered:
        """Wait for its end and return all that the service answers."""
        return await self._run(self._service.result(self.id, self._problem, check=self._check))

    async def cancel(self) -> Job:
        """Cancel it and return it; one that has ended stays as it is."""
        return await self._run(self._service.cancel(self.id))
