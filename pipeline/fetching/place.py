"""A fetched file in its place: whether it is there already, and putting it there whole."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import shutil
import zlib
from typing import IO, TYPE_CHECKING

from deepsched.baselines.atomic import flush_folder, write_together

if TYPE_CHECKING:
    from pathlib import Path

    from deepsched.pipeline.fetching.sources import Source

CHUNK = 2**20
LEVEL = 9  # of gzip; another one is another file with the same content


def part_of(target: Path) -> Path:
    """Return the file that a download fills; hidden, so that nobody takes it for a workflow."""
    return target.with_name(f".{target.name}.part")


def is_right(target: Path, source: Source) -> bool:
    """Return whether `target` holds what the list says, unpacked where it is packed here."""
    try:
        if source.packed:
            with gzip.open(target) as file:
                return _has(file, source)
        with target.open("rb") as plain:
            return _has(plain, source)
    except (OSError, EOFError, zlib.error):
        return False


def put(part: Path, target: Path, source: Source) -> None:
    """Turn `part` into `target`, packed where the list says so; whole or not at all.

    The bytes depend on the content alone: the gzip header has no name, and its time is 0.

    Raises
    ------
    OSError
        If it cannot be written; `part` stays.
    """
    if source.packed:
        content = io.BytesIO()
        with (
            part.open("rb") as plain,
            gzip.GzipFile("", "wb", LEVEL, fileobj=content, mtime=0) as packed,
        ):
            shutil.copyfileobj(plain, packed, CHUNK)
        write_together({target: content.getbuffer()}, lasting=True)
        part.unlink()
    else:
        with part.open("rb") as file:
            os.fsync(file.fileno())
        part.replace(target)
        flush_folder(target.parent)


def _has(file: IO[bytes] | gzip.GzipFile, source: Source) -> bool:
    """Whether the size and the hash are right; reads little more than the right size."""
    digest, size = hashlib.sha256(), 0
    while size <= source.size and (chunk := file.read(CHUNK)):
        digest.update(chunk)
        size += len(chunk)
    return size == source.size and digest.hexdigest() == source.sha256
