"""--quiet, --verbose and the completion of a shell, for every command."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import click
import pytest

from deepsched.baselines.waiting import loading, waiting
from deepsched.pipeline.common.cli import failures, messages, progress_bar, results, run_command
from deepsched.pipeline.common.verbosity import with_verbosity
from tests.pipeline.cli_helpers import ROOT, deepsched_here

if TYPE_CHECKING:
    from pathlib import Path


@click.command()
def talking() -> None:
    """Say something in every way there is."""
    messages.print("a note")
    with progress_bar() as bar:
        bar.add_task("progress", total=3, completed=3)
    waiting("waiting for it")
    waiting("waiting for it")
    log = logging.getLogger("deepsched.some.module")
    log.debug("a small step")
    log.info("a step")
    log.warning("a warning")
    failures.print("a failure")
    results.print("a result")


def said_by(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[str, list[str]]:
    """Return what `talking` writes to stdout, and the lines on stderr."""
    with pytest.raises(SystemExit) as left:
        run_command(talking, arguments)
    assert left.value.code == 0
    said = capsys.readouterr()
    return said.out, said.err.splitlines()


def test_what_a_command_shows_by_itself(capsys: pytest.CaptureFixture[str]) -> None:
    out, err = said_by(capsys)
    assert out == "a result\n"
    assert [err[0], *err[2:]] == ["a note", "waiting for it", "a warning", "a failure"]
    assert err[1].startswith("progress")


def test_quiet_leaves_results_warnings_and_failures(capsys: pytest.CaptureFixture[str]) -> None:
    assert said_by(capsys, "--quiet") == ("a result\n", ["a warning", "a failure"])
    assert "a note" in said_by(capsys)[1], "it holds for one command"


def test_verbose_shows_every_log_line(capsys: pytest.CaptureFixture[str]) -> None:
    err = said_by(capsys, "-v")[1]
    for line in (
        "deepsched.waiting: waiting for it",
        "deepsched.some.module: a small step",
        "deepsched.some.module: a step",
        "a warning",
    ):
        assert line in err
    assert not [line for line in said_by(capsys)[1] if "step" in line]


def test_only_one_of_the_two(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        run_command(talking, ["-q", "-v"])
    assert left.value.code == 2
    assert capsys.readouterr().err == "deepsched: give either --quiet or --verbose\n"


def test_a_command_gets_the_options_once() -> None:
    with_verbosity(talking)
    with_verbosity(talking)
    assert [parameter.name for parameter in talking.params] == ["quiet", "verbose"]


@pytest.mark.parametrize("place", ["before", "behind"])
def test_before_or_behind_the_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], place: str
) -> None:
    command = ["label", "--preset", "small", "--samples", "1", "--workers", "0"]
    arguments = ["-q", *command] if place == "before" else [*command, "-q"]
    done = deepsched_here(capsys, *arguments, "--out", tmp_path / "data")
    assert (done.returncode, done.stderr) == (0, "")
    assert "samples" in done.stdout


def test_what_is_loaded_already_is_not_waited_for(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="deepsched.waiting"):
        loading("json", "no_such_package", "pytest")
    assert caplog.messages == ["loading no_such_package"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_can_complete(shell: str) -> None:
    def run(**variables: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "deepsched"],
            env={**os.environ, "PYTHONPATH": str(ROOT), **variables},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert "Traceback" not in done.stderr
        return done.stdout

    assert "_DEEPSCHED_COMPLETE" in run(_DEEPSCHED_COMPLETE=f"{shell}_source")
    words = {"COMP_WORDS": "deepsched eval", "COMP_CWORD": "eval" if shell == "fish" else "1"}
    assert "evaluate" in run(_DEEPSCHED_COMPLETE=f"{shell}_complete", **words)
