"""A Ray cluster that belongs to somebody else: only workers of our own drivers may be killed."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deepsched.pipeline.common.ray_session import JOB_VARIABLE, package_copy, ray_session
from deepsched.pipeline.faults.nodes import Process
from deepsched.pipeline.faults.trial import clean_environment

if TYPE_CHECKING:
    from collections.abc import Iterator

MARK = "DEEPSCHED_CHAOS"  # in the environment of every worker of our drivers, and of no other


@dataclass(frozen=True, kw_only=True)
class RemoteProcess(Process):
    """A process of one of the cluster's nodes."""

    node: str
    mark: str

    def kill(self) -> None:
        """End it as a crash would."""
        _on_node(self.node, _kill, self.mark, self.pid)


@dataclass(frozen=True, kw_only=True)
class Guest:
    """A cluster that runs already; open it with :func:`guest`.

    Attributes
    ----------
    address : for `--address`.
    environment : for drivers, whose workers it marks.
    mark : the value that marks them.
    """

    address: str
    environment: dict[str, str] = field(repr=False)
    mark: str

    def workers(self) -> list[RemoteProcess]:
        """Return the workers of our drivers, on all nodes."""
        import ray

        asked = {
            node["NodeID"]: _remote(node["NodeID"], _marked).remote(self.mark)
            for node in ray.nodes()
            if node["Alive"]
        }
        found = []
        for node, answer in asked.items():
            with contextlib.suppress(ray.exceptions.RayError):  # the node may have left
                found += [
                    RemoteProcess(pid=pid, title=title, node=node, mark=self.mark)
                    for pid, title in ray.get(answer)
                ]
        return [process for process in found if process.worker]


@contextlib.contextmanager
def guest(address: str) -> Iterator[Guest]:
    """Join the cluster at an address and leave it as it was.

    Raises
    ------
    InvalidInput
        If there is none.
    """
    mark = secrets.token_hex(16)
    # What a driver needs to be let in: tokens, certificates.
    ray_variables = {name: value for name, value in os.environ.items() if name.startswith("RAY_")}
    ray_variables.pop("RAY_ADDRESS", None)
    with package_copy() as package, ray_session(address=address):
        job = {"runtime_env": {"env_vars": {MARK: mark}, "py_modules": [package]}}
        environment = clean_environment() | ray_variables | {JOB_VARIABLE: json.dumps(job)}
        yield Guest(address=address, environment=environment, mark=mark)


def _remote(node: str, function: Any) -> Any:
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    here: Any = NodeAffinitySchedulingStrategy(node_id=node, soft=False)
    task: Any = ray.remote(function)
    return task.options(num_cpus=0, max_retries=0, scheduling_strategy=here)


def _on_node(node: str, function: Any, *arguments: object) -> None:
    import ray

    with contextlib.suppress(ray.exceptions.RayError):
        ray.get(_remote(node, function).remote(*arguments))


def _marked(mark: str) -> list[tuple[int, str]]:
    """Return process id and title of what carries the mark on this node."""
    wanted, found = f"{MARK}={mark}".encode(), []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has ended, or is another user's
            if wanted in (entry / "environ").read_bytes().split(b"\0"):
                title = (entry / "cmdline").read_bytes().replace(b"\0", b" ")
                found.append((int(entry.name), title.decode(errors="replace").strip()))
    return found


def _kill(mark: str, pid: int) -> None:
    # Its number may have gone to another process since.
    if pid in dict(_marked(mark)):
        Process(pid=pid, title="").kill()
