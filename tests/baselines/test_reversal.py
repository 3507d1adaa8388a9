"""Problems with all edges turned round, and what their schedules mean for the problem itself."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import given, settings

from deepsched.baselines.generate import GeneratorSpec, generate
from deepsched.baselines.heft import heft
from deepsched.baselines.machines import make_machines
from deepsched.baselines.problem import Problem, make_problem
from deepsched.baselines.reversal import mirrored, reversed_problem
from deepsched.baselines.schedule import violations
from tests import strategies


@settings(max_examples=200)
@given(problem=strategies.problems())
def test_a_schedule_from_the_end_is_one_from_the_beginning(problem: Problem) -> None:
    turned = reversed_problem(problem)
    for place in turned.topo:  # parents first
        parents = turned.pred[turned.pred_ptr[place] : turned.pred_ptr[place + 1]]
        assert (turned.topo_index[parents] < turned.topo_index[place]).all()
    found = heft(turned)
    assert violations(turned, found) == []
    for pinned in (True, False):
        ahead = mirrored(problem, found, pinned=pinned)
        assert violations(problem, ahead) == []
        if pinned:
            assert ahead.proc.tobytes() == found.proc.tobytes()
            if not problem.arrival.any() and problem.etc.min() > 0:
                assert ahead.makespan <= found.makespan * (1 + 1e-9)


@settings(max_examples=50)
@given(problem=strategies.problems())
def test_turned_round_twice_it_is_the_same(problem: Problem) -> None:
    again = reversed_problem(reversed_problem(problem))
    for name in ("succ_ptr", "succ", "succ_bytes", "pred_ptr", "pred", "pred_bytes", "topo", "etc"):
        assert getattr(again, name).tobytes() == getattr(problem, name).tobytes()
        assert not getattr(again, name).flags.writeable
    assert again.machines.bandwidth.tobytes() == problem.machines.bandwidth.tobytes()
    assert again.machines.latency.tobytes() == problem.machines.latency.tobytes()


def test_links_go_the_other_way_and_those_alike_stay() -> None:
    bandwidth = np.array([[np.inf, 2.0], [5.0, np.inf]])
    machines = make_machines(2, bandwidth=bandwidth, latency=[[0.0, 1.0], [3.0, 0.0]])
    turned = machines.turned()
    assert (turned.bandwidth[0, 1], turned.latency[0, 1]) == (5.0, 3.0)
    assert (turned.links.bandwidth[1, 0], turned.links.latency[1, 0]) == (2.0, 1.0)
    assert machines.turned() is turned
    for alike in (make_machines(3), make_machines(1)):
        assert alike.turned() is alike
        assert pickle.loads(pickle.dumps(alike)).turned().ids == alike.ids
    problem = make_problem(machines=machines, etc=[[1, 9], [9, 1]], edges=([0], [1], [10.0]))
    assert heft(reversed_problem(problem)).makespan == heft(problem).makespan == 1 + 1 + 10 / 2 + 1


@pytest.mark.parametrize("family", ["fork-join", "layered", "in-tree"])
def test_from_the_end_heft_often_does_better(family: str) -> None:
    spec = GeneratorSpec(family=family, tasks=60, machines=6, ccr=1.0)
    problems = [generate(spec, seed) for seed in range(12)]
    shorter = [
        mirrored(problem, heft(reversed_problem(problem))).makespan < heft(problem).makespan
        for problem in problems
    ]
    assert any(shorter)
