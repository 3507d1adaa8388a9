"""Damaged files of every format: a problem or one line, within bounded time and memory."""

from __future__ import annotations

import random
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from deepsched.baselines.errors import InvalidInput
from deepsched.baselines.readers import ReadOptions
from deepsched.pipeline.faults import read as chaos
from deepsched.pipeline.faults.read import findings, mutation
from tests.baselines.test_readers import FILES
from tests.pipeline.cli_helpers import deepsched_here

if TYPE_CHECKING:
    from collections.abc import Callable

DATA = Path(__file__).resolve().parent.parent / "data"
MUTATIONS = 2_000
FURTHER = ("old_wfformat.json", "snakemake.dot")


@pytest.mark.parametrize("name", [*FILES.values(), *FURTHER])
def test_every_reader_withstands_damage(name: str) -> None:
    data = (DATA / name).read_bytes()
    options = ReadOptions(runtime=1.0)
    found = list(findings(data, f"some/{name}", mutations=MUTATIONS, seed=0, options=options))
    assert len(found) == MUTATIONS
    assert [(one.number, one.what) for one in found if one is not None] == []


def test_a_mutation_is_its_seeds() -> None:
    data = (DATA / "jobs.csv").read_bytes()
    made = [mutation(data, random.Random(f"0-{k}")) for k in range(50)]
    assert made == [mutation(data, random.Random(f"0-{k}")) for k in range(50)]
    assert len(set(made)) > 40


def _raise(error: Exception) -> Callable[..., None]:
    def reader(data: bytes, where: str, options: object) -> None:
        raise error

    return reader


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ZeroDivisionError("by\nzero"), "raises ZeroDivisionError"),
        (InvalidInput("elsewhere: no"), "says 'elsewhere"),
        (InvalidInput("f: two\nlines"), "says 'f: two"),
        (InvalidInput("f: " + "x" * 2_000), "says 'f: xxx"),
        (InvalidInput("f: no"), None),
    ],
)
def test_what_is_not_one_line_is_found(
    error: Exception, said: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chaos, "problem_from_bytes", _raise(error))
    (found,) = findings(b"abc", "f", mutations=1, seed=0)
    assert found.what.startswith(said) if said and found else found is None


def test_the_command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    files = [DATA / "jobs.csv", DATA / "tiny.stg"]
    done = deepsched_here(capsys, "chaos", "read", *files, "--mutations", 20)
    assert done.returncode == 0
    assert done.stdout.endswith("2 files, 20 mutations each: 0 not read as they should\n")
    monkeypatch.setattr(chaos, "problem_from_bytes", _raise(ZeroDivisionError("no")))
    done = deepsched_here(capsys, "chaos", "read", files[0], "--mutations", 3)
    assert done.returncode == 1
    assert "jobs.csv: mutation 2 raises ZeroDivisionError: no\n" in done.stdout
    assert done.stdout.endswith("1 files, 3 mutations each: 3 not read as they should\n")
