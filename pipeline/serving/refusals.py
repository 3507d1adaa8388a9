"""Why a request is not served: a status and one short line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from deepsched.baselines.errors import DeepSchedError, TooLarge

if TYPE_CHECKING:
    from collections.abc import Mapping

LONGEST_MESSAGE = 400  # characters; an answer never echoes a request at length


class RequestError(DeepSchedError):
    """The request cannot be served; `status` says why in HTTP's words."""

    def __init__(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.headers = dict(headers or {})

    def __reduce__(self) -> tuple[type[RequestError], tuple[int, str, dict[str, str]]]:
        """Keep the status on the way between processes."""
        return type(self), (self.status, str(self), self.headers)


class TooSlow(DeepSchedError):
    """The request is none for a process of quick ones."""


def busy(message: str, wait: float = 1) -> RequestError:
    """Return the refusal of a request for which there is no room now.

    Parameters
    ----------
    wait : s, after which it is worth to ask again.
    """
    return RequestError(503, message, {"Retry-After": str(max(1, round(wait)))})


def status_of(error: DeepSchedError) -> int:
    """Return the HTTP status that says what is wrong."""
    if isinstance(error, RequestError):
        return error.status
    return 413 if isinstance(error, TooLarge) else 400


def line_of(error: DeepSchedError) -> str:
    """Return the line that the client is told."""
    return shorten(str(error), LONGEST_MESSAGE)


def shorten(text: str, longest: int) -> str:
    """Return the text on one line, cut where it is longer than `longest` characters."""
    # Cut before the split as well: the text may be megabytes long.
    line = " ".join(text[: 4 * longest].split())
    return line if len(line) <= longest else line[: longest - 3] + "..."
