"""The notebook of the docs runs from top to bottom, and shows what it promises."""

from __future__ import annotations

import ast
import json
from typing import TYPE_CHECKING, Any

import deepsched as ds
from deepsched.baselines.registry import _registered
from tests.pipeline.cli_helpers import ROOT

if TYPE_CHECKING:
    import pytest

    from deepsched.baselines.schedule import Schedule

NOTEBOOK = ROOT / "docs" / "tour.ipynb"


def run(source: str, names: dict[str, Any]) -> Any:
    """Run a cell, and return what its last line is, as a notebook does."""
    tree = ast.parse(source)
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, "cell", "exec"), names)
    if last is None:
        return None
    return eval(compile(ast.Expression(last.value), "cell", "eval"), names)


def test_the_notebook_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    monkeypatch.chdir(NOTEBOOK.parent)
    cells = json.loads(NOTEBOOK.read_text())["cells"]
    assert all(cell.get("outputs", []) == [] for cell in cells)  # what is stored gets old
    names: dict[str, Any] = {}
    shown = [run("".join(c["source"]), names) for c in cells if c["cell_type"] == "code"]
    _registered.pop("fastest")
    assert "topcuoglu" in shown[0]._repr_html_()
    assert names["best"].makespan < names["heft"].makespan == 80
    assert isinstance(shown[2], ds.Comparison)
    summary = {one.scheduler: one.ratios.mean for one in shown[2].summary()}
    assert summary["deepsched"] < summary["heft"] == 1.0
    assert {one.scheduler for one in shown[5].summary()} == {"heft", "deepsched", "fastest"}
    assert shown[-1] is True
    mpl.pyplot.close("all")


def test_a_schedule_in_a_notebook() -> None:
    problem = ds.problem(etc=[[1.0]] * 20, name="<many>")
    schedule: Schedule = ds.schedule(problem, "heft")
    page = schedule._repr_html_()
    assert page.count("<tr>") == 13
    assert "… 8 more" in page
    assert "&lt;many&gt;" in problem._repr_html_()
    frame = schedule.to_pandas(problem)
    assert list(frame.columns) == ["task", "machine", "start", "finish", "duration"]
    assert len(frame) == 20
