"""The held-out benchmark: what it consists of, and how its numbers are made."""

from __future__ import annotations

import json
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from deepsched.baselines.bounds import lower_bound
from deepsched.baselines.generate import FAMILIES, GeneratorSpec, generate
from deepsched.baselines.heft import heft
from deepsched.model.networks.deepsched.decode import decode_schedule
from deepsched.model.networks.deepsched.scheduler import DeepSchedScheduler
from deepsched.pipeline.benchmarks import quality, quality_methods, quality_problems
from deepsched.pipeline.benchmarks.quality import BUDGETS
from deepsched.pipeline.benchmarks.quality_controls import Averaged, BestConstants
from deepsched.pipeline.benchmarks.quality_methods import (
    AVERAGED,
    ONCE,
    EqualTimeGA,
    Outcome,
    Runner,
    Search,
)
from deepsched.pipeline.benchmarks.quality_problems import (
    anytime_problems,
    cell_problems,
    grid,
    job_shop_problems,
)
from deepsched.pipeline.benchmarks.quality_tables import by_ccr, lead, ratios, table
from deepsched.pipeline.common.cli import results
from deepsched.pipeline.labelling import training_preset
from tests.pipeline.cli_helpers import deepsched_here

if TYPE_CHECKING:
    from pathlib import Path

    from deepsched.baselines.problem import Problem


def test_families_and_seeds_are_those_of_no_training() -> None:
    cells = grid()["cells"] + grid()["large"]
    assert {cell["family"] for cell in cells}.isdisjoint(training_preset.FAMILIES)
    assert {cell["family"] for cell in cells} < set(FAMILIES)
    seeds = [cell["first_seed"] + k for cell in cells for k in range(cell["graphs"])]
    assert len(set(seeds)) == len(seeds)
    assert max(seeds) < min(training_preset.TRAINING_SEEDS[0], training_preset.DEVELOPMENT_SEEDS[0])


def test_the_grid_covers_what_it_should() -> None:
    cells = grid()["cells"]
    assert all(cell["graphs"] >= 30 for cell in cells)
    assert {cell["ccr"] for cell in cells} == {0.1, 1.0, 10.0}
    assert {cell["machines"] for cell in cells} == {4, 16, 64, 188}
    assert (min(c["tasks"] for c in cells), max(c["tasks"] for c in cells)) == (50, 10_000)
    names = {next(cell_problems({**cell, "graphs": 1}))[0] for cell in cells if cell["quick"]}
    assert len(names) == sum(cell["quick"] for cell in cells)


def test_ratios_are_paired_and_cells_count_the_same() -> None:
    found = ratios(
        [
            Outcome(cell="a", values={"heft": 2.0, "x": 1.0}, seconds={"heft": 1.0, "x": 3.0}),
            Outcome(cell="a", values={"heft": 4.0, "x": 4.0}, seconds={"heft": 1.0, "x": 5.0}),
            Outcome(cell="b", values={"heft": 1.0, "x": 2.0}, seconds={"heft": 1.0, "x": 7.0}),
            Outcome(cell="b", values={"heft": 1.0, "x": 2.0}, seconds={"heft": 1.0, "x": 7.0}),
        ]
    )
    assert found["x"]["a"] == pytest.approx((0.75, 1.96 * 0.25, 4.0))
    assert found["x"]["b"] == pytest.approx((2.0, 0.0, 7.0))
    assert found["x"]["all"] == pytest.approx((1.375, 1.96 * 0.25 / 2, 5.5))
    assert found["heft"]["all"][0] == 1.0


def test_a_lead_is_paired_too() -> None:
    values = [(2.0, 1.0, 1.5), (4.0, 4.0, 4.0), (1.0, 0.5, 0.9), (1.0, 0.5, 0.9)]
    outcomes = [
        Outcome(cell=cell, values={"heft": h, "x": x, "y": y})
        for cell, (h, x, y) in zip("aabb", values, strict=True)
    ]
    assert lead(outcomes, "x", "y") == pytest.approx(((0.125 + 0.4) / 2, 1.96 * 0.125 / 2))


def test_cells_by_their_communication() -> None:
    outcomes = [Outcome(cell=f"fft 50 x 4, CCR {ccr}") for ccr in ("0.1", "1", "10")]
    assert [o.cell for o in by_ccr(outcomes, 1.0)] == [o.cell for o in outcomes[1:]]


def test_every_method_runs_and_is_no_better_than_the_bound() -> None:
    ((cell, problem),) = cell_problems({**grid()["cells"][1], "graphs": 1})
    runner = Runner(None)
    found = runner.run(cell, problem)
    assert set(found.values) >= {"heft", "deepsched", "deepsched, no guard", "peft", "min-min"}
    assert len(found.values) == 14
    assert set(found.seconds) == set(found.values) - {"lower bound"}
    assert min(found.values.values()) == found.values["lower bound"]
    assert found.values[ONCE] == min(found.values["heft"], found.values["deepsched, no guard"])
    assert found.values["deepsched"] <= found.values[ONCE]
    turnaround = runner.turnaround(cell, problem)
    assert turnaround.values["deepsched"] <= turnaround.values["heft"] < found.values["heft"]
    anytime = runner.anytime(cell, problem, 0.05)
    assert set(anytime.values) == {"heft", "deepsched", "zeroed", "search"}
    assert table("x", [found, found], cells=True).row_count == 14


def test_the_table_says_how_much_of_the_gap_to_the_bound_is_closed() -> None:
    outcomes = [
        Outcome(cell="a", values={"heft": 10.0, "x": 8.0, "lower bound": 5.0}),
        Outcome(cell="b", values={"heft": 10.0, "x": 10.0, "lower bound": 6.0}),
    ]
    shown = table("x", outcomes, cells=True)
    (closed,) = (column for column in shown.columns if column.header == "closed")
    assert list(closed.cells) == ["0.0 %", "22.2 %", "100.0 %"]


def test_every_kind_of_small_graph_is_searched_more_than_once() -> None:
    cells = Counter(case()[0] for case in anytime_problems(min(BUDGETS.values())))
    assert len(cells) == 48
    assert set(cells.values()) == {2}, "an interval needs two of a kind"
    for kind in ("fft", "cholesky", "gaussian", "series", "CCR 0.1", "CCR 10", " 50 ", " 1000 "):
        assert any(kind in name for name in cells)


def test_the_controls_use_their_time_and_not_much_more() -> None:
    problem = generate(GeneratorSpec(family="layered", tasks=60, machines=8, ccr=8.0), 0)
    rng = np.random.default_rng(0)
    runner = Runner(None)
    runner.warm_up()
    for control in (Search(0.2), EqualTimeGA(0.2)):
        begin = time.perf_counter()
        assert control(problem, rng).makespan <= heft(problem).makespan
        # Far more than it takes, far less than if the time did not count.
        assert 0.1 < time.perf_counter() - begin < 3.0
    assert Search(0.2)(problem, rng).makespan < heft(problem).makespan


class Sameish(DeepSchedScheduler):
    """A network whose outputs are alike but for one task."""

    def forward(self, problem: Problem, heads: slice = slice(None)) -> Any:
        view, outputs, hidden = super().forward(problem, heads)
        outputs[:] = outputs.mean(axis=1, keepdims=True)
        outputs[:, 0] += 3.0
        return view, outputs, hidden


def test_averaging_takes_away_what_a_task_has_of_its_own_and_nothing_else() -> None:
    rng = np.random.default_rng(0)
    network = DeepSchedScheduler.load(samples=1, guard=False)
    alike = Sameish(network._weights, network.options)  # noqa: SLF001
    for seed in range(5):
        problem = generate(GeneratorSpec(family="layered", tasks=40, machines=4, ccr=5.0), seed)
        for one in (network, alike):
            view, heads, _ = one.forward(problem)
            makespans = [heft(problem).makespan]
            for outputs in heads:
                mean = np.tile(outputs.mean(axis=0), (problem.n_tasks, 1))
                makespans.append(decode_schedule(problem, view, mean, "x").makespan)
            assert Averaged(one)(problem, rng).makespan == min(makespans)
        # Three more on one task of forty: it shifts the mean a little and no task more than others.
        assert not (heads[0] == heads[0, 1]).all()


def test_more_constants_are_never_worse() -> None:
    rng = np.random.default_rng(0)
    network = DeepSchedScheduler.load(samples=1, guard=False)
    problem = generate(GeneratorSpec(family="layered", tasks=60, machines=8, ccr=5.0), 1)
    found = [BestConstants(network, count)(problem, rng).makespan for count in (0, 1, 4, 12)]
    assert found[0] == heft(problem).makespan
    assert found == sorted(found, reverse=True)
    assert found[-1] < found[0]


def test_job_shops_are_read_with_their_bounds(data_dir: Path) -> None:
    cells = Counter[str]()
    for case in job_shop_problems(data_dir):
        cell, problem, best = case()
        cells[cell] += 1
        assert np.isfinite(problem.etc).sum() == problem.n_tasks  # one machine can do each
        assert lower_bound(problem) <= best <= heft(problem).makespan
    assert cells == {"Taillard 15 x 15": 10, "Taillard 20 x 20": 10}


def test_a_folder_without_the_inputs_is_refused_at_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    done = deepsched_here(capsys, "benchmark", "quality", "--data", tmp_path)
    assert done.returncode == 2
    assert "no folder wfinstances" in done.stderr


def test_the_command_prints_and_writes_every_part(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    small = {**grid()["cells"][1], "graphs": 2}
    tiny = {"cells": [small], "large": [small]}
    monkeypatch.setattr(quality_problems, "grid", lambda: tiny)
    monkeypatch.setattr(quality, "BUDGETS", {0.02: 2})
    monkeypatch.setattr(quality_methods, "MOST_TURNED", small["tasks"] - 1)
    monkeypatch.delenv("DEEPSCHED_DATA", raising=False)
    done = deepsched_here(
        capsys, *("benchmark", "quality", "--json", tmp_path / "j", "--html", tmp_path / "h")
    )
    assert done.returncode == 0
    assert "no real traces" in done.stderr
    assert " 2/2 " in done.stderr
    assert "/?" not in done.stderr
    found = json.loads((tmp_path / "j").read_text())
    parts = [
        "generated, makespan",
        "generated, mean turnaround",
        "the paper's scale, makespan",
        "HEFT and the network, makespan",
        "anytime, 0.02 s",
    ]
    assert list(found["parts"]) == parts
    networks = found["provenance"]["networks"]
    assert list(networks) == ["makespan", "topk", "turnaround"]
    assert len({network["date"] for network in networks.values()}) == 3
    assert set(found["ahead"]) == {"generated, makespan", "anytime, 0.02 s"}
    assert set(found["ahead"]["generated, makespan"]) == {AVERAGED}
    assert set(found["ahead"]["anytime, 0.02 s"]) == {"search", "zeroed"}
    one = deepsched_here(capsys, "benchmark", "quality", "--part", "anytime")
    assert "anytime, 0.02 s" in one.stdout
    assert "generated" not in one.stdout
    none = deepsched_here(capsys, "benchmark", "quality", "--part", "anyhow")
    assert (none.returncode, "called 'anyhow'" in none.stderr) == (2, True)
    page = (tmp_path / "h").read_text()
    for part in parts:
        assert part in done.stdout
        assert part.replace("'", "&#x27;") in page


def test_a_row_of_a_table_is_a_line_at_80_columns(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    methods = ("heft", "deepsched topk, no guard", "lower bound")
    outcomes = [
        Outcome(
            cell="gaussian 10000 x 188, CCR 10",
            values=dict(zip(methods, (4.0, 3.0, 2.0), strict=True)),
        )
        for _ in range(2)
    ]
    results.print_table(table("the paper's scale, makespan", outcomes, cells=True))
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3 + len(methods)
    assert "…" not in "".join(lines)
    for method, ratio, line in zip(methods, (1.0, 0.75, 0.5), lines[3:], strict=True):
        assert line.startswith(f"{method} ")
        assert line.rstrip().endswith(f" {ratio:.3f} gaussian 10000x188, CCR 10")
