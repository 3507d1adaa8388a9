"""Start and finish times on top of the arrival, and that networks of before stay as they were."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from deepsched.baselines.errors import InvalidInput
from deepsched.baselines.machines import make_machines
from deepsched.baselines.problem import Problem, make_problem
from deepsched.model.checkpoint import save_checkpoint
from deepsched.model.checkpoint_files import CONFIG
from deepsched.model.networks import build_network, network_config
from deepsched.model.networks.paper.batch import Prediction, collate
from deepsched.model.networks.paper.features import encode, time_scale
from deepsched.model.networks.paper.loss import schedule_loss
from deepsched.model.networks.paper.scheduler import PaperScheduler

if TYPE_CHECKING:
    from pathlib import Path

FORMS: dict[str, dict[str, Any]] = {
    "size-free": {},
    "padded": {"max_tasks": 5, "max_machines": 3},
}
forms = pytest.mark.parametrize("form", FORMS)


def arriving() -> Problem:
    """Return four tasks on two machines, the first of which arrives last."""
    etc = np.arange(1.0, 9.0).reshape(4, 2)
    return make_problem(machines=make_machines(2), etc=etc, arrival=[30.0, 0.0, 10.0, 10.0])


def made(form: str, times: str) -> torch.nn.Module:
    torch.manual_seed(3)
    config = {"width": 8, "recurrent_width": 8, "times": times, **FORMS[form]}
    return build_network("paper", config).eval()


@forms
def test_a_residual_prediction_decodes_to_the_arrival_and_a_tenth_of_the_output(form: str) -> None:
    problem = arriving()
    (raw,) = PaperScheduler(made(form, "literal"), "paper").predict([problem])
    (found,) = PaperScheduler(made(form, "residual"), "paper").predict([problem])
    for name in ("start", "finish"):
        output = getattr(raw, name) / time_scale(problem)
        expected = problem.arrival + 0.1 * output * time_scale(problem)
        np.testing.assert_allclose(getattr(found, name), expected, rtol=1e-5, atol=1e-4)
    np.testing.assert_array_equal(found.score, raw.score)


@forms
def test_outputs_of_zero_run_tasks_as_they_arrive(form: str) -> None:
    network: Any = made(form, "residual")
    with torch.no_grad():
        last = network.regressor if form == "padded" else network.regressor[-1]
        last.weight.zero_()
        last.bias.zero_()
    (found,) = PaperScheduler(network, "paper").predict([arriving()])
    np.testing.assert_allclose(found.start, arriving().arrival, atol=1e-4)


@forms
def test_the_loss_of_an_output_is_a_hundredth_of_the_literal_ones(form: str) -> None:
    """In a problem where all arrive at 0, and whose teacher does everything at 0."""
    problem = make_problem(machines=make_machines(2), etc=np.ones((4, 2)))
    batch = collate([encode(problem)])
    batch.machine.zero_()  # the teacher's; its start and finish are 0 as they are

    def mse(times: str) -> float:
        prediction: Prediction = made(form, times)(batch)
        return float(schedule_loss(prediction, batch).mse)

    assert mse("residual") == pytest.approx(0.01 * mse("literal"), rel=1e-4)


def test_a_checkpoint_of_before_is_a_literal_one(tmp_path: Path) -> None:
    settings = {"width": 8, "recurrent_width": 8}
    save_checkpoint(tmp_path, made("size-free", "literal"), "paper", settings, {})
    text = (tmp_path / CONFIG).read_text()
    assert '"times": "literal",' in text
    (tmp_path / CONFIG).write_text(text.replace('"times": "literal",', ""))
    (found,) = PaperScheduler.load(tmp_path).predict([arriving()])
    (expected,) = PaperScheduler(made("size-free", "literal"), "paper").predict([arriving()])
    np.testing.assert_array_equal(found.start, expected.start)


def test_another_kind_of_times_is_refused() -> None:
    with pytest.raises(InvalidInput, match="times"):
        network_config("paper", {"times": "relative"})
