"""A lease: what stands for a lock where the storage has none. Best effort."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import time
import uuid
from typing import TYPE_CHECKING, Any, Protocol

from deepsched.baselines.errors import UnwritableOutput
from deepsched.pipeline.common.ticking import every
from deepsched.pipeline.dataset.stores import UnreadableStore

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

LEASE = ".lease.json"
LASTS = 120.0  # s, for which a lease holds if nobody renews it
SETTLES = 1.0  # s, after which the last of two that came at once has its lease there


class Place(Protocol):
    """Where a lease lies: a folder as `files.Folder` is one."""

    @property
    def uri(self) -> str:
        """What the place is called in messages."""

    def read(self, name: str) -> pa.Buffer:
        """Return the content of a file, or raise `FileNotFoundError`."""

    def write(self, name: str, data: bytes) -> None:
        """Put a file there."""

    def delete(self, name: str) -> None:
        """Remove a file."""


@contextlib.contextmanager
def leased(folder: Place) -> Iterator[None]:
    """Leave a note that this process writes in a folder, and renew it until the block ends.

    Raises
    ------
    UnwritableOutput
        If somebody else's note is there and younger than two minutes.
    UnreadableStore
        If the storage does not answer.
    """
    note = {"owner": uuid.uuid4().hex, "host": socket.gethostname(), "pid": os.getpid()}
    _refuse_if_taken(folder, note)
    _write(folder, note)
    time.sleep(SETTLES)
    _refuse_if_taken(folder, note)

    def renew() -> None:
        with contextlib.suppress(UnwritableOutput):  # the next one may succeed, in time
            _write(folder, note)

    try:
        with every(LASTS / 4, renew):
            yield
    finally:
        with contextlib.suppress(UnwritableOutput):
            folder.delete(LEASE)


def _write(folder: Place, note: dict[str, Any]) -> None:
    folder.write(LEASE, json.dumps({**note, "time": time.time()}).encode())


def _refuse_if_taken(folder: Place, note: dict[str, Any]) -> None:
    try:
        found = json.loads(folder.read(LEASE).to_pybytes())
        age = time.time() - float(found["time"])
        owner, where, pid = found["owner"], str(found["host"]), int(found["pid"])
    except FileNotFoundError:
        return
    except UnreadableStore:
        raise
    except (OSError, ValueError, KeyError, TypeError):
        return  # half a note holds nobody back
    if owner == note["owner"] or age > LASTS or (where == note["host"] and not _alive(pid)):
        return
    raise UnwritableOutput(
        f"{folder.uri}: another run is writing there now, process {pid} on {where}; if it was "
        f"killed, its lease ends in {LASTS - age:.0f} s"
    )


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
