"""Ctrl-C that arrives while compiled code runs."""

from __future__ import annotations


def was_interrupted(error: BaseException) -> bool:
    """Return whether an error is a Ctrl-C in disguise.

    Where the signal is delivered while numba hands a result back, Python reports a `SystemError`
    ("returned a result with an exception set"), maybe of another such error, whose cause is the
    `KeyboardInterrupt`.
    """
    cause: BaseException | None = error
    while isinstance(cause, SystemError):
        cause = cause.__cause__ or cause.__context__
    return isinstance(cause, KeyboardInterrupt)
