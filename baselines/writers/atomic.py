"""Put a file in its place whole, or leave what was there."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from deepsched.baselines.errors import UnwritableOutput


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write `text` as UTF-8 to `path`: a temporary file in its folder, flushed, then renamed.

    A link is followed. A device or pipe is written to directly. Lone surrogates, which names from
    JSON may hold and UTF-8 may not, come out as backslash escapes.

    Raises
    ------
    UnwritableOutput
        If the folder does not exist or the file cannot be written; names the path and the reason.
    """
    data = text.encode("utf-8", errors="backslashreplace")
    try:
        target = Path(path).resolve()
        if target.is_dir():
            raise UnwritableOutput(f"{path}: cannot be written: it is a folder")
        if target.exists() and not target.is_file():
            target.write_bytes(data)
            return
        _replace(target, data)
    except UnwritableOutput:
        raise
    except (OSError, ValueError, RuntimeError) as error:  # a NUL in the name; a loop of links
        reason = getattr(error, "strerror", None) or error
        raise UnwritableOutput(f"{path}: cannot be written: {reason}") from None


def _replace(target: Path, data: bytes) -> None:
    temporary = target.with_name(f".deepsched-{secrets.token_hex(8)}.tmp")
    try:
        with temporary.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(target)
    except BaseException:  # also when interrupted: leave nothing behind
        temporary.unlink(missing_ok=True)
        raise
