"""Fetch many files at once, and say of each what became of it."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from dataclasses import dataclass
from queue import SimpleQueue
from typing import TYPE_CHECKING, Literal

from deepsched.baselines.atomic import forget_unfinished
from deepsched.pipeline.common.outputs import make_folder
from deepsched.pipeline.dataset.files import open_folder
from deepsched.pipeline.fetching.download import (
    PATIENCE,
    Downloader,
    FetchError,
    Patience,
    Stopped,
    Unreachable,
)
from deepsched.pipeline.fetching.place import is_right, part_of, put

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from deepsched.pipeline.fetching.sources import Source

FAREWELL = 0.5  # s that threads get to write what has come, when the run is interrupted


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What became of a file.

    Attributes
    ----------
    status : kept: it was there; replaced: something else was in its place.
    reason : why it failed; names the URL.
    unreachable : nobody answered, so that other files need not be tried.
    """

    source: Source
    status: Literal["fetched", "replaced", "kept", "failed", "not tried"]
    reason: str = ""
    unreachable: bool = False


def fetch_all(
    sources: Sequence[Source],
    out: Path,
    base: str,
    *,
    jobs: int = 8,
    patience: Patience = PATIENCE,
    on_outcome: Callable[[Outcome], None] = lambda outcome: None,
) -> list[Outcome]:
    """Fetch the files that are not in `out` yet, `jobs` at a time; outcomes in the files' order.

    One file that fails does not keep the others from being fetched. Where a whole file's attempts
    pass without any answer from the server, those not begun are not tried.

    Parameters
    ----------
    on_outcome : called after each file, in this thread.

    Raises
    ------
    UnwritableOutput
        If a folder cannot be made or written to, or another run fetches to `out`.
    """
    make_folder(out, f"--out {out}")
    with open_folder(str(out)).locked():
        for folder in dict.fromkeys((out / source.here).parent for source in sources):
            make_folder(folder, str(folder))
            forget_unfinished(folder)
        return _run(sources, out, base, jobs, Downloader(patience=patience), on_outcome)


def fetch_one(source: Source, out: Path, base: str, downloader: Downloader) -> Outcome:
    """Fetch a file, unless it is there.

    Raises
    ------
    Stopped
    """
    target = out / source.here
    part = part_of(target)
    try:
        if is_right(target, source):
            part.unlink(missing_ok=True)
            return Outcome(source=source, status="kept")
        there = target.exists()
        downloader.download(source.url(base), part, source.size, source.sha256)
        put(part, target, source)
    except FetchError as error:
        reason = f"{error}: {source.url(base)}"
        lost = isinstance(error, Unreachable)
        return Outcome(source=source, status="failed", reason=reason, unreachable=lost)
    except OSError as error:
        reason = f"cannot be written: {error.strerror or error}"
        return Outcome(source=source, status="failed", reason=reason)
    return Outcome(source=source, status="replaced" if there else "fetched")


def _run(
    sources: Sequence[Source],
    out: Path,
    base: str,
    jobs: int,
    downloader: Downloader,
    on_outcome: Callable[[Outcome], None],
) -> list[Outcome]:
    todo = deque(enumerate(sources))
    done: SimpleQueue[tuple[int, Outcome | BaseException]] = SimpleQueue()

    def work() -> None:
        for place, source in _rest(todo):
            if downloader.stop.is_set():
                return
            result: Outcome | BaseException
            try:
                result = fetch_one(source, out, base, downloader)
            except Stopped:
                return
            except BaseException as error:
                result = error
            done.put((place, result))
            if isinstance(result, Outcome) and result.unreachable:
                for other, unbegun in _rest(todo):
                    done.put((other, Outcome(source=unbegun, status="not tried")))

    # Not an executor: at Ctrl-C its threads are waited for, and a silent server holds them long.
    threads = [threading.Thread(target=work, daemon=True) for _ in range(min(jobs, len(sources)))]
    outcomes: dict[int, Outcome] = {}
    try:
        for thread in threads:
            thread.start()
        while len(outcomes) < len(sources):
            place, result = done.get()
            if isinstance(result, BaseException):
                raise result
            outcomes[place] = result
            on_outcome(result)
    finally:
        downloader.stop.set()
        deadline = time.monotonic() + FAREWELL
        for thread in threads:
            if thread.ident is not None:
                thread.join(max(0.0, deadline - time.monotonic()))
    return [outcomes[place] for place in range(len(sources))]


def _rest(todo: deque[tuple[int, Source]]) -> Iterator[tuple[int, Source]]:
    """Take one after the other of what no thread has begun."""
    with contextlib.suppress(IndexError):
        while True:
            yield todo.popleft()
