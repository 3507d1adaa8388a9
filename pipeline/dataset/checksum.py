"""A CRC-32 over a whole Parquet file, inside its own footer.

Parquet's own checksums cover the content of pages only. A flipped bit in a page's header or in the
footer (where a column begins, how many rows there are) can lead to other values that look right.
"""

from __future__ import annotations

import zlib

import pyarrow as pa

KEY, MARK, DIGITS = "deepsched", b"crc32=", 8
UNSEALED = {KEY: f"{MARK.decode()}{'0' * DIGITS}"}  # goes into the footer, to be filled in
_TAIL = 1 << 16  # bytes at the end of a file that surely hold the mark


def sealed(data: pa.Buffer) -> pa.Buffer:
    """Return a file whose footer holds `UNSEALED`, with its checksum filled in."""
    content = bytearray(memoryview(data))
    place = _digits(data)
    assert place is not None
    content[place : place + DIGITS] = _checksum(data, place)
    return pa.py_buffer(bytes(content))


def check_seal(data: pa.Buffer) -> None:
    """Compare a file with its checksum; a file without one passes.

    Raises
    ------
    ValueError
        If they differ.
    """
    place = _digits(data)
    if place is None:
        return
    if memoryview(data)[place : place + DIGITS] != _checksum(data, place):
        raise ValueError("its checksum is wrong: it is damaged")


def _digits(data: pa.Buffer) -> int | None:
    start = max(0, data.size - _TAIL)
    found = bytes(memoryview(data)[start:]).rfind(MARK)
    return None if found < 0 else start + found + len(MARK)


def _checksum(data: pa.Buffer, place: int) -> bytes:
    """Return the digits, as if zeros stood in their place."""
    content = memoryview(data)
    value = zlib.crc32(content[:place])
    value = zlib.crc32(b"0" * DIGITS, value)
    value = zlib.crc32(content[place + DIGITS :], value)
    return f"{value:0{DIGITS}x}".encode()
