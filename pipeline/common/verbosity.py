"""--quiet and --verbose of every command, and which log lines of the package are shown."""

from __future__ import annotations

import contextlib
import logging
from typing import TYPE_CHECKING, Any

import click

from deepsched.baselines.errors import InvalidInput
from deepsched.baselines.waiting import WAITING
from deepsched.pipeline.common.consoles import messages

if TYPE_CHECKING:
    from collections.abc import Iterator

LOGGER = "deepsched"


class _Lines(logging.Handler):
    """Shows warnings, what is waited for, a line each once, and with --verbose everything."""

    def __init__(self) -> None:
        super().__init__()
        self.verbose = False
        self._said: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if record.levelno >= logging.WARNING:
            click.echo(text, err=True)
        elif self.verbose:
            messages.print(f"{record.name}: {text}")
        elif record.name == WAITING and text not in self._said:
            self._said.add(text)
            messages.print(text)


_lines = _Lines()


@contextlib.contextmanager
def log_lines() -> Iterator[None]:
    """Show log lines of the package while a command runs, as few or many as its options say."""
    global _lines
    _lines = _Lines()
    logger = logging.getLogger(LOGGER)
    level = logger.level
    logger.setLevel(logging.INFO)
    logger.addHandler(_lines)
    try:
        yield
    finally:
        logger.removeHandler(_lines)
        logger.setLevel(level)
        messages.quiet = False


def with_verbosity(command: click.Command) -> click.Command:
    """Add the two options to a command, unless it has them."""
    if all(parameter.name != "quiet" for parameter in command.params):
        command.params += [
            click.Option(
                ["-q", "--quiet"],
                is_flag=True,
                expose_value=False,
                callback=_quiet,
                help="No progress and no notes on stderr; results, warnings and errors stay.",
            ),
            click.Option(
                ["-v", "--verbose"],
                is_flag=True,
                expose_value=False,
                callback=_verbose,
                help="Show the log lines of the package on stderr.",
            ),
        ]
    return command


def _quiet(context: click.Context, _: click.Parameter, wanted: bool) -> Any:
    if wanted:
        messages.quiet = True
        _refuse_both()


def _verbose(context: click.Context, _: click.Parameter, wanted: bool) -> Any:
    if wanted:
        _lines.verbose = True
        logging.getLogger(LOGGER).setLevel(logging.DEBUG)
        _refuse_both()


def _refuse_both() -> None:
    if messages.quiet and _lines.verbose:
        raise InvalidInput("give either --quiet or --verbose")
