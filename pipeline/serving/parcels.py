"""Large bodies on their way to a process of the same node: as files in memory, by name.

A call between processes copies what it carries half a dozen times; a file in memory twice.
"""

from __future__ import annotations

import contextlib
import itertools
import os
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path("/dev/shm")
PREFIX = "deepsched-body-"
LEAST = 100_000  # bytes; smaller bodies go with the call


class NotHere(Exception):
    """The file is not on this node."""


@dataclass(frozen=True, slots=True)
class Parcel:
    """A body in a file, which belongs to the process that wrote it."""

    path: str

    def read(self) -> bytes:
        """Return the body.

        Raises
        ------
        NotHere
            If this process is on another node.
        """
        try:
            return Path(self.path).read_bytes()
        except FileNotFoundError:
            raise NotHere(self.path) from None


def contents(body: bytes | Parcel) -> bytes:
    """Return a body, whichever way it came.

    Raises
    ------
    NotHere
        If it lies on another node.
    """
    return body.read() if isinstance(body, Parcel) else body


class Parcels:
    """The files of one process; what a process that died has left behind is removed."""

    def __init__(self, folder: Path = FOLDER) -> None:
        self._folder = folder
        self._count = itertools.count()
        self.near = folder.is_dir()  # whether those who take them are known to be on this node
        for path in folder.glob(f"{PREFIX}*") if self.near else ():
            owner = path.name.removeprefix(PREFIX).partition("-")[0]
            if owner.isdecimal() and not Path(f"/proc/{owner}").exists():
                path.unlink(missing_ok=True)

    def pack(self, body: bytes) -> bytes | Parcel:
        """Return a large body as a parcel, where there is room for it; else the body itself."""
        if not self.near or len(body) < LEAST:
            return body
        path = self._folder / f"{PREFIX}{os.getpid()}-{next(self._count)}"
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            try:
                view = memoryview(body)
                while view:
                    view = view[os.write(descriptor, view) :]
            finally:
                os.close(descriptor)
        except OSError:
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)
            return body
        return Parcel(str(path))

    def has(self, body: bytes | Parcel) -> bool:
        """Return whether a body is a parcel that lies where it was put."""
        return isinstance(body, Parcel) and Path(body.path).exists()

    def forget(self, body: bytes | Parcel) -> None:
        """Remove the file, when the request is answered."""
        if isinstance(body, Parcel):
            with contextlib.suppress(OSError):
                Path(body.path).unlink()
