"""The command line as a whole: help, exit codes, and one line for a user's mistake."""

from __future__ import annotations

import ast
import os
import pickle
import subprocess
import sys
import sysconfig
from pathlib import Path

import click
import pytest

from deepsched.__main__ import COMMANDS, cli
from deepsched.baselines.errors import InvalidInput
from deepsched.pipeline.common.cli import keep_lines, run_command
from deepsched.pipeline.common.ray_session import package_copy
from tests.pipeline.cli_helpers import (
    ROOT,
    context_of,
    deepsched,
    deepsched_here,
    disguised_interrupt,
)


def below(group: click.Group, name: str) -> click.Command:
    command = group.get_command(context_of(group), name)
    assert command is not None
    return command


def commands(
    command: click.Command, path: tuple[str, ...] = ()
) -> list[tuple[tuple[str, ...], click.Command]]:
    """Return a command and those below it, each with its path."""
    found = [(path, command)]
    if isinstance(command, click.Group):
        for name in command.list_commands(context_of(command)):
            found += commands(below(command, name), (*path, name))
    return found


@pytest.mark.parametrize("name", COMMANDS)
def test_help_mentions_every_option_and_says_what_it_does(name: str) -> None:
    for path, command in commands(below(cli, name), (name,)):
        context = context_of(command)
        text = command.get_help(context)
        assert command.help
        assert "\\b" not in text
        for parameter in command.get_params(context):
            if isinstance(parameter, click.Option):
                assert parameter.help, (path, parameter.name)
                for option in parameter.opts:
                    assert option in text


@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_help_lists_every_command(flag: str, capsys: pytest.CaptureFixture[str]) -> None:
    done = deepsched_here(capsys, flag)
    assert done.returncode == 0
    for name, (_, text) in COMMANDS.items():
        assert f"{name} " in done.stdout
        assert text in done.stdout


def test_help_of_a_command_ends_with_success() -> None:
    done = deepsched("schedule", "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert "--gantt FILE" in done.stdout


def imported(code: str) -> set[str]:
    """Return which heavy packages a new process has imported after running this."""
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys; print(*sys.modules, sep='\\n')"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    heavy = {"torch", "ray", "numba", "matplotlib", "pyarrow", "pandas", "networkx"}
    return heavy & set(done.stdout.split())


def test_listing_the_commands_imports_nothing_heavy() -> None:
    code = "from deepsched.__main__ import cli; cli.main(['--help'], standalone_mode=False)"
    assert imported(code) == set()


def test_the_help_of_no_command_waits_for_torch_or_ray() -> None:
    code = "\n".join(f"import {module}" for module, _ in COMMANDS.values())
    assert imported(code) <= {"numba", "pyarrow"}


def test_the_version_is_the_distributions() -> None:
    from importlib.metadata import version

    assert deepsched("--version").stdout.strip().endswith(version("deepsched"))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "Commands"),
        (("shedule",), "unknown command 'shedule' ('schedule' is meant?)"),
        (("schedule",), "Missing argument 'FILE'"),
        (("schedule", "x.json", "--no-such"), "No such option"),
        (("evaluate", "--data", "x"), "Missing option"),
    ],
    ids=["nothing", "command", "argument", "option", "required"],
)
def test_wrong_usage_ends_with_2(
    arguments: tuple[str, ...], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    done = deepsched_here(capsys, *arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    if arguments:
        assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (InvalidInput("x.json:\n  bad"), 2, "deepsched: x.json: bad\n"),
        (click.UsageError("no\nsuch"), 2, "deepsched: no such\n"),
        (KeyboardInterrupt(), 130, "deepsched: interrupted; run the same command again\n"),
        (disguised_interrupt(), 130, "deepsched: interrupted; run the same command again\n"),
        (InvalidInput("x\x1b[2J\udcff"), 2, "deepsched: x\\x1b[2J\\udcff\n"),
        (OSError(28, "No space left", "a/b"), 1, "deepsched: No space left: a/b\n"),
        (MemoryError("8 TB"), 1, "deepsched: not enough memory: 8 TB\n"),
        (
            RuntimeError("CUDA out of memory"),
            1,
            "deepsched: not enough memory: CUDA out of memory\n",
        ),
    ],
    ids=["input", "usage", "Ctrl-C", "Ctrl-C in compiled code", "names", "disk", "memory", "GPU"],
)
def test_how_a_command_ends(
    error: BaseException, code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    @click.command()
    def failing() -> None:
        raise error

    with pytest.raises(SystemExit) as left:
        run_command(failing, [])
    assert left.value.code == code
    # Click ends the line of an interrupted program first.
    assert capsys.readouterr().err.lstrip("\n") == said


def test_data_that_end_too_early_are_no_interrupt(capsys: pytest.CaptureFixture[str]) -> None:
    @click.command()
    def reading() -> None:
        pickle.loads(b"")

    with pytest.raises(SystemExit) as left:
        run_command(reading, [])
    assert left.value.code == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert said.startswith("deepsched: data ended too early: Ran out of input (at ")
    assert f"{Path(__file__).name}:" in said


@pytest.mark.parametrize("fault", [ZeroDivisionError, SystemError, RuntimeError])
def test_a_fault_of_the_program_keeps_its_traceback(fault: type[Exception]) -> None:
    @click.command()
    def broken() -> None:
        raise fault

    with pytest.raises(fault):
        run_command(broken, [])


def test_a_commands_return_value_is_the_exit_code() -> None:
    @click.command()
    def partly() -> int:
        return 1

    with pytest.raises(SystemExit) as left:
        run_command(partly, [])
    assert left.value.code == 1


def test_marked_lines_stay_apart() -> None:
    @click.command(help="Do it.\n\n\\b\nExamples:\n  one\n  two\n")
    def command() -> None: ...

    text = keep_lines(command).get_help(click.Context(command))
    assert "  Examples:\n    one\n    two\n" in text


@pytest.mark.parametrize("stage", COMMANDS)
def test_a_stage_finds_the_packages_before_it_imports_them(stage: str) -> None:
    path = ROOT / "pipeline" / f"{stage}.py"
    docstring, future, first = ast.parse(path.read_text()).body[:3]
    assert isinstance(docstring, ast.Expr)
    assert ast.unparse(future) == "from __future__ import annotations"
    text = ast.unparse(first)
    assert text.startswith("if __name__ == '__main__':")
    assert "deepsched" not in text
    assert text.endswith("'common/as_file.py'))['run_file'](__file__)")
    assert os.access(path, os.X_OK)


def run_as_file(path: Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a stage's file for its help; then print which packages can be imported, and from where.

    -S: no site-packages, so that an installed deepsched cannot help; -I: no current folder.
    """
    code = f"""
import importlib.util, runpy, sys
sys.path.append({sysconfig.get_path("purelib")!r})
sys.argv = [{str(path)!r}, "--help"]
sys.path.insert(0, {str(path.parent)!r})
try:
    runpy.run_path(sys.argv[0], run_name="__main__")
except SystemExit as left:
    assert not left.code
for name in ("deepsched", "pipeline", "model", "common", {path.stem!r}):
    found = importlib.util.find_spec(name)
    print(name, found and found.origin)
print("first", sys.path[0])
"""
    return subprocess.run(
        [sys.executable, "-I", "-S", "-c", code],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("stage", ["schedule", "benchmark"])
def test_a_stage_runs_as_a_file_without_installation(stage: str, tmp_path: Path) -> None:
    done = run_as_file(ROOT / "pipeline" / f"{stage}.py", tmp_path)
    assert done.returncode == 0, done.stderr
    assert f"Usage: {stage}.py" in done.stdout
    assert f"deepsched {ROOT / 'deepsched' / '__init__.py'}\n" in done.stdout
    assert done.stdout.endswith(f"common None\n{stage} None\nfirst {ROOT}\n")


def test_an_installed_stage_runs_as_a_file_and_makes_nothing_else_importable(
    tmp_path: Path,
) -> None:
    """Not its own folder's files, nor those of the package's, by names that may be a user's."""
    with package_copy() as package:
        done = run_as_file(Path(package) / "pipeline" / "benchmark.py", tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Usage: benchmark.py" in done.stdout
    found = done.stdout[done.stdout.index("deepsched /") :]
    assert found.splitlines() == [
        f"deepsched {package}/__init__.py",
        "pipeline None",
        "model None",
        "common None",
        "benchmark None",
        f"first {Path(package).parent}",
    ]


def test_a_stage_runs_through_a_link_and_with_a_safe_path(tmp_path: Path) -> None:
    link = tmp_path / "benchmark.py"
    link.symlink_to(ROOT / "pipeline" / "benchmark.py")
    for flags in ([], ["-P"], ["-I"]):
        done = subprocess.run(
            [sys.executable, *flags, link, "--help"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, "")
        assert "Usage: benchmark.py" in done.stdout
