"""Ray nodes on this machine, each a process group that can be killed, and what runs on them."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from deepsched.pipeline.faults.trial import Broken, NotPossible, clean_environment

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator
    from types import FrameType

START_LIMIT = 120.0  # s
STORE = 100_000_000  # bytes of each node's object store
# What Ray calls a worker that makes a shard, and a training process.
BUSY = ("ray::label_shard", "ray::RayTrainWorker")
HOST = "127.0.0.1"


@dataclass(frozen=True, kw_only=True)
class Process:
    """A process of this machine, by the title it shows."""

    pid: int
    title: str

    @property
    def worker(self) -> bool:
        """Whether it runs tasks of Ray, or trains."""
        return self.title.startswith(("ray::IDLE", *BUSY))

    @property
    def busy(self) -> bool:
        """Whether it makes a shard or trains."""
        return self.title.startswith(BUSY)

    @property
    def raylet(self) -> bool:
        """Whether it is the node itself."""
        return self.title.partition(" ")[0].endswith("/raylet")

    def kill(self) -> None:
        """End it as a crash would."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)


def processes_of(session: int) -> list[Process]:
    """Return the processes of a session, as `setsid` made it, oldest first."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        with contextlib.suppress(OSError):
            # The name stands in brackets and may hold anything; the fields follow it.
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
            if int(fields[3]) == session and fields[0] != "Z":
                title = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
                found.append(Process(pid=int(entry.name), title=title))
    return sorted(found, key=lambda process: process.pid)


@dataclass(kw_only=True)
class Nodes:
    """A cluster on this machine; open it with :func:`cluster`.

    Attributes
    ----------
    address : for `--address`.
    environment : for its drivers, with its token.
    running : `ray start --block` of each node by name.
    """

    folder: Path
    environment: dict[str, str]
    address: str = ""
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    _started: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start_head(self, cpus: int) -> None:
        """Start a head node on a port of its own.

        Raises
        ------
        Broken
            If it does not come up.
        """
        for _ in range(2):  # Ray gives itself 30 s, which a busy machine may exceed once
            port = free_port()
            process = self._start(
                "head",
                cpus,
                "--head",
                f"--port={port}",
                f"--ray-client-server-port={free_port()}",
                "--include-dashboard=false",
            )
            deadline = time.monotonic() + START_LIMIT
            while process.poll() is None and time.monotonic() < deadline:
                if any(found.raylet for found in self.processes("head")):
                    self.address = f"{HOST}:{port}"
                    return
                time.sleep(0.1)
            self.kill("head")
        raise Broken(f"no Ray node comes up; see {self.folder}")

    def start_node(self, name: str, cpus: int) -> None:
        """Start a node that joins; it takes some seconds."""
        self._start(name, cpus, f"--address={self.address}")

    def processes(self, name: str) -> list[Process]:
        """Return what runs on a node."""
        return processes_of(self.running[name].pid)

    def workers(self, name: str | None = None) -> list[Process]:
        """Return the workers of a node, or of all."""
        names = self.running if name is None else [name]
        return [found for node in names for found in self.processes(node) if found.worker]

    def busy_node(self, rng: random.Random, names: list[str], within: float) -> str | None:
        """Return one that works now; None if none does within so many seconds."""
        deadline = time.monotonic() + within
        while time.monotonic() < deadline:
            busy = [name for name in names if any(found.busy for found in self.workers(name))]
            if busy:
                return rng.choice(busy)
            time.sleep(0.05)
        return None

    def up(self, name: str) -> bool:
        """Return whether a node has not ended."""
        return self.running[name].poll() is None

    def kill(self, name: str) -> None:
        """Kill everything on a node at once."""
        for found in self.processes(name):
            found.kill()
        self.running[name].wait()

    def logs(self, pattern: str) -> Iterator[str]:
        """Yield the lines of Ray's logs."""
        for path in sorted(self.folder.glob(f"*/session_2*/logs/{pattern}")):
            if not path.is_file():
                continue
            with path.open(errors="replace") as file:
                yield from file

    def _start(self, name: str, cpus: int, *options: str) -> subprocess.Popen[bytes]:
        # Nodes share no folder, or one would unpack a driver's files over those of another.
        temp = self.folder / f"{len(self._started)}"
        words = [str(Path(sys.executable).parent / "ray"), "start", "--block", *options]
        words += [f"--node-ip-address={HOST}", f"--num-cpus={cpus}", f"--temp-dir={temp}"]
        words += [f"--object-store-memory={STORE}", "--min-worker-port=0", "--max-worker-port=0"]
        words += [f"--dashboard-agent-listen-port={free_port()}"]
        words += ["--include-log-monitor=false"]  # nobody reads what workers print
        with (self.folder / f"node{len(self._started)}.log").open("wb") as output:
            process = subprocess.Popen(
                words,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._started.append(process)
        self.running[name] = process
        return process

    def close(self) -> None:
        """End every node that was ever started, with what it left."""
        for process in self._started:
            process.terminate()
        for process in self._started:
            for found in processes_of(process.pid):
                found.kill()
            process.wait()


@contextlib.contextmanager
def cluster(**variables: str) -> Iterator[Nodes]:
    """Make room for nodes that only this process's children can join; nothing is started yet.

    Raises
    ------
    NotPossible
        Where processes cannot be looked at.
    """
    if not Path("/proc/self/stat").exists():
        raise NotPossible("killing parts of Ray needs Linux's /proc")
    # Socket paths are limited to 107 bytes, so the folder must be short.
    folder = Path(tempfile.mkdtemp(prefix="rc", dir="/tmp"))
    token = folder / "token"
    token.write_text(secrets.token_hex(32))
    token.chmod(0o600)
    environment = clean_environment() | variables
    environment |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(token)}
    nodes = Nodes(folder=folder, environment=environment)
    # No node may outlive this process, also where `timeout` or a supervisor ends it.
    handler = signal.signal(signal.SIGTERM, _leave)
    try:
        yield nodes
    finally:
        nodes.close()
        signal.signal(signal.SIGTERM, handler)
        shutil.rmtree(folder, ignore_errors=True)


def _leave(number: int, frame: FrameType | None) -> NoReturn:
    sys.exit(128 + number)


def free_port() -> int:
    """Return a port that nobody uses now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port
