"""The decoder of the network `deepsched`: HEFT's rule, bent by a few numbers a task."""

from __future__ import annotations

import bisect
import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepsched.baselines.generate import GeneratorSpec, generate
from deepsched.baselines.heft import heft
from deepsched.baselines.machines import make_machines
from deepsched.baselines.metrics import mean_turnaround
from deepsched.baselines.objectives import MEASURES
from deepsched.baselines.problem import make_problem
from deepsched.baselines.ranks import optimistic_cost, ready_order, upward_rank
from deepsched.baselines.schedule import violations
from deepsched.model.networks.deepsched import _decode_kernels
from deepsched.model.networks.deepsched._candidate_kernels import FEW
from deepsched.model.networks.deepsched.decode import (
    decode_best,
    decode_schedule,
    decode_values,
    heft_within,
    kernel_arguments,
)
from deepsched.model.networks.deepsched.features import GraphView, graph_view
from deepsched.model.networks.deepsched.options import DECODES, OBJECTIVES
from tests import strategies
from tests.baselines import reference
from tests.model.examples import layered
from tests.model.networks.deepsched.examples import outputs_of

if TYPE_CHECKING:
    from deepsched.baselines.problem import Problem


def by_definition(
    problem: Problem, view: GraphView, outputs: np.ndarray, candidates: Any = None
) -> tuple[Any, ...]:
    """Place tasks one after the other as `PlacementTerms` says, in plain Python.

    `candidates` returns the machines looked at for a task, given (i, proc, aft, host, busy).
    """
    rank = upward_rank(problem)
    order = ready_order(problem, rank + view.step * outputs[:, 0].astype(float))
    table = np.where(np.isfinite(problem.etc), optimistic_cost(problem), np.inf)
    busy: list[list[tuple[float, float]]] = [[] for _ in range(problem.n_machines)]
    proc, ast, aft = [-1] * problem.n_tasks, [0.0] * problem.n_tasks, [0.0] * problem.n_tasks
    host: dict[int, tuple[float, int]] = {}
    for i in order.tolist():
        _, ahead, cost, near = (0.5 * outputs[i].astype(float)).tolist()
        best = (math.inf, -1, 0.0)
        machines = range(problem.n_machines)
        for q in machines if candidates is None else candidates(i, proc, aft, host, busy):
            duration = float(problem.etc[i, q])
            if duration == math.inf:
                continue
            at = reference.ready(problem, i, q, proc, aft)
            begin = reference.earliest_start(busy[q], at, duration)
            lean = ahead * (table[i, q] - table[i].min()) + cost * (duration - problem.etc[i].min())
            for child, data in reference.children(problem, i):
                if child in host and host[child][1] == q:
                    lean -= near * reference.mean_transfer(problem, data)
            if begin + duration + lean < best[0]:
                best = (begin + duration + lean, q, begin)
        _, q, begin = best
        proc[i], ast[i], aft[i] = q, begin, begin + float(problem.etc[i, q])
        bisect.insort(busy[q], (begin, aft[i]))
        for child, data in reference.children(problem, i):
            seconds = reference.mean_transfer(problem, data)
            if child not in host or seconds > host[child][0]:
                host[child] = (seconds, q)
    return proc, ast, aft


@settings(max_examples=100)
@given(problem=strategies.problems())
def test_with_outputs_of_zero_it_is_heft_bit_for_bit(problem: Problem) -> None:
    expected, view = heft(problem), graph_view(problem)
    own = decode_schedule(problem, view, outputs_of(problem, 0, 0.0), "x")
    assert own.proc.tolist() == expected.proc.tolist()
    assert own.aft.tobytes() == expected.aft.tobytes()


@settings(max_examples=100)
@given(problem=strategies.problems())
def test_where_the_few_machines_are_all_it_is_heft_too(problem: Problem) -> None:
    expected, view = heft(problem), graph_view(problem, decode="topk")
    assert problem.n_machines <= FEW
    own = decode_schedule(problem, view, outputs_of(problem, 0, 0.0), "x")
    assert own.proc.tolist() == expected.proc.tolist()
    assert own.aft.tobytes() == expected.aft.tobytes()


@pytest.mark.parametrize("seed", range(10))
def test_the_few_machines_are_those_of_the_definition(seed: int) -> None:
    problem = layered(
        60, 20, seed, ccr=3.0, latency=0.2, link_spread=4.0, memory=0.3, arrival_spread=0.3
    )
    view, outputs = graph_view(problem, decode="topk"), outputs_of(problem, seed)
    outputs[:, 1] = 0.0
    longest = [0.0] * 20  # idle gap that there has been on each machine
    gaps_tried = 0

    def few(i: int, proc: list[int], aft: list[float], host: Any, busy: Any) -> list[int]:
        nonlocal gaps_tried
        costs = problem.etc[i].tolist()
        found = {proc[parent] for parent, _ in reference.parents(problem, i)}
        found |= {host[c][1] for c, _ in reference.children(problem, i) if c in host}
        cost = 0.5 * float(outputs[i, 2])
        behind, within = {}, {}
        for q in [q for q in range(20) if costs[q] < math.inf]:
            ends = [0.0, *(end for _, end in busy[q])]
            gaps = [begin - end for (begin, _), end in zip(busy[q], ends, strict=False)]
            longest[q] = max(longest[q], *gaps, 0.0)
            at = reference.ready(problem, i, q, proc, aft)
            lean = costs[q] + cost * (costs[q] - min(costs))
            behind[q] = max(at, ends[-1]) + lean
            if costs[q] <= longest[q] and at < ends[-1]:
                within[q] = at + lean
        found.add(min(behind, key=lambda q: (behind[q], q)))
        if within:
            best = min(within, key=lambda q: (within[q], q))
            gaps_tried += best not in found
            found.add(best)
        return sorted(found)

    own = decode_schedule(problem, view, outputs, "x")
    proc, ast, aft = by_definition(problem, view, outputs, few)
    assert own.proc.tolist() == proc
    assert own.ast == pytest.approx(ast, rel=1e-12)
    assert own.aft == pytest.approx(aft, rel=1e-12)
    assert gaps_tried > 0


def test_argmax_takes_the_machine_of_least_cost() -> None:
    problem = layered(40, 6, 1, ccr=1.0, noise=0.5)
    view = graph_view(problem, decode="argmax")
    own = decode_schedule(problem, view, outputs_of(problem, 1), "x")
    assert own.proc.tolist() == problem.etc.argmin(axis=1).tolist()


@settings(max_examples=100)
@given(problem=strategies.problems(), seed=st.integers(0, 1000), decode=st.sampled_from(DECODES))
def test_any_outputs_give_a_valid_schedule(problem: Problem, seed: int, decode: str) -> None:
    outputs = outputs_of(problem, seed, 10.0 ** (seed % 5 - 1))
    if seed % 3 == 0:
        outputs[0, :4] = [np.nan, np.inf, -np.inf, np.nan]
    schedule = decode_schedule(problem, graph_view(problem, decode=decode), outputs, "x")
    assert violations(problem, schedule) == []


@pytest.mark.parametrize("decode", DECODES)
@pytest.mark.parametrize("affinity", [-np.inf, -3e38])
def test_values_that_overflow_leave_no_task_without_a_machine(affinity: float, decode: str) -> None:
    problem = make_problem(
        machines=make_machines(2, bandwidth=1.0),
        etc=[[1.0, 100.0]] * 3,
        edges=([0, 1], [2, 2], [1e272, 1e272]),
    )
    outputs = np.zeros((3, 4), np.float32)
    outputs[:, 3] = affinity
    schedule = decode_schedule(problem, graph_view(problem, decode=decode), outputs, "x")
    assert (schedule.proc >= 0).all()
    assert violations(problem, schedule) == []


def test_it_follows_the_definition() -> None:
    for seed in range(30):
        problem = layered(
            40, 4, seed, ccr=3.0, latency=0.2, link_spread=4.0, memory=0.3, arrival_spread=0.3
        )
        view, outputs = graph_view(problem), outputs_of(problem, seed)
        own = decode_schedule(problem, view, outputs, "x")
        proc, ast, aft = by_definition(problem, view, outputs)
        assert own.proc.tolist() == proc
        assert own.ast == pytest.approx(ast, rel=1e-12)
        assert own.aft == pytest.approx(aft, rel=1e-12)


def test_values_are_those_of_the_schedules() -> None:
    problem = layered(50, 4, arrival_spread=0.5)
    view, centre = graph_view(problem), outputs_of(problem, 1)
    changes = np.stack([outputs_of(problem, k) for k in (2, 3)])
    for change, value in zip(changes, decode_values(problem, view, centre, changes), strict=True):
        schedule = decode_schedule(problem, view, centre + change, "x")
        assert value[0] == schedule.makespan
        assert value[1] == pytest.approx(mean_turnaround(problem, schedule), rel=1e-12)


@settings(max_examples=100)
@given(
    problem=strategies.problems(), seed=st.integers(0, 1000), objective=st.sampled_from(OBJECTIVES)
)
def test_the_best_is_that_of_all_tried(problem: Problem, seed: int, objective: str) -> None:
    view, measure = graph_view(problem, objective), MEASURES[objective]
    heads = np.stack([outputs_of(problem, seed), outputs_of(problem, seed + 1)])
    stretches = np.array([[2, 2, 2, 2], [3, 1, 1, 1], [0, 0, 0, 0]], np.float32)
    outputs, schedule = decode_best(problem, view, heads, "x", stretches)
    found = [(measure(problem, decode_schedule(problem, view, one, "x")), one) for one in heads]
    best = min(found, key=lambda pair: pair[0])
    for stretch in stretches:
        tried = best[1] * stretch
        value = measure(problem, decode_schedule(problem, view, tried, "x"))
        best = min(best, (value, tried), key=lambda pair: pair[0])
    assert outputs.tobytes() == best[1].tobytes()
    assert schedule.aft.tobytes() == decode_schedule(problem, view, best[1], "x").aft.tobytes()
    alone, _ = decode_best(problem, view, heads, "x")
    assert alone.tobytes() == min(found, key=lambda pair: pair[0])[1].tobytes()


@settings(max_examples=100)
@given(problem=strategies.problems(), seed=st.integers(0, 1000), share=st.floats(0.3, 1.2))
def test_a_limit_ends_only_what_is_above_it(problem: Problem, seed: int, share: float) -> None:
    # Rather the makespan itself than one beside it: there a wrong limit would show first.
    view, outputs = graph_view(problem), outputs_of(problem, seed)
    _, whole, ends = _decode_kernels.decode(outputs, np.inf, *kernel_arguments(problem, view))
    for most in (ends.max(), ends.max() * share):
        _, start, aft = _decode_kernels.decode(outputs, most, *kernel_arguments(problem, view))
        if ends.max() <= most or aft.max() < np.inf:
            assert start.tobytes() == whole.tobytes()
            assert aft.tobytes() == ends.tobytes()
        else:
            assert (aft == np.inf).all()
    reference = heft(problem)
    for most in (np.inf, reference.makespan, reference.makespan * share):
        found = heft_within(problem, view, most)
        assert found is not None or reference.makespan > most
        assert found is None or found.aft.tobytes() == reference.aft.tobytes()


def test_a_limit_ends_what_must_come_out_above_it() -> None:
    # Two machines alike, a chain of ten: after the first task it is known that it takes ten.
    chain = make_problem(
        machines=make_machines(2),
        etc=np.ones((10, 2)),
        edges=(np.arange(9), np.arange(1, 10), np.full(9, 1e9)),
    )
    view = graph_view(chain)
    assert heft_within(chain, view, 10.0) is not None
    assert heft_within(chain, view, 9.99) is None
    # Where links differ, transfers may take less than their means: nothing is known early.
    problem = generate(
        GeneratorSpec(family="layered", tasks=60, machines=6, ccr=5.0, link_spread=8.0), 1
    )
    assert heft_within(problem, graph_view(problem), heft(problem).makespan / 2) is not None
    ended = 0
    for seed in range(20):
        problem = generate(GeneratorSpec(family="layered", tasks=60, machines=6, ccr=5.0), seed)
        ended += heft_within(problem, graph_view(problem), heft(problem).makespan * 0.9) is None
    assert ended == 20
