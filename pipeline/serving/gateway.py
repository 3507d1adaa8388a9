"""The HTTP side of the service: routes, limits, the bound of the queue, timeouts.

It counts bytes and waits, and never parses a body, so that it stays live whatever the processes
behind it do.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ray.serve.exceptions import BackPressureError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.routing import Route

from deepsched.baselines.errors import DeepSchedError, known_name
from deepsched.model.load import PRETRAINED, known_schedulers
from deepsched.pipeline.serving.requests import (
    Answer,
    Query,
    RequestError,
    busy,
    json_answer,
    parse_query,
    refusal,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from ray.serve.handle import DeploymentHandle
    from starlette.requests import Request

    from deepsched.pipeline.serving.settings import ServeArgs

log = logging.getLogger("ray.serve")

BODIES_HELD = 4  # bodies of the largest size that one gateway holds at once


class Gateway:
    """The HTTP side: routes, limits, the queue's bound, timeouts; it never parses a body."""

    def __init__(
        self,
        args: ServeArgs,
        heuristics: DeploymentHandle[Any],
        network: DeploymentHandle[Any] | None = None,
        network_name: str | None = None,
    ) -> None:
        self._args = args
        self._handles = dict.fromkeys(known_schedulers(), heuristics)
        self._default = PRETRAINED
        if network is not None:
            self._default = network_name or PRETRAINED
            self._handles |= {self._default: network, PRETRAINED: network}
        self._held = 0  # bytes of the bodies of requests that are not answered yet

    def __serve_build_asgi_app__(self) -> Starlette:
        """Return the routes; Serve calls this when the replica starts."""
        return Starlette(
            routes=[
                Route("/v1/schedule", self.schedule, methods=["POST"]),
                Route("/v1/schedulers", self.schedulers, methods=["GET"]),
                Route("/health", self.health, methods=["GET"]),
            ],
            exception_handlers={HTTPException: _http_error},
        )

    async def health(self, request: Request) -> Response:
        """Say that the service answers; Serve restarts what does not."""
        return _response(json_answer(200, {"status": "ok"}))

    async def schedulers(self, request: Request) -> Response:
        """List the schedulers, the default and the limits."""
        limits = self._args.model_dump(
            include={
                *("max_body_mb", "max_tasks", "max_machines", "max_cells"),
                *("max_sampled_cells", "max_budget_s", "timeout_s"),
            }
        )
        names = list(self._handles)
        value = {"default": self._default, "schedulers": names, "limits": limits}
        return _response(json_answer(200, value))

    async def schedule(self, request: Request) -> Response:
        """Answer a problem with a schedule."""
        received = 0
        phase, status = "the request was not received", 408
        try:
            async with asyncio.timeout(self._args.timeout_s):
                query = parse_query(request.query_params.multi_items())
                name = query.settings.scheduler or self._default
                name = known_name("scheduler", name[:40], self._handles)
                self._check_options(name, query)
                chunks = []
                async for chunk in self._body(request):
                    received += len(chunk)
                    self._held += len(chunk)
                    chunks.append(chunk)
                phase, status = "there was no schedule", 504
                encoding = request.headers.get("content-encoding", "").strip().lower()
                query = replace(query, settings=replace(query.settings, scheduler=name))
                return _response(
                    await self._forward(self._handles[name], b"".join(chunks), encoding, query)
                )
        except TimeoutError:
            message = f"{phase} within {self._args.timeout_s:g} s"
            headers = {"Connection": "close"} if status == 408 else {}
            return _response(json_answer(status, {"error": message}, headers))
        except DeepSchedError as error:
            return _response(refusal(error))
        except ClientDisconnect:
            return Response(status_code=400)  # nobody reads it
        except Exception:
            # A fault of ours, or a process that died with the request: the reason is not for all.
            log.exception("a request to /v1/schedule failed")
            return _response(json_answer(500, {"error": "internal error; the log says more"}))
        finally:
            self._held -= received

    def _check_options(self, name: str, query: Query) -> None:
        """Refuse options that nobody would heed, or that would search for too long."""
        if query.options and (name != PRETRAINED or self._default != PRETRAINED):
            raise RequestError(
                400,
                f"query parameter {next(iter(query.options))}: not for the scheduler "
                f"{self._default if name == PRETRAINED else name}",
            )
        budget, most = query.options.get("budget", 0.0), self._args.max_budget_s
        if budget > most:
            raise RequestError(400, f"query: budget = {budget:g}; at most {most:g} s here")

    async def _body(self, request: Request) -> AsyncIterator[bytes]:
        """Yield the body's chunks; refuse it as soon as it is seen to be too large."""
        limit = self._args.max_body
        too_large = RequestError(413, f"request body over {self._args.max_body_mb:g} MB")
        declared = request.headers.get("content-length", "")
        refused = too_large if declared.isdecimal() and int(declared) > limit else None
        size = 0
        async for chunk in request.stream():
            size += len(chunk)
            if size > limit:
                refused = refused or too_large
            elif self._held + len(chunk) > BODIES_HELD * limit:
                refused = refused or busy("the service holds too many request bodies")
            if refused is None:
                yield chunk
            # Read on for a while without keeping anything: many clients look at the answer only
            # after they have sent all, and would see a broken connection instead of the reason.
            elif size > 2 * limit:
                refused.headers["Connection"] = "close"
                raise refused
        if refused is not None:
            raise refused

    async def _forward(
        self, handle: DeploymentHandle[Any], body: bytes, encoding: str, query: Query
    ) -> Answer:
        response = handle.schedule.remote(body, encoding, query)
        try:
            answer: Answer = await response
        except BackPressureError:
            raise busy(f"{self._args.max_queued} requests wait already") from None
        except asyncio.CancelledError:
            response.cancel()  # type: ignore[no-untyped-call]
            raise
        return answer


def _response(answer: Answer) -> Response:
    return Response(
        answer.body,
        status_code=answer.status,
        headers=dict(answer.headers),
        media_type="application/json",
    )


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    message = f"{error.detail}: {request.method} {request.url.path[:100]}"
    return _response(json_answer(error.status_code, {"error": message}, error.headers))
