"""Settings as frozen dataclasses: each field says what it means and what it may be, once.

Constructors, command lines, queries and documentation are made from the same fields.
"""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from typing import TYPE_CHECKING, Any, TypeVar

from deepsched.baselines.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Mapping

S = TypeVar("S", bound="Settings")


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class SettingInfo:
    """What a field of :class:`Settings` may be.

    Attributes
    ----------
    name : of the field.
    kind : bool, int, float or str.
    optional : None is a value too, and means: not said.
    default : its value where nothing is said.
    help : one line, a sentence.
    at_least, at_most : ends of the range, both included; None: no end.
    choices : the values there are; empty: any.
    metavar : what stands for the value in a command line's help.
    public : whether command lines and queries offer it.
    """

    name: str
    kind: type
    optional: bool
    default: Any
    help: str
    at_least: float | None
    at_most: float | None
    choices: tuple[str, ...]
    metavar: str | None
    public: bool


def setting(
    default: Any,
    help: str,
    *,
    at_least: float | None = None,
    at_most: float | None = None,
    choices: tuple[str, ...] = (),
    metavar: str | None = None,
    public: bool = True,
) -> Any:
    """Return a dataclass field; the parameters are those of :class:`SettingInfo`."""
    rules = {
        "help": help,
        "at_least": at_least,
        "at_most": at_most,
        "choices": choices,
        "metavar": metavar,
        "public": public,
    }
    return dataclasses.field(default=default, metadata=rules)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """Base of all settings; a subclass is a frozen, keyword-only dataclass of `setting` fields.

    Raises
    ------
    InvalidInput
        When made, naming the field, its value and what it may be.
    """

    def __post_init__(self) -> None:
        for info in setting_infos(type(self)):
            _check(info, getattr(self, info.name))


def setting_infos(kind: type[Settings]) -> tuple[SettingInfo, ...]:
    """Return the fields of settings, in their order."""
    found = _INFOS.get(kind)
    if found is None:
        found = _INFOS[kind] = _read_infos(kind)
    return found


_INFOS: dict[type[Settings], tuple[SettingInfo, ...]] = {}  # read once a class


def _read_infos(kind: type[Settings]) -> tuple[SettingInfo, ...]:
    hints = typing.get_type_hints(kind)
    found = []
    for field in dataclasses.fields(kind):
        hint = hints[field.name]
        parts = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
        [own] = [part for part in parts if part is not type(None)]
        found.append(
            SettingInfo(
                name=field.name,
                kind=own,
                optional=len(parts) > 1,
                default=field.default,
                **field.metadata,
            )
        )
    return tuple(found)


def parse_settings(
    kind: type[S], values: Mapping[str, Any], where: str, *, from_text: bool = False
) -> S:
    """Return checked settings; fields left out have their defaults.

    Parameters
    ----------
    where : what the values are of, for messages.
    from_text : the values are strings, as in a query.

    Raises
    ------
    InvalidInput
        On one line: `where`, the field that is unknown or out of range, and what it may be.
    """
    infos = {info.name: info for info in setting_infos(kind)}
    for name in values:
        if name not in infos:
            known = f"one of: {', '.join(infos)}" if infos else "there are none"
            raise InvalidInput(f"{where}: unknown field {name!r}; {known}")
    try:
        if from_text:
            values = {name: _from_text(infos[name], text) for name, text in values.items()}
        return kind(**values)
    except InvalidInput as error:
        raise InvalidInput(f"{where}: {error}") from None


def _from_text(info: SettingInfo, text: str) -> Any:
    try:
        if info.kind is bool:
            return {"true": True, "false": False, "1": True, "0": False}[text.lower()]
        return info.kind(text)
    except (KeyError, ValueError):
        raise InvalidInput(_complaint(info, text)) from None


def _check(info: SettingInfo, value: Any) -> None:
    if value is None and info.optional:
        return
    # A bool is an int to Python, and an int as good as a float to anybody.
    fits = isinstance(value, (int, float) if info.kind is float else info.kind)
    if isinstance(value, bool) and info.kind is not bool:
        fits = False
    if fits and info.kind is float:
        fits = _is_finite(value)
    if fits and info.choices:
        fits = value in info.choices
    if fits and info.at_least is not None:
        fits = value >= info.at_least
    if fits and info.at_most is not None:
        fits = value <= info.at_most
    if not fits:
        raise InvalidInput(_complaint(info, value))


def _is_finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number beyond the largest float
        return False


_WORDS = {bool: "true or false", int: "a whole number", float: "a finite number", str: "a text"}


def _complaint(info: SettingInfo, value: Any) -> str:
    words = f"one of {', '.join(info.choices)}" if info.choices else _WORDS[info.kind]
    if info.at_least is not None and info.at_most is not None:
        words += f" from {info.at_least} to {info.at_most}"
    elif info.at_least is not None:
        words += f" of at least {info.at_least}"
    try:
        shown = repr(value)
    except ValueError:  # Python writes no whole number of more than some thousand digits
        shown = "a number too long to write"
    shown = shown if len(shown) <= 60 else f"{shown[:57]}..."
    return f"{info.name} = {shown}; it must be {words}"
