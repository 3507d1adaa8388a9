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


def glimpse(body: bytes | Parcel, first: int, last: int) -> tuple[int, bytes, bytes]:
    """Return how many bytes a body has, and so many of its first and last ones."""
    if isinstance(body, bytes):
        return len(body), body[:first], body[-last:]
    with Path(body.path).open("rb") as file:
        head = file.read(first)
        size = file.seek(0, os.SEEK_END)
        file.seek(max(size - last, 0))
        return size, head, file.read(last)


class Packing:
    """A body that comes in parts: in memory as long as it is small, then in a file.

    It is never put together here, which would keep everybody waiting.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path  # None: in memory, whatever its size
        self._parts: list[bytes] = []
        self._descriptor: int | None = None
        self.size = 0

    def add(self, part: bytes) -> None:
        """Take the next part."""
        self._parts.append(part)
        self.size += len(part)
        if self._path is not None and self.size >= LEAST:
            try:
                self._write(self._path)
            except OSError:  # no room
                self._into_memory()

    def done(self) -> bytes | Parcel:
        """Return the body."""
        if self._descriptor is None:
            return self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
        os.close(self._descriptor)
        self._descriptor = None
        return Parcel(str(self._path))

    def drop(self) -> None:
        """Forget what has come."""
        self._parts.clear()
        if self._descriptor is not None and self._path is not None:
            os.close(self._descriptor)
            self._descriptor = None
            _remove(self._path)

    def _write(self, path: Path) -> None:
        if self._descriptor is None:
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        while self._parts:
            wrote = os.write(self._descriptor, self._parts[0])
            if wrote < len(self._parts[0]):
                self._parts[0] = self._parts[0][wrote:]
            else:
                del self._parts[0]

    def _into_memory(self) -> None:
        if self._descriptor is not None:
            os.lseek(self._descriptor, 0, os.SEEK_SET)
            with os.fdopen(self._descriptor, "rb") as file:
                self._parts.insert(0, file.read())
            self._descriptor = None
        if self._path is not None:
            _remove(self._path)
            self._path = None


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
        packing = self.packing()
        packing.add(body)
        return packing.done()

    def packing(self) -> Packing:
        """Return a place for a body that comes in parts."""
        path = self._folder / f"{PREFIX}{os.getpid()}-{next(self._count)}"
        return Packing(path if self.near else None)

    def has(self, body: bytes | Parcel) -> bool:
        """Return whether a body is a parcel that lies where it was put."""
        return isinstance(body, Parcel) and Path(body.path).exists()

    def forget(self, body: bytes | Parcel) -> None:
        """Remove the file, when the request is answered."""
        if isinstance(body, Parcel):
            _remove(Path(body.path))


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink()
