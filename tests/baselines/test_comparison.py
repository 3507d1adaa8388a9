"""Schedulers side by side: rows, summary and tables against values worked out by hand."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

import deepsched as ds
from deepsched.baselines.comparison import Comparison, compare_schedulers
from deepsched.baselines.cpop import cpop
from deepsched.baselines.errors import InvalidInput, TooLarge, UnknownName
from deepsched.baselines.heft import heft
from deepsched.baselines.machines import make_machines
from deepsched.baselines.problem import make_problem
from deepsched.baselines.readers import read_problem
from tests.pipeline.cli_helpers import ROOT

if TYPE_CHECKING:
    import numpy as np

    from deepsched.baselines.problem import Problem
    from deepsched.baselines.schedule import Schedule

TOPCUOGLU = ROOT / "tests/data/topcuoglu.json"


def two() -> list[Problem]:
    chain = make_problem(
        machines=make_machines(2),
        etc=[[2.0, 3.0], [2.0, 3.0]],
        edges=([0], [1], [0.0]),
        name="chain",
    )
    return [read_problem(TOPCUOGLU), chain]


def refusing(problem: Problem, rng: np.random.Generator) -> Schedule:
    if problem.n_tasks > 5:
        raise TooLarge("five tasks at most")
    return heft(problem)


def found() -> Comparison:
    return compare_schedulers(two(), {"cpop": cpop, "small": refusing})


def test_rows_hold_what_each_scheduler_did() -> None:
    rows = found().rows
    assert [(row.problem, row.scheduler, row.makespan) for row in rows] == [
        ("topcuoglu", "heft", 80.0),
        ("topcuoglu", "cpop", 86.0),
        ("topcuoglu", "small", None),
        ("chain", "heft", 4.0),
        ("chain", "cpop", 4.0),
        ("chain", "small", 4.0),
    ]
    assert rows[1].ratio == 86 / 80
    assert rows[3].gap == pytest.approx(0.0, abs=1e-12)
    assert all(row.seconds is None or row.seconds > 0 for row in rows)
    assert rows[0].winner == "heft"


def test_the_summary_is_over_all_problems() -> None:
    heads = {one.scheduler: one for one in found().summary()}
    assert list(heads) == ["heft", "small", "cpop"]  # the best mean first
    ratios = heads["cpop"].ratios
    assert ratios is not None
    assert ratios.mean == pytest.approx((86 / 80 + 1) / 2)
    assert (ratios.better, ratios.equal, ratios.worse) == (0, 1, 1)
    assert (heads["small"].refused, heads["cpop"].refused) == (1, 0)


def test_tables_and_json() -> None:
    comparison = found()
    headings, rows = comparison.problem_table()
    assert headings == ["problem", "tasks×p", "HEFT s", "small", "cpop"]
    assert rows[0] == ["topcuoglu", "10×3", "80", "–", "1.0750"]
    assert comparison.table()[1]["scheduler"] == "small (1 too large)"
    document = json.loads(json.dumps(comparison.to_json()))
    assert document["rows"][1]["makespan"] == 86.0
    page = comparison._repr_html_()
    assert page.count("<table>") == 2
    assert "<td>1.0750</td>" in page


def test_names_in_tables_are_text() -> None:
    problem = make_problem(machines=make_machines(1), etc=[[1.0]], name="<b>\n")
    page = compare_schedulers([problem, problem], {})._repr_html_()
    assert "<b>" not in page
    assert "&lt;b&gt;\\n (2)" in page


def test_pandas_and_matplotlib() -> None:
    frame = found().to_pandas()
    assert list(frame["scheduler"]) == ["heft", "cpop", "small"] * 2
    assert frame["makespan"].isna().sum() == 1
    axes = found().plot()
    assert [label.get_text() for label in axes.get_yticklabels()] == ["heft", "small", "cpop"]


def test_the_function_of_the_package() -> None:
    problem = read_problem(TOPCUOGLU)
    both = ds.compare(problem, ["HEFT", "deepsched"], samples=32)
    assert [(row.scheduler, row.makespan) for row in both.rows][-1] == ("deepsched", 73.0)
    assert {row.makespan for row in ds.compare([problem], {"mine": cpop}).rows} == {80.0, 86.0}
    with pytest.raises(UnknownName, match="'peft' is meant"):
        ds.compare(problem, ["pefd"])
    with pytest.raises(InvalidInput, match="no problem"):
        ds.compare([])
