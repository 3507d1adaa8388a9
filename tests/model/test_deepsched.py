"""The network `deepsched`: what it sees, its two forward passes, its decoder and its search."""

from __future__ import annotations

import bisect
import json
import math
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from deepsched.baselines.balancing import applies, balanced
from deepsched.baselines.errors import InvalidInput
from deepsched.baselines.forward_backward import justified
from deepsched.baselines.generate import GeneratorSpec, generate
from deepsched.baselines.heft import heft
from deepsched.baselines.machines import make_machines
from deepsched.baselines.metrics import mean_turnaround
from deepsched.baselines.problem import make_problem
from deepsched.baselines.ranks import downward_rank, optimistic_cost, ready_order, upward_rank
from deepsched.baselines.registry import SCHEDULERS
from deepsched.baselines.schedule import violations
from deepsched.model.checkpoint import load_checkpoint, save_checkpoint
from deepsched.model.networks.deepsched.config import DeepSchedConfig
from deepsched.model.networks.deepsched import _kernels
from deepsched.model.networks.deepsched.decode import OUTPUTS, decode_schedule, decode_values
from deepsched.model.networks.deepsched.features import (
    CHEAPEST,
    DECODES,
    GROUPS,
    MACHINE_FEATURES,
    PROBLEM_WIDE,
    TASK_FEATURES,
    GraphView,
    graph_view,
    with_codes,
)
from deepsched.model.networks.deepsched.forward import expected_shapes, forward, seen
from deepsched.model.networks.deepsched.network import DeepSchedNetwork, graph_batch
from deepsched.model.networks.deepsched.scheduler import PRETRAINED, DeepSchedScheduler
from deepsched.model.networks.deepsched.search import climb, sample
from tests import strategies
from tests.baselines import reference
from tests.model.examples import layered

if TYPE_CHECKING:
    from pathlib import Path

    from deepsched.baselines.problem import Problem

SMALL = DeepSchedConfig(width=8, rounds=2)
RECURRENT = DeepSchedConfig(width=8, rounds=2, recurrence=True)
ONE_CHANNEL = DeepSchedConfig(width=1, rounds=1, recurrence=True)
ODD = DeepSchedConfig(width=3, rounds=0, recurrence=True)
CODED = DeepSchedConfig(width=8, rounds=1, machine_code=3, times=True, recurrence=True)


def random_network(seed: int = 0, config: DeepSchedConfig = SMALL) -> DeepSchedNetwork:
    """Return a network whose outputs are far from 0."""
    torch.manual_seed(seed)
    network = DeepSchedNetwork(config)
    with torch.no_grad():
        network.leave.weight.normal_()
    return network


def arrays(network: DeepSchedNetwork) -> dict[str, np.ndarray]:
    return {key: value.detach().numpy() for key, value in network.state_dict().items()}


def outputs_of(problem: Problem, seed: int, size: float = 1.0, codes: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    shape = (problem.n_tasks, len(OUTPUTS) + codes)
    return (size * rng.standard_normal(shape)).astype(np.float32)


def coded(problem: Problem, seed: int, codes: int, decode: str = "full") -> GraphView:
    """Return a view with random codes of machines."""
    rng = np.random.default_rng(seed)
    view = graph_view(problem, decode=decode)
    return with_codes(view, rng.uniform(-1, 1, (codes, problem.n_machines)))


def by_definition(
    problem: Problem, view: GraphView, outputs: np.ndarray, candidates: Any = None
) -> tuple[Any, ...]:
    """Place tasks one after the other as `Guide` says, in plain Python.

    `candidates` returns the machines looked at for a task, given (i, proc, host, busy).
    """
    rank = upward_rank(problem)
    order = ready_order(problem, rank + view.step * outputs[:, 0].astype(float))
    table = np.where(np.isfinite(problem.etc), optimistic_cost(problem), np.inf)
    busy: list[list[tuple[float, float]]] = [[] for _ in range(problem.n_machines)]
    proc, ast, aft = [-1] * problem.n_tasks, [0.0] * problem.n_tasks, [0.0] * problem.n_tasks
    host: dict[int, tuple[float, int]] = {}
    for i in order.tolist():
        _, ahead, cost, near, *further = (0.5 * outputs[i].astype(float)).tolist()
        best = (math.inf, -1, 0.0)
        machines = range(problem.n_machines)
        for q in machines if candidates is None else candidates(i, proc, host, busy):
            duration = float(problem.etc[i, q])
            if duration == math.inf:
                continue
            at = reference.ready(problem, i, q, proc, aft)
            begin = reference.earliest_start(busy[q], at, duration)
            lean = ahead * (table[i, q] - table[i].min()) + cost * (duration - problem.etc[i].min())
            for child, data in reference.children(problem, i):
                if child in host and host[child][1] == q:
                    lean -= near * reference.mean_transfer(problem, data)
            lean += sum(
                view.step * own * float(code[q])
                for own, code in zip(further, view.terms.codes, strict=True)
            )
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
    assert problem.n_machines <= GROUPS
    own = decode_schedule(problem, view, outputs_of(problem, 0, 0.0), "x")
    assert own.proc.tolist() == expected.proc.tolist()
    assert own.aft.tobytes() == expected.aft.tobytes()


@pytest.mark.parametrize("codes", [0, 2])
@pytest.mark.parametrize("seed", range(10))
def test_the_few_machines_are_those_of_the_definition(seed: int, codes: int) -> None:
    problem = layered(
        60, 20, seed, ccr=3.0, latency=0.2, link_spread=4.0, memory=0.3, arrival_spread=0.3
    )
    view, outputs = coded(problem, seed, codes, "topk"), outputs_of(problem, seed, 1.0, codes)
    outputs[:, 1] = 0.0
    scores = 0.5 * view.step * (outputs[:, len(OUTPUTS) :].astype(float) @ view.terms.codes)
    assert view.few is not None
    group = view.few.group.tolist()
    slow = np.where(np.isinf(problem.etc), np.nan, problem.etc)
    slow = np.nanmean(slow / np.nanmean(slow, axis=1, keepdims=True), axis=0)
    order = np.argsort(slow, kind="stable").tolist()
    assert group == [order.index(q) * GROUPS // 20 for q in range(20)]

    def few(i: int, proc: list[int], host: Any, busy: Any) -> list[int]:
        costs, scored = problem.etc[i].tolist(), (problem.etc[i] + scores[i]).tolist()
        found = set(sorted(range(20), key=lambda q: (scored[q], q))[:CHEAPEST])
        found |= {proc[parent] for parent, _ in reference.parents(problem, i)}
        found |= {host[c][1] for c, _ in reference.children(problem, i) if c in host}
        for k in range(GROUPS):
            own = [q for q in range(20) if group[q] == k and costs[q] < math.inf]
            ends = {q: max((e for _, e in busy[q]), default=0.0) for q in own}
            found |= set(sorted(own, key=lambda q: (ends[q], q))[:1])
        return sorted(found)

    own = decode_schedule(problem, view, outputs, "x")
    proc, ast, aft = by_definition(problem, view, outputs, few)
    assert own.proc.tolist() == proc
    assert own.ast == pytest.approx(ast, rel=1e-12)
    assert own.aft == pytest.approx(aft, rel=1e-12)


def test_argmax_takes_the_machine_of_least_cost() -> None:
    problem = layered(40, 6, 1, ccr=1.0, noise=0.5)
    view = graph_view(problem, decode="argmax")
    own = decode_schedule(problem, view, outputs_of(problem, 1), "x")
    assert own.proc.tolist() == problem.etc.argmin(axis=1).tolist()


@settings(max_examples=100)
@given(problem=strategies.problems(), seed=st.integers(0, 1000), decode=st.sampled_from(DECODES))
def test_any_outputs_give_a_valid_schedule(problem: Problem, seed: int, decode: str) -> None:
    codes = seed % 2
    outputs = outputs_of(problem, seed, 10.0 ** (seed % 5 - 1), codes)
    if seed % 3 == 0:
        outputs[0, :4] = [np.nan, np.inf, -np.inf, np.nan]
    schedule = decode_schedule(problem, coded(problem, seed, codes, decode), outputs, "x")
    assert violations(problem, schedule) == []


def test_it_follows_the_definition() -> None:
    for seed in range(30):
        problem = layered(
            40, 4, seed, ccr=3.0, latency=0.2, link_spread=4.0, memory=0.3, arrival_spread=0.3
        )
        codes = seed % 3
        view, outputs = coded(problem, seed, codes), outputs_of(problem, seed, 1.0, codes)
        own = decode_schedule(problem, view, outputs, "x")
        proc, ast, aft = by_definition(problem, view, outputs)
        assert own.proc.tolist() == proc
        assert own.ast == pytest.approx(ast, rel=1e-12)
        assert own.aft == pytest.approx(aft, rel=1e-12)


@settings(max_examples=100)
@given(problem=strategies.problems())
def test_features_are_finite_and_tables_are_those_of_the_baselines(problem: Problem) -> None:
    view = graph_view(problem, "turnaround", machines=True)
    assert view.machines is not None
    assert view.machines.shape == (problem.n_machines, len(MACHINE_FEATURES))
    assert np.isfinite(view.machines).all()
    assert view.features.shape == (problem.n_tasks, len(TASK_FEATURES))
    assert np.isfinite(view.features).all()
    assert (view.features[:, -1] == 1.0).all()
    assert view.rank.tobytes() == upward_rank(problem).tobytes()
    through = view.terms.through.astype(float) * view.terms.unit
    assert through == pytest.approx(optimistic_cost(problem) + problem.etc, rel=1e-5)
    path = max(view.rank.max(), 1e-12)
    expected = np.clip(downward_rank(problem) / path, -8, 8)
    assert view.features[:, 1] == pytest.approx(expected, rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("config", [SMALL, RECURRENT, ODD])
@pytest.mark.parametrize("machines", [1, 2, 7])
@pytest.mark.parametrize("tasks", [1, 2, 60])
def test_the_compiled_pass_equals_torchs(
    tasks: int, machines: int, config: DeepSchedConfig
) -> None:
    network, view = random_network(tasks, config), graph_view(layered(tasks, machines, tasks))
    with torch.inference_mode():
        expected, hidden = network(graph_batch([view])), network.hidden(graph_batch([view]))
    outputs, state = forward(arrays(network), view)
    assert outputs == pytest.approx(expected.numpy(), rel=1e-4, abs=1e-5)
    assert state == pytest.approx(hidden.numpy(), rel=1e-4, abs=1e-5)
    assert np.abs(outputs).max() > 0.1


def test_the_machines_codes_too_equal_torchs_and_tell_machines_apart() -> None:
    problem = layered(30, 5, link_spread=4.0, memory=0.3, noise=0.5)
    network = random_network(config=CODED)
    view, outputs, _ = seen(arrays(network), problem)
    assert view.machines is not None
    with torch.inference_mode():
        codes = network.codes(torch.from_numpy(view.machines)).numpy().T
        expected = network(graph_batch([view])).numpy()
    assert view.terms.codes == pytest.approx(codes, rel=1e-4, abs=1e-5)
    assert outputs == pytest.approx(expected, rel=1e-4, abs=1e-5)
    assert outputs.shape == (30, len(OUTPUTS) + 3)
    assert np.ptp(codes, axis=1).min() > 0.01


def test_machines_are_described_as_they_are() -> None:
    problem = make_problem(
        machines=make_machines(2, bandwidth=[[0, 4], [1, 0]]),
        etc=[[1, 3], [2, 6], [1, np.inf]],
        edges=([0], [1], [8]),
    )
    view = graph_view(problem, machines=True)
    assert view.machines is not None
    slow, standing, held, out, into = view.machines[:, :5].T
    assert np.exp(slow) == pytest.approx([2 / 3, 1.5])
    assert standing == pytest.approx([-1.0, 1.0])
    assert held == pytest.approx([1, 2 / 3])
    # 8 bytes take 2 s there and 8 s back; nothing on the spot.
    assert np.exp(out) == pytest.approx([0.4, 1.6])
    assert np.exp(into) == pytest.approx([1.6, 0.4])
    assert (view.machines[:, 5:] == view.features[0, PROBLEM_WIDE]).all()


@settings(max_examples=30)
@given(problem=strategies.problems(), seed=st.integers(0, 99), decode=st.sampled_from(DECODES[:2]))
def test_a_network_with_codes_schedules_searches_and_begins_as_heft(
    problem: Problem, seed: int, decode: str
) -> None:
    network = arrays(random_network(seed, CODED))
    scheduler = DeepSchedScheduler(network, decode=decode, samples=9, budget=0.002)
    assert violations(problem, scheduler(problem)) == []
    network |= {key: 0 * value for key, value in network.items() if key.startswith("leave.")}
    view, outputs, _ = seen(network, problem, "makespan", decode)
    start = decode_schedule(problem, view, outputs, "x")
    assert start.aft.tobytes() == heft(problem).aft.tobytes()


@pytest.mark.parametrize("config", [SMALL, RECURRENT, ONE_CHANNEL])
def test_problems_side_by_side_do_not_hear_each_other(config: DeepSchedConfig) -> None:
    network = random_network(config=config)
    views = [graph_view(layered(n, 3, n)) for n in (1, 30, 12)]
    with torch.inference_mode():
        together = network(graph_batch(views)).split([1, 30, 12])
        alone = [network(graph_batch([view])) for view in views]
    for one, other in zip(together, alone, strict=True):
        assert one.numpy() == pytest.approx(other.numpy(), rel=1e-4, abs=1e-5)


def test_values_are_those_of_the_schedules() -> None:
    problem = layered(50, 4, arrival_spread=0.5)
    view, centre = graph_view(problem), outputs_of(problem, 1)
    changes = np.stack([outputs_of(problem, k) for k in (2, 3)])
    for change, value in zip(changes, decode_values(problem, view, centre, changes), strict=True):
        schedule = decode_schedule(problem, view, centre + change, "x")
        assert value[0] == schedule.makespan
        assert value[1] == pytest.approx(mean_turnaround(problem, schedule), rel=1e-12)


def test_codes_are_changed_too() -> None:
    problem = layered(50, 4)
    view, centre = coded(problem, 1, 2), outputs_of(problem, 1, 1.0, 2)
    changes = np.zeros((3, 50, 6), np.float32)
    changes[2] = outputs_of(problem, 2, 1.0, 2)
    codes = np.random.default_rng(0).normal(size=(3, 2, 4))
    values = decode_values(problem, view, centre, changes, codes)
    for change, code, value in zip(changes, codes, values, strict=True):
        other = with_codes(view, view.terms.codes + code)
        assert decode_schedule(problem, other, centre + change, "x").makespan == value[0]
    assert len(set(values[:, 0])) == 3
    unchanged = decode_values(problem, view, centre, changes[:1])[0, 0]
    assert decode_schedule(problem, view, centre, "x").makespan == unchanged != values[0, 0]


def test_samples_come_best_first_and_do_not_depend_on_threads() -> None:
    problem = layered(60, 4, ccr=3.0)
    view = graph_view(problem)
    centre, hidden = forward(arrays(random_network()), view)
    one, other = (sample(problem, view, centre, hidden, 13, 5, threads) for threads in (1, 3))
    assert [found.tobytes() for found in one] == [found.tobytes() for found in other]
    assert len(one) == 13
    assert any(found.tobytes() == centre.tobytes() for found in one)
    lengths = [decode_schedule(problem, view, found, "x").makespan for found in one]
    assert lengths == sorted(lengths)
    assert lengths[0] < lengths[-1]


@settings(max_examples=200)
@given(problem=strategies.problems())
def test_pushing_to_and_fro_never_makes_longer(problem: Problem) -> None:
    start = heft(problem)
    found = justified(problem, start)
    assert violations(problem, found) == []
    assert found.makespan <= start.makespan
    assert found.scheduler == "heft"


@pytest.mark.parametrize("ccr", [0.0, 1.0])
def test_pushing_to_and_fro_helps(ccr: float) -> None:
    problems = [layered(60, 8, seed=seed, ccr=ccr) for seed in range(10)]
    starts = [heft(problem) for problem in problems]
    shorter = [
        justified(problem, start).makespan < start.makespan
        for problem, start in zip(problems, starts, strict=True)
    ]
    assert any(shorter)


def test_a_climb_never_goes_down() -> None:
    problem = layered(60, 8, ccr=8.0)
    view, start = graph_view(problem), outputs_of(problem, 0, 0.0)
    before = heft(problem).makespan
    climb(problem, view, start, before, 0.0, 1, 2)  # compiled, so that it takes none of the time
    best, value = climb(problem, view, start, before, 0.3, 1, 2)
    assert value < before
    assert decode_schedule(problem, view, best, "x").makespan == value
    assert not start.any()


@settings(max_examples=50)
@given(problem=strategies.problems())
def test_with_the_guard_it_is_never_worse_than_heft(problem: Problem) -> None:
    weights = arrays(random_network())
    reference_schedule = heft(problem)
    for objective, samples in (("makespan", 1), ("makespan", 8), ("turnaround", 2)):
        scheduler = DeepSchedScheduler(weights, objective=objective, samples=samples)
        schedule = scheduler(problem)
        assert schedule.scheduler == "deepsched"
        assert violations(problem, schedule) == []
        assert scheduler(problem).aft.tobytes() == schedule.aft.tobytes()
        if objective == "makespan":
            assert schedule.makespan <= reference_schedule.makespan
        else:
            mean = mean_turnaround(problem, schedule)
            assert mean <= mean_turnaround(problem, reference_schedule)


@pytest.mark.parametrize("size", [1e290, 1e39, 1e-30, 1e-310, 0.0])
def test_times_of_any_size(size: float) -> None:
    rng = np.random.default_rng(0)
    problem = make_problem(
        machines=make_machines(3),
        etc=rng.uniform(0.5, 1, (12, 3)) * size,
        edges=(np.arange(11), np.arange(1, 12), np.full(11, 1e6)),
        arrival=rng.uniform(0, 1, 12) * size,
    )
    weights = arrays(random_network())
    for options in ({"guard": False}, {"guard": False, "objective": "turnaround", "samples": 3}):
        schedule = DeepSchedScheduler(weights, **options)(problem)
        assert violations(problem, schedule) == []


def test_without_its_network_it_starts_from_heft() -> None:
    problem = layered(60, 4, ccr=3.0)
    own = DeepSchedScheduler(arrays(random_network()), guard=False)
    assert own(problem).makespan != heft(problem).makespan
    assert own.without_network()(problem).makespan == heft(problem).makespan


def test_a_budget_is_kept_and_used() -> None:
    problem = layered(60, 8, ccr=8.0)
    one = DeepSchedScheduler(arrays(random_network()))
    longer = DeepSchedScheduler(arrays(random_network()), budget=0.3)
    assert longer(problem).makespan < one(problem).makespan
    begin = time.perf_counter()
    longer(problem)
    # Far more than it takes, far less than if the time did not count.
    assert 0.2 < time.perf_counter() - begin < 3.0


def test_a_search_over_few_machines_goes_on_from_its_own_schedule_where_heft_is_better() -> None:
    weights = arrays(random_network())
    searched = 0
    for seed in range(10):
        problem = layered(40, 24, seed, ccr=0.3)
        own = DeepSchedScheduler(weights, decode="topk", guard=False)(problem)
        if own.makespan <= heft(problem).makespan:
            continue
        view = graph_view(problem, decode="topk")
        outputs, _ = forward(weights, view)
        found, value = climb(problem, view, outputs, own.makespan, 0.05, seed, 1)
        assert value < own.makespan
        assert decode_schedule(problem, view, found, "x").makespan == value
        longer = DeepSchedScheduler(weights, decode="topk", budget=0.05)(problem)
        assert longer.makespan <= heft(problem).makespan
        searched += 1
    assert searched > 3


def test_features_are_finite_where_rounded_sums_are_below_their_parts() -> None:
    etc = np.full((2, 48), np.inf)
    etc[0, :47] = etc[1, 47] = 0.0
    problem = make_problem(machines=make_machines(48), etc=etc, edges=([0], [1], [1e6]))
    view = graph_view(problem)
    assert np.isfinite(view.features).all()
    assert view.features[0, TASK_FEATURES.index("regret")] >= 0.0


def test_balancing_ends_when_its_work_is_done() -> None:
    etc = np.random.default_rng(0).uniform(1, 2, (300, 3))
    for machines, least in ((1, 1_000), (3, -600)):
        proc = np.zeros(300, np.int64)
        load = np.array([etc[:, 0].sum(), 0.0, 0.0])[:machines]
        left = _kernels.balance(etc[:, :machines], proc, load, 1_000)
        assert least <= left


@settings(max_examples=100)
@given(problem=strategies.problems(), seed=st.integers(0, 99))
def test_balancing_independent_tasks_only_helps(problem: Problem, seed: int) -> None:
    alone = make_problem(machines=problem.machines, etc=problem.etc, memory=problem.memory)
    assert applies(alone)
    before = SCHEDULERS["random"](alone, np.random.default_rng(seed))
    after = balanced(alone, before, 0.0, seed, 1)
    assert violations(alone, after) == []
    assert after.makespan <= before.makespan
    # No single move off the fullest machine makes it less full.
    load = np.bincount(
        after.proc, alone.etc[np.arange(alone.n_tasks), after.proc], alone.n_machines
    )
    full = int(load.argmax())
    for i in np.flatnonzero(after.proc == full):
        moved = np.maximum(load[full] - alone.etc[i, full], load + alone.etc[i])
        assert (np.delete(moved, full) >= load[full] * (1 - 1e-9)).all()


def test_kicks_go_on_where_balancing_ends() -> None:
    rng = np.random.default_rng(0)
    problem = make_problem(machines=make_machines(6), etc=rng.uniform(1, 100, (90, 6)))
    start = SCHEDULERS["min-min"](problem, rng)
    one = balanced(problem, start, 0.0, 0, 2)
    more = balanced(problem, start, 0.3, 0, 2)
    assert more.makespan < one.makespan < start.makespan
    assert violations(problem, more) == []


def test_the_pretrained_network_beats_heft_on_new_graphs() -> None:
    scheduler = DeepSchedScheduler.load(guard=False)
    problems = [layered(150, 12, 10**6 + k, ccr=8.0) for k in range(20)]
    ratios = [scheduler(problem).makespan / heft(problem).makespan for problem in problems]
    assert np.mean(ratios) < 0.85
    assert sum(path.stat().st_size for path in PRETRAINED.rglob("*")) < 2_000_000
    assert scheduler.meta["improve"]["turns"] > 0


def test_few_machines_have_weights_of_their_own_and_beat_heft_too() -> None:
    scheduler = DeepSchedScheduler.load(guard=False, decode="topk")
    assert scheduler.meta["improve"]["turn"]["network"]["decode"] == "topk"
    problems = [layered(300, 32, 10**6 + k, ccr=8.0) for k in range(20)]
    ratios = [scheduler(problem).makespan / heft(problem).makespan for problem in problems]
    assert np.mean(ratios) < 0.97
    whole = DeepSchedScheduler.load(guard=False)
    assert all(scheduler(p).aft.tobytes() != whole(p).aft.tobytes() for p in problems)


def test_the_mean_turnaround_has_weights_of_its_own_and_beats_those_of_the_makespan() -> None:
    scheduler = DeepSchedScheduler.load(guard=False, objective="turnaround")
    assert scheduler.meta["improve"]["turn"]["imitate"] > 0
    other = DeepSchedScheduler.load(PRETRAINED, guard=False, objective="turnaround")
    problems = [
        generate(GeneratorSpec(family=family, tasks=150, machines=8, ccr=ccr), 10**6 + k)
        for k, family in enumerate(("in-tree", "out-tree", "erdos-renyi", "independent") * 3)
        for ccr in (0.2, 2.0)
    ]
    own, others, reference = (
        np.array([mean_turnaround(p, run(p)) for p in problems]) for run in (scheduler, other, heft)
    )
    assert np.mean(own / reference) < 0.97 * np.mean(others / reference) < 0.97
    few = DeepSchedScheduler.load(objective="turnaround", decode="topk")
    assert few.meta["improve"]["turn"]["network"]["decode"] == "topk"


def test_a_checkpoint_is_decoded_as_it_was_trained(tmp_path: Path) -> None:
    config = DeepSchedConfig(width=8, rounds=2, decode="topk")
    save_checkpoint(tmp_path, random_network(config=config), "deepsched", config, {})
    problem = layered(80, 40, ccr=3.0)
    own, few, whole = (
        DeepSchedScheduler.load(tmp_path, guard=False, decode=decode)(problem)
        for decode in (None, "topk", "full")
    )
    assert own.aft.tobytes() == few.aft.tobytes() != whole.aft.tobytes()


@pytest.mark.parametrize("config", [SMALL, CODED])
def test_torch_and_the_scheduler_read_the_same_checkpoint(
    tmp_path: Path, config: DeepSchedConfig
) -> None:
    network = random_network(config=config)
    save_checkpoint(tmp_path, network, "deepsched", config, {"turn": 3})
    loaded = load_checkpoint(tmp_path)
    problem = layered(30, 3)
    view, _, _ = seen(arrays(network), problem)
    with torch.inference_mode():
        outputs = loaded.network(graph_batch([view])).numpy()
    own = DeepSchedScheduler.load(tmp_path, guard=False)
    assert own.meta == {"turn": 3}
    expected = decode_schedule(problem, view, outputs, "x")
    assert own(problem).proc.tolist() == expected.proc.tolist()


def test_a_checkpoint_of_another_network_is_refused(tmp_path: Path) -> None:
    from deepsched.model.networks import build_network

    save_checkpoint(tmp_path, build_network("paper", {"width": 4}), "paper", {"width": 4}, {})
    with pytest.raises(InvalidInput, match="network 'paper'; 'deepsched' expected"):
        DeepSchedScheduler.load(tmp_path)


def test_a_checkpoint_that_lacks_something_is_refused_when_it_is_read(tmp_path: Path) -> None:
    whole = random_network(config=CODED)
    found = {key: value.shape for key, value in arrays(whole).items()}
    assert found == expected_shapes(arrays(whole))
    every = ("leave.bias", "rounds.0.mix.weight", "machine_enter.bias", "times.bias")
    for lost in (*every, "recurrence.norm.weight"):
        part = torch.nn.Module()
        weights = {key: value for key, value in whole.state_dict().items() if key != lost}
        part.state_dict = lambda weights=weights: weights  # type: ignore[method-assign,misc,assignment]
        save_checkpoint(tmp_path, part, "deepsched", CODED, {})
        with pytest.raises(InvalidInput, match="another version of the network"):
            DeepSchedScheduler.load(tmp_path)
    save_checkpoint(tmp_path, whole, "deepsched", CODED, {})
    path = tmp_path / "config.json"
    document = json.loads(path.read_text())
    document["config"]["decode"] = "few"
    path.write_text(json.dumps(document))
    with pytest.raises(InvalidInput, match=r"config\.json: decode is 'few'; one of: full"):
        DeepSchedScheduler.load(tmp_path)


@pytest.mark.parametrize(
    "options", [{"objective": "cost"}, {"decode": "few"}, {"samples": 0}, {"budget": -1.0}]
)
def test_options_that_cannot_be(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"objective|decode|samples"):
        DeepSchedScheduler(arrays(random_network()), **options)
