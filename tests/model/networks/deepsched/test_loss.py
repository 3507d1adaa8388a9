"""Imitation of a teacher by the network `deepsched`: what is replayed, and what is learned."""

from __future__ import annotations

import bisect
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from deepsched.baselines.heft import heft
from deepsched.baselines.machines import make_machines
from deepsched.baselines.problem import make_problem
from deepsched.baselines.ranks import optimistic_cost
from deepsched.baselines.registry import SCHEDULERS
from deepsched.model.networks.deepsched.decode import decode_schedule
from deepsched.model.networks.deepsched.features import graph_view
from deepsched.model.networks.deepsched.loss import imitation_loss, replayed
from tests import strategies
from tests.baselines import reference
from tests.model.examples import layered

if TYPE_CHECKING:
    from deepsched.baselines.problem import Problem


@settings(max_examples=60)
@given(problem=strategies.problems(), teacher=st.sampled_from(["heft", "min-min", "cpop"]))
def test_a_replay_says_what_each_machine_offers(problem: Problem, teacher: str) -> None:
    taught, view = SCHEDULERS[teacher](problem, np.random.default_rng(0)), graph_view(problem)
    order, eft, terms = replayed(problem, view, taught)
    proc, aft = taught.proc.tolist(), taught.aft.tolist()
    table = np.where(np.isfinite(problem.etc), optimistic_cost(problem), np.inf)
    busy: list[list[tuple[float, float]]] = [[] for _ in range(problem.n_machines)]
    host: dict[int, tuple[float, int]] = {}
    for i in order.tolist():
        for q in range(problem.n_machines):
            duration = float(problem.etc[i, q])
            if duration == np.inf:
                assert (eft[i, q], *terms[i, :, q]) == (np.inf, 0, 0, 0)
                continue
            begin = reference.earliest_start(
                busy[q], reference.ready(problem, i, q, proc, aft), duration
            )
            near = sum(
                reference.mean_transfer(problem, data)
                for child, data in reference.children(problem, i)
                if child in host and host[child][1] == q
            )
            expected = (table[i, q] - table[i].min(), duration - problem.etc[i].min(), -near)
            assert eft[i, q] == pytest.approx(begin + duration, rel=1e-9)
            size = 1e-5 * float(view.terms.through[i, q]) * view.terms.unit
            assert terms[i, :, q].tolist() == pytest.approx(expected, rel=1e-5, abs=size)
        q = proc[i]
        bisect.insort(busy[q], (float(taught.ast[i]), aft[i]))
        for child, data in reference.children(problem, i):
            seconds = reference.mean_transfer(problem, data)
            if child not in host or seconds > host[child][0]:
                host[child] = (seconds, q)


def test_who_does_as_heft_has_nothing_to_learn_from_its_machines() -> None:
    chain = make_problem(
        machines=make_machines(3, bandwidth=2.0),
        etc=np.random.default_rng(0).uniform(1, 3, (20, 3)),
        edges=(range(19), range(1, 20), [1.0] * 19),
    )
    outputs = torch.zeros((20, 4), requires_grad=True)
    loss = imitation_loss(chain, graph_view(chain), outputs, heft(chain))
    loss.backward()  # type: ignore[no-untyped-call]
    assert outputs.grad is not None
    assert outputs.grad[:, 1:].abs().max() < 1e-6


def test_outputs_without_a_network_learn_to_make_a_teachers_schedule() -> None:
    problem = layered(60, 6, 3, ccr=5.0)
    view = graph_view(problem)
    # One that the rule can make; not all of best-of's can.
    taught = SCHEDULERS["perturbation"](problem, np.random.default_rng(0))
    outputs = torch.zeros((60, 4), requires_grad=True)
    optimizer = torch.optim.Adam([outputs], 0.1)
    for _ in range(200):
        optimizer.zero_grad()
        imitation_loss(problem, view, outputs, taught).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    own = decode_schedule(problem, view, outputs.detach().numpy(), "x")
    assert taught.makespan < 0.8 * heft(problem).makespan
    assert own.makespan < 1.02 * taught.makespan
    assert (own.proc == taught.proc).mean() > 0.9
