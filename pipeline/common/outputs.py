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
    if under_ray_job() and "://" not in out and not out.startswith(("/", "~")):
        raise InvalidInput(
            f"--out {out!r} is relative: under a Ray job it would lie in Ray's private copy of the "
            "working directory and vanish with it; give an absolute path or a URI"
        )


STANDARD = "-"  # in place of a path: standard input, or for --json standard output


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


def check_outputs(source: str, outputs: dict[str, str]) -> None:
    """Refuse outputs that cannot all be written.

    Raises
    ------
    UnwritableOutput
        If a folder is missing or cannot be written to, a path is a folder, or two outputs, or an
        output and the input, are the same file.
    """
    taken = {} if source == STANDARD else {Path(source).resolve(): "the input"}
    for option, given in outputs.items():
        if given == STANDARD:
            if option == "--json":
                continue
            raise UnwritableOutput(f"{option} -: only --json can go to standard output")
        path = Path(given)
        if path.resolve() in taken:
            raise UnwritableOutput(f"{option} {given} is also {taken[path.resolve()]}")
        taken[path.resolve()] = option
        if path.is_dir():
            raise UnwritableOutput(f"{option} {given} is a folder; give a file in it")
        if not path.parent.is_dir():
            raise UnwritableOutput(f"{option} {given}: there is no folder {path.parent}")
        check_writable(path.parent, f"{option} {given}")
