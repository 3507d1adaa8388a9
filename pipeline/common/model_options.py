"""Options of a command line from a pydantic model: names, ranges and help are said once."""

from __future__ import annotations

import types
import typing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import annotated_types
import click

from deepsched.pipeline.common.numbers import Real, Whole

if TYPE_CHECKING:
    from collections.abc import Callable

    from pydantic import BaseModel
    from pydantic.fields import FieldInfo

SECONDS = "_s"  # an end of a field's name that an option leaves out


def model_options(
    kind: type[BaseModel],
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Add an option for each field of a model; the command gets them under the fields' names."""

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        for name, field in reversed(kind.model_fields.items()):
            command = _option(name, field)(command)
        return command

    return decorate


def _option(name: str, field: FieldInfo) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    own = _kind(field.annotation)
    shown = name.removesuffix(SECONDS).replace("_", "-")
    text = (field.description or "").replace(": ", ": ")
    return click.option(
        f"--{shown}",
        name,
        type=_type(own, field),
        default=field.default,
        show_default=field.default is not None,
        metavar="FILE" if own is Path and "file" in name else "DIR" if own is Path else None,
        help=f"{text[:1].upper()}{text[1:]}.",
    )


def _kind(annotation: Any) -> Any:
    """Return the type of a field, None aside."""
    parts = typing.get_args(annotation) if isinstance(annotation, types.UnionType) else ()
    return next((part for part in parts if part is not type(None)), annotation)


def _type(kind: Any, field: FieldInfo) -> Any:
    if kind is Path:
        return click.Path(path_type=Path)
    if kind is str:
        return str
    if typing.get_origin(kind) is typing.Literal:
        return click.Choice(typing.get_args(kind))
    low: Any = None
    high: Any = None
    open_ = False
    for rule in field.metadata:
        if isinstance(rule, annotated_types.Ge):
            low = rule.ge
        elif isinstance(rule, annotated_types.Gt):
            low, open_ = rule.gt, True
        elif isinstance(rule, annotated_types.Le):
            high = rule.le
    if kind is int:
        return Whole(low, most=high)
    return Real(min=low, min_open=open_, most=high)
