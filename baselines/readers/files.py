"""Bytes of a file, unpacked where they are compressed, as text and as JSON."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deepsched.baselines.errors import InvalidInput
from deepsched.baselines.readers._values import echo
from deepsched.baselines.readers.packed import limited, unpacked

if TYPE_CHECKING:
    from os import PathLike

# What is not text says so by its first bytes.
BINARY = {
    b"PAR1": "a Parquet file",
    b"%PDF": "a PDF",
    b"SQLite format 3": "an SQLite database",
    b"\x89PNG": "a picture",
    b"\x89HDF": "an HDF5 file",
    b"\x93NUMPY": "a numpy array",
    b"ARROW1": "an Arrow file",
    b"\x7fELF": "a program",
}
UTF_16_OR_32 = (b"\xff\xfe", b"\xfe\xff", b"\x00\x00\xfe\xff")


def shown_path(path: str | PathLike[str]) -> str:
    """Return a path as it can be printed anywhere."""
    return str(path).encode("utf-8", "backslashreplace").decode()


def read_bytes(path: str | PathLike[str]) -> bytes:
    """Return the bytes of a file.

    Raises
    ------
    InvalidInput
        If it cannot be read, is a folder or is too large.
    """
    where = shown_path(path)
    if "\0" in str(path):
        raise InvalidInput(f"{where!r} is not a path")
    try:
        with Path(path).open("rb") as file:
            return limited(file, where)
    except InvalidInput:
        raise  # it is a ValueError too
    except IsADirectoryError:
        raise InvalidInput(f"{where} is a folder; give a file in it") from None
    except FileNotFoundError:
        raise InvalidInput(f"{where}: there is no such file") from None
    except OSError as error:
        raise InvalidInput(f"{where} cannot be read: {error.strerror or error}") from None


def decode(data: bytes, where: str) -> str:
    """Return the text of a file's bytes, plain or packed, UTF-8 with or without a byte order mark.

    Raises
    ------
    InvalidInput
        If they cannot be unpacked, are no text, not UTF-8, or there are none.
    """
    return as_text(unpacked(data, where), where)


def as_text(data: bytes, where: str) -> str:
    """Return the text of bytes that are not packed, as :func:`decode`."""
    if data.startswith(UTF_16_OR_32):
        raise InvalidInput(f"{where}: UTF-16 or UTF-32 text; save it as UTF-8")
    for mark, kind in BINARY.items():
        if data.startswith(mark):
            raise InvalidInput(f"{where}: {kind}, not a workflow file")
    if data[257:262] == b"ustar":
        raise InvalidInput(f"{where}: a tar archive; unpack it, and give one of its files")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        column = error.start - (data.rfind(b"\n", 0, error.start) + 1) + 1
        byte = data[error.start]
        raise InvalidInput(
            f"{where}: line {line}: not UTF-8 text (byte 0x{byte:02x} at byte {column} of the "
            f"line, offset {error.start}); save it as UTF-8"
        ) from None
    if not text.strip():
        raise InvalidInput(f"{where}: the file is empty")
    if "\x00" in text:
        line = text.count("\n", 0, text.index("\x00")) + 1
        raise InvalidInput(f"{where}: line {line}: a NUL byte; not a text file in UTF-8")
    return text


def parse_json(text: str, where: str) -> Any:
    """Return the document of a JSON text in which no key stands twice in one object.

    The literals NaN and Infinity pass: whoever reads that place refuses them by name.

    Raises
    ------
    InvalidInput
    """
    repeated: list[tuple[str, dict[str, Any]]] = []

    def checked(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        entry = dict(pairs)
        if len(entry) < len(pairs):
            seen: set[str] = set()
            for key, _ in pairs:
                if key in seen:
                    repeated.append((key, entry))
                    break
                seen.add(key)
        return entry

    try:
        document = json.loads(text, object_pairs_hook=checked)
    except json.JSONDecodeError as error:
        raise InvalidInput(
            f"{where}: line {error.lineno} column {error.colno}: not JSON: {error.msg}"
        ) from None
    except RecursionError:
        raise InvalidInput(f"{where}: nested too deeply to be a problem") from None
    except ValueError:  # Python refuses to convert a whole number of several thousand digits
        found = re.search(r"\d{1000,}", text)
        line = text.count("\n", 0, found.start()) + 1 if found else 1
        raise InvalidInput(f"{where}: line {line}: a number of thousands of digits") from None
    if repeated:
        # Objects end inside out, so the last one is not inside a value that its own key replaced.
        key, entry = repeated[-1]
        path = _path_to(document, entry)
        raise InvalidInput(f"{where}: {path or 'the document'}: key {echo(key)} is given twice")
    return document


def _path_to(document: Any, entry: dict[str, Any]) -> str:
    pending = [(document, "")]
    while pending:
        value, path = pending.pop()
        if value is entry:
            break
        if isinstance(value, dict):
            dot = "." if path else ""
            pending += [(item, f"{path}{dot}{key[:40]}") for key, item in value.items()]
        elif isinstance(value, list):
            pending += [(item, f"{path}[{k}]") for k, item in enumerate(value)]
    return path
