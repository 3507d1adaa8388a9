"""What can be chosen about a step: warm-up, early stop, short numbers, compiled layers, lead."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from deepsched.baselines.errors import InvalidInput
from deepsched.model.networks.deepsched import learners
from deepsched.pipeline.training.config import RECIPES, complete, merged_config
from deepsched.pipeline.training.course import make_course
from deepsched.pipeline.training.history import ended_early
from deepsched.pipeline.training.loop import fit
from deepsched.pipeline.training.plan import finished_training, plan_training
from deepsched.pipeline.training.run import train_here
from deepsched.pipeline.training.schedule import learning_rate
from tests.pipeline.training_helpers import (
    GENERATED,
    PAPER,
    Notebook,
    config,
    files_in,
    in_unison,
    same_weights,
    tiny_dataset,
    weights,
    without_seconds,
)

if TYPE_CHECKING:
    from pathlib import Path

    from deepsched.pipeline.training.peers import Peers


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> str:
    return tiny_dataset(tmp_path_factory.mktemp("data") / "tiny", 30)


def train(
    folder: Path, base: dict[str, Any] = GENERATED, data: str | None = None, **more: Any
) -> Any:
    notebook = Notebook(folder, every_step=True)
    fit(make_course(data, config(base, **more)), reporter=notebook)
    return notebook


def test_the_step_size_rises_over_the_warm_up_and_then_falls() -> None:
    settings = config(learning_rate=0.4, warmup_steps=4, schedule="cosine", steps=8)
    rates = [learning_rate(settings, step, 8) for step in range(8)]
    assert rates[:5] == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.4])
    assert all(a > b for a, b in itertools.pairwise(rates[4:]))
    assert rates[6] == pytest.approx(0.2)


def test_training_ends_when_validations_bring_nothing_new() -> None:
    scores = [3.0, 1.0, 2.0, 1.0, 1.5]
    records = [{"step": 5 * k, "score": score} for k, score in enumerate(scores, 1)]
    found = [ended_early(records[:k], 3) for k in range(6)]
    assert found == [False, False, False, False, False, True]
    assert not ended_early(records, None)


def test_a_training_that_ended_early_is_finished(tmp_path: Path) -> None:
    # A step size of nothing: every validation is as good as the first one.
    options = {**GENERATED, "steps": 50, "check_every": 1, "early_stop": 2, "workers": 0}
    plan = plan_training(None, tmp_path, options={**options, "learning_rate": 1e-30})
    trained = train_here(plan, on_status=lambda _: None)
    assert [record["step"] for record in trained.history] == [1, 2, 3]
    again = plan_training(None, tmp_path, options={"workers": 0}, resume=True)
    assert finished_training(again)
    longer = plan_training(None, tmp_path, options={"early_stop": 4}, resume=True)
    assert finished_training(longer) is None
    more = train_here(longer, on_status=lambda _: None)
    assert [record["step"] for record in more.history] == [1, 2, 3, 4, 5]


def test_the_papers_recipe_is_what_files_and_options_may_change(tmp_path: Path) -> None:
    recipe = merged_config(None, {"recipe": "paper"})
    assert (recipe.network, recipe.learning_rate, recipe.epochs) == ("paper", 1e-5, 100)
    assert {name: getattr(recipe, name) for name in RECIPES["paper"]} == RECIPES["paper"]
    (tmp_path / "c.json").write_text('{"epochs": 7, "ema": 0.5}')
    changed = merged_config(tmp_path / "c.json", {"recipe": "paper", "ema": 0.25})
    assert (changed.epochs, changed.ema, changed.learning_rate) == (7, 0.25, 1e-5)
    assert complete(changed, generated=False).teacher == "heft"
    with pytest.raises(InvalidInput, match="generated problems have no end"):
        complete(recipe, generated=True)


@pytest.mark.parametrize("base", [GENERATED, PAPER], ids=["deepsched", "paper"])
def test_short_numbers_learn_nearly_the_same(base: Any, data: str, tmp_path: Path) -> None:
    source = None if base is GENERATED else data
    more = {} if base is GENERATED else {"epochs": 1}
    plain = train(tmp_path / "float32", base, source, **more)
    short = train(tmp_path / "bf16", base, source, precision="bf16", **more)
    last = plain.steps[-1]
    a, b = weights(plain.at(last)), weights(short.at(last))
    assert not same_weights(plain.at(last), short.at(last))
    assert all(value.dtype == a[key].dtype for key, value in b.items())
    name = next(iter(plain.measures[0]))
    first, other = plain.measures[0][name], short.measures[0][name]
    assert other == pytest.approx(first, rel=0.02)
    assert max(float((a[key] - b[key]).abs().max()) for key in a) < 0.2


# The compiler of torch warns of itself.
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("base", [GENERATED, PAPER], ids=["deepsched", "paper"])
def test_compiled_layers_learn_the_same_but_for_rounding(
    base: Any, data: str, tmp_path: Path
) -> None:
    source, more = None, {"steps": 2}
    if base is PAPER:  # which has compiled layers of its own for float32
        source, more = data, {"steps": 2, "precision": "bf16"}
    plain = train(tmp_path / "plain", base, source, **more)
    compiled = train(tmp_path / "compiled", base, source, compile=True, **more)
    assert compiled.measures[0] == pytest.approx(plain.measures[0], rel=1e-2)
    a, b = weights(plain.at(2)), weights(compiled.at(2))
    assert a.keys() == b.keys()
    close = [np.isclose(a[key], b[key], atol=1e-3).ravel() for key in a]
    assert np.concatenate(close).mean() > 0.9


def test_rollouts_that_run_ahead_are_those_of_earlier_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded: list[np.ndarray] = []
    run = learners.run_rollouts

    def watched(job: Any) -> Any:
        decoded.append(job.outputs.copy())
        return run(job)

    monkeypatch.setattr(learners, "run_rollouts", watched)
    train(tmp_path / "now", micro_batches=1, problems_per_micro_batch=1)
    now = decoded.copy()
    decoded.clear()
    train(tmp_path / "ahead", micro_batches=1, problems_per_micro_batch=1, staleness=2)
    assert len(decoded) == len(now) == 4
    # An untrained network says 0: so do steps 0 to 2, with the weights from before the first step.
    assert [bool(np.abs(outputs).max()) for outputs in now] == [False, True, True, True]
    assert [bool(np.abs(outputs).max()) for outputs in decoded] == [False, False, False, True]


@pytest.mark.parametrize("staleness", [1, 3])
def test_a_lead_changes_nothing_about_processes_and_interruptions(
    staleness: int, tmp_path: Path
) -> None:
    more = {"steps": 6, "staleness": staleness, "imitation_steps": 2, "teacher": "heft"}
    whole = train(tmp_path / "whole", **more)
    assert not same_weights(whole.at(6), train(tmp_path / "none", **{**more, "staleness": 0}).at(6))

    def work(peers: Peers) -> Any:
        notebook = Notebook(tmp_path / str(peers.rank), every_step=True)
        return fit(make_course(None, config(**more)), reporter=notebook, peers=peers)

    for history in in_unison(2, work):
        assert without_seconds(history) == without_seconds(whole.records)
    assert same_weights(tmp_path / "0" / "step-6", whole.at(6))
    for step in (1, 3, 5):
        later = Notebook(tmp_path / f"from-{step}", every_step=True)
        start = files_in(whole.at(step))
        fit(make_course(None, config(**more)), reporter=later, start=start)
        assert same_weights(later.at(6), whole.at(6))
        assert (
            files_in(later.at(6))["training.safetensors"]
            == (files_in(whole.at(6))["training.safetensors"])
        )
