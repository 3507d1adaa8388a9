"""Put files in their places whole, or leave what was there. All local writing goes through here."""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path
from typing import TYPE_CHECKING

from deepsched.baselines.errors import UnwritableOutput

if TYPE_CHECKING:
    from collections.abc import Mapping

PREFIX, TEMPORARY = ".deepsched-", ".tmp"  # begin and end of the names of files not there yet


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write `text` as UTF-8, as :func:`write_bytes` does.

    Lone surrogates, which names from JSON may hold and UTF-8 may not, come out as backslash
    escapes.

    Raises
    ------
    UnwritableOutput
        If the folder does not exist or the file cannot be written; names the path and the reason.
    """
    write_bytes(path, text.encode("utf-8", errors="backslashreplace"))


def write_bytes(path: str | os.PathLike[str], data: bytes | memoryview) -> None:
    """Write `data` to `path`: a temporary file in its folder, flushed, then renamed.

    A link is followed. A device or pipe is written to directly.

    Raises
    ------
    UnwritableOutput
        If the folder does not exist or the file cannot be written; names the path and the reason.
    """
    try:
        target = Path(path).resolve()
        if target.is_dir():
            raise UnwritableOutput(f"{path}: cannot be written: it is a folder")
        if target.exists() and not target.is_file():
            target.write_bytes(data)
            return
        write_together({target: data})
    except UnwritableOutput:
        raise
    except (OSError, ValueError, RuntimeError) as error:  # a NUL in the name; a loop of links
        reason = getattr(error, "strerror", None) or error
        raise UnwritableOutput(f"{path}: cannot be written: {reason}") from None


def write_together(contents: Mapping[Path, bytes | memoryview], *, lasting: bool = False) -> None:
    """Write several files; all are complete on disk before the first takes its place.

    Whatever ends it early, an interrupt too, leaves no temporary file; only a killed process does,
    one for which :func:`is_temporary` holds.

    Parameters
    ----------
    contents : by file; links are replaced, not followed.
    lasting : flush the folders too, so that the renames survive a power cut.

    Raises
    ------
    OSError
    """
    temporary = {
        path: path.with_name(f"{PREFIX}{secrets.token_hex(8)}{TEMPORARY}") for path in contents
    }
    try:
        for path, data in contents.items():
            with temporary[path].open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        for path in contents:
            temporary[path].replace(path)
    except BaseException:
        for leftover in temporary.values():
            with contextlib.suppress(OSError):
                leftover.unlink(missing_ok=True)
        raise
    if lasting:
        for folder in dict.fromkeys(path.parent for path in contents):
            flush_folder(folder)


def flush_folder(folder: Path) -> None:
    """Make renames in a folder survive a power cut.

    Raises
    ------
    OSError
    """
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def is_temporary(name: str) -> bool:
    """Return whether a file of that name, or at that path, is one that was not put in place yet."""
    last = name.rsplit("/", 1)[-1]
    return last.startswith(".") and last.endswith(TEMPORARY)


def forget_unfinished(folder: Path) -> None:
    """Remove what killed processes left in a folder where nobody else writes now.

    Raises
    ------
    OSError
    """
    for leftover in folder.glob(f"{PREFIX}*{TEMPORARY}"):
        leftover.unlink(missing_ok=True)
