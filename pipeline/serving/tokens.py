"""Bearer tokens: who may ask."""

from __future__ import annotations

import hmac
import os
from typing import TYPE_CHECKING

from deepsched.baselines.errors import InvalidInput

if TYPE_CHECKING:
    from pathlib import Path

VARIABLE = "DEEPSCHED_TOKENS"  # tokens, apart by commas or spaces
SHORTEST = 16  # characters; a shorter one can be guessed


class Tokens:
    """The tokens of a file, one a line, and of the environment; of none, everybody may ask.

    The file is read again when it changes, so that tokens are exchanged without a restart: put the
    new one beside the old, change the clients, take the old one out. Lines that begin with # say
    nothing.

    Raises
    ------
    InvalidInput
        When made, if the file cannot be read, holds no token, or one is too short.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._fixed = _checked(os.environ.get(VARIABLE, "").replace(",", " ").split(), VARIABLE)
        self._seen: tuple[int, int, int] | None = None
        self._of_file: list[bytes] = []
        if path is not None:
            self._read()
            if not self._of_file:
                raise InvalidInput(f"{path}: holds no token")

    @property
    def wanted(self) -> bool:
        """Whether a token is needed at all."""
        return self._path is not None or bool(self._fixed)

    def allow(self, authorization: str) -> bool:
        """Return whether a request with that `Authorization` header may be served."""
        if not self.wanted:
            return True
        self._refresh()
        scheme, _, given = authorization.partition(" ")
        token = given.strip().encode()
        # Each is compared, whatever is found, so that the time tells nothing.
        found = [hmac.compare_digest(token, known) for known in (*self._fixed, *self._of_file)]
        return scheme.lower() == "bearer" and any(found)

    def _refresh(self) -> None:
        if self._path is None:
            return
        try:
            state = self._path.stat()
            now = (state.st_mtime_ns, state.st_ino, state.st_size)
            if now != self._seen:
                self._read()
        except (OSError, InvalidInput):
            pass  # those before hold, until the file is right again

    def _read(self) -> None:
        assert self._path is not None
        try:
            state = self._path.stat()
            lines = self._path.read_text().splitlines()
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "not text"
            raise InvalidInput(f"{self._path}: tokens cannot be read: {reason}") from None
        tokens = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
        self._of_file = _checked(tokens, str(self._path))
        self._seen = (state.st_mtime_ns, state.st_ino, state.st_size)


def _checked(tokens: list[str], where: str) -> list[bytes]:
    for k, token in enumerate(tokens):
        if len(token) < SHORTEST or not token.isascii() or " " in token:
            raise InvalidInput(
                f"{where}: token {k + 1}: at least {SHORTEST} ASCII characters, no spaces"
            )
    return [token.encode() for token in tokens]
