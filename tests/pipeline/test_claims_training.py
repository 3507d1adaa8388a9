"""The paper's claims: what a training's cell keeps, and what its decoders do."""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from rich.console import Console

from deepsched.baselines.heft import heft
from deepsched.baselines.ranks import release_order
from deepsched.baselines.schedule import violations
from deepsched.model.networks.paper.decode import decode
from deepsched.pipeline.benchmarks.claims import data, decoders, memorise
from deepsched.pipeline.benchmarks.claims.cells import result
from deepsched.pipeline.benchmarks.claims.command import PARTS
from deepsched.pipeline.benchmarks.claims.decoders import (
    DECODERS,
    DECODING,
    GROUPS,
    best_scored,
    finish_among_best,
)
from deepsched.pipeline.benchmarks.claims.part import Extent
from deepsched.pipeline.benchmarks.claims.problems import small_problems
from deepsched.pipeline.benchmarks.claims.simple import fastest, ratio
from deepsched.pipeline.benchmarks.claims.training import (
    UNSEEN,
    Training,
    config_of,
    last_quarter,
    network_of,
    training_cell,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from rich.table import Table


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Path]:
    folder = tmp_path_factory.mktemp("claims")
    training = Training(problems=1, machines=16, memorised=True, steps=40)
    return result(training_cell("one", training), folder), folder


def test_the_network_of_the_best_validation_is_what_is_kept_and_measured(
    trained: tuple[dict[str, Any], Path],
) -> None:
    found, folder = trained
    curve = {point["step"]: point["turnaround"] for point in found["curve"]}
    assert list(curve) == list(range(2, 41, 2))
    assert curve[found["best_step"]] == min(curve.values())
    (problem,) = small_problems("train", 1, 16)
    network = network_of("one", folder)
    assert found["seen"] == [ratio(problem, network(problem))]
    assert found["seen"][0] == pytest.approx(min(curve.values()), rel=1e-5)
    assert len(found["unseen"]) == UNSEEN
    accuracy = network.agreement(problem, heft(problem))["accuracy"]
    assert found["seen_accuracy"] == pytest.approx(accuracy)


def test_the_last_quarter_of_a_curve_by_hand() -> None:
    assert last_quarter([9.0, 5.0, 2.0, 1.5]) == pytest.approx(0.25)
    assert last_quarter([1.0, 1.0, 4.0, 5.0, 5.0, 4.0, 9.0, 5.0]) == pytest.approx(0.25)
    assert last_quarter([3.0]) == 0.0


def test_trainings_differ_in_what_they_say() -> None:
    extent = Extent(steps=100)
    padded = memorise.padded_trainings(extent)
    assert all(one.padded for one in padded.values())
    named = {**memorise.trainings(extent), **padded, **data.trainings(extent)}
    assert len(named) == 12 + 3 + 4
    assert len({repr(config_of(one)) + str(one) for one in named.values()}) == len(named)
    for one in named.values():
        config = config_of(one)
        assert (config.steps, config.check_every, config.schedule) == (100, 5, "cosine")
        assert config.mse_weight == (1000.0 if one.times == "residual" else 1.0)
        assert config.network_options["times"] == one.times
        assert (config.network_options["max_tasks"] == 200) == one.padded


def test_the_first_decoder_is_the_networks_own(trained: tuple[dict[str, Any], Path]) -> None:
    network = network_of("one", trained[1])
    for problem in small_problems("test", 4, 16):
        (said,) = network.predict([problem])
        own = decode(problem, said)
        score = np.where(np.isfinite(problem.etc), said.score, -np.inf)
        order = np.lexsort((problem.topo_index, own.aft, own.ast))
        np.testing.assert_allclose(best_scored(problem, score, order).aft, own.aft)


def test_decoders_make_valid_schedules_of_any_scores() -> None:
    rng = np.random.default_rng(0)
    for problem in small_problems("test", 4, 16):
        score = np.where(np.isfinite(problem.etc), rng.normal(size=problem.etc.shape), -np.inf)
        for decoder, _ in DECODERS.values():
            schedule = decoder(problem, score, release_order(problem))
            assert violations(problem, schedule) == []


def test_without_a_network_the_best_scored_machine_is_the_fastest() -> None:
    (problem,) = small_problems("test", 1, 16)
    order = release_order(problem)
    np.testing.assert_array_equal(
        best_scored(problem, -problem.etc, order).proc, fastest(problem).proc
    )
    chosen = finish_among_best(problem, -problem.etc, order).proc
    rank = np.argsort(np.argsort(problem.etc, axis=1, kind="stable"), axis=1, kind="stable")
    assert rank[np.arange(problem.n_tasks), chosen].max() <= 3


def written(tables: Sequence[Table]) -> str:
    console = Console(file=io.StringIO(), width=400)
    for table in tables:
        console.print(table)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.mark.parametrize("name", ["memorise", "padded", "data"])
def test_tables_show_both_means_of_every_training(
    name: str, trained: tuple[dict[str, Any], Path]
) -> None:
    extent, part = Extent(steps=100), PARTS[name]
    made_up = {**trained[0], "seen": [1.0, 2.0, 4.0], "last_quarter": 0.25}
    text = written(part.tables(extent, {cell.name: made_up for cell in part.cells(extent)}))
    assert len(re.findall(r"2\.333 +(?:│ +)?2\.000", text)) == len(part.cells(extent))
    assert "25.0 %" in text or name == "data"


def test_decoders_stand_beside_themselves_without_a_network(
    trained: tuple[dict[str, Any], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    extent = Extent(steps=100)
    cells = DECODING.cells(extent)
    monkeypatch.setattr(decoders, "result", lambda *_: None)
    monkeypatch.setattr(decoders, "network_of", lambda *_: network_of("one", trained[1]))
    monkeypatch.setattr(decoders, "UNSEEN", 3)
    found = cells[0].make(trained[1])
    assert list(found) == list(DECODERS)
    for own in found.values():
        assert [len(own[group]) for group in GROUPS] == [20, 3, 3]
    problems = small_problems("test", 3, 16)
    by_release = found["best-scored machine, by release"]["without a network"]
    assert by_release == [ratio(problem, fastest(problem)) for problem in problems]
    text = written(DECODING.tables(extent, {cell.name: found for cell in cells}))
    assert all(text.count(name) == 2 for name in DECODERS)


def test_decoders_are_those_of_two_trainings_of_other_parts() -> None:
    extent = Extent(steps=100)
    names = {f"decoders-{name}" for name in (*memorise.trainings(extent), *data.trainings(extent))}
    assert {cell.name for cell in DECODING.cells(extent)} <= names
