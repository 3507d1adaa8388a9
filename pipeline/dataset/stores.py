"""Object stores: opened by URI, with their faults in plain words and no secret in a message."""

from __future__ import annotations

import contextlib
import functools
import re
from typing import TYPE_CHECKING

from pyarrow import fs as pafs

from deepsched.baselines.errors import DeepSchedError

if TYPE_CHECKING:
    from collections.abc import Iterator

_SECRET = re.compile(r"(?<=://)([^/?#@:]*):[^/?#@]*@")
_AWS = re.compile(
    r"bucket '(?P<bucket>[^']*)'.*?AWS Error (?P<code>\w+) during \w+ operation: (.*)"
)
_REQUEST = re.compile(r" \(Request ID: [^)]*\)")
_MEANING = {
    "NO_SUCH_BUCKET": "there is no bucket {bucket!r}",
    "NETWORK_CONNECTION": "no connection to the store of bucket {bucket!r}",
    "ACCESS_DENIED": "access to bucket {bucket!r} is denied; check the credentials",
    "INVALID_ACCESS_KEY_ID": "access to bucket {bucket!r} is denied; check the credentials",
    "SIGNATURE_DOES_NOT_MATCH": "access to bucket {bucket!r} is denied; check the credentials",
}
# Trying again does not help against these; the client has tried three times to connect.
_LASTING = frozenset(_MEANING)


class UnreadableStore(DeepSchedError, OSError):
    """A disk or an object store does not answer, or refuses; the message says where and why."""


@functools.lru_cache(maxsize=16)
def open_store(uri: str) -> tuple[pafs.FileSystem, str]:
    """Return the file system of a URI and the path in it. Connecting takes longer than writing.

    Raises
    ------
    pyarrow.ArrowException, OSError, ValueError
        If the URI cannot be understood.
    """
    if uri.startswith("s3://") and "allow_delayed_open=" not in uri:
        # Small files then go in one request, which leaves nothing half-made behind.
        uri += f"{'&' if '?' in uri else '?'}allow_delayed_open=true"
    found: tuple[pafs.FileSystem, str] = pafs.FileSystem.from_uri(uri)
    return found


def without_secret(uri: str) -> str:
    """Return a URI for messages: `s3://KEY:SECRET@bucket` without the secret."""
    return _SECRET.sub(r"\1:***@", uri)


def reason(error: OSError) -> str:
    """Return why something failed, in a line."""
    found = _AWS.search(str(error))
    if found is None:
        return error.strerror or str(error)
    detail = _REQUEST.sub("", found[3])
    meaning = _MEANING.get(found["code"], found["code"])
    return f"{meaning.format(bucket=found['bucket'])} ({detail})"


def lasts(error: OSError) -> bool:
    """Return whether an object store says something that trying again does not change."""
    found = _AWS.search(str(error))
    return found is not None and found["code"] in _LASTING


@contextlib.contextmanager
def reading(where: str) -> Iterator[None]:
    """Name the place where the storage fails; that a file is not there is no failure.

    Raises
    ------
    FileNotFoundError, UnreadableStore
    """
    try:
        yield
    except (FileNotFoundError, DeepSchedError):
        raise
    except OSError as error:
        raise UnreadableStore(f"{where} cannot be read: {reason(error)}") from None
