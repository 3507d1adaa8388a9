"""Names and paths of a user, made safe for places that take less than Python's strings."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from deepsched.baselines.errors import InvalidInput

if TYPE_CHECKING:
    import os


def printable(text: object) -> str:
    r"""Return a text as one line for a terminal, a log or a page.

    What moves the cursor, turns the direction, ends the line or is no character at all comes out as
    an escape: `\n`, `\x1b`, `\u202e`, `\udcff` (a byte of a file name that is not UTF-8).
    """
    shown = str(text)
    if shown.isprintable():
        return shown
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in shown)


def plain(text: object) -> str:
    """Return a text as one line of ASCII, for what takes no more: Ray's tags, names and labels."""
    return printable(text).encode("ascii", "backslashreplace").decode()


def is_utf8(text: str) -> bool:
    """Return whether a text can be written as UTF-8: not with a part of a name that is no text."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def absolute_path(path: str | os.PathLike[str]) -> Path:
    """Return a path that means the same in every process, `~` filled in.

    Raises
    ------
    InvalidInput
        If the path begins with a `~` and there is no such home, or the current folder is gone.
    """
    try:
        return Path(path).expanduser().absolute()
    except RuntimeError:
        raise InvalidInput(f"{printable(path)}: there is no such home folder") from None
    except OSError as error:
        reason = error.strerror or error
        raise InvalidInput(f"{printable(path)}: the current folder is gone: {reason}") from None
