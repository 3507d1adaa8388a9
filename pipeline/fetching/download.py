"""Download one file over HTTP: continued where it was left, tried again, and verified."""

from __future__ import annotations

import hashlib
import http.client
import re
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError, URLError
from urllib.request import (
    HTTPDefaultErrorHandler,
    HTTPErrorProcessor,
    HTTPHandler,
    HTTPRedirectHandler,
    HTTPSHandler,
    OpenerDirector,
    ProxyHandler,
    Request,
    UnknownHandler,
)

if TYPE_CHECKING:
    from pathlib import Path

CHUNK = 2**16
BUSY = (408, 429)  # answers that may be others a moment later, beside all from 500 on


class FetchError(Exception):
    """A file could not be downloaded; says why, in words that follow the file's name."""


class Unreachable(FetchError):
    """Every attempt failed, and no file had an answer from the server before."""


class WrongContent(FetchError):
    """What the server has is not the file of the list."""


class Stopped(Exception):
    """The download was told to stop; what has come stays for the next run."""


class _TryAgain(FetchError):
    """The attempt failed in a way that another may not."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Patience:
    """How long to wait.

    Attributes
    ----------
    timeout : s, for a connection and for each further piece of an answer.
    waits : s, before the second attempt, the third, and so on.
    """

    timeout: float = 20.0
    waits: tuple[float, ...] = (0.5, 2.0, 5.0)


PATIENCE = Patience()


def _opener() -> OpenerDirector:
    """Return what opens http and https, through the environment's proxies, and nothing else."""
    opener = OpenerDirector()
    for handler in (
        ProxyHandler,
        HTTPHandler,
        HTTPSHandler,
        HTTPRedirectHandler,
        HTTPDefaultErrorHandler,
        HTTPErrorProcessor,
        UnknownHandler,
    ):
        opener.add_handler(handler())
    return opener


@dataclass(frozen=True, kw_only=True)
class Downloader:
    """Downloads files one by one; several threads may use it at once.

    Attributes
    ----------
    stop : set it to end all downloads, as soon as their next bytes arrive.
    answered : set once the server has answered anything.
    """

    patience: Patience = PATIENCE
    stop: threading.Event = field(default_factory=threading.Event)
    answered: threading.Event = field(default_factory=threading.Event)
    opener: OpenerDirector = field(default_factory=_opener)

    def download(self, url: str, part: Path, size: int, sha256: str) -> None:
        """Fill the file `part` with the content of `url`, going on behind what is in it.

        Never more than `size` bytes are read. After an exception `part` holds what has come, to go
        on from; but wrong content is deleted.

        Raises
        ------
        WrongContent
            If the content has another size or hash, twice.
        Unreachable, FetchError
            If the server cannot be reached or does not give the file.
        Stopped
        OSError
            If `part` cannot be written.
        """
        waits = iter(self.patience.waits)
        second_chance = True
        while True:
            try:
                self._receive(url, part, size)
                if _sha256(part) != sha256:
                    raise WrongContent("the content does not have the SHA-256 of the list")
                return
            except WrongContent:
                part.unlink(missing_ok=True)
                if not second_chance:
                    raise
                second_chance = False
            except _TryAgain as error:
                wait = next(waits, None)
                if wait is None:
                    kind = FetchError if self.answered.is_set() else Unreachable
                    times = len(self.patience.waits) + 1
                    raise kind(f"{error} (tried {times} times)") from None
                if self.stop.wait(wait):
                    raise Stopped from None

    def _receive(self, url: str, part: Path, size: int) -> None:
        """Append to `part` until it has `size` bytes, or begin anew where the server wants that."""
        offset = part.stat().st_size if part.exists() else 0
        if offset > size:
            offset = 0
        if offset == size:
            return
        response = self._open(url, offset, size)
        if response is None:
            offset = 0
            response = self._open(url, 0, size)
        with response:
            if response.status == 200:
                offset = 0
                length = response.headers.get("Content-Length", "")
                if length.isdecimal() and int(length) != size:
                    raise WrongContent(f"the server has {length} bytes of it, the list {size}")
            with part.open("ab" if offset else "wb") as file:
                while offset < size:
                    chunk = self._read(response, min(CHUNK, size - offset))
                    if self.stop.is_set():
                        raise Stopped
                    if not chunk:
                        raise _TryAgain(f"the answer ended after {offset} of {size} bytes")
                    file.write(chunk)
                    file.flush()  # so that it is there however this ends
                    offset += len(chunk)

    def _open(self, url: str, offset: int, size: int) -> Any:
        """Return the answer: the whole file, or from `offset` on; None: that is not to be had."""
        # Neither must a proxy or mirror pack it, or bytes and hash would not be those of the list.
        headers = {"User-Agent": "deepsched", "Accept-Encoding": "identity"}
        if offset:
            headers["Range"] = f"bytes={offset}-{size - 1}"
        if self.stop.is_set():
            raise Stopped
        try:
            request = Request(url, headers=headers)
            response = self.opener.open(request, timeout=self.patience.timeout)
        except HTTPError as error:
            self.answered.set()
            with error:
                if offset and error.code == 416:
                    return None
                text = " ".join(f"the server answered {error.code} {error.reason}".split())
            again = error.code >= 500 or error.code in BUSY
            raise (_TryAgain if again else FetchError)(text) from None
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise _TryAgain(_reason(error)) from None
        self.answered.set()
        partial = response.status == 206 and offset > 0
        content_range = response.headers.get("Content-Range", "")
        if response.status == 200 or (partial and _continues(content_range, offset, size)):
            return response
        with response:
            if not partial:
                raise FetchError(f"the server answered {response.status} {response.reason}")
        return None

    def _read(self, response: Any, most: int) -> bytes:
        try:
            chunk: bytes = response.read1(most)
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise _TryAgain(_reason(error)) from None
        return chunk


def _continues(content_range: str, offset: int, size: int) -> bool:
    """Whether a 206 holds exactly what was asked for, of a file of the right size."""
    found = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+|\*)", content_range.strip())
    if found is None:
        return False
    first, last, total = found.groups()
    return (int(first), int(last)) == (offset, size - 1) and total in (str(size), "*")


def _reason(error: Exception) -> str:
    cause = error.reason if isinstance(error, URLError) else error
    if isinstance(cause, TimeoutError):
        return "no answer in time"
    if isinstance(cause, OSError) and cause.strerror:
        return cause.strerror
    return " ".join(str(cause).split()) or type(cause).__name__


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
