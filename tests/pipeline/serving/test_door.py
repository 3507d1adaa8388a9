"""The door, through real sockets: no client keeps it open, and each is told why it is refused."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from uvicorn.protocols.http.h11_impl import H11Protocol

from deepsched.baselines.errors import InvalidInput
from deepsched.pipeline.serving import connection as protocol
from deepsched.pipeline.serving import door as module
from deepsched.pipeline.serving import receiving, sent_ahead
from deepsched.pipeline.serving.door import listening, open_door
from deepsched.pipeline.serving.settings import ServeArgs
from tests.pipeline.serving.asgi import Behind, opened
from tests.pipeline.serving.loops import PATIENCE, in_a_loop, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

SOON = 0.3  # s; far less than a test waits, far more than a look at all connections takes
GET = b"GET / HTTP/1.1\r\nHost: here\r\n\r\n"
POST = "POST /v1/schedule HTTP/1.1\r\nHost: here\r\nContent-Length: {}\r\n{}\r\n"


@pytest.fixture(autouse=True)
def looks_often(monkeypatch):
    monkeypatch.setattr(module, "LOOK_EVERY", 0.02)
    monkeypatch.setattr(receiving, "DRAIN", 0.1)


@dataclass
class Opened:
    """A door, its port, what it turned away, and what it is told of the room there is."""

    door: Any = None  # Door
    port: int = 0
    refused: list[str] = field(default_factory=list)  # statuses
    wait: float = 0.0  # s until there is room for a request
    asked: list[tuple[int, bytes]] = field(default_factory=list)  # for which there may be none

    def full(self, length: int, query: bytes) -> float:
        self.asked.append((length, query))
        return self.wait


@contextlib.asynccontextmanager
async def standing(app: Any, **settings: Any) -> AsyncIterator[Opened]:
    """Open a door before an application."""
    found = Opened()
    with listening("127.0.0.1", 0) as socket_:
        found.port = socket_.getsockname()[1]
        found.door = open_door(
            app, ServeArgs(**settings), socket_, found.refused.append, found.full
        )
        try:
            yield found
        finally:
            await found.door.close()


@contextlib.asynccontextmanager
async def serving(behind: Behind | None = None, **settings: Any) -> AsyncIterator[Opened]:
    """Open a door before a gateway."""
    async with opened(behind, **settings) as gateway:
        app = gateway.__serve_build_asgi_app__()
        async with standing(app, **settings) as found:
            yield found


async def hello(scope: Any, receive: Any, send: Any) -> None:
    """Answer with the path, and read no body."""
    head = [(b"content-length", str(len(scope["path"])).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": head})
    await send({"type": "http.response.body", "body": scope["path"].encode()})


class Holding:
    """Answers like :func:`hello`, but "/held" not before it may; notes what it is asked for."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.may = asyncio.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.asked.append(scope["path"])
        if scope["path"] == "/held":
            await self.may.wait()
        await hello(scope, receive, send)


def in_line(found: Opened) -> int:
    """Return of how many connections the next request was sent ahead, and is not begun."""
    connections: Any = found.door._server.server_state.connections  # noqa: SLF001
    return sum(connection.ahead for connection in connections)


class Client:
    """A client that sends what it wants to."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def send(self, data: bytes) -> None:
        """Send as much as is taken."""
        with contextlib.suppress(OSError):
            self.writer.write(data)
            await self.writer.drain()

    async def all(self) -> bytes:
        """Return what comes until the other side closes, or breaks off."""
        found = b""
        with contextlib.suppress(OSError):
            async with asyncio.timeout(PATIENCE):
                while chunk := await self.reader.read(65_536):
                    found += chunk
        return found

    async def response(self) -> bytes:
        """Return the next response, whose length must be declared."""
        async with asyncio.timeout(PATIENCE):
            head = await self.reader.readuntil(b"\r\n\r\n")
            length = head.lower().split(b"content-length: ")[1].split(b"\r\n")[0]
            return head + await self.reader.readexactly(int(length))


@contextlib.asynccontextmanager
async def client(found: Opened, data: bytes = b"") -> AsyncIterator[Client]:
    """Connect, and send the first bytes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", found.port)
    made = Client(reader, writer)
    try:
        await made.send(data)
        yield made
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


def refusal(answer: bytes) -> tuple[int, str]:
    """Return the status and line of the only response, which closes the connection."""
    assert answer.count(b"HTTP/1.1 ") == 1, answer
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"connection: close" in head.lower()
    assert b"content-type: application/json" in head.lower()
    found = json.loads(body)
    assert list(found) == ["error"]
    assert "\n" not in found["error"]
    return int(head.split()[1]), found["error"]


# What a client may take its time for.


@in_a_loop
async def test_a_request_is_answered_and_the_connection_stays_for_the_next_one():
    async with standing(hello) as found, client(found) as one:
        for path in (b"/a", b"/b"):
            await one.send(GET.replace(b"/ ", path + b" "))
            assert (await one.response()).endswith(b"\r\n\r\n" + path)
        assert found.door.connections == 1
    assert found.refused == []


@in_a_loop
async def test_requests_that_come_at_once_are_answered_in_their_order():
    paths = [b"/%d" % k for k in range(20)]
    data = b"".join(GET.replace(b"/ ", path + b" ") for path in paths)
    async with standing(hello) as found, client(found, data) as one:
        for path in paths:
            assert (await one.response()).endswith(b"\r\n\r\n" + path)


@pytest.mark.parametrize("last", [b"", b"Connection: close\r\n"], ids=["stays", "closes"])
@in_a_loop
async def test_what_is_sent_ahead_with_bodies_is_answered_like_that_too(last):
    def post(body: bytes, more: bytes = b"") -> bytes:
        return POST.format(len(body), more.decode()).encode() + body

    async def echo(scope: Any, receive: Any, send: Any) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            body += message["body"]
            more = message["more_body"]
        head = [(b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": head})
        await send({"type": "http.response.body", "body": body})

    bodies = [b"%d" % k * size for k, size in enumerate((1, 0, 70_000, 3, 200_000, 5))]
    data = b"".join(map(post, bodies)) + post(b"last", last)
    async with standing(echo) as found, contextlib.AsyncExitStack() as stack:
        several = [await stack.enter_async_context(client(found)) for _ in range(5)]
        sending = [asyncio.create_task(one.send(data + post(b"more"))) for one in several]
        for one in several:
            for body in (*bodies, b"last"):
                assert (await one.response()).partition(b"\r\n\r\n")[2] == body
            if last:
                assert await one.all() == b""
            else:
                assert (await one.response()).endswith(b"\r\n\r\nmore")
        await asyncio.gather(*sending)
    assert found.refused == []


@pytest.mark.parametrize("new", [False, True], ids=["kept", "new"])
@in_a_loop
async def test_who_asks_one_thing_is_behind_one_that_is_sent_ahead_not_behind_all(new):
    asked: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        asked.append(scope["path"])
        await asyncio.sleep(0)
        await hello(scope, receive, send)

    def ask(path: bytes) -> bytes:
        return GET.replace(b"/ ", path + b" ")

    async with standing(app) as found, contextlib.AsyncExitStack() as stack:
        kept = stack.enter_context(socket.create_connection(("127.0.0.1", found.port)))
        kept.sendall(ask(b"/first"))
        await until(lambda: asked == ["/first"])
        for _ in range(30):
            one = stack.enter_context(socket.create_connection(("127.0.0.1", found.port)))
            one.sendall(ask(b"/ahead") * 400)
        for k in range(10):
            count = len(asked) + 50
            await until(lambda count=count: len(asked) > count)
            path = b"/one/%d" % k
            before = len(asked)
            if new:
                other = socket.create_connection(("127.0.0.1", found.port))
                stack.enter_context(other)
            else:
                other = kept
            other.sendall(ask(path))
            while path.decode() not in asked:
                await asyncio.sleep(0)
            assert asked.index(path.decode()) - before <= 1


@in_a_loop
async def test_who_takes_no_answer_holds_up_nobody_who_sends_ahead(monkeypatch):
    monkeypatch.setattr(sent_ahead, "LONG", 3600.0)
    begun = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        begun.append(scope["path"])
        if scope["path"] != "/large":
            await hello(scope, receive, send)
            return
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(100):
            await send({"type": "http.response.body", "body": bytes(1_000_000), "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    async with standing(app) as found:
        with socket.create_connection(("127.0.0.1", found.port)) as one:
            one.sendall(GET.replace(b"/ ", b"/large ") * 2)
            await until(lambda: begun)
            async with client(found, GET * 20) as other:
                for _ in range(20):
                    assert (await other.response()).endswith(b"\r\n\r\n/")
        assert begun.count("/large") == 1


@in_a_loop
async def test_who_waits_in_the_line_is_not_taken_for_slow_and_may_leave_it(monkeypatch):
    monkeypatch.setattr(sent_ahead, "LONG", 3600.0)
    app, limits = Holding(), {"header_timeout_s": SOON, "idle_timeout_s": SOON}
    async with (
        standing(app, **limits, body_timeout_s=SOON) as found,
        client(found, GET.replace(b"/ ", b"/held ") * 2) as first,
    ):
        await until(lambda: app.asked == ["/held"])
        async with client(found, GET * 2), client(found, GET.replace(b"/ ", b"/a ") * 3) as last:
            await until(lambda: in_line(found) == 2)
            await asyncio.sleep(3 * SOON)
            assert in_line(found) == 2
            gone = socket.create_connection(("127.0.0.1", found.port))
            gone.sendall(GET.replace(b"/ ", b"/gone ") * 100)
            await until(lambda: in_line(found) == 3)
            gone.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            gone.close()
            app.may.set()
            for _ in range(3):
                assert (await last.response()).endswith(b"\r\n\r\n/a")
            for _ in range(2):
                assert (await first.response()).endswith(b"\r\n\r\n/held")
        await until(lambda: found.door.connections == 0)  # and the idle are let go, as always
        assert app.asked.count("/gone") < 100
    assert found.refused == []


@in_a_loop
async def test_what_is_sent_ahead_and_no_request_ends_its_own_connection_alone(monkeypatch):
    async with standing(hello) as found:
        async with client(found, GET + b"hello\r\n\r\n") as one:
            assert (await one.response()).endswith(b"\r\n\r\n/")
            assert refusal(await one.all()) == (400, "Invalid HTTP request received.")
        with monkeypatch.context() as patch:
            patch.setattr(H11Protocol, "handle_events", lambda _: 1 / 0)
            async with client(found, GET * 2) as two:
                assert await two.all() == b""
        async with client(found, GET * 2) as three:
            for _ in range(2):
                assert (await three.response()).endswith(b"\r\n\r\n/")
        assert found.door.open
    assert found.refused == ["400"]


@pytest.mark.parametrize(
    ("data", "several"),
    [
        (GET, False),
        (GET + b"G", True),
        (POST.format(2, "").encode() + b"{", False),
        (POST.format(2, "").encode() + b"{}", False),
        (POST.format(2, "").encode() + b"{}" + GET[:9], True),
        (GET[:-2] + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n", False),
    ],
)
def test_what_is_sent_ahead_is_seen_by_its_length(data, several):
    begin = protocol.begin_of(data)
    assert begin is not None
    assert begin.sends_ahead(data) is several


def test_half_a_head_is_none():
    assert protocol.begin_of(GET[:-2]) is None
    assert protocol.begin_of(b"") is None


@in_a_loop
async def test_headers_that_drip_are_a_408_however_steadily():
    async with standing(hello, header_timeout_s=SOON) as found, client(found) as one:

        async def drip() -> None:
            for byte in GET * 1_000:
                await one.send(bytes([byte]).replace(b"\n", b"x"))
                await asyncio.sleep(0.02)

        dripping = asyncio.create_task(drip())
        assert refusal(await one.all()) == (408, "the request's headers did not arrive in time")
        dripping.cancel()
    assert found.refused == ["408"]


@in_a_loop
async def test_headers_of_a_later_request_are_no_less_guarded():
    async with standing(hello, header_timeout_s=SOON) as found, client(found, GET) as one:
        await one.response()
        await one.send(GET[:-2])
        assert refusal(await one.all())[0] == 408
    # Those that came with the request before it, too.
    async with (
        standing(hello, header_timeout_s=SOON) as found,
        client(found, GET + GET[:-2]) as one,
    ):
        await one.response()
        assert refusal(await one.all())[0] == 408


@in_a_loop
async def test_who_sends_nothing_is_let_go_without_a_word():
    async with standing(hello, header_timeout_s=SOON) as found, client(found) as one:
        assert await one.all() == b""
    async with standing(hello, idle_timeout_s=SOON) as found, client(found, GET) as one:
        await one.response()
        assert await one.all() == b""


@in_a_loop
async def test_a_body_that_stops_half_way_is_a_408():
    data = POST.format(1_000, "").encode() + b"{"
    async with serving(body_timeout_s=SOON) as found, client(found, data) as one:
        status, line = refusal(await one.all())
    assert (status, line) == (408, "the request's body came too slowly")
    assert found.refused == ["408"]


@in_a_loop
async def test_a_small_request_is_heard_when_it_is_whole():
    data = POST.format(60_000, "").encode() + b"x" * 60_000
    behind = Behind()
    async with serving(behind) as found, client(found) as one:
        for k in range(0, len(data), 977):
            assert behind.asks == [] if hasattr(behind, "asks") else True
            await one.send(data[k : k + 977])
        assert (await one.response()).endswith(b'{"size":60000}')
    # What waits to be told to go on, or has no one length, is not waited for.
    for more in ("Expect: 100-continue\r\n", "Content-Length: 9\r\n"):
        head = POST.format(9, more).encode()
        async with standing(hello) as found, client(found, head) as one:
            assert (await one.response()).startswith(b"HTTP/1.1 ")


@in_a_loop
async def test_a_body_that_drips_below_its_rate_is_a_408():
    data = POST.format(100_000, "").encode()
    async with serving(body_timeout_s=SOON, min_rate_kb=1_000) as found, client(found, data) as one:

        async def drip() -> None:
            for _ in range(100_000):
                await one.send(b"x")
                await asyncio.sleep(0.02)

        dripping = asyncio.create_task(drip())
        assert refusal(await one.all())[0] == 408
        dripping.cancel()


@in_a_loop
async def test_after_an_early_answer_the_rest_of_a_body_is_not_waited_for():
    data = POST.format(100_000, "").encode() + b"most" * 20_000
    async with standing(hello, body_timeout_s=SOON) as found, client(found, data) as one:
        assert (await one.response()).endswith(b"/v1/schedule")
        assert await one.all() == b""
        await until(lambda: found.door.connections == 0)


@in_a_loop
async def test_an_answer_that_nobody_takes_is_broken_off():
    done = asyncio.Event()

    async def large(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(100):
            await send({"type": "http.response.body", "body": bytes(1_000_000), "more_body": True})
        await send({"type": "http.response.body", "body": b""})
        done.set()

    async with standing(large, idle_timeout_s=SOON) as found:
        with socket.create_connection(("127.0.0.1", found.port)) as one:
            one.sendall(GET)
            await until(lambda: found.door.connections == 1)
            await until(lambda: found.door.connections == 0)
            await done.wait()  # nor does the application wait any longer
        # Others are served all the while.
        async with client(found, GET) as other:
            assert (await other.reader.read(15)).startswith(b"HTTP/1.1 200")


# What is no request.


@pytest.mark.parametrize(
    "data",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" * 5 + b"\r\n\r\n",  # a TLS handshake
        b"hello\r\n\r\n",
        b"GET /\r\n\r\n",
        b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",  # no Host
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: \x00\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: ten\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n",
    ],
    ids=lambda data: repr(data)[2:30],
)
@in_a_loop
async def test_what_is_not_http_is_a_400_in_json(data):
    async with standing(hello) as found, client(found, data) as one:
        assert refusal(await one.all()) == (400, "Invalid HTTP request received.")
        await until(lambda: found.door.connections == 0)
    assert found.refused == ["400"]


@pytest.mark.parametrize(
    ("line", "host"),
    [
        (b"GET /nothing", b"["), (b"GET /nothing", b"[::1"), (b"GET //other/x", b"a"),
        (b"GET /a%0Ab%0D%00", b"a"), (b"GET /%ff%ed%a0%80", b"a"), (b"OPTIONS *", b"a"),
        (b"CONNECT a:80", b"a"), (b"TRACE /nothing", b"\xff"), (b"GET /static/%2e%2e%2fx", b"a"),
    ],
)  # fmt: skip
@in_a_loop
async def test_odd_addresses_and_hosts_are_a_404_like_any_other(line, host):
    data = line + b" HTTP/1.1\r\nHost: " + host + b"\r\n\r\n"
    async with serving() as found, client(found, data) as one:
        answer = await one.response()
    assert answer.startswith(b"HTTP/1.1 404 "), answer
    message = json.loads(answer.partition(b"\r\n\r\n")[2])["error"]
    assert message.startswith("Not Found: ")
    assert not {"\n", "\r"} & set(message)


@in_a_loop
async def test_only_the_head_of_an_answer_may_be_asked_for():
    async with serving() as found, client(found, GET.replace(b"GET /", b"HEAD /health")) as one:
        await one.send(GET.replace(b"GET /", b"GET /health"))
        async with asyncio.timeout(PATIENCE):
            assert b"200 OK" in await one.reader.readuntil(b"\r\n\r\n")
        assert b'"ready"' in await one.response()  # nothing stood between the two


@in_a_loop
async def test_a_body_whose_chunks_are_none_is_a_400_and_reaches_nobody():
    behind = Behind()
    data = POST.format(0, "").replace("Content-Length: 0", "Transfer-Encoding: chunked").encode()
    async with serving(behind) as found, client(found, data + b"2\r\n{}\r\nzz\r\n") as one:
        assert refusal(await one.all())[0] == 400
        await until(lambda: found.door.connections == 0)
    assert behind.quick.calls == []


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\nHost: here\r\nX-Long: " + b"x" * 300_000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: here\r\n" + b"X-Many: y\r\n" * 30_000 + b"\r\n",
        b"GET /" + b"x" * 300_000 + b" HTTP/1.1\r\nHost: here\r\n\r\n",
        b"x" * 300_000,
    ],
    ids=["one", "many", "address", "no end"],
)
@in_a_loop
async def test_large_headers_are_a_431_of_which_little_is_kept(data):
    async with standing(hello) as found, client(found, data) as one:
        assert refusal(await one.all()) == (431, "the request's headers are too large")
        await until(lambda: found.door.connections == 0)
    assert found.refused == ["431"]


@in_a_loop
async def test_the_limit_of_headers_is_that_of_the_settings():
    head = b"GET / HTTP/1.1\r\nHost: here\r\nX-Long: " + b"x" * 30_000 + b"\r\n\r\n"
    async with standing(hello, max_header_kb=64) as found, client(found, head) as one:
        assert (await one.response()).startswith(b"HTTP/1.1 200")


@in_a_loop
async def test_a_web_socket_is_answered_like_any_other_request():
    data = GET[:-2] + b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    async with standing(hello) as found, client(found, data) as one:
        assert (await one.response()).endswith(b"\r\n\r\n/")


# What is refused although it is one.


@in_a_loop
async def test_too_many_connections_are_a_503_and_those_that_are_there_go_on():
    async with standing(hello, max_connections=2) as found:
        async with client(found, GET) as first, client(found, GET) as second:
            await first.response()
            await second.response()
            await until(lambda: found.door.connections == 2)
            async with client(found, GET) as third:
                answer = await third.all()
                assert refusal(answer) == (503, "too many connections")
                assert b"Retry-After: " in answer
            await second.send(GET)
            assert (await second.response()).startswith(b"HTTP/1.1 200")
        await until(lambda: found.door.connections == 0)
        async with client(found, GET) as other:
            assert (await other.response()).startswith(b"HTTP/1.1 200")
    assert found.refused == ["503"]


@pytest.mark.parametrize("path", [b"/health", b"/v2/health/live", b"/v2/health/ready"])
@in_a_loop
async def test_beyond_them_probes_are_answered_still_and_they_are_bounded_as_well(
    path, monkeypatch
):
    monkeypatch.setattr(protocol, "MORE", 1)
    probe = GET.replace(b"/ ", path + b" ")
    async with standing(hello, max_connections=1) as found, client(found, GET) as first:
        await first.response()
        await until(lambda: found.door.connections == 1)
        async with client(found, probe) as second:
            assert (await second.response()).endswith(path)
            async with client(found) as third:
                assert refusal(await third.all())[0] == 503
            await second.send(GET)
            assert refusal(await second.all())[0] == 503
        await first.send(GET)
        assert (await first.response()).startswith(b"HTTP/1.1 200")


@in_a_loop
async def test_what_finds_no_room_is_refused_unparsed_and_the_connection_stays():
    data = POST.format(2, "").replace("/v1/schedule", "/v1/schedule?seed=1").encode() + b"{}"
    async with standing(hello) as found, client(found) as one:
        found.wait = 2.5
        for _ in range(2):
            await one.send(data)
            answer = await one.response()
            assert answer.startswith(b"HTTP/1.1 503 ")
            assert b"Retry-After: 3\r\n" in answer
            assert json.loads(answer.partition(b"\r\n\r\n")[2])["error"]
        assert found.asked == [(2, b"?seed=1")] * 2
        assert found.refused == ["503"] * 2
        # Nothing else is refused like that: it may need no room, or none of it is here yet.
        for other in (
            GET,
            data.replace(b"/v1/schedule", b"/v1/jobs"),
            data.replace(b"POST", b"PUT"),
        ):
            await one.send(other)
            assert (await one.response()).startswith(b"HTTP/1.1 200")
        found.wait = 0.0
        await one.send(data)
        assert (await one.response()).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("cut", [1, 60, -1])
@in_a_loop
async def test_what_comes_in_parts_is_judged_when_it_is_whole(cut):
    """Else what comes after would be taken for the next request."""
    data = POST.format(2, "").encode() + b"{}"
    behind = Behind()
    async with serving(behind) as found, client(found) as one:
        for wait, end in ((1.0, b'"no room now"}'), (0.0, b'{"size":2}')):
            found.wait = wait
            await one.send(data[:cut])
            await asyncio.sleep(0.05)
            await one.send(data[cut:])
            assert (await one.response()).replace(b": ", b":").endswith(end)
        found.wait = 1.0
        await one.send(data + data)  # two at once
        for _ in range(2):
            assert (await one.response()).endswith(b'{"size":2}')


@in_a_loop
async def test_who_asks_before_sending_too_much_is_told_not_to():
    head = POST.format(65_000_000, "Expect: 100-continue\r\n").encode()
    async with serving() as found, client(found, head) as one:
        answer = await one.all()
    assert refusal(answer) == (413, "request body over 64 MB")
    assert b"100 Continue" not in answer


@pytest.mark.parametrize(
    ("address", "header", "status"),
    [("/v1/schedule?colour=red", "", 400), ("/v1/schedule", "Content-Type: image/png\r\n", 415)],
)
@in_a_loop
async def test_who_asks_before_sending_what_is_refused_anyway_is_told_not_to(
    address, header, status
):
    head = POST.format(2, f"Expect: 100-continue\r\n{header}").replace("/v1/schedule", address)
    async with serving() as found, client(found, head.encode()) as one:
        answer = await one.all()
    assert refusal(answer)[0] == status
    assert b"100 Continue" not in answer


@in_a_loop
async def test_who_asks_before_sending_what_is_fine_is_told_to():
    async with serving() as found:
        head = POST.format(2, "Expect: 100-continue\r\n").encode()
        async with client(found, head) as one:
            assert b"100" in await one.reader.readuntil(b"\r\n\r\n")
            await one.send(b"{}")
            assert (await one.response()).endswith(b'{"size":2}')


@in_a_loop
async def test_who_sends_all_before_it_looks_sees_why_it_is_refused():
    data = POST.format(1_500_000, "").encode() + bytes(1_500_000)
    async with serving(max_body_mb=1) as found, client(found, data) as one:
        answer = await one.response()
        assert answer.startswith(b"HTTP/1.1 413")
        assert json.loads(answer.partition(b"\r\n\r\n")[2])["error"] == "request body over 1 MB"
        # And may go on.
        await one.send(POST.format(2, "").encode() + b"{}")
        assert (await one.response()).endswith(b'{"size":2}')


@in_a_loop
async def test_who_never_stops_sending_is_cut_off():
    head = POST.format(10**12, "").encode()
    async with serving(max_body_mb=1) as found, client(found, head) as one:

        async def endless() -> None:
            while not one.writer.is_closing():
                await one.send(bytes(100_000))
                await asyncio.sleep(0)

        sending = asyncio.create_task(endless())
        await one.all()
        await until(lambda: found.door.connections == 0)
        sending.cancel()


# How it opens and closes.


@in_a_loop
async def test_a_closing_door_answers_what_has_begun_and_lets_nobody_new_in():
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def slow(scope: Any, receive: Any, send: Any) -> None:
        begun.set()
        await go_on.wait()
        await hello(scope, receive, send)

    async with standing(slow) as found, client(found, GET) as one, client(found) as idle:
        await begun.wait()
        assert found.door.open
        closing = asyncio.create_task(found.door.close())
        assert await idle.all() == b""
        await asyncio.sleep(0.05)
        assert not closing.done()
        go_on.set()
        assert (await one.all()).endswith(b"\r\n\r\n/")
        await closing
        await until(lambda: not found.door.open)


@in_a_loop
async def test_a_closing_door_answers_one_thing_more_to_each_that_waits_in_the_line(monkeypatch):
    monkeypatch.setattr(sent_ahead, "LONG", 3600.0)
    monkeypatch.setattr(module, "PARTING", 0.0)
    app = Holding()
    async with contextlib.AsyncExitStack() as stack:
        found = await stack.enter_async_context(standing(app))

        async def asking(path: bytes) -> Client:
            data = GET.replace(b"/ ", path + b" ") * 2
            return await stack.enter_async_context(client(found, data))

        held = await asking(b"/held")
        await until(lambda: app.asked)
        others = {path: await asking(path) for path in (b"/a", b"/b", b"/c")}
        await until(lambda: in_line(found) == 3)
        closing = asyncio.create_task(found.door.close())
        for path, one in others.items():
            answer = await one.all()
            assert answer.endswith(b"\r\n\r\n" + path)
            assert answer.count(b"HTTP/1.1 200") == 1
        assert not closing.done()
        app.may.set()
        assert (await held.all()).endswith(b"\r\n\r\n/held")
        await closing
        assert sorted(app.asked) == ["/a", "/b", "/c", "/held"]


@in_a_loop
async def test_what_does_not_end_is_not_waited_for_for_ever(monkeypatch):
    monkeypatch.setattr(module, "LEAVE", SOON)

    async def never(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.sleep(3600)

    async with standing(never) as found, client(found, GET):
        await until(lambda: found.door.connections == 1)
        await found.door.close()


def test_several_of_ours_listen_on_one_port_and_on_nobody_elses():
    with listening("127.0.0.1", 0) as first:
        port = first.getsockname()[1]
        with listening("127.0.0.1", port):
            pass
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(InvalidInput, match=f"cannot listen on 127.0.0.1 port {port}: Address"):
            listening("127.0.0.1", port)


@pytest.mark.parametrize("host", ["192.0.2.1", "no.such.host.invalid", "x" * 300])
def test_an_address_that_is_not_of_this_machine_is_refused(host):
    with pytest.raises(InvalidInput, match="cannot listen on") as caught:
        listening(host, 8_000)
    assert "\n" not in str(caught.value)
