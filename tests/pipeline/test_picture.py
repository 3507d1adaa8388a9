"""The picture of HEFT beside the network: what it shows, the same at each run."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from deepsched.baselines.heft import heft
from deepsched.baselines.readers import read_problem
from deepsched.baselines.writers.kinds import task_kinds
from deepsched.pipeline.benchmarks.picture import example
from tests.pipeline.cli_helpers import EXAMPLE, ROOT, deepsched_here

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def makespans(said: str) -> dict[str, float]:
    return {name: float(value) for name, value in re.findall(r"(\w+) +makespan ([\d.]+) s", said)}


def test_the_example_is_named_by_its_levels() -> None:
    problem = example()
    assert task_kinds(problem.task_ids)[0] == list("ABCDEF")
    parents, children, _ = problem.edge_list()
    for parent, child in zip(parents, children, strict=True):
        assert problem.task_ids[parent][0] < problem.task_ids[child][0]


def test_the_network_beats_heft_in_the_picture(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pictures = []
    for name in ("a.svg", "b.svg"):
        done = deepsched_here(capsys, "benchmark", "picture", "--out", tmp_path / name)
        assert done.returncode == 0, done.stderr
        pictures.append((tmp_path / name).read_bytes())
    assert pictures[0] == pictures[1]
    found = makespans(done.stdout)
    assert list(found) == ["heft", "deepsched"]
    assert found["heft"] == float(f"{heft(example()).makespan:.6g}")
    assert found["deepsched"] < 0.95 * found["heft"]
    text = pictures[0].decode()
    for makespan in found.values():
        assert f"makespan {makespan:,.0f} s" in text


TRACE = "epigenomics-chameleon-ilmn-1seq-100k-001.json.gz"


def test_the_documents_picture_is_what_its_command_draws(
    data_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = data_dir / "wfinstances" / "epigenomics" / TRACE
    out = tmp_path / "p.svg"
    line = ["benchmark", "picture", file, "--machines", 4, "--noise", 0.2, "--out", out]
    done = deepsched_here(capsys, *line)
    assert done.returncode == 0, done.stderr
    assert out.read_bytes() == (ROOT / "docs" / "heft-and-deepsched.svg").read_bytes()


def test_any_workflow_can_be_drawn(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "example.json").write_text(EXAMPLE)
    line = ["benchmark", "picture", tmp_path / "example.json", "--out", tmp_path / "s.svg"]
    done = deepsched_here(capsys, *line)
    assert (done.returncode, makespans(done.stdout)["deepsched"]) == (0, 8.0)
    problem = read_problem(tmp_path / "example.json")
    text = (tmp_path / "s.svg").read_text()
    assert all(f"<title>{task}: " in text for task in problem.task_ids)


def test_an_output_that_cannot_be_written_is_refused_first(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    done = deepsched_here(capsys, "benchmark", "picture", "--out", tmp_path / "no" / "s.svg")
    assert (done.returncode, done.stdout) == (2, "")
    assert "there is no folder" in done.stderr
