"""Options that take numbers: finite, and of a size that something can be done with."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
import pytest

from deepsched.__main__ import COMMANDS, cli
from deepsched.pipeline.common.numbers import MOST, Real, Whole, Wholes
from tests.pipeline.cli_helpers import context_of, deepsched_here, said_by

if TYPE_CHECKING:
    from pathlib import Path


def options(command: click.Command, path: str) -> list[tuple[str, click.Parameter]]:
    """Return the parameters of a command and those below it."""
    found = [(path, parameter) for parameter in command.params]
    if isinstance(command, click.Group):
        for name in command.list_commands(context_of(command)):
            below = command.get_command(context_of(command), name)
            assert below is not None
            found += options(below, f"{path} {name}")
    return found


def test_every_option_with_a_number_is_of_the_kinds_with_bounds() -> None:
    numbers = 0
    for name in COMMANDS:
        command = cli.get_command(context_of(cli), name)
        assert command is not None
        for path, parameter in options(command, name):
            kind = parameter.type
            bare = isinstance(kind, click.types.FloatParamType | click.types.IntParamType)
            assert not bare or isinstance(kind, Real | Whole), (path, parameter.name)
            numbers += bare
    assert numbers > 80


@pytest.mark.parametrize("text", ["nan", "NaN", "inf", "-inf", "infinity", "1e999", "-1e999"])
def test_what_is_not_finite_is_refused(text: str) -> None:
    for kind in (Real(), Real(min=0), Real(min=0, min_open=True), Real(0, 1), Real(most=MOST)):
        with pytest.raises(click.BadParameter, match=r"it must be a finite number|in the range"):
            kind.convert(text, None, None)
    with pytest.raises(click.BadParameter):
        Whole().convert(text, None, None)


def test_what_is_finite_and_in_the_range_is_taken() -> None:
    assert Real().convert("-1e308", None, None) == -1e308
    assert Real(min=0, most=MOST).convert(str(MOST), None, None) == MOST
    assert Whole(min=1).convert("1", None, None) == 1
    assert Whole().convert(str(-MOST), None, None) == -MOST
    assert Wholes(least=2).convert("2, 30", None, None) == (2, 30)
    assert Wholes(least=2).convert((2, 30), None, None) == (2, 30)


@pytest.mark.parametrize(
    ("kind", "text", "said"),
    [
        (Real(most=MOST), "1e10", "1e\\+10: it must be at most 1e\\+09"),
        (Whole(), str(MOST + 1), "1000000001: it must be at most 1000000000"),
        (Whole(most=5), "-6", "-6: it must be at most 5"),
        (Whole(1, 5), "6", "6 is not in the range"),
        (Wholes(least=2), "3,1", "1 is not in the range"),
        (Wholes(least=2), "3,x", "'x' is not a valid int"),
        (Wholes(least=2), "", "'' is not a valid int"),
    ],
)
def test_what_is_out_of_range_is_refused(
    kind: click.ParamType[object], text: str, said: str
) -> None:
    with pytest.raises(click.BadParameter, match=said):
        kind.convert(text, None, None)


@pytest.mark.parametrize(
    "words",
    [
        ("label", "--preset", "small", "--shard-mb", "nan"),
        ("label", "--preset", "small", "--shard-mb", "1e300"),
        ("label", "--preset", "small", "--fraction", "nan"),
        ("label", "--preset", "small", "--timeout", "inf"),
        ("label", "--preset", "small", "--timeout", "1e20"),
        ("label", "--preset", "small", "--cpus-per-task", "nan"),
        ("label", "--preset", "small", "--cpus-per-task", "1e-9"),
        ("label", "--preset", "small", "--workers", "1000000"),
        ("label", "--preset", "small", "--resource", "x=nan"),
        ("label", "--preset", "small", "--resource", "CPU=1"),
        ("label", "--preset", "small", "--resource", "x\udcff=1"),
        ("label", "--preset", "small", "--machines", "100000"),
        ("label", "--traces", "tests/data", "--machines", "4,100000"),
        ("label", "--traces", "tests/data", "--machines", "²"),
        ("label", "--traces", "tests/data", "--machines", "9" * 5000),
        ("train", "--learning-rate", "nan"),
        ("train", "--checkpoint-seconds", "inf"),
        ("train", "--steps", "99999999999999999"),
        ("train", "--rollouts", "1000000000"),
        ("train", "--network-option", "width=NaN"),
        ("train", "--network", "paper", "--network-option", f"max_tasks={10**12}"),
        ("tune", "--time-budget", "nan"),
        ("tune", "--time-budget", "1e300h"),
        ("tune", "--search", "learning_rate=NaN,1"),
        ("tune", "--search", "learning_rate=1..1e999"),
    ],
    ids=lambda words: " ".join(words)[:40].encode("ascii", "backslashreplace").decode(),
)
def test_an_absurd_number_is_one_line_and_nothing_is_made(
    words: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    extra = () if words[0] == "tune" else ("--workers", "0")
    extra = () if "--workers" in words else extra
    done = deepsched_here(capsys, *words, *extra, "--out", tmp_path / "out")
    assert (done.returncode, done.stdout) == (2, "")
    assert len(said_by(done)) == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("machines", ["100000", "1000000000", str(10**30), "9" * 400])
def test_too_many_machines_are_one_line_with_tasks_and_machines(
    machines: str, capsys: pytest.CaptureFixture[str]
) -> None:
    done = deepsched_here(capsys, "schedule", "tests/data/gocj.txt", "--machines", machines)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("deepsched: 3 tasks x ")
    assert " machines need about " in done.stderr
    assert len(done.stderr) < 200


@pytest.mark.parametrize("budget", ["nan", "inf", "1e300", "-1"])
def test_a_budget_ends(budget: str, capsys: pytest.CaptureFixture[str]) -> None:
    done = deepsched_here(capsys, "schedule", "tests/data/gocj.txt", "--budget", budget)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert "'--budget'" in done.stderr


def test_help_shows_no_end_that_is_only_a_safeguard() -> None:
    command = click.Command("x", params=[click.Option(["--n"], type=Whole(min=1))])
    assert str(MOST) not in command.get_help(click.Context(command))
