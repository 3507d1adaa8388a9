"""One connection to the service, which no client can keep open for long.

uvicorn parses; what is added here bounds how many connections there are, and how long each may take
for its headers, for its next request, and to take an answer.
"""

from __future__ import annotations

import functools
import http
import json
import math
import re
import socket
import struct
import sys
import time
from typing import TYPE_CHECKING, Any, NamedTuple

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from deepsched.pipeline.serving.settings import KILOBYTE

if TYPE_CHECKING:
    from collections.abc import Callable

    from deepsched.pipeline.serving.sent_ahead import Line
    from deepsched.pipeline.serving.settings import ServeArgs

# Who asks so is answered in any case, whatever else waits: the rest has a limit.
PROBES = (b"GET /health", b"GET /v2/health")
MORE = 64  # connections beyond the limit, which are heard as far as to see whether they probe
# What needs no look at all to be refused where no small request finds room.
PLAIN = re.compile(rb"POST /v1/schedule(\?[^ ]*)? HTTP/1\.1\r\n")
LENGTH = re.compile(rb"\ncontent-length:[ \t]*(\d{1,9})[ \t]*(?=\r?\n)", re.IGNORECASE)
AGAIN = "Retry-After: 2\r\n"
HEAD_END = re.compile(rb"\n\r?\n")
MOST_HELD = 65_536  # bytes of a body, from which on it is taken as it comes
CHUNKED = re.compile(rb"\ntransfer-encoding:", re.IGNORECASE)
EXPECTS = re.compile(rb"\nexpect:", re.IGNORECASE)


class GuardedProtocol(H11Protocol):
    """One connection, with what it takes to see that it stands still."""

    limit = 0  # connections at once; set by :func:`open_door`
    most_headers, most_body = 0, 0  # bytes
    silent: dict[GuardedProtocol, None]  # of which no request has come yet, the oldest first
    refused: Callable[[str], None]  # told of a connection that is turned away
    full: Callable[[int, bytes], float]  # s to wait, for a body of that length and that query; or 0
    line: Line  # for those whose next request was sent ahead

    def connection_made(self, transport: Any) -> None:
        """Take the connection, or turn it away with a word where there are too many."""
        super().connection_made(transport)
        self.since = time.monotonic()  # of the state that it is in
        self.unsent = 0
        self.held = bytearray()  # of a request that is not whole
        self.ahead = False  # whether the next request was sent ahead, and is not begun
        self.completing = False  # whether an answer is just out
        self.silent[self] = None
        self.extra = len(self.connections) - len(self.silent) >= self.limit
        if len(self.connections) > self.limit + MORE:
            # Whoever has said nothing for longest; maybe that is who comes.
            next(iter(self.silent))._turn_away(503, "too many connections", AGAIN)  # noqa: SLF001

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self.silent.pop(self, None)
        self.line.leave(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Note when the first byte of a request came; refuse at once what finds no room.

        A request is heard when it is whole or large: half a one costs next to nothing.
        """
        if self.idle:
            if not self.held:
                self.since = time.monotonic()
                if self.extra and not data.startswith(PROBES):
                    self._turn_away(503, "too many connections", AGAIN)
                    return
            held: bytes | bytearray = data
            if self.held:
                self.held += data
                held = self.held
            begin = begin_of(held)
            if self._more_to_come(held, begin):
                self._unset_keepalive_if_required()
                if held is data:
                    self.held += data
                return
            data = bytes(held)
            self.held.clear()
            if begin is not None:
                if self._refused_whole(data, begin):
                    self.silent.pop(self, None)
                    return
                if begin.sends_ahead(data):
                    self.conn.receive_data(data)
                    self._stand_in_line()
                    return
        super().data_received(data)
        if self.cycle is not None:
            self.silent.pop(self, None)

    def _more_to_come(self, held: bytes | bytearray, begin: Begin | None) -> bool:
        """Return whether what is held is the begin of a request that waits for no answer."""
        if held[0] <= ord(" "):
            return False  # no HTTP
        if begin is None:
            return len(held) <= self.most_headers
        if len(begin.lengths) != 1 or EXPECTS.search(held, 0, begin.head):
            return False
        length = int(begin.lengths[0])
        return length <= self.most_body and len(held) - begin.head < min(length, MOST_HELD)

    def _refused_whole(self, data: bytes, begin: Begin) -> bool:
        """Refuse a whole request that finds no room, which costs a tenth of what parsing would."""
        line = PLAIN.match(data)
        if line is None or len(begin.lengths) != 1:
            return False
        length = int(begin.lengths[0])
        if len(data) - begin.head != length:
            return False  # there is more to come, or more than one
        wait = type(self).full(length, line[1] or b"")
        if not wait:
            return False
        self._unset_keepalive_if_required()
        type(self).refused("503")
        self.transport.write(_refusal(503, "no room now", f"Retry-After: {math.ceil(wait)}\r\n"))
        return True

    def send_400_response(self, msg: str) -> None:
        """Say in JSON what is wrong with bytes that are not HTTP, or too many headers."""
        error = sys.exc_info()[1]
        status = getattr(error, "error_status_hint", 400)
        if status == 431:
            msg = "the request's headers are too large"
        self._turn_away(status if status == 431 else 400, msg)

    def on_response_complete(self) -> None:
        """Note when the wait for the next request began; what is here already waits in the line."""
        self.since = time.monotonic()
        self.completing = True
        super().on_response_complete()
        self.completing = False
        self.line.done(self)

    def handle_events(self) -> None:
        """Begin with what has come, unless it was sent ahead."""
        if self.ahead:
            return
        if self.completing and self.conn.trailing_data[0]:
            self._stand_in_line()
        else:
            super().handle_events()

    def _stand_in_line(self) -> None:
        self.silent.pop(self, None)
        self._unset_keepalive_if_required()
        self.flow.pause_reading()
        self.ahead = True
        if not self.flow.write_paused:  # else once its client takes what it has asked for
            self.line.join(self)

    def go_on(self) -> bool:
        """Begin with what was sent ahead; return whether there is an answer to wait for."""
        self.ahead = False
        self.since = time.monotonic()
        if self.transport.is_closing():
            return False
        before = self.cycle
        self.flow.resume_reading()
        try:
            super().handle_events()
        except Exception:  # as in the event loop, where it ends this connection alone
            self.logger.exception("a request that was sent ahead failed")
            self.transport.abort()
            return False
        return self.cycle is not before

    def pause_writing(self) -> None:
        """Hold up nobody who waits in the line for a client that takes no answer."""
        super().pause_writing()
        self.line.done(self)

    def resume_writing(self) -> None:
        """Go on, also with what was sent ahead."""
        super().resume_writing()
        if self.ahead and not self.transport.is_closing():
            self.line.join(self)

    def shutdown(self) -> None:
        """End the connection with the answer to what is being worked on, or next in the line."""
        if self.line.leave(self):
            self.go_on()
        super().shutdown()

    @property
    def idle(self) -> bool:
        """Whether no byte of a request has come."""
        state = self.conn.their_state
        waits = state is h11.IDLE or (self.cycle is not None and self.cycle.response_complete)
        return waits and not self.conn.trailing_data[0]

    def look(self, now: float, args: ServeArgs) -> None:
        """Close the connection where it stands still for too long."""
        unsent = self.transport.get_write_buffer_size()
        if unsent:
            if unsent != self.unsent:
                self.since, self.unsent = now, unsent
            elif now - self.since > args.idle_timeout_s:
                self._cut()  # nobody takes the answer
            return
        self.unsent = 0
        if self.ahead:
            self.since = now  # it is us whom it waits for
            return
        waited = now - self.since
        if self.conn.their_state is not h11.IDLE and not self.held:
            # A body and its answer have their own limits; what comes after the answer has not.
            answered = self.cycle is not None and self.cycle.response_complete
            if answered and waited > args.body_timeout_s:
                self._cut()
            return
        if self.held or self.conn.trailing_data[0]:
            self._look_at_half(waited, args)
        elif waited > (args.idle_timeout_s if self.cycle else args.header_timeout_s):
            self.transport.close()

    def _look_at_half(self, waited: float, args: ServeArgs) -> None:
        if HEAD_END.search(self.held) is None:
            if waited > args.header_timeout_s:
                self._turn_away(408, "the request's headers did not arrive in time")
        elif waited > args.body_timeout_s + len(self.held) / (args.min_rate_kb * KILOBYTE):
            self._turn_away(408, "the request's body came too slowly")

    def _cut(self) -> None:
        """End the connection, and have the system forget what it has not sent."""
        found = self.transport.get_extra_info("socket")
        if found is not None:
            found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()

    def _turn_away(self, status: int, message: str, headers: str = "") -> None:
        self.silent.pop(self, None)
        type(self).refused(str(status))
        self.transport.write(_refusal(status, message, f"{headers}Connection: close\r\n"))
        self.transport.close()


class Begin(NamedTuple):
    """The head of a request, as far as it is looked at before it is parsed.

    Attributes
    ----------
    head : bytes of it, with the empty line.
    lengths : each that it says its body has.
    """

    head: int
    lengths: list[bytes]

    def sends_ahead(self, data: bytes) -> bool:
        """Return whether more than this request has come, as far as that is easy to see."""
        length = int(self.lengths[0]) if self.lengths else 0
        return len(data) > self.head + length and not CHUNKED.search(data, 0, self.head)


def begin_of(data: bytes | bytearray) -> Begin | None:
    """Return the head that data begin with; None where it is not whole."""
    end = HEAD_END.search(data)
    return None if end is None else Begin(end.end(), LENGTH.findall(data, 0, end.end()))


@functools.lru_cache(64)  # the same few over and over, where there is no room
def _refusal(status: int, message: str, headers: str) -> bytes:
    """Return a whole answer, as it goes over the wire."""
    body = json.dumps({"error": message}).encode()
    phrase = http.HTTPStatus(status).phrase
    head = (
        f"HTTP/1.1 {status} {phrase}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n{headers}\r\n"
    )
    return head.encode() + body
