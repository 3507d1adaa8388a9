"""Compressed bytes, unpacked where the standard library can."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zipfile
import zlib
from typing import IO, TYPE_CHECKING, Any

from deepsched.baselines.errors import InvalidInput
from deepsched.baselines.readers._values import echo

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_BYTES = 2**30  # unpacked; 84,654 tasks x 188 machines in JSON are a third of it
CHUNK = 2**20
MAX_LAYERS = 3  # gzip in gzip happens; more is an attack
XZ_MEMORY = 2**28  # bytes that a file may ask the xz unpacker to take
SUFFIXES = (".gz", ".bz2", ".xz", ".lzma", ".zip", ".zst")

# What begins so cannot be unpacked here.
FOREIGN = {
    b"\x28\xb5\x2f\xfd": "zstd; unpack it first, as zstd -d does",
    b"\x04\x22\x4d\x18": "lz4; unpack it first, as lz4 -d does",
    b"\x1f\x9d": "compress (.Z); unpack it first, as uncompress does",
    b"7z\xbc\xaf\x27\x1c": "7-Zip; unpack it first, as 7z x does",
    b"Rar!": "RAR; unpack it first",
    b"LZIP": "lzip; unpack it first, as lzip -d does",
}


def unpacked(data: bytes, where: str) -> bytes:
    """Return bytes that are not compressed: those given, or what gzip, bz2, xz or zip hold.

    Raises
    ------
    InvalidInput
        If they are compressed by something else, damaged, truncated or too large, or a zip holds
        more than one file.
    """
    for _ in range(MAX_LAYERS):
        for mark, text in FOREIGN.items():
            if data.startswith(mark):
                raise InvalidInput(f"{where}: compressed by {text}")
        unpack = _unpacker(data)
        if unpack is None:
            return data
        data = unpack(data, where)
    if _unpacker(data) is not None:
        raise InvalidInput(f"{where}: compressed more than {MAX_LAYERS} times over")
    return data


def is_packed(data: bytes) -> bool:
    """Return whether bytes are compressed, by something that can be unpacked here."""
    return _unpacker(data) is not None


def limited(file: IO[bytes] | gzip.GzipFile, where: str) -> bytes:
    """Return all bytes of an open file.

    Raises
    ------
    InvalidInput
        If there are more than `MAX_BYTES`.
    """
    chunks, size = [], 0
    while chunk := file.read(CHUNK):
        chunks.append(chunk)
        size += len(chunk)
        if size > MAX_BYTES:
            raise InvalidInput(f"{where}: larger than {MAX_BYTES // 2**20} MiB")
    return b"".join(chunks)


def _unpacker(data: bytes) -> Callable[[bytes, str], bytes] | None:
    if data[:2] == b"\x1f\x8b":
        return _gunzip
    if data[:3] == b"BZh":
        return _bunzip
    if data[:6] == b"\xfd7zXZ\x00":
        return _unxz
    if data[:4] in (b"PK\x03\x04", b"PK\x05\x06"):
        return _unzip
    return None


def _gunzip(data: bytes, where: str) -> bytes:
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(data)) as file:
            return limited(file, where)
    except EOFError:
        raise InvalidInput(f"{where}: truncated gzip; its compressed data stop early") from None
    except (OSError, zlib.error) as error:
        raise InvalidInput(f"{where}: damaged gzip: {error}") from None


def _bunzip(data: bytes, where: str) -> bytes:
    return _streams(data, where, "bz2", bz2.BZ2Decompressor)


def _unxz(data: bytes, where: str) -> bytes:
    return _streams(
        data, where, "xz", lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=XZ_MEMORY)
    )


def _streams(data: bytes, where: str, kind: str, start: Callable[[], Any]) -> bytes:
    chunks, size = [], 0
    while data:
        stream = start()
        try:
            while not stream.eof:
                chunk = stream.decompress(data, CHUNK)
                data = b""  # the rest is in the stream
                chunks.append(chunk)
                size += len(chunk)
                if size > MAX_BYTES:
                    raise InvalidInput(f"{where}: larger than {MAX_BYTES // 2**20} MiB")
                if not chunk and not stream.eof and stream.needs_input:
                    raise InvalidInput(f"{where}: truncated {kind}; its compressed data stop early")
        except (OSError, ValueError, lzma.LZMAError) as error:
            if isinstance(error, InvalidInput):
                raise
            raise InvalidInput(f"{where}: damaged {kind}: {error}") from None
        data = stream.unused_data.lstrip(b"\0")  # several streams may follow each other, padded
    return b"".join(chunks)


def _unzip(data: bytes, where: str) -> bytes:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = [item for item in archive.infolist() if not item.is_dir()]
            if any(item.filename == "[Content_Types].xml" for item in members):
                raise InvalidInput(f"{where}: an office document; save its table as CSV")
            if len(members) != 1:
                names = ", ".join(echo(item.filename) for item in members[:3])
                more = ", …" if len(members) > 3 else ""
                raise InvalidInput(
                    f"{where}: a zip of {len(members)} files ({names}{more}); unpack it, and give "
                    "one of them"
                    if members
                    else f"{where}: a zip without a file"
                )
            with archive.open(members[0]) as file:
                return limited(file, where)
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError) as error:
        raise InvalidInput(f"{where}: damaged zip: {error}") from None
    except (NotImplementedError, RuntimeError) as error:  # another method, or a password
        raise InvalidInput(f"{where}: a zip that cannot be unpacked here: {error}") from None


def plain_name(name: str) -> str:
    """Return a file's name without the suffixes that compression gives it."""
    while name.lower().endswith(SUFFIXES):
        name = name[: name.rindex(".")]
    return name
