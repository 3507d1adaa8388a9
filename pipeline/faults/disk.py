"""Disks that fail: errors or death put in the way of files, and a small disk that is full."""

from __future__ import annotations

import contextlib
import errno
import os
import runpy
import signal
import subprocess
import sys
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any
from unittest import mock

import click

from deepsched.baselines.atomic import TEMPORARY
from deepsched.pipeline.common.cli import run_command
from deepsched.pipeline.common.numbers import Whole

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PLACES = ("write", "fsync", "rename")
MEGABYTE = 1_000_000


@contextlib.contextmanager
def failing(
    place: str, error: int | None, after: int, times: int | None = None
) -> Iterator[list[str]]:
    """Let a step of writing files fail in this process, after some that succeed.

    Parameters
    ----------
    place : "write" (half of the content arrives), "fsync" or "rename".
    error : number from `errno`; None: the process kills itself there, after a line that says where.
    times : how often it fails; None: from then on always.

    Returns
    -------
    The names of the files it failed on, which grows.
    """
    failed: list[str] = []
    left = after

    def step(name: str, before: Callable[[], object] = lambda: None) -> None:
        nonlocal left
        left -= 1
        if left < 0 and (times is None or len(failed) < times):
            failed.append(name)
            before()
            if error is None:
                click.echo(f"SIGKILL at {place} of {name}", err=True)
                os.kill(os.getpid(), signal.SIGKILL)
            else:
                raise OSError(error, os.strerror(error))

    class Stream:
        """A file of which half arrives."""

        def __init__(self, file: IO[Any]) -> None:
            self._file = file

        def __enter__(self) -> Stream:
            return self

        def __exit__(self, *raised: object) -> None:
            self._file.close()

        def __getattr__(self, name: str) -> Any:
            return getattr(self._file, name)

        def write(self, data: memoryview) -> int:
            step(str(self._file.name), lambda: self._half(data))
            return self._file.write(data)

        def _half(self, data: memoryview) -> None:
            self._file.write(data[: len(data) // 2])
            self._file.flush()

    opened, synced, replaced, renamed = Path.open, os.fsync, Path.replace, Path.rename

    def open_(path: Path, mode: str = "r", *rest: Any, **options: Any) -> Any:
        file = opened(path, mode, *rest, **options)
        return Stream(file) if path.name.endswith(TEMPORARY) and "x" in mode else file

    def fsync(handle: int) -> None:
        try:
            name = str(Path(f"/proc/self/fd/{handle}").readlink())
        except OSError:
            name = f"file {handle}"
        step(name)
        synced(handle)

    def replace(path: Path, target: Path) -> Path:
        step(str(target))
        return replaced(path, target)

    def rename(path: Path, target: Path) -> Path:
        step(str(target))
        return renamed(path, target)

    patches: dict[str, Any] = {
        "write": mock.patch.object(Path, "open", open_),
        "fsync": mock.patch.object(os, "fsync", fsync),
        "rename": mock.patch.multiple(Path, replace=replace, rename=rename),
    }
    with patches[place]:
        yield failed


@contextlib.contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[Path | None]:
    """Mount a disk in memory, in a name space of its own, where the system allows it.

    Returns
    -------
    A path to it for other processes of this user; None where the system does not allow it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    script = 'mount -t tmpfs -o size="$1"m tmpfs "$0" && echo ready && exec sleep infinity'
    words = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script]
    try:
        process = subprocess.Popen(
            [*words, str(folder), str(megabytes)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
    except OSError:
        yield None
        return
    assert process.stdout is not None
    try:
        ready = process.stdout.readline() == b"ready\n"
        place = Path(f"/proc/{process.pid}/root{folder.resolve()}")
        yield place if ready and os.access(place, os.W_OK) else None
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def fill(disk: Path, leave: int) -> Path:
    """Fill a disk but for some bytes, and return the file that does it."""
    ballast = disk / "ballast"
    free = os.statvfs(disk)
    size = free.f_bavail * free.f_frsize - leave
    with ballast.open("wb") as file:
        for _ in range(0, size, MEGABYTE):
            file.write(bytes(min(MEGABYTE, size - file.tell())))
    return ballast


# Not a command of its own: the scenarios start it as a driver whose disk fails.
@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("place", type=click.Choice(PLACES))
@click.argument("error")
@click.argument("after", type=Whole())
@click.argument("times", type=Whole())
@click.argument("words", nargs=-1, type=click.UNPROCESSED)
def command(place: str, error: str, after: int, times: int, words: tuple[str, ...]) -> None:
    """Run `deepsched label WORDS` while PLACE fails with ERROR, TIMES times or, for 0, always."""
    sys.argv = ["deepsched", "label", *words]
    with failing(place, getattr(errno, error), after, times or None):
        runpy.run_module("deepsched", run_name="__main__")


if __name__ == "__main__":
    run_command(command)
