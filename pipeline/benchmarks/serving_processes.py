"""What the processes of a running service use: CPU, memory, descriptors, threads, by their kind."""

from __future__ import annotations

import contextlib
import os
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

PROC = Path("/proc")
OTHERS = "ray"  # the driver and Ray's own processes
# What Ray calls its processes, and what we do. A replica's title also names the application.
_REPLICA = re.compile(r"^ray::ServeReplica:[^:]*:(\w+)")
_PROXY = re.compile(r"^ray::\w*Proxy")


@dataclass(frozen=True, kw_only=True, slots=True)
class Process:
    """One process as /proc shows it.

    Attributes
    ----------
    kind : what it does for the service, in lower case: proxy, gateway, a deployment's name, or ray.
    cpu : s of it and of its children that have ended.
    """

    pid: int
    parent: int
    kind: str
    cpu: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Usage:
    """What some processes hold."""

    megabytes: float  # resident, MB = 10^6 bytes; a page that several share is split among them
    descriptors: int
    threads: int


def family(root: int, proc: Path = PROC) -> list[Process]:
    """Return a process and all that descend from it, each before its children.

    One whose title says nothing is of its parent's kind: a worker's helpers are the worker's.
    """
    read = {int(entry.name): entry for entry in proc.iterdir() if entry.name.isdigit()}
    stats = {pid: stat for pid, entry in read.items() if (stat := _stat(entry)) is not None}
    children: dict[int, list[int]] = {}
    for pid, (parent, _) in stats.items():
        children.setdefault(parent, []).append(pid)
    found: list[Process] = []
    waiting = [(root, OTHERS)] if root in stats else []
    for pid, inherited in waiting:  # it grows meanwhile
        kind = kind_of(_title(read[pid])) or inherited
        parent, cpu = stats[pid]
        found.append(Process(pid=pid, parent=parent, kind=kind, cpu=cpu))
        waiting += [(child, kind) for child in sorted(children.get(pid, ()))]
    return found


def kind_of(title: str) -> str | None:
    """Return what a process with this title does, or None if the title does not say.

    Examples
    --------
    >>> kind_of("ray::ServeReplica:deepsched:Gateway"), kind_of("ray::ProxyActor")
    ('gateway', 'proxy')
    """
    replica = _REPLICA.match(title)
    if replica:
        return replica[1].lower()
    if _PROXY.match(title):
        return "proxy"
    return OTHERS if title.startswith("ray::") else None


def cpu_by_kind(root: int, proc: Path = PROC) -> Counter[str]:
    """Return s of CPU since the start by kind of process; differences of two calls are exact.

    The time of a process that has ended is in its parent's.
    """
    total: Counter[str] = Counter()
    for process in family(root, proc):
        total[process.kind] += process.cpu  # type: ignore[assignment]
    return total


def usage_by_kind(root: int, proc: Path = PROC) -> dict[str, Usage]:
    """Return what is held now, by kind of process."""
    found: dict[str, list[Usage]] = {}
    for process in family(root, proc):
        with contextlib.suppress(OSError, KeyError):  # it has ended meanwhile
            found.setdefault(process.kind, []).append(_usage(proc / str(process.pid)))
    return {kind: summed(parts) for kind, parts in found.items()}


def summed(parts: list[Usage]) -> Usage:
    """Return the sum."""
    return Usage(
        megabytes=sum(one.megabytes for one in parts),
        descriptors=sum(one.descriptors for one in parts),
        threads=sum(one.threads for one in parts),
    )


def per_request(
    before: Mapping[str, float],
    after: Mapping[str, float],
    *,
    seconds: float,
    idle: Mapping[str, float],
    requests: int,
) -> dict[str, float]:
    """Return ms of CPU a request by kind.

    Parameters
    ----------
    seconds : between the two.
    idle : s of CPU a second by kind when nobody asks, which no request has caused.
    """
    kinds = sorted({*before, *after})
    spent = {
        kind: after.get(kind, 0.0) - before.get(kind, 0.0) - seconds * idle.get(kind, 0.0)
        for kind in kinds
    }
    return {kind: 1e3 * max(value, 0.0) / requests for kind, value in spent.items()}


def _stat(entry: Path) -> tuple[int, float] | None:
    """Return a process's parent, and s of CPU of it and its ended children."""
    try:
        text = (entry / "stat").read_text(errors="replace")
    except OSError:
        return None
    fields = text[text.rindex(")") + 2 :].split()  # the name before may hold anything
    return int(fields[1]), sum(map(int, fields[11:15])) / _ticks()


def _title(entry: Path) -> str:
    try:
        return (entry / "cmdline").read_text(errors="replace").replace("\0", " ").strip()
    except OSError:
        return ""


def _ticks() -> int:
    return os.sysconf("SC_CLK_TCK")


def _usage(entry: Path) -> Usage:
    status, memory = (dict(_lines(entry / name)) for name in ("status", "smaps_rollup"))
    return Usage(
        megabytes=int(memory["Pss"].split()[0]) * 1024 / 1e6,
        descriptors=len(list((entry / "fd").iterdir())),
        threads=int(status["Threads"]),
    )


def _lines(path: Path) -> Iterator[tuple[str, str]]:
    for line in path.read_text(errors="replace").splitlines():
        key, _, value = line.partition(":")
        yield key, value.strip()
