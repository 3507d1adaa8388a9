"""The paper's claims: what is compared, and that the command says it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from deepsched.pipeline.benchmarks.claims import LARGEST, paper_problems
from deepsched.pipeline.labelling.paper_preset import N_MACHINES
from tests.pipeline.cli_helpers import deepsched_here

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_seen_and_unseen_problems_are_of_the_two_splits() -> None:
    for test in (False, True):
        problems = paper_problems(3, test=test)
        numbers = [int(problem.name.rpartition("sample")[2]) for problem in problems]
        assert all((number % 10 == 9) == test for number in numbers)
        assert numbers == sorted(set(numbers))
        assert all(486 <= problem.n_tasks <= LARGEST + 100 for problem in problems)
        assert {problem.n_machines for problem in problems} == {N_MACHINES}


def test_the_command_compares_turnaround_and_time(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "claims.json"
    line = ["benchmark", "claims", "--samples", 2, "--epochs", 1, "--sizes", "20,40", "--json", out]
    done = deepsched_here(capsys, *line)
    assert done.returncode == 0
    found = json.loads(out.read_text())
    for group in ("seen", "unseen"):
        values = found["turnaround"][group]
        assert set(values) == {"heft", "paper", "ga"}
        assert all(len(own) == 2 for own in values.values())
        assert min(values["paper"]) > 0
    assert set(found["seconds"]) == {"20", "40"}
    assert all("padded to 40 tasks" in " ".join(own) for own in found["seconds"].values())
    assert "published by the paper" in done.stdout
    assert deepsched_here(capsys, "benchmark", "claims", "--sizes", "many").returncode == 2
