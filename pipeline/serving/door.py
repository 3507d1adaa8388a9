"""The door: an HTTP server that no client can keep open for long.

Ray Serve's own proxies read headers of any size and wait for ever; so the gateways listen by
themselves, several on one port.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import time
from typing import TYPE_CHECKING, Any

import uvicorn

from deepsched.baselines.errors import InvalidInput
from deepsched.pipeline.serving.connection import GuardedProtocol
from deepsched.pipeline.serving.sent_ahead import Line
from deepsched.pipeline.serving.settings import KILOBYTE

if TYPE_CHECKING:
    from collections.abc import Callable

    from deepsched.pipeline.serving.settings import ServeArgs

LOOK_EVERY = 1.0  # s between two looks at all connections
BACKLOG = 1024  # connections that wait to be accepted
PARTING = 2.0  # s in which connections may still bring a request, and end with its answer
LEAVE = 20.0  # s for requests that are being answered when the door closes


class Door:
    """A listening server."""

    def __init__(self, server: uvicorn.Server, tasks: list[asyncio.Task[Any]]) -> None:
        self._server, self._tasks = server, tasks
        self.closing = False

    @property
    def connections(self) -> int:
        """How many clients are connected."""
        return len(self._server.server_state.connections)

    @property
    def open(self) -> bool:
        """Whether it still listens."""
        return not any(task.done() for task in self._tasks)

    async def close(self) -> None:
        """Listen no more, and wait for what is being answered.

        Whoever asks within a moment is told to come by another connection: one that is closed as a
        request is on its way looks broken to its client.
        """
        self.closing = True
        for server in self._server.servers:
            server.close()
        end = time.monotonic() + PARTING
        while self.connections and time.monotonic() < end:
            await asyncio.sleep(0.05)
        self._server.should_exit = True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LEAVE):
                await asyncio.shield(self._tasks[0])
        for task in self._tasks:
            task.cancel()


def listening(host: str, port: int, *, alone: bool = False) -> socket.socket:
    """Return a socket that listens.

    Parameters
    ----------
    alone : whether nobody else may listen there; else others of ours may, on the same port.

    Raises
    ------
    InvalidInput
        If the address is not one of this machine, or somebody else's.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        found = socket.socket(family, socket.SOCK_STREAM)
        try:
            found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, int(not alone))
            found.bind((host, port))
            found.listen(BACKLOG)
            found.setblocking(False)
        except OSError:
            found.close()
            raise
    except (OSError, UnicodeError) as error:  # the latter: no name of a host
        reason = getattr(error, "strerror", None) or error
        raise InvalidInput(f"cannot listen on {host} port {port}: {reason}") from None
    return found


def open_door(
    app: Any,
    args: ServeArgs,
    socket_: socket.socket,
    refused: Callable[[str], None],
    full: Callable[[int, bytes], float],
) -> Door:
    """Serve an ASGI application on a socket, in the running event loop.

    Parameters
    ----------
    refused : told the status with which a connection is turned away.
    full : s after which a body of that length, with that query, may find room; 0: it does now.
    """
    line = Line()
    protocol = type(
        "Protocol",
        (GuardedProtocol,),
        {
            "limit": args.max_connections,
            "most_headers": int(args.max_header_kb * KILOBYTE),
            "most_body": args.max_body,
            "silent": {},
            "refused": staticmethod(refused),
            "full": staticmethod(full),
            "line": line,
        },
    )
    config = uvicorn.Config(
        app,
        http=protocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        backlog=BACKLOG,
        h11_max_incomplete_event_size=int(args.max_header_kb * KILOBYTE),
        timeout_keep_alive=int(args.idle_timeout_s) + 1,
        timeout_graceful_shutdown=int(LEAVE),
    )
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
    server = uvicorn.Server(config)
    loop = asyncio.get_running_loop()
    tasks = [
        loop.create_task(server.serve(sockets=[socket_])),
        loop.create_task(_look(server, args)),
        loop.create_task(line.serve()),
    ]
    return Door(server, tasks)


async def _look(server: uvicorn.Server, args: ServeArgs) -> None:
    while True:
        await asyncio.sleep(LOOK_EVERY)
        now = time.monotonic()
        for connection in list(server.server_state.connections):
            connection.look(now, args)  # type: ignore[union-attr]
