"""No prediction, however wrong, makes an invalid schedule."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from deepsched.baselines.heft import heft
from deepsched.baselines.machines import make_machines
from deepsched.baselines.problem import Problem, make_problem
from deepsched.baselines.schedule import violations
from deepsched.model.networks.paper.batch import Prediction, collate
from deepsched.model.networks.paper.decode import ProblemPrediction, decode, split_prediction
from deepsched.model.networks.paper.features import encode
from tests.model.examples import limited
from tests.strategies import problems


def prediction_of(score: object, start: object) -> ProblemPrediction:
    times = np.asarray(start, dtype=float)
    return ProblemPrediction(
        network="oracle", score=np.asarray(score, dtype=float), start=times, finish=times
    )


@given(problem=problems(), seed=st.integers(0, 1000), wild=st.booleans())
def test_every_decoded_schedule_is_valid(problem: Problem, seed: int, wild: bool) -> None:
    rng = np.random.default_rng(seed)
    score, start = rng.normal(size=problem.etc.shape), rng.normal(size=problem.n_tasks)
    if wild:
        for values in (score, start):
            values[rng.random(values.shape) < 0.3] = np.nan
            values[rng.random(values.shape) < 0.2] = np.inf
            values[rng.random(values.shape) < 0.2] = -np.inf
    schedule = decode(problem, prediction_of(score, start))
    assert violations(problem, schedule) == []
    assert schedule.scheduler == "oracle"


def test_machines_are_the_best_scored_and_start_times_make_the_order() -> None:
    problem = make_problem(machines=make_machines(2), etc=[[1, 1], [2, 2], [4, 4]])
    schedule = decode(problem, prediction_of([[1, 0], [3, 2], [0, 1]], [5.0, 1.0, 0.0]))
    assert schedule.proc.tolist() == [0, 0, 1]
    assert schedule.ast.tolist() == [2.0, 0.0, 0.0]


def test_edges_come_before_predicted_times() -> None:
    chain = make_problem(
        machines=make_machines(1), etc=np.ones((3, 1)), edges=([0, 1], [1, 2], [0, 0])
    )
    schedule = decode(chain, prediction_of(np.zeros((3, 1)), [9.0, 5.0, 1.0]))
    assert schedule.ast.tolist() == [0.0, 1.0, 2.0]


def test_a_machine_that_cannot_hold_the_task_is_never_taken() -> None:
    problem = make_problem(machines=make_machines(2, memory=[1, 8]), etc=[[1, 5]], memory=[4])
    for score in ([[100.0, -100.0]], [[np.inf, -np.inf]], [[0.0, np.nan]]):
        assert decode(problem, prediction_of(score, [0.0])).proc.tolist() == [1]


def test_the_teachers_own_answer_decodes_to_the_teachers_schedule() -> None:
    problem = limited(3)
    schedule = heft(problem)
    score = np.eye(problem.n_machines)[schedule.proc]
    decoded = decode(problem, prediction_of(score, schedule.ast))
    np.testing.assert_array_equal(decoded.proc, schedule.proc)
    np.testing.assert_allclose(decoded.ast, schedule.ast)


def test_a_batch_is_split_into_seconds_and_the_problems_own_order() -> None:
    problem = make_problem(
        machines=make_machines(2, memory=[1, 2]),
        etc=[[2.0, 2.0], [2.0, 2.0]],
        arrival=[8.0, 0.0],
        memory=[0, 2],
    )
    sample = encode(problem)
    assert (sample.order.tolist(), sample.scale) == ([1, 0], 10.0)
    inf = torch.inf
    prediction = Prediction(
        score=torch.tensor([-inf, 4.0, 5.0, 6.0]),
        start=torch.tensor([0.0, 0.5]),
        finish=torch.tensor([0.25, 1.0]),
    )
    (part,) = split_prediction(prediction, collate([sample]), [sample], "paper")
    assert part.score.tolist() == [[5.0, 6.0], [-inf, 4.0]]
    assert part.start.tolist() == pytest.approx([5.0, 0.0])
    assert part.finish.tolist() == pytest.approx([10.0, 2.5])
