"""Files of a dataset by URI: read, hash and atomically write them, on disk or an object store."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
from pyarrow import fs as pafs

from deepsched.baselines.atomic import write_together
from deepsched.baselines.errors import InvalidInput, UnwritableOutput
from deepsched.baselines.text import absolute_path, is_utf8, printable
from deepsched.pipeline.dataset.lease import leased
from deepsched.pipeline.dataset.stores import lasts, open_store, reading, reason, without_secret

if TYPE_CHECKING:
    from collections.abc import Iterator

LOCK = ".lock"
RETRY_AFTER = (0.2, 1.0)  # s between the attempts to write a file
# Trying again does not help against these.
LASTING = frozenset(
    {
        errno.ENOSPC,
        errno.EDQUOT,
        errno.EFBIG,
        errno.EROFS,
        errno.EACCES,
        errno.EPERM,
        errno.ENOTDIR,
        errno.EISDIR,
        errno.ENAMETOOLONG,
    }
)
NO_LOCKS = frozenset({errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP})


@dataclass(frozen=True, kw_only=True)
class Folder:
    """A folder on a local disk or an object store. Open it with :func:`open_folder`.

    Attributes
    ----------
    uri : as the user gave it, but for a secret, for messages.
    filesystem, root : where pyarrow finds it.
    """

    uri: str
    filesystem: pafs.FileSystem
    root: str

    @property
    def local(self) -> bool:
        """Whether it lies on a file system of this machine."""
        return isinstance(self.filesystem, pafs.LocalFileSystem)

    def where(self, name: str) -> str:
        """Return the name of a file for messages."""
        base, query, options = self.uri.partition("?")
        return f"{base.rstrip('/')}/{name}{query}{options}"

    def size(self, name: str) -> int | None:
        """Return the bytes of a file; None where there is none."""
        with reading(self.where(name)):
            info = self.filesystem.get_file_info(f"{self.root}/{name}")
        return int(info.size) if info.type == pafs.FileType.File else None

    def read(self, name: str) -> pa.Buffer:
        """Return the content of a file.

        Raises
        ------
        FileNotFoundError
            If it is not there.
        UnreadableStore
            If the storage fails.
        """
        with (
            reading(self.where(name)),
            self.filesystem.open_input_file(f"{self.root}/{name}") as file,
        ):
            return file.read_buffer()

    def open_input(self, name: str) -> pa.NativeFile:
        """Open a file for reading at random places."""
        return self.filesystem.open_input_file(f"{self.root}/{name}")

    def names(self, below: str = "") -> list[str]:
        """Return the names of all files, or of those below a folder in it, sorted; maybe none."""
        top = f"{self.root}/{below}" if below else self.root
        selector = pafs.FileSelector(top, recursive=True, allow_not_found=True)
        with reading(self.uri):
            infos = self.filesystem.get_file_info(selector)
        prefix = len(self.root.rstrip("/")) + 1
        return sorted(info.path[prefix:] for info in infos if info.type == pafs.FileType.File)

    def write(self, name: str, data: pa.Buffer | bytes) -> None:
        """Put a file there, whole or not at all, and durable when this returns.

        On disk: a temporary file beside it, flushed and renamed. On an object store: one upload,
        of several parts from about 10 MB on. A process that is killed during such an upload leaves
        parts behind that nobody sees and the store counts, until its rules for them apply.

        Raises
        ------
        UnwritableOutput
            Naming the file, after three attempts, or one where trying again is of no use.
        """
        for wait in (*RETRY_AFTER, None):
            try:
                if self.local:
                    target = Path(self.root) / name
                    target.parent.mkdir(parents=True, exist_ok=True)
                    write_together({target: memoryview(data)}, lasting=True)
                else:
                    with self.filesystem.open_output_stream(f"{self.root}/{name}") as stream:
                        stream.write(data)
                return
            except OSError as error:
                if wait is None or error.errno in LASTING or lasts(error):
                    text = f"cannot write {self.where(name)}: {reason(error)}"
                    raise UnwritableOutput(text) from error
                time.sleep(wait)

    def delete(self, name: str) -> None:
        """Remove a file; a file that is not there is as good as removed.

        Raises
        ------
        UnwritableOutput
        """
        try:
            self.filesystem.delete_file(f"{self.root}/{name}")
        except FileNotFoundError:
            pass
        except OSError as error:
            raise UnwritableOutput(f"cannot delete {self.where(name)}: {reason(error)}") from error

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keep others from writing here; a crash lets go of it.

        Object stores have no lock: there a lease is left and renewed, which a crash ends after two
        minutes. It is best effort: two runs that start within the same second may both go on. They
        waste work then, but write equal files.

        Raises
        ------
        UnwritableOutput
            If another process holds it, or the folder cannot be made.
        """
        if not self.local:
            with leased(self):
                yield
            return
        try:
            Path(self.root).mkdir(parents=True, exist_ok=True)
            handle = os.open(Path(self.root) / LOCK, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise UnwritableOutput(f"cannot write to {self.uri}: {error.strerror}") from None
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            raise UnwritableOutput(f"{self.uri}: another run is writing there now") from None
        except OSError as error:
            # Some network file systems have no locks; the promise is then that of an object store.
            if error.errno not in NO_LOCKS:
                os.close(handle)
                raise UnwritableOutput(f"cannot lock {self.uri}: {error.strerror}") from None
        try:
            yield
        finally:
            os.close(handle)


def open_folder(uri: str) -> Folder:
    """Return the folder at a local path or a URI (file://, s3://, gs://); it need not exist.

    Raises
    ------
    InvalidInput
        If the URI cannot be understood.
    """
    local = "://" not in uri
    place = str(absolute_path(uri)) if local else uri
    if not is_utf8(place) or "\0" in place:
        raise InvalidInput(f"{printable(without_secret(place))}: not a name that storage takes")
    if local:
        return Folder(uri=uri, filesystem=pafs.LocalFileSystem(), root=place)
    try:
        filesystem, root = open_store(uri)
    except (pa.ArrowException, OSError, ValueError) as error:
        shown = without_secret(uri)
        text = str(error).replace(uri, shown)
        raise InvalidInput(f"{shown}: not a place that can be opened: {text}") from None
    return Folder(uri=without_secret(uri), filesystem=filesystem, root=root.rstrip("/"))


def sha256(data: pa.Buffer | bytes) -> str:
    """Return the SHA-256 of the content as 64 hexadecimal digits."""
    return hashlib.sha256(memoryview(data)).hexdigest()
