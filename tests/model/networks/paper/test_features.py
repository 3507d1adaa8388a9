"""Features are finite and free of units; targets are the teacher's schedule."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given

from deepsched.baselines.heft import heft
from deepsched.baselines.machines import make_machines
from deepsched.baselines.problem import Problem, make_problem
from deepsched.model.networks.paper import features
from deepsched.model.networks.paper.features import (
    LIMIT,
    MACHINE_FEATURES,
    PAIR_FEATURES,
    TASK_FEATURES,
    encode,
    sequence_order,
    time_scale,
)
from tests.model.examples import layered, limited
from tests.strategies import problems


def column(names: tuple[str, ...], name: str) -> int:
    return names.index(name)


@given(problem=problems())
def test_features_are_finite_and_targets_are_the_schedule(problem: Problem) -> None:
    schedule = heft(problem)
    sample = encode(problem, schedule)
    n, p = problem.etc.shape
    assert sample.task_features.shape == (n, len(TASK_FEATURES))
    assert sample.pair_features.shape == (n, p, len(PAIR_FEATURES))
    assert sample.machine_features.shape == (p, len(MACHINE_FEATURES))
    for values in (sample.task_features, sample.pair_features, sample.machine_features):
        assert np.isfinite(values).all()
        assert np.abs(values).max() <= LIMIT
    assert sorted(sample.order) == list(range(n))
    np.testing.assert_array_equal(sample.eligible, np.isfinite(problem.etc[sample.order]))
    np.testing.assert_array_equal(sample.machine, schedule.proc[sample.order])
    np.testing.assert_allclose(sample.start * sample.scale, schedule.ast[sample.order], rtol=1e-6)
    np.testing.assert_allclose(sample.finish * sample.scale, schedule.aft[sample.order], rtol=1e-6)


@pytest.mark.parametrize("cost", [0.0, 1e-300, 1e280])
@pytest.mark.parametrize("capacity", [1.0, 1e300, np.inf])
def test_degenerate_numbers_stay_finite(cost: float, capacity: float) -> None:
    problem = make_problem(
        machines=make_machines(
            3, cores=[1, 1e6, 1], frequency=[1e-3, 1, 1e9], memory=[capacity, 1.0, np.inf]
        ),
        etc=[[cost, 2 * cost, 3 * cost], [0.0, cost, 0.0], [cost, 1e280, 1.0]],
        arrival=[0.0, 1e280, 1e-300],
        priority=[-1e308, 0.0, 1e308],
        memory=[0.0, 1e-300, 1e200],
        edges=([0], [1], [1e280]),
    )
    sample = encode(problem, heft(problem))
    for values in (sample.task_features, sample.pair_features, sample.machine_features):
        assert np.isfinite(values).all()


def test_tasks_that_arrive_together_are_a_batch() -> None:
    problem = make_problem(
        machines=make_machines(2), etc=np.ones((6, 2)), arrival=[3.0, 0.0, 7.0, 3.0, 0.0, 3.0]
    )
    seen = encode(problem).task_features
    place = seen[:, column(TASK_FEATURES, "batch position")]
    np.testing.assert_allclose(place, [0.25, 0.75, 0.5 / 3, 1.5 / 3, 2.5 / 3, 0.5])
    size = seen[:, column(TASK_FEATURES, "batch size")]
    np.testing.assert_allclose(size, np.log([2, 2, 3, 3, 3, 1]), rtol=1e-6)


@pytest.mark.parametrize("seed", range(5))
def test_other_units_give_the_same_features(seed: int) -> None:
    problem = limited(seed)
    machines = problem.machines
    other = make_problem(
        machines=make_machines(
            len(machines),
            cores=machines.cores,
            frequency=machines.frequency * 1e6,
            memory=machines.memory * 1024,
            bandwidth=np.where(np.isinf(machines.bandwidth), 1.0, machines.bandwidth) / 60,
            latency=machines.latency * 60,
        ),
        etc=problem.etc * 60,
        arrival=problem.arrival * 60,
        priority=problem.priority * 7 + 3,
        memory=problem.memory * 1024,
        edges=problem.edge_list(),
    )
    first, second = encode(problem, heft(problem)), encode(other, heft(other))
    assert second.scale == pytest.approx(60 * first.scale, rel=1e-12)
    for name in ("task_features", "pair_features", "machine_features", "start", "finish"):
        np.testing.assert_allclose(getattr(first, name), getattr(second, name), atol=1e-5)


@pytest.mark.parametrize("pairs", [1, 13, 40])
def test_encoding_in_blocks_changes_no_bit(pairs: int, monkeypatch: pytest.MonkeyPatch) -> None:
    problem = limited(3)
    whole = encode(problem)
    monkeypatch.setattr(features, "BLOCK_PAIRS", pairs)
    blocks = encode(problem)
    for name in ("task_features", "pair_features", "machine_features", "eligible"):
        assert getattr(whole, name).tobytes() == getattr(blocks, name).tobytes()


def test_the_sequence_goes_by_arrival_then_topological_index() -> None:
    problem = make_problem(
        machines=make_machines(1),
        etc=np.ones((4, 1)),
        arrival=[1.0, 0.0, 0.0, 1.0],
        edges=([2, 3], [1, 0], [0, 0]),
    )
    assert sequence_order(problem).tolist() == [2, 1, 3, 0]


def test_the_time_scale_by_hand() -> None:
    # Mean costs 2 and 4, mean communication 10 bytes / 2 bytes/s = 5: the path is 11 s long, the
    # work per machine 3 s. The last arrival, at 7 s, is added.
    machines = make_machines(2, bandwidth=2.0)
    chain = make_problem(
        machines=machines, etc=[[1, 3], [4, 4]], edges=([0], [1], [10]), arrival=[0, 7]
    )
    assert time_scale(chain) == pytest.approx(18.0)
    # Without the edge three tasks of 2 s keep two machines busy for 3 s.
    assert time_scale(make_problem(machines=machines, etc=np.full((3, 2), 2.0))) == 3.0
    assert time_scale(make_problem(machines=machines, etc=np.zeros((3, 2)))) == 1.0


def test_a_schedule_ends_around_one_in_the_time_scale() -> None:
    ends = [
        heft(problem).makespan / time_scale(problem)
        for problem in (layered(100, 4, seed, ccr=ccr) for seed in range(5) for ccr in (0.1, 1, 10))
    ]
    assert min(ends) > 0.1
    assert max(ends) < 2.0


def test_equal_machines_can_be_told_apart() -> None:
    problem = make_problem(machines=make_machines(8), etc=np.ones((3, 8)))
    features = encode(problem).machine_features
    assert len(np.unique(features, axis=0)) == 8
    rank = features[:, column(MACHINE_FEATURES, "rank")]
    assert (np.diff(rank) > 0).all()


def test_affinity_is_what_task_and_machine_leave_unexplained() -> None:
    affinity = column(PAIR_FEATURES, "affinity")
    speed, work = np.array([1.0, 2.0, 4.0]), np.array([[3.0], [5.0], [9.0], [70.0]])
    plain = make_problem(machines=make_machines(3), etc=work / speed)
    np.testing.assert_allclose(encode(plain).pair_features[..., affinity], 0.0, atol=1e-6)
    etc = work / speed
    etc[2, 1] *= 0.5
    found = encode(make_problem(machines=make_machines(3), etc=etc)).pair_features[..., affinity]
    assert np.unravel_index(found.argmin(), found.shape) == (2, 1)
