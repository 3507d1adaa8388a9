"""Bringing the service up, and seeing that it answers."""

from __future__ import annotations

import http.client
import socket
from typing import TYPE_CHECKING

from ray import serve

from deepsched.baselines.errors import DeepSchedError, InvalidInput
from deepsched.pipeline.serving.app import APPLICATION
from deepsched.pipeline.serving.requests import shorten

if TYPE_CHECKING:
    from deepsched.pipeline.serving.settings import ServeArgs


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
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except (OSError, UnicodeError) as error:  # the latter: no name of a host
        reason = getattr(error, "strerror", None) or error
        raise InvalidInput(
            f"cannot listen on {host} port {port}: {reason}; choose another --host or --port"
        ) from None


def start_service(application: serve.Application, host: str, port: int, args: ServeArgs) -> None:
    """Bring the application up behind an HTTP proxy on this node, and see that it answers.

    Raises
    ------
    ServiceFailed
        If it does not come up, or Serve runs on the cluster already and listens elsewhere.
    """
    # The gateway keeps the time limit; the proxy's own only catches a gateway that hangs.
    http_options = {"host": host, "port": port, "request_timeout_s": 2 * args.timeout_s}
    try:
        serve.start(proxy_location="HeadOnly", http_options=http_options)
        serve.run(application, name=APPLICATION)
    except (RuntimeError, TimeoutError) as error:
        reason = _reason() or str(error)
        raise ServiceFailed(f"the service did not start: {shorten(reason, 400)}") from None
    connection = http.client.HTTPConnection(_reachable(host), port, timeout=10)
    try:
        connection.request("GET", "/health")
        healthy = connection.getresponse().status == 200
    except OSError:
        healthy = False
    finally:
        connection.close()
    if not healthy:
        raise ServiceFailed(
            f"nothing answers on {host} port {port}; if the cluster serves on another address "
            "already, that one stays: stop Serve there, or give its --host and --port"
        )


def _reason() -> str:
    """Return the error of the first process that did not come up: its last line."""
    status = serve.status().applications.get(APPLICATION)
    messages = [part.message for part in status.deployments.values()] if status else []
    lines = [line for message in messages for line in message.strip().splitlines()[-1:]]
    return lines[0] if lines else ""


def _reachable(host: str) -> str:
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
