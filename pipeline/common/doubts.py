"""What a file may not mean, said on one line of standard error."""

from __future__ import annotations

import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

import click

from deepsched.baselines.errors import InputWarning

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def doubts_shown() -> Iterator[None]:
    """Show each `InputWarning` once, as a line; other warnings go their own way."""
    before = warnings.showwarning

    def show(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        if issubclass(category, InputWarning):
            click.echo(f"deepsched: warning: {' '.join(str(message).split())}", err=True)
        else:
            before(message, category, filename, lineno, file, line)

    warnings.showwarning = show
    try:
        yield
    finally:
        warnings.showwarning = before
