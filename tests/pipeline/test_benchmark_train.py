"""`deepsched benchmark train`: fitted costs, simulated processes, and what the machine can do."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from deepsched.model.networks import build_network
from deepsched.pipeline.benchmarks import roofline
from deepsched.pipeline.benchmarks.roofline import Machine, Work
from deepsched.pipeline.benchmarks.training_comparison import SmallPaper, compared
from deepsched.pipeline.benchmarks.training_costs import (
    COLUMNS,
    CostFit,
    FewerMachines,
    fitted,
    measured,
    size_row,
)
from deepsched.pipeline.benchmarks.training_simulation import (
    busy_share,
    paper_plan,
    paper_sizes,
    simulated,
)
from deepsched.pipeline.labelling.paper_preset import N_MACHINES, PaperSource
from deepsched.pipeline.training.config import complete, make_config
from deepsched.pipeline.training.run import train_here
from tests.pipeline.cli_helpers import deepsched_here
from tests.pipeline.training_helpers import SMALL

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from deepsched.pipeline.training.config import TrainConfig
    from deepsched.pipeline.training.plan import Plan, Trained

TINY: dict[str, Any] = {"network": "deepsched", **SMALL, "rollouts": 4}


def settings(**changes: Any) -> TrainConfig:
    return complete(make_config({**TINY, "epochs": 1, **changes}, where="test"), generated=False)


def sizes_of(count: int) -> np.ndarray:
    """Return micro-batches of one to four problems on few or many machines."""
    rng = np.random.default_rng(0)
    return np.array(
        [
            size_row(
                (int(rng.integers(500, 5000)), int(machines)) for _ in range(rng.integers(1, 5))
            )
            for machines in rng.choice([20, 94, 188], count)
        ]
    )


@pytest.mark.parametrize(
    "known", [(0.01, 2e-5, 3e-7, 0.0), (0.0, 0.0, 2e-6, 3e-4), (0.2, 1e-4, 0.0, 0.0)]
)
def test_a_fit_finds_the_coefficients_that_made_the_seconds(known: tuple[float, ...]) -> None:
    sizes = sizes_of(30)
    fit = fitted(sizes, sizes @ np.array(known))
    np.testing.assert_allclose(fit.coefficients, known, atol=1e-12)
    np.testing.assert_allclose(fit.errors, 0, atol=1e-9)
    np.testing.assert_allclose(fit.seconds(sizes), sizes @ np.array(known))


def test_a_fit_is_judged_by_micro_batches_it_has_not_seen() -> None:
    sizes = sizes_of(30)
    seconds = sizes @ np.array([0.0, 1e-4, 1e-6, 0.0])
    seconds[7] *= 1.5
    fit = fitted(sizes, seconds)
    assert fit.ratios[7] == pytest.approx(1.5, rel=1e-9)  # the others are as the fit says
    assert fit.errors.argmax() == 7
    assert (fit.coefficients >= 0).all()
    # What shrinks with the size would ask for a negative coefficient.
    assert (fitted(sizes, 1 / sizes[:, 1]).coefficients >= 0).all()


def test_the_size_of_a_micro_batch() -> None:
    row = dict(zip(COLUMNS, size_row([(10, 3), (20, 2)]), strict=True))
    assert row == {"micro-batch": 1, "tasks": 30, "pairs": 70, "longest": 20}


def test_fewer_machines_are_the_first_ones_of_the_same_problem() -> None:
    whole, part = PaperSource(seed=0).problem(3), FewerMachines(seed=0, machines=23).problem(3)
    assert (part.n_tasks, part.n_machines) == (whole.n_tasks, 23)
    np.testing.assert_array_equal(part.etc, whole.etc[:, :23])
    assert FewerMachines(seed=0).problem(3).n_machines == N_MACHINES


def test_micro_batches_are_measured_from_small_to_large_while_there_is_time() -> None:
    sizes = [size for size in paper_sizes(60) if size.n_tasks < 1500]
    batches = [(size.n_tasks, (size.sample_id,)) for size in sizes]
    rows, seconds = measured(settings(), batches, limit=1e-9)
    assert len(rows) == len(seconds) == 8
    assert (seconds > 0).all()
    tasks = rows[:, COLUMNS.index("tasks")]
    assert (np.diff(tasks) >= 0).all()
    assert tasks[0] == min(n for n, _ in batches)
    assert set(rows[:, COLUMNS.index("pairs")] / tasks) == {N_MACHINES, 23, 94}


def test_the_busy_share_of_a_plan_by_hand() -> None:
    one, two = np.array([4.0, 2.0, 2.0]), np.array([3.0])
    assert busy_share([one], [one], 2) == 1.0
    # Four processes: 8 of 4 x 4; the second step occupies one process: 3 of 4 x 3.
    assert busy_share([one, two], [one, two], 4) == pytest.approx(11 / 28)
    # Dealt by the planned costs, timed by others: loads 6 and 2.
    assert busy_share([one], [np.array([6.0, 1.0, 1.0])], 2) == pytest.approx(8 / 12)
    assert busy_share([one, two], [one, two], 1) == 1.0


def test_the_plan_keeps_many_processes_busy_on_the_papers_sizes() -> None:
    config = settings(micro_batches=128)
    sizes = paper_sizes(20_000)
    plan = paper_plan(sizes, config)
    # The network `paper` as it was measured: mostly its recurrence over the longest problem.
    fit = CostFit(
        coefficients=np.array([0.0, 0.0, 1.5e-6, 2.5e-4]),
        tasks=np.array([500.0, 50_000.0]),
        ratios=np.array([1.05, 0.95]),
    )
    simulation = simulated(plan, {size.sample_id: size for size in sizes}, fit)
    eight, many = simulation.busy(8), simulation.busy(64)
    assert min(eight["plan"], eight["fit"], eight["disturbed"]) >= 0.95
    assert min(many["plan"], many["fit"], many["disturbed"]) >= 0.90
    assert many["plan"] >= 0.98
    assert simulation.busy(1) == dict.fromkeys(many, 1.0)


def test_errors_of_the_fit_are_drawn_from_micro_batches_of_like_size() -> None:
    sizes = paper_sizes(500)
    plan = paper_plan(sizes, settings(micro_batches=16))
    fit = CostFit(
        coefficients=np.array([0.0, 1.0, 0.0, 0.0]),
        tasks=np.repeat([1000.0, 60_000.0], 8),
        ratios=np.repeat([0.5, 2.0], 8),
    )
    simulation = simulated(plan, {size.sample_id: size for size in sizes}, fit)
    for seconds, disturbed in zip(simulation.seconds, simulation.disturbed, strict=True):
        middle = np.sqrt(1000.0 * 60_000.0)
        np.testing.assert_array_equal(disturbed / seconds, np.where(seconds < middle, 0.5, 2.0))


def same_flops(run: Any) -> int:
    with Work() as work:
        run()
    with FlopCounterMode(display=False) as counter:
        run()
    assert work.flops == counter.get_total_flops()
    return work.flops


def test_work_counts_operations_and_bytes_forward_and_backward() -> None:
    layer, rows_ND = torch.nn.Linear(8, 4, bias=False), torch.rand(5, 8)
    assert same_flops(lambda: layer(rows_ND)) == 2 * 5 * 8 * 4
    # Backward only the weight has a gradient.
    assert same_flops(lambda: layer(rows_ND).sum().backward()) == 2 * (2 * 5 * 8 * 4)
    with Work() as work:
        torch.add(rows_ND, rows_ND.reshape(-1).view(5, 8))
    assert (work.flops, work.bytes) == (0, 3 * 5 * 8 * 4)
    gru, rows_LBD = torch.nn.GRU(8, 16), torch.rand(7, 2, 8)
    assert same_flops(lambda: gru(rows_LBD)) == 7 * 2 * 2 * (8 + 16) * 3 * 16
    a, b = torch.rand(5, 6, 7), torch.rand(5, 6)
    assert same_flops(lambda: torch.einsum("bmd,bm->bd", a, b)) == 2 * 5 * 6 * 7


def test_a_roof_is_that_of_the_memory_or_of_the_processor(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    machine = Machine(flops=100.0, bandwidth=10.0)
    assert machine.attainable(40, 10) == 40.0
    assert machine.attainable(4000, 10) == 100.0
    monkeypatch.setattr(roofline, "SECONDS", 0.05)
    here = roofline.measure_machine()
    assert here.flops > 1e8
    assert here.bandwidth > 1e7


def test_a_training_is_compared_with_the_simulation_of_its_plan() -> None:
    plans: list[Plan] = []

    def train(plan: Plan) -> Trained:
        plans.append(plan)
        return train_here(plan, on_status=lambda _: None)  # alone, it waits for nobody

    fit, found = compared(TINY, 0.05, train, samples=12)
    (plan,) = plans
    assert plan.config.workers == 2
    assert plan.config.steps == found["steps"] >= 4
    assert found["real"] == pytest.approx(1.0, abs=0.01)
    assert 0.5 < found["fit"] <= 1.0
    assert 0.5 < found["plan"] <= 1.0
    assert len(fit.tasks) >= 8


def test_the_small_problems_are_the_papers() -> None:
    source = SmallPaper.first(5, 900)
    sizes = [source.problem(k).n_tasks for k in range(5)]
    assert max(sizes) <= 900
    whole = PaperSource(seed=0)
    assert [whole.problem(k).n_tasks for k in source.numbers] == sizes
    assert [source.size(k) for k in range(5)] == [whole.size(k) for k in source.numbers]


def run(capsys: pytest.CaptureFixture[str], out: Path, *line: Any) -> tuple[str, dict[str, Any]]:
    done = deepsched_here(capsys, "benchmark", "train", *line, "--json", out)
    assert done.returncode == 0, done.stderr
    document = json.loads(out.read_text(encoding="utf-8"))
    assert document["provenance"]["network"] == "deepsched"
    return done.stdout, document["figures"]


def test_the_command_times_steps(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(roofline, "SECONDS", 0.05)
    said, figures = run(capsys, tmp_path / "f.json", "--steps", 2)
    assert "waiting for data" in said
    assert figures["cpu"] > 0
    assert sum(figures["shares"].values()) == pytest.approx(1, abs=0.01)
    assert figures["tasks/s"] / figures["steps/s"] > 16 * 20  # of two micro-batches of 8 problems
    for part in ("flops", "rollouts"):
        assert figures[part]["achieved"] > 0
        assert figures[part]["attainable"] > 0
    assert figures["rollouts"]["step"] == pytest.approx(
        4 * 33 * figures["tasks/s"] / figures["steps/s"]
    )
    network = build_network("deepsched", {})
    assert figures["flops"]["step"] > 2 * sum(p.numel() for p in network.parameters())


def test_the_command_simulates(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line: Sequence[Any] = ("--simulate", "--samples", 60, "--seconds", 0.01, "--micro-batches", 4)
    said, figures = run(capsys, tmp_path / "f.json", *line)
    assert "seconds of a micro-batch =" in said
    assert set(figures["busy"]) == {"1", "2", "8", "16", "64"}
    assert figures["busy"]["1"] == {"plan": 1.0, "fit": 1.0, "disturbed": 1.0}
    assert figures["busy"]["64"]["fit"] <= 4 / 64
    assert set(figures["fit"]["coefficients"]) == set(COLUMNS)


def test_the_command_does_one_thing(capsys: pytest.CaptureFixture[str]) -> None:
    done = deepsched_here(capsys, "benchmark", "train", "--simulate", "--compare")
    assert done.returncode == 2
    assert "either --simulate or --compare" in done.stderr
