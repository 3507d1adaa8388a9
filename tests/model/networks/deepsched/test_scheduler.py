"""The network `deepsched` as a scheduler: its options, checkpoints and search."""

from __future__ import annotations

import json
import time
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import safetensors.numpy
import threadpoolctl
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from deepsched.baselines.bounds import lower_bound
from deepsched.baselines.errors import InvalidInput
from deepsched.baselines.generate import GeneratorSpec, generate
from deepsched.baselines.heft import heft
from deepsched.baselines.machines import make_machines
from deepsched.baselines.metrics import mean_turnaround
from deepsched.baselines.problem import make_problem
from deepsched.baselines.reversal import mirrored, reversed_problem
from deepsched.baselines.schedule import violations
from deepsched.model.checkpoint import load_checkpoint, save_checkpoint
from deepsched.model.interface import problem as problem_of_arrays
from deepsched.model.networks import build_network
from deepsched.model.networks.deepsched import _decode_kernels
from deepsched.model.networks.deepsched import scheduler as scheduler_module
from deepsched.model.networks.deepsched.blas import one_blas_thread
from deepsched.model.networks.deepsched.config import DeepSchedConfig
from deepsched.model.networks.deepsched.decode import decode_best, decode_schedule
from deepsched.model.networks.deepsched.features import graph_view
from deepsched.model.networks.deepsched.forward import (
    expected_shapes,
    forward,
    forward_pass,
    layers_of,
)
from deepsched.model.networks.deepsched.network import graph_batch
from deepsched.model.networks.deepsched.options import DECODES, DeepSchedOptions
from deepsched.model.networks.deepsched.report import Report
from deepsched.model.networks.deepsched.scheduler import (
    PRETRAINED,
    STRETCHES,
    DeepSchedScheduler,
)
from deepsched.model.networks.deepsched.search import hill_climb, sample
from tests import strategies
from tests.model.examples import layered
from tests.model.networks.deepsched.examples import SMALL, arrays, outputs_of, random_network

if TYPE_CHECKING:
    from pathlib import Path

    from deepsched.baselines.problem import Problem
    from deepsched.baselines.schedule import Schedule


@settings(max_examples=30)
@given(problem=strategies.problems(), seed=st.integers(0, 99), decode=st.sampled_from(DECODES[:2]))
def test_a_network_schedules_searches_and_begins_as_heft(
    problem: Problem, seed: int, decode: str
) -> None:
    network = arrays(random_network(seed))
    scheduler = DeepSchedScheduler(
        network, DeepSchedOptions(decode=decode, samples=9, budget=0.002)
    )
    assert violations(problem, scheduler(problem)) == []
    network |= {key: 0 * value for key, value in network.items() if key.startswith("leave.")}
    view, heads, _ = forward_pass(layers_of(network), problem, "makespan", decode)
    start = decode_schedule(problem, view, heads[0], "x")
    assert start.aft.tobytes() == heft(problem).aft.tobytes()


def test_samples_come_best_first_and_do_not_depend_on_threads() -> None:
    problem = layered(60, 4, ccr=3.0)
    view = graph_view(problem)
    (centre, *_), hidden = forward(layers_of(arrays(random_network())), view)
    one, other = (sample(problem, view, centre, hidden, 13, 13, 5, threads) for threads in (1, 3))
    assert [found.tobytes() for found in one] == [found.tobytes() for found in other]
    assert len(one) == 13
    assert any(found.tobytes() == centre.tobytes() for found in one)
    few = sample(problem, view, centre, hidden, 13, 2, 5, 1)
    assert [found.tobytes() for found in few] == [found.tobytes() for found in one[:2]]
    lengths = [decode_schedule(problem, view, found, "x").makespan for found in one]
    assert lengths == sorted(lengths)
    assert lengths[0] < lengths[-1]


def test_a_climb_never_goes_down() -> None:
    problem = layered(60, 8, ccr=8.0)
    view, start = graph_view(problem), outputs_of(problem, 0, 0.0)
    before = heft(problem).makespan
    # Compiled first, so that it takes none of the time.
    hill_climb(problem, view, start, before, 0.0, 1, 2)
    best, value = hill_climb(problem, view, start, before, 0.3, 1, 2)
    assert value < before
    assert decode_schedule(problem, view, best, "x").makespan == value
    assert not start.any()


@settings(max_examples=50)
@given(problem=strategies.problems())
def test_with_the_guard_it_is_never_worse_than_heft(problem: Problem) -> None:
    weights = arrays(random_network())
    reference_schedule = heft(problem)
    for objective, samples in (("makespan", 1), ("makespan", 8), ("turnaround", 2)):
        scheduler = DeepSchedScheduler(
            weights, DeepSchedOptions(objective=objective, samples=samples)
        )
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
    for options in (
        DeepSchedOptions(guard=False),
        DeepSchedOptions(guard=False, objective="turnaround", samples=3),
    ):
        schedule = DeepSchedScheduler(weights, options)(problem)
        assert violations(problem, schedule) == []


def test_without_its_network_it_starts_from_heft() -> None:
    problem = layered(60, 4, ccr=3.0)
    options = DeepSchedOptions(guard=False, samples=1)
    own = DeepSchedScheduler(arrays(random_network()), options)
    assert own(problem).makespan != heft(problem).makespan
    assert own.without_network()(problem).makespan == heft(problem).makespan


def test_a_budget_is_kept_and_used() -> None:
    problem = layered(60, 8, ccr=8.0)
    one = DeepSchedScheduler(arrays(random_network()))
    longer = DeepSchedScheduler(arrays(random_network()), DeepSchedOptions(budget=0.3))
    assert longer(problem).makespan < one(problem).makespan
    begin = time.perf_counter()
    longer(problem)
    # Far more than it takes, far less than if the time did not count.
    assert 0.2 < time.perf_counter() - begin < 3.0


@pytest.mark.parametrize("objective", ["makespan", "turnaround"])
@pytest.mark.parametrize("edges", [((), (), ()), ([0], [1], [0.0])], ids=["independent", "chain"])
def test_samples_and_search_end_where_the_bound_is_reached(
    objective: str, edges: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    # An hour is not used up, and of a thousand samples only the first few are made.
    problem = make_problem(machines=make_machines(2), etc=[[3.0, 3.0], [3.0, 3.0]], edges=edges)
    decoded = []
    true = _decode_kernels.sampled
    monkeypatch.setattr(
        _decode_kernels, "sampled", lambda *given: decoded.append(given) or true(*given)
    )
    options = DeepSchedOptions(objective=objective, samples=1000, budget=3600.0, threads=1)
    found = DeepSchedScheduler(arrays(random_network()), options)(problem)
    assert found.makespan == (6.0 if len(edges[0]) else 3.0) == lower_bound(problem)
    assert len(decoded) <= 3


def test_the_bound_that_a_run_asked_for_is_told() -> None:
    problem = layered(20, 3)
    told = []
    for options in ({}, {"samples": 1}, {"objective": "turnaround"}):
        report = Report()
        schedule = DeepSchedScheduler.load(**options)(problem, report=report)
        told.append(report.bound)
    assert told == [lower_bound(problem, "cheap"), None, None]
    assert schedule.summary(problem, 0.1, 2.5)["lower_bound"] == 2.5


def test_a_climb_ends_at_once_where_it_is_told_to() -> None:
    problem = layered(60, 8, ccr=8.0)
    view, start = graph_view(problem), outputs_of(problem, 0, 0.0)
    before = heft(problem).makespan
    told = np.ones(1, dtype=np.bool_)
    for enough, stop in ((-np.inf, told), (before, None)):
        best, value = hill_climb(problem, view, start, before, 3600.0, 1, 2, enough, stop)
        assert value == before
        assert best.tobytes() == start.tobytes()
    # It goes on until the value is enough, and not much further.
    _, value = hill_climb(problem, view, start, before, 3600.0, 1, 1, before * 0.999)
    assert value <= before * 0.999


def test_what_does_not_reach_the_bound_is_the_same_bit_for_bit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    problem = layered(40, 4, ccr=3.0)
    scheduler = DeepSchedScheduler(arrays(random_network()), DeepSchedOptions(samples=16))
    found = scheduler(problem)
    assert found.makespan > lower_bound(problem) * 1.001
    monkeypatch.setattr(scheduler_module, "enough", lambda _: -np.inf)
    assert scheduler(problem).aft.tobytes() == found.aft.tobytes()


def test_a_search_over_few_machines_goes_on_from_its_own_schedule_where_heft_is_better() -> None:
    weights = arrays(random_network(config=replace(SMALL, heads=1)))
    searched = 0
    for seed in range(10):
        problem = layered(40, 24, seed, ccr=0.3)
        own = DeepSchedScheduler(weights, DeepSchedOptions(decode="topk", guard=False, samples=1))(
            problem
        )
        if own.makespan <= heft(problem).makespan:
            continue
        view = graph_view(problem, decode="topk")
        (outputs, *_), _ = forward(layers_of(weights), view)
        found, value = hill_climb(problem, view, outputs, own.makespan, 0.5, seed, 1)
        assert value < own.makespan
        assert decode_schedule(problem, view, found, "x").makespan == value
        longer = DeepSchedScheduler(weights, DeepSchedOptions(decode="topk", budget=0.05))(problem)
        assert longer.makespan <= heft(problem).makespan
        searched += 1
    assert searched > 3


def test_the_pretrained_network_beats_heft_on_new_graphs() -> None:
    scheduler = DeepSchedScheduler.load(guard=False)
    problems = [layered(150, 12, 10**6 + k, ccr=8.0) for k in range(20)]
    ratios = [scheduler(problem).makespan / heft(problem).makespan for problem in problems]
    assert np.mean(ratios) < 0.85
    assert sum(path.stat().st_size for path in PRETRAINED.rglob("*")) < 2_000_000
    assert scheduler.meta["train_config"]["steps"] > 0


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
    assert scheduler.meta["train_config"]["imitation_steps"] > 0
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


def test_torch_and_the_scheduler_read_the_same_checkpoint(tmp_path: Path) -> None:
    network = random_network()
    save_checkpoint(tmp_path, network, "deepsched", SMALL, {"turn": 3})
    loaded = load_checkpoint(tmp_path)
    problem = layered(30, 3)
    view, _, _ = forward_pass(layers_of(arrays(network)), problem)
    with torch.inference_mode():
        outputs = loaded.network(graph_batch([view])).numpy()
    own = DeepSchedScheduler.load(tmp_path, guard=False, samples=1)
    assert own.meta == {"turn": 3}
    heads = [decode_schedule(problem, view, outputs[:, k].copy(), "x") for k in range(SMALL.heads)]
    expected = min(heads, key=lambda found: found.makespan)
    assert own(problem).proc.tolist() == expected.proc.tolist()


def test_a_checkpoint_of_another_network_is_refused(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, build_network("paper", {"width": 4}), "paper", {"width": 4}, {})
    with pytest.raises(InvalidInput, match="network 'paper'; 'deepsched' expected"):
        DeepSchedScheduler.load(tmp_path)


def test_a_checkpoint_that_lacks_something_is_refused_when_it_is_read(tmp_path: Path) -> None:
    whole = random_network()
    found = {key: value.shape for key, value in arrays(whole).items()}
    assert found == expected_shapes(arrays(whole))
    for lost in ("leave.bias", "rounds.0.mix.weight", "rounds.1.norm.weight", "enter.bias"):
        part = torch.nn.Module()
        weights = {key: value for key, value in whole.state_dict().items() if key != lost}
        part.state_dict = lambda weights=weights: weights  # type: ignore[method-assign,misc,assignment]
        save_checkpoint(tmp_path, part, "deepsched", SMALL, {})
        with pytest.raises(InvalidInput, match="another version of the network"):
            DeepSchedScheduler.load(tmp_path)
    save_checkpoint(tmp_path, whole, "deepsched", SMALL, {})
    path = tmp_path / "config.json"
    document = json.loads(path.read_text())
    document["config"]["decode"] = "few"
    path.write_text(json.dumps(document))
    with pytest.raises(InvalidInput, match=r"config\.json: decode is 'few'; one of: full"):
        DeepSchedScheduler.load(tmp_path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"objective": "cost"}, "objective = 'cost'; it must be one of makespan, turnaround"),
        ({"decode": "few"}, "decode = 'few'; it must be one of full, topk, argmax"),
        ({"samples": 0}, "samples = 0; it must be a whole number of at least 1"),
        ({"samples": 2.0}, "samples = 2.0; it must be a whole number of at least 1"),
        ({"budget": -1.0}, "budget = -1.0; it must be a finite number of at least 0"),
        ({"budget": float("inf")}, "budget = inf; it must be a finite number of at least 0"),
        ({"guard": 1}, "guard = 1; it must be true or false"),
        ({"threads": 0}, "threads = 0; it must be a whole number of at least 1"),
    ],
)
def test_options_that_cannot_be(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=r"objective|decode|samples|budget|guard|threads") as bare:
        DeepSchedOptions(**options)
    assert str(bare.value) == message
    scheduler = DeepSchedScheduler(arrays(random_network()))
    for refuse in (DeepSchedScheduler.load, scheduler.with_options):
        with pytest.raises(InvalidInput) as caught:
            refuse(**options)
        assert str(caught.value) == f"options of deepsched: {message}"


def test_an_option_that_nobody_knows_is_named_with_those_there_are() -> None:
    with pytest.raises(InvalidInput, match="options of deepsched: unknown field 'sampels'; one of"):
        DeepSchedScheduler.load(sampels=2)


def test_other_options_stay_as_they_were() -> None:
    problem = layered(60, 8, ccr=3.0)
    first = DeepSchedScheduler(
        arrays(random_network()), DeepSchedOptions(guard=False, decode="topk"), meta={"turn": 3}
    )
    other = first.with_options(samples=4, objective="turnaround")
    assert first.options == DeepSchedOptions(guard=False, decode="topk")
    assert other.options == replace(first.options, samples=4, objective="turnaround")
    assert other.meta == {"turn": 3}
    assert first.with_options()(problem).aft.tobytes() == first(problem).aft.tobytes()
    expected = DeepSchedScheduler(arrays(random_network()), other.options)(problem)
    assert other(problem).aft.tobytes() == expected.aft.tobytes() != first(problem).aft.tobytes()


def test_both_ends_are_tried_and_all_options_give_valid_schedules_of_them() -> None:
    shorter = 0
    for seed in range(8):
        problem = layered(60, 5, seed, ccr=1.0)
        ahead, turned = DeepSchedScheduler.load(guard=False, samples=1), reversed_problem(problem)
        back = mirrored(problem, ahead(turned))
        one = DeepSchedScheduler.load(samples=1)(problem)
        assert one.makespan <= min(ahead(problem).makespan, heft(problem).makespan)
        shorter += back.makespan < ahead(problem).makespan
        for options in ({"samples": 8}, {"samples": 70}, {"samples": 8, "budget": 0.05}):
            found = DeepSchedScheduler.load(**options)(problem)
            assert violations(problem, found) == []
            assert found.makespan <= heft(problem).makespan
    assert 0 < shorter < 8


@pytest.mark.parametrize(("tasks", "machines"), [(60, 5), (180, 12), (450, 8)])
def test_one_pass_asks_the_network_once_and_stretches_its_outputs_at_both_ends(
    tasks: int, machines: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    problem, network = layered(tasks, machines, 2, ccr=2.0), DeepSchedScheduler.load(samples=1)
    asked: list[Problem] = []
    forward = scheduler_module.forward_pass
    monkeypatch.setattr(
        scheduler_module,
        "forward_pass",
        lambda layers, problem, *more: asked.append(problem) or forward(layers, problem, *more),
    )
    found = network(problem)
    assert asked == [problem]
    pretrained = safetensors.numpy.load_file(PRETRAINED / "model.safetensors")
    few = tasks <= scheduler_module.MOST_ALL_HEADS
    middle = not few and tasks <= scheduler_module.MOST_DESCENDED
    rows = STRETCHES if middle else STRETCHES[:2]
    view, heads, _ = forward_pass(layers_of(pretrained), problem)
    heads = heads[:4] if few else heads[:2]
    turned = reversed_problem(problem)
    _, ahead = decode_best(problem, view, heads, "x", rows)
    means = np.repeat(heads[: 2 if few else 1].mean(axis=1, keepdims=True), tasks, axis=1)
    _, back = decode_best(turned, graph_view(turned), means, "x", rows)
    expected = min(ahead, mirrored(problem, back), heft(problem), key=lambda one: one.makespan)
    assert found.makespan <= expected.makespan  # what follows makes it no longer
    assert found.makespan > 0.9 * expected.makespan
    if middle:
        assert found.aft.tobytes() == expected.aft.tobytes()  # nothing follows


@pytest.mark.parametrize("options", [{"samples": 1}, {"samples": 8}, {"samples": 40}])
@pytest.mark.parametrize(("tasks", "machines"), [(60, 5), (200, 16), (600, 8)])
def test_threads_change_no_schedule(
    tasks: int, machines: int, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scheduler_module, "LEAST_SHARED", 0)
    problem = layered(tasks, machines, 3, ccr=1.0)
    calls: list[int] = []
    beside = scheduler_module.beside
    monkeypatch.setattr(
        scheduler_module, "beside", lambda *given: calls.append(1) or beside(*given)
    )
    alone = DeepSchedScheduler.load(**options, threads=1)(problem)
    assert not calls
    for times in range(1, 4):
        shared = DeepSchedScheduler.load(**options, threads=2)(problem)
        assert shared.aft.tobytes() == alone.aft.tobytes()
        assert len(calls) == times


def test_whoever_enters_first_limits_the_products_of_the_process_and_the_last_frees_them() -> None:
    def threads() -> set[int]:
        known = threadpoolctl.threadpool_info()
        return {entry["num_threads"] for entry in known if entry["user_api"] == "blas"}

    with ExitStack() as around:
        around.enter_context(threadpoolctl.threadpool_limits(2, user_api="blas"))
        with ExitStack() as second:
            with one_blas_thread():
                second.enter_context(one_blas_thread())
            limited = threads()  # the first has left, the second still needs it
        assert 1 in limited
        assert threads() == {2}


def test_what_both_ends_take_is_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    problem, report = layered(180, 12), Report()
    view = scheduler_module.decoder_view

    def slowly(*given: Any) -> Any:
        time.sleep(0.05)
        return view(*given)

    monkeypatch.setattr(scheduler_module, "decoder_view", slowly)
    DeepSchedScheduler.load(samples=1, threads=1)(problem, report=report)
    assert report.network is not None
    assert report.decode is not None
    assert report.network > 0.05 > report.decode


def test_zeros_are_not_stretched(monkeypatch: pytest.MonkeyPatch) -> None:
    rows: list[int] = []
    decode = scheduler_module.decode_best

    def counted(problem: Problem, view: Any, heads: Any, name: str, stretches: Any) -> Any:
        rows.append(len(stretches))
        return decode(problem, view, heads, name, stretches)

    monkeypatch.setattr(scheduler_module, "decode_best", counted)
    network = DeepSchedScheduler.load(samples=1)
    network(layered(60, 5))
    assert rows == [2, 2]
    rows.clear()
    network.without_network()(layered(60, 5))
    assert rows == [0, 0]


def test_tasks_that_arrive_are_not_scheduled_from_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    true = scheduler_module.reversed_problem
    monkeypatch.setattr(
        scheduler_module, "reversed_problem", lambda p: calls.append(p.name) or true(p)
    )
    spec = GeneratorSpec(family="layered", tasks=30, machines=3, arrival_spread=0.5)
    alone = GeneratorSpec(family="independent", tasks=30, machines=3)
    scheduler = DeepSchedScheduler.load(samples=8)
    for without in (spec, alone):
        scheduler(generate(without, 1))
    DeepSchedScheduler.load(samples=8, objective="turnaround")(layered(30, 3))
    assert calls == []
    scheduler(layered(30, 3))
    assert len(calls) == 1


def job_shop(jobs: int, machines: int, seed: int, more: int = 0) -> Problem:
    """Draw a job shop; `more` of its tasks could run on a second machine, half as fast."""
    rng = np.random.default_rng(seed)
    etc = np.full((jobs * machines, machines), np.inf)
    own = np.concatenate([rng.permutation(machines) for _ in range(jobs)])
    tasks = np.arange(jobs * machines)
    etc[tasks, own] = rng.integers(1, 100, tasks.size)
    second = rng.choice(tasks, more, replace=False)
    etc[second, (own[second] + 1) % machines] = 2 * etc[second, own[second]]
    before = tasks[tasks % machines < machines - 1]
    edges = [(int(task), int(task) + 1, 0.0) for task in before]
    return problem_of_arrays(etc=etc, edges=edges, bandwidth=1e9)


def test_one_pass_over_a_job_shop_moves_tasks_and_does_not_stretch_what_machines_cost() -> None:
    once = DeepSchedScheduler.load(samples=1)
    ratios = []
    for seed in range(12):
        problem = job_shop(15, 12, seed)
        found = once(problem)
        assert violations(problem, found) == []
        ratios.append(found.makespan / heft(problem).makespan)
    # Stretched and not improved, as other problems of this size are: 0.96.
    assert max(ratios) <= 1.0
    assert np.mean(ratios) < 0.945


@pytest.mark.parametrize(
    ("problem", "fixed"),
    [
        (job_shop(4, 3, 0), True),
        (job_shop(4, 3, 0, more=1), False),
        (job_shop(4, 3, 0, more=12), False),
        (job_shop(5, 1, 0), False),  # whoever has one machine has no choice and needs no moves
        (layered(30, 4), False),
    ],
)
def test_tasks_with_one_machine_each_are_told_from_others(
    problem: Problem, fixed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    pushed: list[Problem] = []
    push = scheduler_module.forward_backward_improvement

    def noted(problem: Problem, schedule: Schedule) -> Schedule:
        pushed.append(problem)
        return push(problem, schedule)

    monkeypatch.setattr(scheduler_module, "forward_backward_improvement", noted)
    DeepSchedScheduler.load(samples=1)(problem)
    assert bool(pushed) == fixed
