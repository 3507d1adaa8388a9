"""The strong bound: no schedule beats it, and what its parts prove can be calculated by hand."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import njit

from deepsched.baselines import bounds, windows
from deepsched.baselines.bounds import area_bound, critical_path, lower_bound
from deepsched.baselines.generate import GeneratorSpec, generate
from deepsched.baselines.heft import heft
from deepsched.baselines.kernels import windows as kernels
from deepsched.baselines.kernels.bounds import best_set
from deepsched.baselines.kernels.one_machine import preemptive
from deepsched.baselines.machines import make_machines
from deepsched.baselines.problem import make_problem
from deepsched.baselines.registry import SCHEDULERS, teacher_rng
from tests import strategies

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from deepsched.baselines.problem import Problem

ROUNDING = 1 + 1e-11
NEVER_SHUT = np.empty((0, 0), np.bool_)


def problem_of(
    costs: Any,
    edges: Sequence[tuple[int, int, float]] = (),
    **machines: Any,
) -> Problem:
    """Return a problem on links of 1 byte/s, edges given as parent, child and transfer time."""
    etc = np.asarray(costs, dtype=float)
    parents, children, seconds = zip(*edges, strict=True) if edges else ((), (), ())
    links = {"bandwidth": 1.0} | machines
    return make_problem(
        machines=make_machines(etc.shape[1], **links), etc=etc, edges=(parents, children, seconds)
    )


def before(problem: Problem) -> float:
    """Return the bound without transfers, which the strong one may not fall below."""
    return max(critical_path(problem, arrivals=True), area_bound(problem))


@njit
def search(k: int, etc: Any, arrival: Any, preds: Any, links: Any, state: Any, best: Any) -> None:
    """Try every order and every machine; `state` is what is done, where, until when, and loads."""
    done, proc, aft, free = state
    if k == done.size:
        best[0] = min(best[0], aft.max())
        return
    for i in range(done.size):
        ready = not done[i]
        for e in range(preds.ptr[i], preds.ptr[i + 1]):
            ready = ready and done[preds.task[e]]
        if not ready:
            continue
        for q in range(free.size):
            start = max(arrival[i], free[q])
            for e in range(preds.ptr[i], preds.ptr[i + 1]):
                j = preds.task[e]
                r = proc[j]
                start = max(
                    start, aft[j] + links.latency[r, q] + preds.data[e] / links.bandwidth[r, q]
                )
            if not start + etc[i, q] < best[0]:
                continue
            earlier = free[q]
            done[i], proc[i], aft[i], free[q] = True, q, start + etc[i, q], start + etc[i, q]
            search(k + 1, etc, arrival, preds, links, state, best)
            done[i], aft[i], free[q] = False, 0.0, earlier


def optimum(problem: Problem) -> float:
    """Return the least makespan of all schedules, s."""
    n, p = problem.etc.shape
    best = np.array([heft(problem).makespan])
    state = (np.zeros(n, np.bool_), np.zeros(n, np.int64), np.zeros(n), np.zeros(p))
    rows, links = problem.predecessors, problem.machines.links
    search(0, problem.etc, problem.arrival, rows, links, state, best)
    return float(best[0])


@settings(max_examples=400)
@given(problem=strategies.problems(max_tasks=5, max_machines=3))
def test_no_schedule_at_all_beats_the_strong_bound(problem: Problem) -> None:
    bound = lower_bound(problem, "strong")
    assert before(problem) <= bound <= optimum(problem) * ROUNDING
    assert lower_bound(problem) <= bound


@settings(max_examples=200)
@given(seed=st.integers(0, 2**32 - 1))
def test_nor_where_transfers_decide(seed: int) -> None:
    """Forks and joins with dear transfers, tasks with one machine, links that cost nothing."""
    rng = np.random.default_rng(seed)
    n, p = int(rng.integers(3, 7)), int(rng.integers(1, 4))
    etc = rng.integers(0, 5, (n, p)).astype(float) if seed % 2 else rng.uniform(0.1, 3, (n, p))
    closed = rng.random((n, p)) < rng.choice([0.0, 0.5, 1.0])
    closed[np.arange(n), rng.integers(0, p, n)] = False
    etc[closed] = np.inf
    inner = range(1, n - 1)
    edges = [(0, j) for j in inner] + [(j, n - 1) for j in inner if rng.random() < 0.9]
    edges += [(i, j) for i, j in itertools.combinations(inner, 2) if rng.random() < 0.3]
    if rng.random() < 0.3:
        edges = [(i, j) for i, j in edges if j == n - 1]
    seconds = rng.integers(0, 4, len(edges)) * rng.choice([1.0, 5.0, 30.0])
    links: dict[str, Any] = {"latency": float(rng.choice([0.0, 1.5]))}
    if rng.random() < 0.4:
        links["bandwidth"] = rng.choice([0.5, 1.0, 2.0, np.inf], (p, p))
        links["latency"] = rng.choice([0.0, 0.5, 2.0], (p, p))
    if rng.random() < 0.2:
        links["nodes"] = [str(k) for k in rng.integers(0, 2, p)]
    problem = problem_of(
        etc, [(i, j, s) for (i, j), s in zip(edges, seconds, strict=True)], **links
    )
    assert before(problem) <= lower_bound(problem, "strong") <= optimum(problem) * ROUNDING


@pytest.mark.parametrize("ccr", [0.1, 1.0, 10.0])
@pytest.mark.parametrize("family", ["layered", "erdos-renyi", "fork-join", "in-tree", "out-tree"])
def test_no_scheduler_beats_it_on_larger_graphs(family: str, ccr: float) -> None:
    kinds: list[dict[str, Any]] = [
        {}, {"link_spread": 8.0, "latency": 0.3}, {"memory": 0.5}, {"arrival_spread": 1.0},
    ]  # fmt: skip
    for seed, kind in enumerate(kinds):
        spec = GeneratorSpec(family=family, tasks=60, machines=4, ccr=ccr, **kind)
        problem = generate(spec, seed)
        bound = lower_bound(problem, "strong")
        assert bound >= before(problem)
        for name in ("heft", "cpop", "perturbation", "best-of"):
            schedule = SCHEDULERS[name](problem, teacher_rng(0, seed, name))
            assert bound <= schedule.makespan * (1 + 1e-9)


def test_a_chain_stays_where_its_transfers_are_dear() -> None:
    costs = [[1, 5], [5, 1]]
    assert lower_bound(problem_of(costs, [(0, 1, 10)]), "strong") == 6
    assert lower_bound(problem_of(costs, [(0, 1, 2)]), "strong") == 4  # it changes the machine
    # There the transfer takes 2 in the direction it has to go.
    links = {"bandwidth": [[1, 5], [1, 1]]}
    assert lower_bound(problem_of(costs, [(0, 1, 10)], **links), "strong") == 4
    assert lower_bound(problem_of(costs, [(0, 1, 10)], nodes=["a", "a"]), "strong") == 2


def test_parents_share_a_machine_where_their_transfers_are_dear() -> None:
    # Three of 4 s, one behind them: two wait for each other, or the third's transfer takes 5 s.
    costs = np.array([[4.0], [4.0], [4.0], [1.0]]).repeat(3, axis=1)
    problem = problem_of(costs, [(0, 3, 5), (1, 3, 5), (2, 3, 5)])
    assert before(problem) == 5
    assert lower_bound(problem, "strong") == 10 == optimum(problem)
    dear = problem_of(costs, [(0, 3, 50), (1, 3, 50), (2, 3, 50)])
    assert lower_bound(dear, "strong") == 13 == optimum(dear)


def test_the_cheap_bound_knows_some_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    chain = problem_of([[1, 5], [5, 1]], [(0, 1, 10)])
    four = problem_of(np.ones((5, 3)) * 4, [(j, 4, 50) for j in range(4)])
    three = problem_of(np.ones((4, 3)) * 4, [(j, 3, 50) for j in range(3)])
    assert [lower_bound(one) for one in (chain, four, three)] == [6, 20, 8]
    for problem in (chain, four, three):
        monkeypatch.setattr(bounds, "CHEAP_CELLS", problem.etc.size - 1)
        assert lower_bound(problem) == before(problem)  # where it would take too long


def test_of_many_parents_those_stay_whose_transfers_take_longest() -> None:
    # The ten longest of the transfers of 1 to 20 s are saved; the next takes until 1 + 10 s.
    seconds = np.random.default_rng(0).permutation(20) + 1
    problem = problem_of(np.ones((21, 20)), [(j, 20, float(s)) for j, s in enumerate(seconds)])
    assert lower_bound(problem) == 12
    assert lower_bound(problem, "strong") == 12


def test_so_do_parents_of_parents() -> None:
    costs = np.ones((7, 2))
    edges = [(0, 4, 100), (1, 4, 100), (2, 5, 100), (3, 5, 100), (4, 6, 100), (5, 6, 100)]
    problem = problem_of(costs, edges)
    assert before(problem) == 3.5
    assert lower_bound(problem, "strong") == 7
    turned = problem_of(costs, [(6 - j, 6 - i, s) for i, j, s in edges])
    assert lower_bound(turned, "strong") == 7


def test_a_fork_join_is_no_shorter_than_its_work_and_both_ends() -> None:
    costs = np.array([[2.0], *[[1.0]] * 6, [3.0]]).repeat(3, axis=1)
    edges = [(0, j, 0.0) for j in range(1, 7)] + [(j, 7, 0.0) for j in range(1, 7)]
    problem = problem_of(costs, edges)
    assert before(problem) == 6
    assert lower_bound(problem, "strong") == pytest.approx(7, rel=1e-12)
    # Two in a row, each with its own work in between: what waits for all of it starts later.
    costs = np.vstack([costs, costs[1:]])
    edges += [(7, j, 0.0) for j in range(8, 14)] + [(j, 14, 0.0) for j in range(8, 14)]
    assert lower_bound(problem_of(costs, edges), "strong") == pytest.approx(12, rel=1e-12)


def test_a_job_shop_is_bounded_by_one_machine_with_heads_and_tails() -> None:
    # Jobs of 3 + 2 and 2 + 4 s, both on the first machine, then on the second.
    inf = np.inf
    problem = problem_of([[3, inf], [inf, 2], [2, inf], [inf, 4]], [(0, 1, 0), (2, 3, 0)])
    assert before(problem) == 6
    assert lower_bound(problem, "strong") == 8 == optimum(problem)


def test_one_machine_has_to_do_everything() -> None:
    problem = problem_of([[0.0], [1.0], [2.0]], [(0, 1, 5), (1, 2, 5)])
    assert lower_bound(problem, "strong") == 3
    assert lower_bound(problem_of([[0.0]]), "strong") == 0


@given(seed=st.integers(0, 2**32 - 1))
def test_jackson_s_preemptive_schedule_is_the_greatest_bound_of_all_sets(seed: int) -> None:
    rng = np.random.default_rng(seed)
    heads, costs, tails = rng.integers(0, 9, (3, int(rng.integers(1, 7)))).astype(float)
    sets = [
        list(some)
        for k in range(1, costs.size + 1)
        for some in itertools.combinations(range(costs.size), k)
    ]
    best = max(heads[s].min() + costs[s].sum() + tails[s].min() for s in sets)
    assert preemptive(heads, costs, tails) == pytest.approx(best, rel=1e-12)


@given(seed=st.integers(0, 2**32 - 1))
def test_the_best_set_is_the_best_of_all_heads_and_tails(seed: int) -> None:
    rng = np.random.default_rng(seed)
    heads, tails, shares = rng.integers(0, 6, (3, int(rng.integers(1, 9)))).astype(float)
    values = [
        (a + shares[(heads >= a) & (tails >= b)].sum() + b, a, b)
        for a in heads
        for b in tails
        if ((heads >= a) & (tails >= b)).any()
    ]
    value, head, tail = best_set(heads, tails, shares, np.unique(tails))
    assert value == max(v for v, _, _ in values)
    assert value == 0 or (value, head, tail) in values


@settings(max_examples=200)
@given(problem=strategies.problems(max_tasks=12))
def test_earliest_ends_are_no_later_than_any_schedule_s(problem: Problem) -> None:
    ends = np.empty(problem.etc.shape)
    rows, links = problem.predecessors, problem.machines.links
    found = []
    for exact, fewest in ((True, 2), (False, 2), (False, 4)):
        soonest = kernels.earliest_ends(
            problem.topo,
            problem.etc,
            NEVER_SHUT,
            problem.arrival,
            rows,
            links,
            exact,
            fewest,
            False,
            ends,
        )
        assert (soonest == ends.min(axis=1)).all()
        assert (np.isinf(ends) == np.isinf(problem.etc)).all()
        found.append(ends.copy())
    ends = found[0]
    assert all((less <= ends * ROUNDING).all() for less in found[1:])
    for name in ("heft", "random"):
        schedule = SCHEDULERS[name](problem, teacher_rng(0, 0, name))
        own = ends[np.arange(problem.n_tasks), schedule.proc]
        assert (own <= schedule.aft * ROUNDING).all()


def test_names_of_tasks_and_machines_do_not_matter() -> None:
    spec = GeneratorSpec(family="layered", tasks=40, machines=4, ccr=5.0)
    problem = generate(spec, 0)
    rng = np.random.default_rng(0)
    tasks, machines = rng.permutation(problem.n_tasks), rng.permutation(problem.n_machines)
    parents, children, data = problem.edge_list()
    renamed = make_problem(
        machines=make_machines(4, bandwidth=problem.machines.bandwidth[0, 1]),
        etc=problem.etc[np.argsort(tasks)][:, machines],
        edges=(tasks[parents], tasks[children], data),
    )
    bounds = [lower_bound(one, "strong") for one in (problem, renamed)]
    assert bounds[0] == pytest.approx(bounds[1], rel=2 * windows.LEAST_STEP)


def test_the_work_is_bounded_where_problems_are_large(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is left out, what remains is a bound that is no lower than that of before."""
    problem = generate(GeneratorSpec(family="layered", tasks=60, machines=4, ccr=5.0), 1)
    found = [lower_bound(problem, "strong")]
    for name in ("LIMITS_WORK", "ANCESTORS_EDGES", "AFTER_ALL_WORK", "ASCENT_WORK"):
        monkeypatch.setattr(windows, name, 0)
        found.append(lower_bound(problem, "strong"))
    assert found == sorted(found, reverse=True)
    assert found[0] > found[-1] > before(problem)
    monkeypatch.setattr(windows, "ANCESTORS_EDGES", 10**6)
    for work in (0, 10, 1000):
        monkeypatch.setattr(windows, "ANCESTORS_WORK", work)
        assert found[-1] <= lower_bound(problem, "strong") <= found[0]


def test_job_shops_of_the_literature(data_dir: Path) -> None:
    """Between the greatest sum of a machine or a job and the best makespan that is known."""
    import csv

    from deepsched.baselines.readers import read_problem

    with (data_dir / "jsp" / "best_known.csv").open(newline="") as file:
        upper = {row["name"]: float(row["upper"]) for row in csv.DictReader(file)}
    for path in sorted((data_dir / "jsp").glob("*.txt")):
        problem = read_problem(path)
        bound = lower_bound(problem, "strong")
        loads = np.where(np.isinf(problem.etc), 0, problem.etc).sum(axis=0)
        assert max(loads.max(), critical_path(problem)) * (1 - 1e-12) <= bound
        assert bound <= upper[path.stem] * (1 + 1e-9)
