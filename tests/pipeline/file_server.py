"""A server of made-up files on the loopback that can be told to misbehave, and a list of them."""

from __future__ import annotations

import hashlib
import sys
import threading
from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote

from deepsched.pipeline.fetching.sources import COLUMNS, Source, parse_sources

COMMIT = "0123456789abcdef0123456789abcdef01234567"
REPOSITORY = "someone/Files"
Answer = Callable[["Handler"], None]


@dataclass
class Origin:
    """What the server has, what it was asked for, and how it answers next.

    Attributes
    ----------
    asked : path below the commit and Range header of each request.
    next_answers : for a path, what to do instead of sending the file, one request after the other.
    ranges : whether parts of a file are to be had.
    sent : bytes of all bodies.
    at_once : the most requests at a time.
    released : ends the answers that hang.
    """

    files: dict[str, bytes] = field(default_factory=dict)
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    next_answers: dict[str, deque[Answer]] = field(default_factory=lambda: defaultdict(deque))
    ranges: bool = True
    sent: int = 0
    running: int = 0
    at_once: int = 0
    url: str = ""
    lock: threading.Lock = field(default_factory=threading.Lock)
    released: threading.Event = field(default_factory=threading.Event)

    def add(self, here: str, content: bytes, path: str | None = None) -> Source:
        """Offer a file, and return its place in the list."""
        path = path or here.removesuffix(".gz")
        self.files[path] = content
        return Source(
            repository=REPOSITORY,
            commit=COMMIT,
            path=path,
            size=len(content),
            sha256=hashlib.sha256(content).hexdigest(),
            here=here,
        )

    def misbehave(self, source: Source, *answers: Answer) -> None:
        """Answer the next requests for a file in these ways."""
        self.next_answers[source.path].extend(answers)

    def ranges_asked(self, source: Source) -> list[str | None]:
        """Return the Range headers of the requests for a file."""
        return [header for path, header in self.asked if path == source.path]


class Handler(BaseHTTPRequestHandler):
    """Sends a file, or the part of it that is asked for."""

    origin: Origin
    protocol_version = "HTTP/1.0"  # a connection a request, as urllib wants it

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        prefix = f"/{REPOSITORY}/{COMMIT}/"
        assert self.path.startswith(prefix), self.path
        assert self.path.isascii()
        path = unquote(self.path.removeprefix(prefix))
        with self.origin.lock:
            self.origin.asked.append((path, self.headers["Range"]))
            self.origin.running += 1
            self.origin.at_once = max(self.origin.at_once, self.origin.running)
            answers = self.origin.next_answers[path]
            answer = answers.popleft() if answers else send_file
        self.content = self.origin.files.get(path)
        try:
            answer(self)
        finally:
            with self.origin.lock:
                self.origin.running -= 1

    def send(self, code: int, body: bytes, **headers: object) -> None:
        self.send_response(code)
        for name, value in {"Content_Length": len(body), **headers}.items():
            if value is not None:
                self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()
        self.write(body)

    def write(self, body: bytes) -> None:
        self.wfile.write(body)
        with self.origin.lock:
            self.origin.sent += len(body)


def send_file(handler: Handler) -> None:
    wanted, content = handler.headers["Range"], handler.content
    if content is None:
        handler.send(404, b"no such file")
    elif wanted is None or not handler.origin.ranges:
        handler.send(200, content)
    else:
        first, last = map(int, wanted.removeprefix("bytes=").split("-"))
        size = len(content)
        handler.send(206, content[first : last + 1], Content_Range=f"bytes {first}-{last}/{size}")


def status(code: int) -> Answer:
    """Answer with an error, or with an odd success."""
    return lambda handler: handler.send(code, b"not now")


def instead(body: bytes, **headers: object) -> Answer:
    """Send something else."""
    return lambda handler: handler.send(200, body, **headers)


def partial(content_range: str, body: bytes) -> Answer:
    """Send a part, of the right range or not."""
    return lambda handler: handler.send(206, body, Content_Range=content_range)


def redirect(url: str) -> Answer:
    return lambda handler: handler.send(302, b"", Location=url)


def cut(n: int) -> Answer:
    """Announce the whole file, and end after `n` bytes."""

    def answer(handler: Handler) -> None:
        assert handler.content is not None
        handler.send(200, handler.content[:n], Content_Length=len(handler.content))

    return answer


def hang(n: int) -> Answer:
    """Send `n` bytes and then nothing, without an end."""

    def answer(handler: Handler) -> None:
        cut(n)(handler)
        handler.origin.released.wait(30)

    return answer


def silent(handler: Handler) -> None:
    """Take the request and never answer."""
    handler.origin.released.wait(30)


def endless(piece: bytes) -> Answer:
    """Send a body without an end."""

    def answer(handler: Handler) -> None:
        handler.send(200, b"", Content_Length=None)
        while not handler.origin.released.is_set():
            handler.write(piece)

    return answer


class Server(ThreadingHTTPServer):
    """Keeps quiet when a client goes away, as many here do."""

    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


@contextmanager
def listening(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    """Answer by a handler on a port of its own; yield the address."""
    with Server(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def serving_files() -> Iterator[Origin]:
    """Run a server without files, on a port of its own."""
    origin = Origin()
    handler = type("OriginHandler", (Handler,), {"origin": origin})
    with listening(handler) as url:
        origin.url = url
        try:
            yield origin
        finally:
            origin.released.set()


def list_text(sources: list[Source]) -> str:
    """Return the list of these files, as it is packaged."""
    rows = [(s.repository, s.commit, s.path, str(s.size), s.sha256, s.here) for s in sources]
    text = "\n".join("\t".join(row) for row in [COLUMNS, *rows]) + "\n"
    assert parse_sources(text, "list") == tuple(sources)
    return text
