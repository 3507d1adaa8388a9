"""Bringing the service up, and seeing that it answers."""

from __future__ import annotations

import contextlib
import http.client
import time
from typing import TYPE_CHECKING

import ray
from ray import serve
from ray.serve.exceptions import RayServeException

from deepsched.baselines.errors import DeepSchedError, InvalidInput
from deepsched.pipeline.common.ticking import every
from deepsched.pipeline.serving.app import APPLICATION
from deepsched.pipeline.serving.door import listening
from deepsched.pipeline.serving.refusals import shorten

if TYPE_CHECKING:
    from collections.abc import Callable

    from deepsched.pipeline.serving.settings import ServeArgs


READY_WITHIN = 60.0  # s, after Serve says that all processes run
LOOK_EVERY = 5.0  # s, for what Serve waits for


class ServiceFailed(DeepSchedError, RuntimeError):
    """Ray Serve could not bring the application up."""


def check_port(host: str, port: int) -> None:
    """Refuse an address that cannot be listened on.

    Raises
    ------
    InvalidInput
        If the host is not one of this machine, or the port is taken or not allowed.
    """
    try:
        listening(host, port, alone=True).close()
    except InvalidInput as error:
        raise InvalidInput(f"{error}; choose another --host or --port") from None


def start_service(
    application: serve.Application, args: ServeArgs, say: Callable[[str], None]
) -> None:
    """Bring the application up, and see that it is ready.

    Parameters
    ----------
    say : is told in one line each what Serve waits for, if that takes long.

    Raises
    ------
    ServiceFailed
        If it does not come up.
    """
    assert args.port is not None
    try:
        serve.start(proxy_location="Disabled")  # the gateways listen by themselves
        with every(LOOK_EVERY, saying_once(say)):
            serve.run(application, name=APPLICATION, route_prefix="/")
    except (RuntimeError, TimeoutError) as error:
        reason = _reason() or str(error)
        raise ServiceFailed(f"the service did not start: {shorten(reason, 400)}") from None
    end = time.monotonic() + READY_WITHIN
    while not _is_ready(args.host, args.port):
        if time.monotonic() > end:
            raise ServiceFailed(f"nothing is ready on {args.host} port {args.port}")
        time.sleep(0.2)


def saying_once(say: Callable[[str], None]) -> Callable[[], None]:
    """Return what says each thing that Serve waits for once: a cluster may lack CPUs."""
    said: set[str] = set()

    def look() -> None:
        # A Ray that is gone ends the start with an error of its own.
        with contextlib.suppress(ray.exceptions.RayError, RayServeException):
            for line in _waited_for():
                if line not in said:
                    said.add(line)
                    say(line)

    return look


def _waited_for() -> list[str]:
    return [_said(name, message) for name, message in _messages().items()]


def _said(name: str, message: str) -> str:
    """Return in one line what Serve says of a kind of processes."""
    # An attempt that failed is told with its number and a traceback, whose last line is the error.
    if "Traceback" in message or "failed to start" in message:
        return f"{name} does not start: {shorten(message.splitlines()[-1], 400)}"
    return f"{name} waits: {shorten(message, 600)}"


def _is_ready(host: str, port: int) -> bool:
    connection = http.client.HTTPConnection(_reachable(host), port, timeout=10)
    try:
        connection.request("GET", "/v2/health/ready")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _reason() -> str:
    """Return the error of the first process that did not come up: its last line."""
    return next((message.splitlines()[-1] for message in _messages().values()), "")


def _messages() -> dict[str, str]:
    """Return what Serve says of each kind of processes, if anything."""
    status = serve.status().applications.get(APPLICATION)
    found = status.deployments.items() if status else ()
    return {name: said for name, one in found if (said := one.message.strip())}


def _reachable(host: str) -> str:
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
