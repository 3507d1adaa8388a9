"""Local output folders, refused before any work when they cannot be written to."""

from __future__ import annotations

import tempfile
from typing import TYPE_CHECKING

from deepsched.baselines.errors import UnwritableOutput

if TYPE_CHECKING:
    from pathlib import Path


def check_writable(folder: Path, what: str) -> None:
    """Make sure that a file can be created in `folder`, leaving nothing there.

    Raises
    ------
    UnwritableOutput
        Naming `what`, the option or path the user gave.
    """
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise UnwritableOutput(f"{what} cannot be written: {error.strerror or error}") from None


def make_folder(folder: Path, what: str) -> Path:
    """Create a folder and those above it, and make sure that it can be written to.

    Raises
    ------
    UnwritableOutput
        Naming `what`.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UnwritableOutput(f"{what} cannot be made: {error.strerror or error}") from None
    check_writable(folder, what)
    return folder
