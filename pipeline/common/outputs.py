"""Where output may go: refused before any work where nobody would find it or it cannot be."""

from __future__ import annotations

import tempfile
from pathlib import Path

from deepsched.baselines.errors import InvalidInput, UnwritableOutput
from deepsched.pipeline.common.ray_session import under_ray_job


def check_destination(out: str) -> None:
    """Refuse a relative path where it would end up in a folder that nobody finds.

    Raises
    ------
    InvalidInput
    """
    if under_ray_job() and "://" not in out and not Path(out).expanduser().is_absolute():
        raise InvalidInput(
            f"--out {out!r} is relative: under a Ray job it would lie in Ray's private copy of the "
            "working directory and vanish with it; give an absolute path or a URI"
        )


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
