"""Asking a gateway through ASGI, with processes behind it that the test makes up."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import json
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from deepsched.pipeline.serving.gateway import LANES, Gateway
from deepsched.pipeline.serving.parcels import contents
from deepsched.pipeline.serving.refusals import LONGEST_MESSAGE
from deepsched.pipeline.serving.settings import ServeArgs
from deepsched.pipeline.serving.work import json_reply
from tests.pipeline.serving.examples import kept

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

MODEL = {
    "name": "deepsched", "version": "ab" * 32, "network": "deepsched", "default": True,
    "decode": "full", "objective": "makespan", "training": {},
}  # fmt: skip
QUICK = {
    "able": True,
    "default": "deepsched",
    "schedulers": ["deepsched", "heft", "ga", "paper"],
    "models": [MODEL],
    "refused": None,
}


class Handle:
    """Stands for the handle of a deployment.

    Each method answers with what it was given: a value, an error to raise, a function of what it
    is called with, or "never".
    """

    def __init__(self, **answers: Any) -> None:
        self.answers = answers
        self.calls: list[tuple[str, tuple[Any, ...]]] = []
        self.told: list[tuple[Any, ...]] = []  # to all processes

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name not in self.answers:
            raise AttributeError(name)
        return SimpleNamespace(remote=lambda *values: self._called(name, values))

    async def _called(self, name: str, values: tuple[Any, ...]) -> Any:
        if name != "check":
            self.calls.append((name, values))
        answer = self.answers[name]
        if isinstance(answer, list):  # one after the other
            answer = answer.pop(0) if len(answer) > 1 else answer[0]
        if answer == "never":
            await asyncio.sleep(3600)
        if isinstance(answer, Exception):
            raise answer
        answer = answer(*values) if callable(answer) else answer
        return await answer if inspect.isawaitable(answer) else answer

    def options(self, **_: Any) -> Handle:
        """Return the handle as it is called, which is no matter here."""
        return self

    def broadcast(self, *values: Any) -> Any:
        """Tell all processes, which Ray does only once the results are awaited."""

        async def results_async(**_: Any) -> list[Any]:
            self.told.append(values)
            return []

        return SimpleNamespace(results_async=results_async)


def fine(*asks: Any) -> Any:
    return json_reply(200, {"size": len(contents(asks[0].body))})


@dataclass
class Behind:
    """The processes behind a gateway."""

    quick: Handle = field(
        default_factory=lambda: Handle(check=QUICK, work=lambda asks: [fine(ask) for ask in asks])
    )
    slow: Handle = field(default_factory=lambda: Handle(check={"able": True}, work=fine))
    jobs: Handle = field(
        default_factory=lambda: Handle(check={"able": True, "jobs": {"done": 2}}, machines=None)
    )


@contextlib.asynccontextmanager
async def opened(behind: Behind | None = None, **settings: Any) -> AsyncIterator[Gateway]:
    """Make a gateway that knows how the processes behind it stand."""
    behind = behind or Behind()
    handles: Any = (behind.quick, behind.slow, behind.jobs)
    gateway: Gateway = kept(Gateway)(ServeArgs(**settings), *handles)
    try:
        for _ in range(10):  # those that answer have done so
            await asyncio.sleep(0)
        yield gateway
    finally:
        await Gateway.__del__(gateway)


@dataclass(kw_only=True)
class Answer:
    """What came back, and how many chunks of the body were taken."""

    status: int
    headers: dict[str, str]
    body: bytes
    taken: int

    @property
    def json(self) -> Any:
        assert self.headers["content-type"] == "application/json"
        return json.loads(self.body)

    @property
    def error(self) -> str:
        """Return the line of a refusal, which is nothing but one short line."""
        assert list(self.json) == ["error"]
        message: str = self.json["error"]
        assert 0 < len(message) <= LONGEST_MESSAGE
        assert "\n" not in message
        return message


async def ask(
    gateway: Gateway,
    chunks: Iterable[Any] = (b"{}",),
    *,
    path: str = "/v1/schedule",
    method: str = "POST",
    query: str = "",
    headers: Iterable[tuple[str, str]] = (),
    gone: asyncio.Event | None = None,
) -> Answer:
    """Return the answer to a request.

    Parameters
    ----------
    chunks : of the body; "stall" comes never, "gone" says that the client is.
    gone : set, the client is gone after its last chunk.
    """
    app = gateway.__serve_build_asgi_app__()
    scope = {
        "type": "http", "method": method, "path": path, "query_string": query.encode(),
        "headers": [(k.lower().encode(), v.encode()) for k, v in headers], "http_version": "1.1",
        "scheme": "http", "server": ("127.0.0.1", 80), "client": ("127.0.0.1", 1), "root_path": "",
    }  # fmt: skip
    coming = iter(chunks)
    taken, whole = 0, False

    async def receive() -> dict[str, Any]:
        nonlocal taken, whole
        chunk = next(coming, None)
        if chunk is None:
            if whole:
                await (gone or asyncio.Event()).wait()
                return {"type": "http.disconnect"}
            whole = True
            return {"type": "http.request", "body": b"", "more_body": False}
        if chunk == "stall":
            await asyncio.sleep(3600)
        if chunk == "gone":
            return {"type": "http.disconnect"}
        taken += 1
        return {"type": "http.request", "body": chunk, "more_body": True}

    sent: list[dict[str, Any]] = []

    async def send(message: Any) -> None:
        sent.append(message)

    await app(scope, receive, send)
    body = b"".join(message.get("body", b"") for message in sent[1:])
    found = {key.decode(): value.decode() for key, value in sent[0]["headers"]}
    return Answer(status=sent[0]["status"], headers=found, body=body, taken=taken)


async def get(gateway: Gateway, path: str, *headers: tuple[str, str]) -> Answer:
    return await ask(gateway, (), path=path, method="GET", headers=headers)


__all__ = ["LANES", "MODEL", "QUICK", "Answer", "Behind", "Handle", "ask", "fine", "get", "opened"]
