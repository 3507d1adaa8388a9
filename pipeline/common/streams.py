"""Standard input, output and errors, as the process was given them: closed, full, not UTF-8."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from typing import Any, TextIO

from deepsched.baselines.errors import InvalidInput

OUTPUT = "standard output"


class _NamedOutput(io.FileIO):
    """The process's output, which says so where it cannot be written."""

    def write(self, data: Any) -> int:
        try:
            return super().write(data)
        except OSError as error:
            raise OSError(error.errno, error.strerror, OUTPUT) from None


class _LostErrors(io.FileIO):
    """The process's stderr: work does not end because nobody can be told how it goes."""

    def write(self, data: Any) -> int:
        try:
            return super().write(data)
        except OSError:
            return len(data)


def prepare_streams() -> None:
    """Make the three streams such that no text and no closed one can break a command.

    What an encoding does not know comes out as an escape. A closed stream gets its number back, so
    that no file of ours does; what is then written to stdout fails, what is said on stderr is lost.
    """
    for number, flags in enumerate((os.O_RDONLY, os.O_RDONLY, os.O_WRONLY)):
        try:
            os.fstat(number)
        except OSError:
            null = os.open(os.devnull, flags)  # not for writing, where it stands for stdout
            if null != number:
                os.dup2(null, number)
                os.close(null)
    if sys.stdout is None or sys.stdout is sys.__stdout__:  # not what tests put in its place
        sys.stdout = _in_place_of(sys.stdout, _NamedOutput(1, "w", closefd=False))
    if sys.stderr is None or sys.stderr is sys.__stderr__:
        sys.stderr = _in_place_of(sys.stderr, _LostErrors(2, "w", closefd=False))
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _in_place_of(before: TextIO | None, raw: io.FileIO) -> TextIO:
    if before is not None:
        with contextlib.suppress(OSError):
            before.flush()
    return io.TextIOWrapper(
        io.BufferedWriter(raw),
        encoding=None if before is None else before.encoding,
        line_buffering=isinstance(raw, _LostErrors) or raw.isatty(),
    )


def read_stdin() -> bytes:
    """Return all of standard input.

    Raises
    ------
    InvalidInput
        If it is closed or cannot be read.
    """
    if sys.stdin is None:
        raise InvalidInput("standard input is closed; give a file, or pipe one in")
    try:
        return sys.stdin.buffer.read()
    except OSError as error:
        reason = error.strerror or error
        raise InvalidInput(f"standard input cannot be read: {reason}") from None


def forget_output() -> None:
    """Let the end of the process write what is left of the output to nowhere, without a word."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            _to_nowhere(stream)


def _to_nowhere(stream: TextIO) -> None:
    try:
        stream.flush()
    except OSError:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)
