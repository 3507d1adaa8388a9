"""The errors a user of DeepSched can cause; each says what is wrong, where, and what to do."""

from __future__ import annotations

import difflib
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


class DeepSchedError(Exception):
    """Something the user gave is wrong. The command line prints it on one line and exits with 2."""


class InvalidProblem(DeepSchedError, ValueError):
    """The tasks, machines and edges do not make a schedulable problem."""


class InvalidInput(DeepSchedError, ValueError):
    """A file or a request cannot be read; the message names the file and the place in it."""


class UnknownName(DeepSchedError, ValueError):
    """A scheduler, network, preset, family or format of that name does not exist."""

    def __init__(self, kind: str, name: str, known: object) -> None:
        every = sorted(str(item) for item in known)  # type: ignore[attr-defined]
        close = difflib.get_close_matches(name.lower()[:60], every, 1)
        meant = f" ({close[0]!r} is meant?)" if close else ""
        super().__init__(f"unknown {kind} {name!r}{meant}; one of: {', '.join(every)}")
        self._arguments = (kind, name, every)

    def __reduce__(self) -> tuple[type[UnknownName], tuple[str, str, list[str]]]:
        """Let the error travel between processes, which rebuilds it from its arguments."""
        return UnknownName, self._arguments


def known_name(kind: str, name: str, known: Iterable[str]) -> str:
    """Return the known name that is meant, without regard to case and to `_` for `-`.

    Raises
    ------
    UnknownName
        Listing the known ones, the nearest first.

    Examples
    --------
    >>> known_name("scheduler", "HEFT", ["heft", "min-min"])
    'heft'
    """
    names = list(dict.fromkeys(known))
    if name in names:
        return name
    plain = [one for one in names if one.lower() == name.lower().replace("_", "-")]
    if len(plain) != 1:
        raise UnknownName(kind, name, names)
    return plain[0]


class TooLarge(DeepSchedError, ValueError):
    """The problem is larger than this scheduler or service is offered for."""


class NotEnoughMemory(InvalidInput, MemoryError):
    """The memory for what was asked is not free here; which says nothing of the problem itself."""


class NotInstalled(DeepSchedError, ImportError):
    """Something needs a package that is not installed; the message says what to install."""


class UnwritableOutput(DeepSchedError, OSError):
    """An output path cannot be written; nothing was left there half-written."""


class InputWarning(UserWarning):
    """A file is read, but may not mean what its author meant; the message names file and place."""


# What each optional part of the installation brings, by the import name.
EXTRAS = {
    "ray": ("ray", "torch", "pyarrow", "pydantic", "fsspec", "starlette", "optuna"),
    "plot": ("matplotlib", "pandas"),
    "exact": ("ortools",),
    "client": ("httpx",),
    "formats": ("pydot", "pyparsing", "defusedxml", "yaml"),
}


def missing_extra(error: ImportError, what: str) -> NotInstalled | None:
    """Return what to say where an import failed for want of an extra; None: another reason.

    Parameters
    ----------
    what : needs it.
    """
    package = (error.name or "").partition(".")[0]
    for extra, packages in EXTRAS.items():
        if package in packages:
            return NotInstalled(f"{what} needs {package}: pip install 'deepsched[{extra}]'")
    return None


@contextmanager
def extra_for(what: str) -> Iterator[None]:
    """Say what to install where an import inside fails for want of an extra.

    Raises
    ------
    NotInstalled
        Naming `what` needs it, the package and the extra.
    """
    try:
        yield
    except ImportError as error:
        raise missing_extra(error, what) or error from None
