"""The HTTP side of the service: routes, limits, the bounds of queues, timeouts.

It counts bytes and waits, and never parses a body, so that it stays live whatever the processes
behind it do.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
import uuid
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from ray.exceptions import RayActorError, TaskCancelledError
from ray.serve.config import ProxyLocation
from ray.serve.context import _get_global_client
from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from deepsched.baselines.errors import DeepSchedError, known_name
from deepsched.pipeline.serving.bodies import ARROW, JSON, Kind, check_encoding, kind_of
from deepsched.pipeline.serving.door import Door, listening, open_door
from deepsched.pipeline.serving.hops import Hops
from deepsched.pipeline.serving.lanes import QUICK_BYTES, looks_quick, may_be_quick
from deepsched.pipeline.serving.measures import Measures
from deepsched.pipeline.serving.openapi import ENDPOINTS, OPEN, document
from deepsched.pipeline.serving.pages import page_routes
from deepsched.pipeline.serving.parcels import NotHere, Parcel, Parcels, contents
from deepsched.pipeline.serving.query import SHA256, Query, parse_query
from deepsched.pipeline.serving.receiving import SMALL, Bodies
from deepsched.pipeline.serving.refusals import RequestError, busy
from deepsched.pipeline.serving.tokens import Tokens
from deepsched.pipeline.serving.work import NOT_HERE, TOO_SLOW, Ask, Reply, json_reply, refusal

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence

    from ray.serve.handle import DeploymentHandle

    from deepsched.pipeline.serving.settings import ServeArgs

    Handler = Callable[[Request], Awaitable[Response]]

log = logging.getLogger("ray.serve")

LOOK_EVERY = 1.0  # s between two looks at the processes
LOOK_WITHIN = 3.0  # s, which a process has to say how it stands
MOST_MACHINES = 100_000_000  # bytes of machines that a gateway keeps for requests that name them
FRESH = 6.0  # s for which what it said holds
TRIES = 3  # of a request whose process dies
LANES = ("quick", "slow", "jobs")
GONE = (RayActorError, DeploymentUnavailableError)


class Wanted(NamedTuple):
    """What a request with problems says of itself, checked before its body is read."""

    query: Query
    name: str  # of the scheduler
    kind: Kind
    encoding: str
    arrow: bool  # whether the answer goes as Arrow


class Gateway:
    """The HTTP side: routes, limits, queues, timeouts; it never parses a body."""

    def __init__(
        self,
        args: ServeArgs,
        quick: DeploymentHandle[Any],
        slow: DeploymentHandle[Any],
        keeper: DeploymentHandle[Any],
    ) -> None:
        self._args = args
        # By gRPC, and not through Ray's object store: half the CPU of a call.
        handles = {"quick": quick, "slow": slow, "jobs": keeper}
        self._handles = {
            lane: handle.options(_by_reference=False) for lane, handle in handles.items()
        }
        self._bodies = Bodies(args)
        self._parcels = Parcels()
        self._tokens = Tokens(args.token_file)
        # Two for each process, all gateways together: one is worked on, one is on its way.
        at_once = -(-2 * args.replicas // args.gateways)
        self._hops = Hops(self._quick_hop, at_once=at_once, most_waiting=args.max_queued)
        self._slow_waiting = 0
        self._telling: set[asyncio.Task[None]] = set()
        self._slow_mean = 1.0  # s
        self._known: dict[str, dict[str, Any]] = {}  # what each kind of process said last
        self._seen: dict[str, float] = {}  # and when
        self._machines: dict[str, bytes] = {}
        self._packed: dict[str, bytes | Parcel] = {}
        self._door: Door | None = None
        self._measures = Measures(uuid.uuid4().hex[:8])
        self._app = Starlette(
            routes=[
                *(
                    Route(end.path, self._guarded(end.name), methods=[end.method])
                    for end in ENDPOINTS
                ),
                *page_routes(),
            ],
            exception_handlers={HTTPException: _http_error},
        )
        # An address made from what a client says of the host is none to send it to.
        self._app.router.redirect_slashes = False
        self._looking = asyncio.get_running_loop().create_task(self._look())
        self._follow()

    def __serve_build_asgi_app__(self) -> Starlette:
        """Return the routes, for Serve's own proxies; Serve calls this when the replica starts."""
        return self._app

    async def reconfigure(self, config: Mapping[str, Any]) -> None:
        """Open the door, once the processes behind it answer; Serve calls this at the start."""
        address = serve_address() if self._args.port is None else (self._args.host, self._args.port)
        if address is None or self._door is not None:
            return
        socket = listening(*address)
        self._door = open_door(self._app, self._args, socket, self._measures.turned, self._no_room)
        self._measures.follow(self._measures.connections, lambda: self._connections)

    def _no_room(self, length: int, query: bytes) -> float:
        """Return after how many s a request may find room that looks quick; 0: now."""
        if length > QUICK_BYTES["json"] or b"budget=" in query or b"scheduler=" in query:
            return 0.0  # it may be none for the quick ones
        return self._hops.wait

    async def check_health(self) -> None:
        """Let Serve replace this process where the door has closed by itself."""
        if self._door is not None and not self._door.open:
            raise RuntimeError("the door is closed")

    async def __del__(self) -> None:
        """Close the door, and answer what is under way; Serve calls this at the end."""
        if self._door is not None:
            await self._door.close()
        self._looking.cancel()

    # What is asked of the service itself.

    async def live(self, request: Request) -> Reply:
        """Say that this process answers."""
        return json_reply(200, {"status": "live"})

    async def ready(self, request: Request) -> Reply:
        """Say whether all kinds of processes answer, and by which network."""
        workers = {lane: int(self._answers(lane)) for lane in LANES}
        reason = next(
            (f"no process for {lane} answers" for lane in LANES if not workers[lane]), None
        )
        refused = self._known.get("quick", {}).get("refused")
        if reason is None and refused:
            reason = f"the network before goes on: {refused}"
        ready = all(workers.values())
        value = {"status": "ready" if ready else "not ready", "reason": reason, "workers": workers}
        return json_reply(200 if ready else 503, value, {} if ready else {"Retry-After": "1"})

    async def schedulers(self, request: Request) -> Reply:
        """List the schedulers, the default and the limits."""
        known = self._of_quick()
        value = {"default": known["default"], "schedulers": known["schedulers"]}
        return json_reply(200, value | {"limits": self._args.limits()})

    async def models(self, request: Request) -> Reply:
        """List the networks that answer."""
        return json_reply(
            200, {"models": self._of_quick()["models"], "limits": self._args.limits()}
        )

    async def metrics(self, request: Request) -> Reply:
        """Return what this gateway counted."""
        jobs = self._known.get("jobs", {}).get("jobs", {})
        self._measures.set_jobs(jobs)
        return Reply(status=200, body=self._measures.text(), media_type="text/plain; version=0.0.4")

    async def openapi(self, request: Request) -> Reply:
        """Describe the interface."""
        return Reply(status=200, body=document(self._args))

    # What is asked of the schedulers.

    async def schedule(self, request: Request) -> Reply:
        """Answer a problem with a schedule."""
        return await self._scheduled(request, many=False)

    async def schedule_batch(self, request: Request) -> Reply:
        """Answer several problems with their schedules."""
        return await self._scheduled(request, many=True)

    async def put_machines(self, request: Request) -> Reply:
        """Keep machines for requests that name them by their hash."""
        if kind_of(request.headers.get("content-type", "")) != "json":
            raise RequestError(415, f"machines come as {JSON}")
        encoding = _encoding(request)
        async with self._received(request) as (parcel, _):
            body = await _whole(parcel)
            return await self._of("jobs", "put_machines", body, encoding)

    async def machines(self, request: Request) -> Reply:
        """Say whether machines are known."""
        sha256 = request.path_params["sha256"]
        found = await self._shared(sha256 if SHA256.fullmatch(sha256) else "-")
        return Reply(status=200, body=found)

    async def submit(self, request: Request) -> Reply:
        """Take a job."""
        wanted = self._wanted(request, self._args.max_job_budget_s)
        key = request.headers.get("idempotency-key", "")[:200] or None
        sha256 = wanted.query.settings.machines_sha256
        machines = await self._shared(sha256) if sha256 else None
        pairs = [("scheduler", wanted.name)]
        pairs += [pair for pair in request.query_params.multi_items() if pair[0] != "scheduler"]
        asked = {
            "kind": wanted.kind,
            "encoding": wanted.encoding,
            "query": pairs,
            "arrow": wanted.arrow,
        }
        async with self._received(request) as (parcel, _):
            body = await _whole(parcel)
            return await self._of("jobs", "submit", wanted.name, asked, body, machines, key)

    async def job(self, request: Request) -> Reply:
        """Say how a job stands."""
        return await self._of("jobs", "status", request.path_params["job"])

    async def job_result(self, request: Request) -> Reply:
        """Return the answer of a job that is done."""
        return await self._of("jobs", "result", request.path_params["job"])

    async def job_cancel(self, request: Request) -> Reply:
        """End a job."""
        return await self._of("jobs", "cancel", request.path_params["job"])

    async def _scheduled(self, request: Request, *, many: bool) -> Reply:
        query, name, kind, encoding, arrow = self._wanted(request, self._args.max_budget_s)
        declared = self._bodies.declared(request)
        # Before its body is read, where its length or its query tells enough.
        if looks_quick(name, query, kind, declared or 0):
            if declared is not None and self._hops.full:
                self._hops.refuse()
        else:
            self._check_slow()
        sha256 = query.settings.machines_sha256
        machines = await self._shared(sha256) if sha256 else None
        packed = self._packed.get(sha256 or "") if self._parcels.near else machines
        began = time.monotonic()
        async with self._received(request) as (parcel, size):
            now = time.time()
            ask = Ask(
                id=uuid.uuid4().hex,
                body=parcel,
                kind=kind,
                encoding=encoding,
                query=query,
                received=now,
                deadline=now + self._args.timeout_s,
                many=many,
                arrow=arrow,
                machines=packed,
                size=size,
            )
            lane = "quick" if may_be_quick(name, query, kind, parcel) else "slow"
            try:
                async with asyncio.timeout(self._args.timeout_s):
                    reply = await self._worked(lane, ask, request)
                    while reply.status in (TOO_SLOW, NOT_HERE):
                        if reply.status == TOO_SLOW:
                            lane = "slow"
                        else:
                            if self._parcels.has(parcel):  # so the process is on another node
                                self._parcels.near = False
                            ask = replace(ask, body=await _whole(parcel), machines=machines)
                        reply = await self._worked(lane, ask, request)
            except TimeoutError:
                text = f"there was no schedule within {self._args.timeout_s:g} s"
                raise RequestError(504, text) from None
        route = "schedule:batch" if many else "schedule"
        self._measures.took(route, lane, time.monotonic() - began)
        self._measures.scheduled(reply.facts)
        return reply

    @contextlib.asynccontextmanager
    async def _received(self, request: Request) -> AsyncIterator[tuple[bytes | Parcel, int]]:
        """Receive a body, and hold it until it is answered; yield it, and its bytes."""
        packing = self._parcels.packing()
        body = await self._bodies.receive(request, packing)
        try:
            yield body, packing.size
        finally:
            self._bodies.release(packing.size)
            if packing.size <= SMALL:
                self._parcels.forget(body)
            else:  # to free so much memory takes some milliseconds, without the GIL
                asyncio.get_running_loop().run_in_executor(None, self._parcels.forget, body)

    async def _worked(self, lane: str, ask: Ask, request: Request) -> Reply:
        return await (self._hops.work(ask) if lane == "quick" else self._slow(ask, request))

    def _wanted(self, request: Request, most: float) -> Wanted:
        """Return what a request with problems says of itself; `most` s of search are allowed."""
        arrow = wants_arrow(request.headers.get("accept", ""))
        query = parse_query(request.query_params.multi_items())
        known = self._of_quick()
        name = query.settings.scheduler or known["default"]
        name = known_name("scheduler", name[:40], known["schedulers"])
        if query.settings.scheduler not in (None, name):
            query = query.with_scheduler(name)
        budget = query.options.get("budget", 0.0)
        if budget > most:
            hint = "" if most == self._args.max_job_budget_s else "; POST it to /v1/jobs"
            raise RequestError(400, f"query: budget = {budget:g}; at most {most:g} s here{hint}")
        kind = kind_of(request.headers.get("content-type", ""))
        return Wanted(query, name, kind, _encoding(request), arrow)

    async def _slow(self, ask: Ask, request: Request) -> Reply:
        """Have a request worked on in a process of its own, until its client is gone."""
        self._check_slow()
        self._slow_waiting += 1
        begin = time.monotonic()
        work = asyncio.ensure_future(self._of("slow", "work", ask))
        gone = asyncio.ensure_future(_disconnected(request))
        try:
            await asyncio.wait({work, gone}, return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                raise ClientDisconnect
            reply = work.result()
            self._slow_mean += 0.1 * (time.monotonic() - begin - self._slow_mean)
            return reply
        finally:
            self._slow_waiting -= 1
            gone.cancel()
            if not work.done():
                # Not cancelled: Ray may end the process whose call is cancelled as it returns.
                work.add_done_callback(_forget)
                self._telling.add(told := asyncio.create_task(self._stop(ask.id)))
                told.add_done_callback(self._telling.discard)

    async def _stop(self, request: str) -> None:
        """Tell all processes for slow requests that one of them is for nobody any more."""
        try:
            told = self._handles["slow"].broadcast("stop", request)
            await told.results_async(return_exceptions=True)  # only then is it sent at all
        except Exception:
            log.exception("a request that is for nobody goes on")

    def _check_slow(self) -> None:
        """Refuse a slow request that finds no room.

        Raises
        ------
        RequestError
            503, with the time after which it is worth to ask again.
        """
        if self._slow_waiting >= self._args.max_queued:
            wait = self._slow_mean * self._slow_waiting / self._args.slow_workers
            raise busy(f"{self._slow_waiting} requests wait already", wait)

    async def _shared(self, sha256: str) -> bytes:
        """Return machines by their hash.

        Raises
        ------
        RequestError
            404, if nobody has sent them, or long ago.
        """
        if sha256 not in self._machines:
            found = await self._call("jobs", "machines", sha256)
            if found is None:
                raise RequestError(404, f"no machines {sha256[:64]}; PUT them to /v1/machines")
            kept = sum(map(len, self._machines.values()))
            while self._machines and kept + len(found) > MOST_MACHINES:
                gone = next(iter(self._machines))
                kept -= len(self._machines.pop(gone))
                self._parcels.forget(self._packed.pop(gone))
            self._machines[sha256] = found
            self._packed[sha256] = self._parcels.pack(found)
        return self._machines[sha256]

    async def _quick_hop(self, asks: Sequence[Ask]) -> Sequence[Reply]:
        """Send requests on; where the process dies of one of them, each goes alone."""
        try:
            found: Sequence[Reply] = await self._handles["quick"].work.remote(list(asks))
        except GONE:
            log.warning("a process for quick requests died; %d requests go again", len(asks))
        else:
            return found
        return await asyncio.gather(*(self._alone(ask) for ask in asks))

    async def _alone(self, ask: Ask) -> Reply:
        replies: list[Reply] = await self._call("quick", "work", [ask], or_else=[_DIED])
        return replies[0]

    async def _of(self, lane: str, method: str, *values: Any) -> Reply:
        reply: Reply = await self._call(lane, method, *values, or_else=_DIED)
        return reply

    async def _call(self, lane: str, method: str, *values: Any, or_else: Any = None) -> Any:
        """Call a process; where it dies the next one is asked."""
        for _ in range(TRIES):
            try:
                call: Any = getattr(self._handles[lane], method)
                return await call.remote(*values)
            except GONE:
                log.warning("a process for %s died; its request goes again", lane)
            except BackPressureError:
                raise busy("too many requests wait already") from None
        return or_else

    # How the processes stand.

    async def _look(self) -> None:
        """Ask each kind of process again and again how it stands."""
        while True:
            await asyncio.gather(*(self._look_at(lane) for lane in LANES))
            await asyncio.sleep(LOOK_EVERY)

    async def _look_at(self, lane: str) -> None:
        try:
            found = await asyncio.wait_for(self._handles[lane].check.remote(), LOOK_WITHIN)
        except (TimeoutError, BackPressureError, TaskCancelledError, *GONE):
            return
        except Exception:
            log.exception("no word from the processes for %s", lane)
            return
        self._known[lane] = found
        if found["able"]:
            self._seen[lane] = time.monotonic()

    def _answers(self, lane: str) -> bool:
        return time.monotonic() - self._seen.get(lane, -FRESH) < FRESH

    def _of_quick(self) -> dict[str, Any]:
        known = self._known.get("quick")
        if known is None:
            raise busy("the service is starting")
        return known

    def _follow(self) -> None:
        measures = self._measures
        measures.follow(measures.body_bytes, lambda: self._bodies.held)
        measures.follow(measures.waiting, lambda: self._hops.waiting, "quick")
        measures.follow(measures.waiting, lambda: self._slow_waiting, "slow")
        measures.follow(measures.ready, lambda: float(all(map(self._answers, LANES))))

    @property
    def _connections(self) -> int:
        return self._door.connections if self._door is not None else 0

    # What all routes have in common.

    def _guarded(self, name: str) -> Handler:
        """Return a route that answers whatever happens, and counts it."""
        method: Callable[[Request], Awaitable[Reply]] = getattr(self, name)
        secret = name not in OPEN

        async def handler(request: Request) -> Response:
            try:
                if secret and not self._tokens.allow(request.headers.get("authorization", "")):
                    raise RequestError(
                        401, "a bearer token is needed", {"WWW-Authenticate": "Bearer"}
                    )
                reply = await method(request)
            except DeepSchedError as error:
                reply = refusal(error)
                if reply.status == TOO_LATE or not await self._bodies.drain(request):
                    reply = replace(reply, headers={**reply.headers, "Connection": "close"})
            except ClientDisconnect:
                reply = Reply(status=499, body=b"")  # nobody reads it
            except Exception:
                # A fault of ours: the reason is not for all.
                log.exception("a request to %s failed", name)
                reply = json_reply(500, {"error": "internal error; the log says more"})
            if self._door is not None and self._door.closing:
                reply = replace(reply, headers={**reply.headers, "Connection": "close"})
            self._measures.answered(name, reply.status)
            return Response(
                reply.body,
                status_code=reply.status,
                headers=dict(reply.headers),
                media_type=reply.media_type,
            )

        return handler


TOO_LATE = 408  # to a client that is known to stall
_DIED = refusal(busy("the process that worked on it died"))


def serve_address() -> tuple[str, int] | None:
    """Return where Serve would listen, had its own proxies not been disabled; None: they listen."""
    client = _get_global_client()
    assert client is not None  # this is a replica of Serve
    options = client.http_config
    if options.location not in (None, ProxyLocation.Disabled):
        return None
    return options.host or "127.0.0.1", options.port


def wants_arrow(accept: str) -> bool:
    """Return whether an answer goes as Arrow; as JSON if anything goes.

    Raises
    ------
    RequestError
        406, if neither is wanted.
    """
    if not accept:
        return False
    wanted = set()
    for part in accept.split(","):
        name, *parameters = (piece.strip().lower() for piece in part.split(";"))
        if not any(piece.replace(" ", "") in ("q=0", "q=0.0") for piece in parameters):
            wanted.add(name)
    if ARROW in wanted:
        return True
    if wanted & {JSON, "application/*", "*/*"}:
        return False
    raise RequestError(406, f"Accept {accept[:60]!r}; there are {JSON} and {ARROW}")


def _encoding(request: Request) -> str:
    encoding = request.headers.get("content-encoding", "").strip().lower()
    check_encoding(encoding)
    return encoding


async def _whole(body: bytes | Parcel) -> bytes:
    """Return a body as it was sent; a large one is read in a thread, so that nobody waits for it.

    Raises
    ------
    RequestError
        503, if its file is gone.
    """
    try:
        return await asyncio.to_thread(contents, body) if isinstance(body, Parcel) else body
    except NotHere:
        raise busy("the request's body was lost") from None


async def _disconnected(request: Request) -> None:
    """Return when the client is gone."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _forget(task: asyncio.Future[Reply]) -> None:
    if not task.cancelled():
        task.exception()


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    message = f"{error.detail}: {request.method} {request.url.path[:100]}"
    reply = json_reply(error.status_code, {"error": message}, error.headers)
    return Response(
        reply.body,
        status_code=reply.status,
        headers=dict(reply.headers),
        media_type=reply.media_type,
    )
