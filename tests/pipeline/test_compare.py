"""`deepsched compare`: files in, tables and files out."""

from __future__ import annotations

import csv
import json
import sys
from typing import TYPE_CHECKING

import pytest

from tests.pipeline.cli_helpers import ROOT, deepsched_here

if TYPE_CHECKING:
    from pathlib import Path

FILES = [ROOT / "tests/data" / name for name in ("topcuoglu.json", "wfformat.json", "jobs.csv")]


def test_tables_on_the_terminal_and_in_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outputs = {option: tmp_path / f"c.{option}" for option in ("csv", "json", "html")}
    given = [word for option, path in outputs.items() for word in (f"--{option}", path)]
    done = deepsched_here(capsys, "compare", *FILES, "--schedulers", "Deepsched,cpop", *given)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[1].split() == ["problem", "tasks×p", "HEFT", "s", "deepsched", "cpop"]
    assert lines[3].split() == ["topcuoglu", "10×3", "80", "0.9125", "1.0750"]
    assert max(map(len, lines)) <= 80
    with outputs["csv"].open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 9
    assert rows[2]["makespan"] == "86.0"
    assert json.loads(outputs["json"].read_text())["rows"][1]["makespan"] == 73.0
    assert "<td>0.9125</td>" in outputs["html"].read_text(encoding="utf-8")


def test_no_pandas_torch_or_ray_is_needed(tmp_path: Path) -> None:
    import subprocess

    code = (
        "import sys; from deepsched.__main__ import main; sys.argv = ['deepsched', 'compare', "
        f"{str(FILES[0])!r}]\n"
        "try: main()\nfinally: print(sorted({'torch', 'ray', 'pandas'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--schedulers", ","], "--schedulers names none"),
        (["--schedulers", "hetf"], "unknown scheduler 'hetf' ('heft' is meant?)"),
        (["--schedulers", "heft", "--samples", 3], "options of the network are for deepsched"),
        ([ROOT / "tests/data/none.json"], "none.json: there is no such file"),
        ([ROOT / "tests/data/machines.json"], "a list of machines, not a problem"),
    ],
)
def test_mistakes(words: list[object], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    done = deepsched_here(capsys, "compare", FILES[0], *words)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr.splitlines()[-1]
