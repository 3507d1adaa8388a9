"""Tables on the screen: a row is a line, at any width."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from rich.table import Table

from deepsched.pipeline.common.cli import results

if TYPE_CHECKING:
    from collections.abc import Sequence


def printed(
    capsys: pytest.CaptureFixture[str], headings: Sequence[str], row: Sequence[str]
) -> list[str]:
    table = Table(*headings, title="a title")
    table.add_row(*row)
    results.print_table(table)
    return [line.rstrip() for line in capsys.readouterr().out.splitlines()]


@pytest.fixture(autouse=True)
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")


def test_a_table_that_fits_is_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    title, head, _, row = printed(capsys, ["scheduler", "median s"], ["heft", "0.1"])
    assert (title, head, row) == ("a title", "scheduler median s", "heft      0.1")


def test_headings_fold_where_it_does_not(capsys: pytest.CaptureFixture[str]) -> None:
    lines = printed(capsys, ["name", "mean of a series-parallel graph"] * 4, ["x", "1.2345"] * 4)
    assert lines[-1].split() == ["x", "1.2345"] * 4
    assert lines[-3].split() == ["name", "graph"] * 4
    assert max(map(len, lines)) <= 80
    assert any("series-" in line for line in lines)


def test_a_row_is_a_line_however_wide(capsys: pytest.CaptureFixture[str]) -> None:
    cells = ["a name of many words and letters " * 2, "another one of the same kind " * 3]
    *_, row = printed(capsys, ["name", "other"], cells)
    assert [" ".join(cell.split()) in row for cell in cells] == [True, True]
    assert "…" not in row
