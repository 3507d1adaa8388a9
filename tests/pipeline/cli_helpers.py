"""Running the command line as a user does, in a process of its own or, faster, in this one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import click
import pytest

from deepsched.__main__ import cli
from deepsched.pipeline.common.cli import run_command

ROOT = Path(__file__).resolve().parent.parent.parent
EXAMPLE = """{
  "format": "deepsched-problem/1",
  "tasks": [
    {"id": "split", "etc": [2, 4]},
    {"id": "left", "etc": [3, 6]},
    {"id": "right", "etc": [5, 3]},
    {"id": "join", "etc": [2, 2]}
  ],
  "machines": [{"id": "fast"}, {"id": "slow"}],
  "edges": [
    {"from": "split", "to": "left", "bytes": 0},
    {"from": "split", "to": "right", "bytes": 100},
    {"from": "left", "to": "join", "bytes": 0},
    {"from": "right", "to": "join", "bytes": 100}
  ],
  "bandwidth": 100
}
"""


def context_of(
    command: click.Command, name: str = "deepsched", parent: click.Context | None = None
) -> click.Context:
    """Return a context as the command line makes it.

    Without the command's own settings click would keep a help option that knows no -h, for all
    later calls in this process.
    """
    return click.Context(command, info_name=name, parent=parent, **command.context_settings)


def deepsched(
    *arguments: object, text: str | None = None, cwd: Path = ROOT
) -> subprocess.CompletedProcess[str]:
    """Run `deepsched` with these arguments; `text` goes to its standard input."""
    return subprocess.run(
        [sys.executable, "-m", "deepsched", *map(str, arguments)],
        input=text,
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "100"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def deepsched_here(
    capsys: pytest.CaptureFixture[str], *arguments: object
) -> subprocess.CompletedProcess[str]:
    """Do the same in this process."""
    capsys.readouterr()
    words = [str(argument) for argument in arguments]
    with pytest.raises(SystemExit) as left:
        run_command(cli, words)
    said = capsys.readouterr()
    code = left.value.code or 0
    assert isinstance(code, int)
    return subprocess.CompletedProcess(words, code, said.out, said.err)


# What is said as it begins, once a process: whether it is said depends on what ran before.
WAITS = (
    "reading the traces",
    "loading ray",
    "loading torch",
    "loading torch and ray",
    "compiling, once",
    "starting Ray",
)


def said_by(done: subprocess.CompletedProcess[str]) -> list[str]:
    """Return the lines on stderr, but for what was waited for."""
    return [line for line in done.stderr.splitlines() if line not in WAITS]


def disguised_interrupt() -> SystemError:
    """Return what a Ctrl-C becomes where it meets two compiled functions that hand back."""
    error, outer = SystemError("returned a result with an exception set"), SystemError("the same")
    error.__cause__ = KeyboardInterrupt()
    outer.__cause__ = error
    return outer
