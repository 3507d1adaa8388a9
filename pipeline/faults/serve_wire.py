"""HTTP as a hostile client speaks it: any bytes go, and the answer is read whatever comes."""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

CHUNK = 65_536  # bytes
LONGEST_LINE = 400  # characters of an error
# Statuses that the service may answer with; every other one is a fault of its own.
DELIBERATE = frozenset(
    {200, 202, 204, 304, 400, 401, 404, 405, 406, 408, 409, 410, 413, 415, 429, 431, 503, 504}
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """What came back.

    Attributes
    ----------
    continued : whether "100 Continue" came before it.
    seconds : until it was there.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    continued: bool
    seconds: float


class NoAnswer(Exception):
    """There is no answer, or none that is HTTP; the text says what there is."""


def exchange(
    address: tuple[str, int], data: bytes, *, within: float, is_head: bool = False
) -> Answer:
    """Send bytes on a connection of their own, and return the first answer.

    Parameters
    ----------
    within : s for all of it.

    Raises
    ------
    NoAnswer
        If there is none in time, or the connection ends before.
    """
    begin = time.perf_counter()
    try:
        with contextlib.closing(socket.create_connection(address, timeout=within)) as link:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                link.sendall(data)  # the answer may come before all of it is taken
            answer = _Reader(link, begin + within).answer(is_head)
    except TimeoutError:
        raise NoAnswer(f"hung for {within:g} s") from None
    except OSError as error:
        raise NoAnswer(f"{type(error).__name__}: {error}") from None
    status, headers, body, continued = answer
    seconds = time.perf_counter() - begin
    return Answer(status=status, headers=headers, body=body, continued=continued, seconds=seconds)


class _Reader:
    def __init__(self, link: socket.socket, end: float) -> None:
        self._link, self._end, self._buffer = link, end, b""

    def answer(self, is_head: bool) -> tuple[int, dict[str, str], bytes, bool]:
        continued = False
        while True:
            status, headers = self._head()
            if status >= 200:
                break
            continued = True
        if is_head or status in (204, 304):
            body = b""
        elif headers.get("transfer-encoding", "").lower() == "chunked":
            body = b"".join(self._chunks())
        elif "content-length" in headers:
            body = self._take(int(headers["content-length"]))
        else:
            body = self._rest()
        return status, headers, body, continued

    def _head(self) -> tuple[int, dict[str, str]]:
        while b"\r\n\r\n" not in self._buffer:
            self._more()
        head, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        try:
            status = int(first.split(" ", 2)[1])
        except (IndexError, ValueError):
            raise NoAnswer(f"an answer that is not HTTP: {first[:100]!r}") from None
        pairs = (line.partition(":") for line in lines)
        return status, {key.strip().lower(): value.strip() for key, _, value in pairs}

    def _chunks(self) -> Iterator[bytes]:
        while True:
            while b"\r\n" not in self._buffer:
                self._more()
            size, _, self._buffer = self._buffer.partition(b"\r\n")
            chunk = self._take(int(size, 16) + 2)
            if len(chunk) == 2:
                return
            yield chunk[:-2]

    def _take(self, size: int) -> bytes:
        while len(self._buffer) < size:
            self._more()
        taken, self._buffer = self._buffer[:size], self._buffer[size:]
        return taken

    def _rest(self) -> bytes:
        with contextlib.suppress(NoAnswer):
            while True:
                self._more()
        return self._buffer

    def _more(self) -> None:
        left = self._end - time.perf_counter()
        if left <= 0:
            raise TimeoutError
        self._link.settimeout(left)
        chunk = self._link.recv(CHUNK)
        if not chunk:
            raise NoAnswer("the connection was closed without an answer")
        self._buffer += chunk


def request(
    method: str, target: str, headers: list[tuple[str, str]], body: bytes, version: str = "1.1"
) -> bytes:
    """Return a request as it goes over the wire; nothing is checked, nothing is added."""
    lines = [f"{method} {target} HTTP/{version}", *(f"{key}: {value}" for key, value in headers)]
    head = "\r\n".join([*lines, "", ""])
    return head.encode("utf-8", "surrogatepass") + body


def reset(link: socket.socket) -> None:
    """Close a connection as a client does that has died: nothing that is on its way counts."""
    link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    link.close()


def fault(answer: Answer, *, is_head: bool, hidden: str) -> str | None:
    """Return what is wrong with an answer, whatever was asked; None: nothing.

    Parameters
    ----------
    hidden : a path that no client may be told.
    """
    if answer.status not in DELIBERATE:
        return f"status {answer.status}: {_shown(answer.body)}"
    if answer.status in (429, 503) and not answer.headers.get("retry-after", "").isdigit():
        return f"status {answer.status} without Retry-After"
    if answer.status < 400 or is_head:
        return None
    try:
        value = json.loads(answer.body)
        if answer.status == 503 and value.get("status") == "not ready":
            return None  # a probe's answer, as it should be
        line = value["error"] if list(value) == ["error"] else None
    except (ValueError, TypeError, KeyError, AttributeError):
        line = None
    if not isinstance(line, str) or answer.headers.get("content-type") != "application/json":
        return f"an error that is no JSON line: {_shown(answer.body)}"
    if not line or len(line) > LONGEST_LINE or "\n" in line:
        return f"an error that is not one short line: {line[:500]!r}"
    if any(word in line for word in ("Traceback", 'File "', "site-packages", hidden)):
        return f"an error that tells of the inside: {line!r}"
    return None


def _shown(body: bytes) -> str:
    return repr(body[:200].decode(errors="replace"))
