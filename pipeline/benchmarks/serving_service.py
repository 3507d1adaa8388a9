"""A service to measure: one of our own, or one that runs already."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from deepsched.baselines.errors import DeepSchedError, InvalidInput
from deepsched.pipeline.benchmarks.serving_bodies import machines_request
from deepsched.pipeline.benchmarks.serving_processes import family
from deepsched.pipeline.client.connections import TOKEN
from deepsched.pipeline.common.ray_session import python_path
from deepsched.pipeline.serving.tokens import VARIABLE as TOKENS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from deepsched.baselines.machines import Machines
    from deepsched.pipeline.benchmarks.serving_bodies import Request

START_WITHIN = 240.0  # s; the first time Ray's files are read and our loops compiled
STOP_WITHIN = 60.0  # s
HEALTH = "/health"


class NotServed(DeepSchedError, RuntimeError):
    """The service that is to be measured does not come up, or says no."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Service:
    """A service that answers.

    Attributes
    ----------
    root : the process of `deepsched serve`, of which all others descend; None if not known.
    folder : its temporary folder; None if not known.
    requests : a folder for requests that are made before they are sent.
    headers : of every request.
    """

    host: str
    port: int
    root: int | None
    folder: Path | None
    requests: Path
    headers: Mapping[str, str] = field(default_factory=dict)

    def file(self, request: Request) -> str:
        """Write a request for this service to a file, and return its path."""
        known = replace(request, headers={**self.headers, **request.headers})
        return known.written(self.requests, f"{self.host}:{self.port}")

    def fetch(self, request: Request, timeout: float = 150.0) -> tuple[int, bytes]:
        """Send one request on a connection of its own; return status and body."""
        connection = http.client.HTTPConnection(self.host, self.port, timeout=timeout)
        try:
            connection.request(
                request.method,
                request.path,
                request.data or None,
                {**self.headers, **request.headers},
            )
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def checked(self, request: Request) -> bytes:
        """Do the same, and return the body.

        Raises
        ------
        NotServed
            If the status is no success.
        """
        status, body = self.fetch(request)
        if status >= 300:
            shown = body[:300].decode(errors="replace")
            raise NotServed(f"{request.name} at {request.path}: status {status}: {shown}")
        return body

    def know(self, machines: Machines) -> str:
        """Make machines known, and return their hash."""
        value: dict[str, Any] = json.loads(self.checked(machines_request(machines)))
        return str(value["machines"])

    def ready(self) -> bool:
        """Return whether it says that it is."""
        connection = http.client.HTTPConnection(self.host, self.port, timeout=5)
        try:
            connection.request("GET", HEALTH)
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def wait_ready(self, within: float) -> float:
        """Wait until it says so; return s, or NaN if it did not."""
        begin = time.perf_counter()
        while time.perf_counter() - begin < within:
            if self.ready():
                return time.perf_counter() - begin
            time.sleep(0.05)
        return float("nan")


@contextlib.contextmanager
def running_service(url: str, pid: int | None) -> Iterator[Service]:
    """Yield a service that runs already; with a token it is the environment's, as for the client.

    Raises
    ------
    InvalidInput
        If the address is none.
    NotServed
        If nothing there says that it is ready.
    """
    parts = urlsplit(url if "//" in url else f"http://{url}")
    try:
        host, port = parts.hostname, parts.port or 80
    except ValueError:
        host, port = None, 0
    if parts.scheme != "http" or not host:
        raise InvalidInput(f"--url {url[:200]}: give one such as http://127.0.0.1:8000")
    with tempfile.TemporaryDirectory() as folder:
        token = os.environ.get(TOKEN)
        service = Service(
            host=host,
            port=port,
            root=pid,
            folder=None,
            requests=Path(folder),
            headers={"Authorization": f"Bearer {token}"} if token else {},
        )
        if not service.ready():
            raise NotServed(f"nothing at {host} port {port} says that it is ready")
        yield service


@contextlib.contextmanager
def own_service(options: Sequence[str] = ()) -> Iterator[Service]:
    """Start `deepsched serve` on a free port with a Ray of its own, and end both afterwards.

    Raises
    ------
    NotServed
        If it does not come up; with what it said last.
    """
    folder = Path(tempfile.mkdtemp(prefix="ds"))  # sockets below it have short paths
    requests = folder / "requests"
    requests.mkdir()
    port = free_port()
    process = _served(port, folder, options)
    try:
        service = Service(
            host="127.0.0.1", port=port, root=process.pid, folder=folder, requests=requests
        )
        _wait_started(service, process, folder / "log")
        yield service
    finally:
        end(process)
        shutil.rmtree(folder, ignore_errors=True)


def _served(port: int, folder: Path, options: Sequence[str]) -> subprocess.Popen[bytes]:
    # Everything that it leaves on the disk is below its folder, where it can be counted. The token
    # that Ray would make lies in the home folder, which is not ours.
    places = {"RAY_TMPDIR": str(folder), "TMPDIR": str(folder), "PYTHONPATH": python_path()}
    environment = os.environ | {"RAY_AUTH_MODE": "disabled"} | places
    for name in ("RAY_ADDRESS", TOKENS):
        environment.pop(name, None)
    command = [sys.executable, "-m", "deepsched", "serve", "--port", str(port), *options]
    with (folder / "log").open("wb") as log:
        return subprocess.Popen(command, env=environment, stdout=log, stderr=log, cwd=folder)


def _wait_started(service: Service, process: subprocess.Popen[bytes], log: Path) -> None:
    begin = time.perf_counter()
    while not service.ready():
        if process.poll() is not None or time.perf_counter() - begin > START_WITHIN:
            lines = log.read_text(errors="replace").strip().splitlines()
            raise NotServed(f"the service did not start: {lines[-1] if lines else 'no word'}")
        time.sleep(0.2)


def end(process: subprocess.Popen[bytes]) -> None:
    """End a process and wait; what is left of it and its children after a minute is killed."""
    descendants = [one.pid for one in family(process.pid)]
    process.terminate()  # a background job may ignore Ctrl-C
    try:
        process.wait(timeout=STOP_WITHIN)
    except subprocess.TimeoutExpired:
        for pid in [*descendants, process.pid]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.wait()


def free_port() -> int:
    """Return a port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
