"""What every command shares: how it ends, where its messages go, and how it shows progress."""

from __future__ import annotations

import contextlib
import errno
import importlib
import os
import re
import sys
import traceback
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click
from click.exceptions import Exit
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
)
from rich.text import Text

from deepsched.baselines.errors import (
    DeepSchedError,
    InvalidInput,
    UnknownName,
    extra_for,
    missing_extra,
)
from deepsched.baselines.text import printable
from deepsched.pipeline.common.consoles import failures as failures
from deepsched.pipeline.common.consoles import messages as messages
from deepsched.pipeline.common.consoles import results as results
from deepsched.pipeline.common.doubts import doubts_shown
from deepsched.pipeline.common.interrupts import true_error
from deepsched.pipeline.common.streams import OUTPUT, forget_output, prepare_streams
from deepsched.pipeline.common.verbosity import log_lines, with_verbosity

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

EXIT_FAILED = 1  # the work ran and something in it failed
EXIT_BAD_INPUT = 2  # the user's input or options are wrong
EXIT_INTERRUPTED = 130  # Ctrl-C
_OUT_OF_MEMORY = re.compile("can't allocate memory|out of memory")  # what torch says
EXIT_NO_READER = 141  # what reads our output (head, less) has gone; as of any program that it ends


def run_command(command: click.Command, args: Sequence[str] | None = None) -> NoReturn:
    """Run a command and leave the process: 0 done, 1 failed, 2 bad input, 130 interrupted.

    A user's mistake is one line on stderr, never a traceback, and so is what the surroundings of
    the process refuse: a full disk, a closed output, too little memory.
    """
    prepare_streams()
    with_verbosity(keep_lines(command))
    try:
        with doubts_shown(), log_lines():
            code = _invoke(command, args)
        sys.stdout.flush()
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
        click.echo(err=True)  # the terminal has shown ^C
        _leave(EXIT_INTERRUPTED, "interrupted; run the same command again")
    except BrokenPipeError:
        forget_output()
        sys.exit(EXIT_NO_READER)
    except (EOFError, MemoryError, OSError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and not _OUT_OF_MEMORY.search(str(error)):
            raise
        if _of_ray(error):  # it brings the traceback of another process
            raise
        _leave(EXIT_FAILED, _surroundings(error))
    sys.exit(code if isinstance(code, int) else 0)


def _invoke(command: click.Command, args: Sequence[str] | None) -> Any:
    """Do what `command.main` does, which takes an EOFError for Ctrl-C, and a broken pipe for 1."""
    name = _program_name()
    completion = f"_{name}_COMPLETE".replace("-", "_").replace(".", "_").upper()
    if completion in os.environ:
        return command.main(args, prog_name=name, standalone_mode=False)
    try:
        Path.cwd()
    except OSError as error:
        reason = error.strerror or error
        raise InvalidInput(f"the current folder is gone ({reason}); cd to another one") from None
    try:
        with command.make_context(name, list(sys.argv[1:] if args is None else args)) as context:
            return command.invoke(context)
    except Exit as left:
        return left.exit_code


def _surroundings(error: Exception) -> str:
    """Return what is said of an error that nobody has made a line of."""
    if isinstance(error, MemoryError | RuntimeError):
        return f"not enough memory: {error or 'the system gave no more'}"
    if isinstance(error, OSError) and error.filename == OUTPUT:
        closed = error.errno == errno.EBADF
        return f"{OUTPUT} {'is closed' if closed else f'cannot be written: {error.strerror}'}"
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}{'' if error.filename is None else f': {error.filename}'}"
    frame, line = next(reversed(list(traceback.walk_tb(error.__traceback__))))
    kind = "data ended too early" if isinstance(error, EOFError) else type(error).__name__
    return f"{kind}: {error or 'no more is known'} (at {frame.f_code.co_filename}:{line})"


def _of_ray(error: BaseException) -> bool:
    return any(kind.__module__.partition(".")[0] == "ray" for kind in type(error).__mro__)


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
        with extra_for(f"`{ctx.command_path} {cmd_name}`"):
            command: click.Command = importlib.import_module(self.table[cmd_name][0]).command
        return with_verbosity(keep_lines(command))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; an unknown one gets a suggestion."""
        name = args[0]
        if not name.startswith("-") and name not in self.table:
            raise UnknownName("command", name, self.table)
        return super().resolve_command(ctx, args)

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


class _Times(ProgressColumn):
    """The time that has passed, and once it can be told the time that is left."""

    def render(self, task: Task) -> Text:
        """Return such as "0:07:39, 0:01:20 left"."""
        passed = timedelta(seconds=int(task.finished_time or task.elapsed or 0))
        if task.finished or task.time_remaining is None:
            return Text(str(passed))
        return Text(f"{passed}, {timedelta(seconds=int(task.time_remaining))} left")


def progress_bar() -> Progress:
    """Return a bar with counts, elapsed time and an estimate, on stderr; plain where not a tty."""
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        _Times(),
        console=messages,
    )


def _leave(code: int, text: str) -> NoReturn:
    with contextlib.suppress(OSError):  # nobody listens
        click.echo(f"deepsched: {printable(' '.join(text.split()))}", err=True)
    forget_output()
    sys.exit(code)


def _program_name() -> str:
    script = Path(sys.argv[0]).name if sys.argv else "deepsched"
    return "deepsched" if script == "__main__.py" else script
