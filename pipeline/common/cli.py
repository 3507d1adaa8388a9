"""What every command shares: how it ends, where its messages go, and how it shows progress."""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from deepsched.baselines.errors import DeepSchedError, missing_extra
from deepsched.pipeline.common.doubts import doubts_shown
from deepsched.pipeline.common.interrupts import true_error

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

EXIT_FAILED = 1  # the work ran and something in it failed
EXIT_BAD_INPUT = 2  # the user's input or options are wrong
EXIT_INTERRUPTED = 130  # Ctrl-C

# Results go to stdout, everything said along the way to stderr, so that output can be piped.
messages = Console(stderr=True, highlight=False, soft_wrap=True)
results = Console(highlight=False, soft_wrap=True)


def run_command(command: click.Command, args: Sequence[str] | None = None) -> NoReturn:
    """Run a command and leave the process: 0 done, 1 failed, 2 bad input, 130 interrupted.

    A user's mistake is one line on stderr, never a traceback.
    """
    keep_lines(command)
    try:
        with doubts_shown():
            code = command.main(args=args, standalone_mode=False, prog_name=_program_name())
    except DeepSchedError as error:
        _leave(EXIT_BAD_INPUT, str(error))
    except ImportError as error:
        missing = missing_extra(error, f"`{_program_name()}`")
        if missing is None:
            raise
        _leave(EXIT_BAD_INPUT, str(missing))
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.ctx.get_help() if error.ctx else "", err=True)
        sys.exit(EXIT_BAD_INPUT)
    except click.ClickException as error:
        _leave(EXIT_BAD_INPUT, error.format_message())
    except (click.Abort, KeyboardInterrupt, SystemError) as error:
        if isinstance(error, SystemError) and not isinstance(true_error(error), KeyboardInterrupt):
            raise
        _leave(EXIT_INTERRUPTED, "interrupted; run the same command again")
    except BrokenPipeError:
        # The reader of our output (head, less) has gone; nothing is wrong.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    sys.exit(code if isinstance(code, int) else 0)


class LazyGroup(click.Group):
    """A group whose commands are imported when they are called for: no help waits for torch or Ray.

    `table` maps a command's name to the module whose `command` it is and to its line of help.
    """

    def __init__(self, *args: Any, table: Mapping[str, tuple[str, str]], **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.table = table

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order of the table."""
        return list(self.table)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return one command."""
        if cmd_name not in self.table:
            return None
        try:
            command: click.Command = importlib.import_module(self.table[cmd_name][0]).command
        except ImportError as error:
            raise missing_extra(error, f"`{ctx.command_path} {cmd_name}`") or error from None
        return keep_lines(command)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands from the table, importing none of them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in self.table.items()])


def keep_lines(command: click.Command) -> click.Command:
    r"""Let click keep the lines below a \b in the help of a command and its subcommands.

    Docstrings with a backslash are raw, where click looks for the control character.
    """
    if command.help:
        command.help = command.help.replace("\\b\n", "\b\n")
    if isinstance(command, click.Group):
        for subcommand in command.commands.values():
            keep_lines(subcommand)
    return command


def progress_bar() -> Progress:
    """Return a bar with counts, elapsed time and an estimate, on stderr; plain where not a tty."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=messages,
    )


def _leave(code: int, text: str) -> NoReturn:
    line = " ".join(text.split())
    click.echo(f"deepsched: {line}", err=True)
    sys.exit(code)


def _program_name() -> str:
    script = Path(sys.argv[0]).name if sys.argv else "deepsched"
    return "deepsched" if script == "__main__.py" else script
