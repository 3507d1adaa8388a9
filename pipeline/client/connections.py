"""How the service is reached: address, token, time limits, and what an error of httpx means."""

from __future__ import annotations

import os
import socket
import ssl
from typing import TYPE_CHECKING, Any

import httpx

from deepsched.baselines.errors import InvalidInput
from deepsched.baselines.text import printable
from deepsched.pipeline.client.answers import one_line
from deepsched.pipeline.client.exchange import Broken, Reply

if TYPE_CHECKING:
    from collections.abc import Iterator

TOKEN = "DEEPSCHED_TOKEN"
CONNECT_TIMEOUT = 5.0  # s
MOST_CONNECTIONS = 100


def checked_base(url: str) -> str:
    """Return the address without a slash at its end.

    Raises
    ------
    InvalidInput
        If it is no address of HTTP, or holds a password.
    """
    try:
        parsed = httpx.URL(url)
    except (httpx.InvalidURL, TypeError) as error:
        raise InvalidInput(f"{printable(url)[:200]!r} is no address: {error}") from None
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise InvalidInput(
            f"{printable(url)[:200]!r} is no address of a service; one is http://127.0.0.1:8000"
        )
    if parsed.userinfo or parsed.query or parsed.fragment:
        raise InvalidInput("the address of a service has no name, password, query or fragment")
    return str(parsed).rstrip("/")


def checked_token(token: str | None) -> str | None:
    """Return the token, or that of the environment; None: no token.

    Raises
    ------
    InvalidInput
        If it holds what no header can.
    """
    found = (os.environ.get(TOKEN) if token is None else token) or None
    if found is None:
        return None
    found = found.strip()
    if not found or not all("!" <= letter <= "~" for letter in found):
        where = f"the environment's {TOKEN}" if token is None else "the token"
        raise InvalidInput(f"{where} must be one word of printable ASCII")
    return found


def http_settings(base: str, token: str | None, timeout: float) -> dict[str, Any]:
    """Return what both kinds of httpx's clients are made with."""
    headers = {"User-Agent": "deepsched"}
    found = checked_token(token)
    if found is not None:
        headers["Authorization"] = f"Bearer {found}"
    return {
        "base_url": base,
        "headers": headers,
        "timeout": httpx.Timeout(timeout, connect=min(timeout, CONNECT_TIMEOUT), pool=None),
        "limits": httpx.Limits(
            max_connections=MOST_CONNECTIONS, max_keepalive_connections=MOST_CONNECTIONS
        ),
    }


def reply_of(response: httpx.Response) -> Reply:
    """Return a response whose body has been read."""
    return Reply(status=response.status_code, headers=response.headers, content=response.content)


def broken(error: httpx.HTTPError) -> Broken:
    """Return what an error of httpx says of the service, and whether to try again."""
    said = one_line(str(error)) or type(error).__name__
    if isinstance(error, httpx.ConnectTimeout):
        return Broken(message="cannot be reached: no connection in time", again=True)
    if isinstance(error, httpx.TimeoutException):
        return Broken(message="gave no answer in time", again=False)
    if isinstance(error, httpx.ConnectError):
        causes = list(_causes(error))
        for cause in causes:
            if isinstance(cause, ssl.SSLCertVerificationError):
                said = f"its certificate is not trusted ({cause.verify_message})"
            if isinstance(cause, socket.gaierror):
                said = f"the name is not known ({cause.strerror})"
        lasting = any(
            isinstance(cause, ssl.SSLError)
            or (isinstance(cause, socket.gaierror) and cause.errno != socket.EAI_AGAIN)
            for cause in causes
        )
        return Broken(message=f"cannot be reached: {said}", again=not lasting)
    lost = isinstance(error, httpx.NetworkError | httpx.RemoteProtocolError)
    return Broken(message=f"broke off: {said}", again=lost)


def _causes(error: BaseException) -> Iterator[BaseException]:
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__ or cause.__context__
