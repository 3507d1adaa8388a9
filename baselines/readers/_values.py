"""Checked values out of parsed files: each function returns a legal value or names the place."""

from __future__ import annotations

import contextlib
import enum
import math
import re
from collections.abc import Callable, Iterator, Sequence, Set
from typing import TYPE_CHECKING, Any

import numpy as np

from deepsched.baselines.errors import InvalidInput, InvalidProblem

if TYPE_CHECKING:
    from deepsched.baselines.arrays import FloatArray

MAX_ECHO = 60  # characters of a user's value that a message repeats
MAX_MESSAGE = 800  # characters of a message that names many of them, such as a cycle

Place = Callable[[int], str]


class Rule(enum.Enum):
    """Which numbers are legal; the value is what the message asks for."""

    COST = "a finite number of at least 0"
    POSITIVE = "a finite number above 0"
    FINITE = "a finite number"

    def holds(self, values: FloatArray) -> bool:
        """Tell whether all of them are legal; a NaN never is."""
        if not np.isfinite(values).all():
            return False
        if self is Rule.COST:
            return bool((values >= 0).all())
        return self is Rule.FINITE or bool((values > 0).all())

    def allows(self, value: float) -> bool:
        """Tell whether one number is legal."""
        if not math.isfinite(value):
            return False
        if self is Rule.COST:
            return value >= 0
        return self is Rule.FINITE or value > 0


def echo(value: object) -> str:
    """Return a short one-line description of a value, for a message."""
    if isinstance(value, dict | list | tuple):
        return f"{'an object' if isinstance(value, dict) else 'a list'} of {len(value)}"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, str):
        shown = value if len(value) <= MAX_ECHO else f"{value[:MAX_ECHO]}…"
        return ascii(shown) if not shown.isprintable() else repr(shown)
    if isinstance(value, int) and value.bit_length() > 3 * MAX_ECHO:
        return f"a whole number of about {int(value.bit_length() * math.log10(2)) + 1} digits"
    return clipped(repr(value), MAX_ECHO)


def clipped(text: str, limit: int = MAX_MESSAGE) -> str:
    """Return the text, without its middle where it is longer than `limit`."""
    if len(text) <= limit:
        return text
    return f"{text[: limit * 2 // 3]} […] {text[-limit // 3 :]}"


@contextlib.contextmanager
def naming(where: str) -> Iterator[None]:
    """Put the source in front of what the parts of a problem complain about."""
    try:
        yield
    except InvalidProblem as error:
        raise InvalidProblem(f"{where}: {clipped(str(error))}") from None


def number(value: object, rule: Rule, place: str) -> float:
    """Return one legal number of a JSON document."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidInput(f"{place} is {echo(value)}; it must be {rule.value}")
    try:
        result = float(value)
    except OverflowError:
        result = math.inf
    if not rule.allows(result):
        shown = "too large" if isinstance(value, int) and math.isinf(result) else repr(result)
        raise InvalidInput(f"{place} is {shown}; it must be {rule.value}")
    return result


def column(
    values: Sequence[object], rule: Rule, place: Place, kinds: Set[type] | None = None
) -> FloatArray:
    """Return (len(values),) legal numbers; `place(k)` names the k-th.

    Parameters
    ----------
    kinds : the types of the values, where they are known.
    """
    # Checked as a whole first: naming each of a million numbers would take seconds.
    if (set(map(type, values)) if kinds is None else kinds) <= {int, float}:
        with contextlib.suppress(OverflowError):
            array = np.array(values, dtype=np.float64)
            if rule.holds(array):
                return array
    return np.array([number(value, rule, place(k)) for k, value in enumerate(values)], dtype=float)


def names(values: Sequence[object], place: Place) -> list[str]:
    """Return ids as strings, all different; a whole number stands for its digits."""
    ids = [
        value if type(value) is str and value else _name(value, place(k))
        for k, value in enumerate(values)
    ]
    check_encodable(ids, place)
    if len(set(ids)) < len(ids):
        first: dict[str, int] = {}
        for k, name in enumerate(ids):
            if name in first:
                other = place(first[name]).rsplit(": ", 1)[-1]
                raise InvalidInput(f"{place(k)}: {echo(name)} is given twice, first as {other}")
            first[name] = k
    return ids


def _name(value: object, place: str) -> str:
    if isinstance(value, int) and not isinstance(value, bool) and value.bit_length() <= 64:
        return str(value)
    if value == "":
        raise InvalidInput(f"{place} is empty; it must be a name")
    if not isinstance(value, str):
        raise InvalidInput(f"{place} is {echo(value)}; it must be a string")
    return value


def check_encodable(ids: Sequence[str], place: Place) -> None:
    """Refuse names with half a surrogate pair, which JSON can spell and no file can hold."""
    try:
        "".join(ids).encode()
    except UnicodeEncodeError:
        for k, name in enumerate(ids):
            if any("\ud800" <= character <= "\udfff" for character in name):
                raise InvalidInput(
                    f"{place(k)} is {name[:MAX_ECHO]!a}, which is not Unicode text"
                ) from None
        raise


def positions(
    values: Sequence[object], index: dict[str, int], place: Place, kind: str = "task"
) -> list[int]:
    """Return the position of each name in `index`."""
    try:
        return [index[value] for value in values]  # type: ignore[index]
    except (KeyError, TypeError):
        found = []
        for k, value in enumerate(values):
            name = _name(value, place(k))
            if name not in index:
                raise InvalidInput(f"{place(k)}: there is no {kind} {echo(name)}") from None
            found.append(index[name])
        return found


def entries(document: dict[str, Any], key: str, where: str, parent: str = "") -> list[Any]:
    """Return the list under `key`, whose entries are all objects."""
    path = f"{parent}{key}"
    found = a_list(required(document, key, where, parent), f"{where}: {path}")
    for k, entry in enumerate(found):
        if type(entry) is not dict:
            raise InvalidInput(f"{where}: {path}[{k}] is {echo(entry)}; it must be an object")
    return found


def required(document: dict[str, Any], key: str, where: str, parent: str = "") -> Any:
    """Return what stands under `key`."""
    if key not in document:
        raise InvalidInput(f"{where}: {parent}{key} is missing")
    return document[key]


def a_list(value: object, place: str) -> list[Any]:
    """Return the value if it is a list."""
    if not isinstance(value, list):
        raise InvalidInput(f"{place} is {echo(value)}; it must be a list")
    return value


def an_object(value: object, place: str) -> dict[str, Any]:
    """Return the value if it is an object."""
    if not isinstance(value, dict):
        raise InvalidInput(f"{place} is {echo(value)}; it must be an object")
    return value


DECIMAL = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
WHOLE = re.compile(r"\d{1,15}", re.ASCII)


def is_number(token: str) -> bool:
    """Tell whether a token of a text file spells a decimal number."""
    return DECIMAL.fullmatch(token) is not None


def is_count(token: str) -> bool:
    """Tell whether a token of a text file spells a whole number of at least 0."""
    return WHOLE.fullmatch(token) is not None


def decimal(token: str, rule: Rule, place: str) -> float:
    """Return the number that a token of a text file spells; never NaN, inf, 0x1 or 1_000."""
    if not is_number(token):
        raise InvalidInput(f"{place} is {echo(token)}; it must be {rule.value}")
    value = float(token)
    if not rule.allows(value):
        shown = "too large" if math.isinf(value) else echo(token)
        raise InvalidInput(f"{place} is {shown}; it must be {rule.value}")
    return value


def count(token: str, place: str) -> int:
    """Return the whole number that a token of a text file spells."""
    if not is_count(token):
        raise InvalidInput(f"{place} is {echo(token)}; it must be a whole number of at least 0")
    return int(token)


def text_lines(text: str) -> list[str]:
    """Return the lines of a text with any kind of line end, without their ends."""
    return text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
