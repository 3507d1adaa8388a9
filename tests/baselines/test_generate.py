"""The generator: known graphs, realised parameters, determinism, and what it refuses."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepsched.baselines.errors import InvalidProblem, UnknownName
from deepsched.baselines.generate import FAMILIES, GeneratorSpec, Shape, generate
from deepsched.baselines.generate.families import erdos_renyi
from deepsched.baselines.heft import heft
from deepsched.baselines.ranks import mean_communication, mean_execution_cost
from deepsched.baselines.schedule import violations

if TYPE_CHECKING:
    from deepsched.baselines.problem import Problem

# One small problem of each family, every parameter at work: SHA-256 of its arrays, first 16 digits.
STORED = {
    "layered": "2c6d72141b8c9e1e",
    "fork-join": "33bd7df16cd46194",
    "in-tree": "049e25acfdaa4db4",
    "out-tree": "07d11d050cfb1a06",
    "series-parallel": "37538b87098ece9b",
    "erdos-renyi": "fdba7831a01b053d",
    "gaussian-elimination": "742fb95a1b78efa7",
    "fft": "2608718ec9311951",
    "cholesky": "2bc0ea908bb08585",
    "independent": "cdbfe552d4848eb1",
}


def problem_of(family: str, tasks: int = 60, seed: int = 1, **fields: object) -> Problem:
    fields = {"machines": 4, **fields}
    return generate(GeneratorSpec(family=family, tasks=tasks, **fields), seed)


def graph_of(problem: Problem) -> nx.DiGraph:
    graph = nx.DiGraph()
    graph.add_nodes_from(range(problem.n_tasks))
    parents, children, _ = problem.edge_list()
    graph.add_edges_from(zip(parents.tolist(), children.tolist(), strict=True))
    return graph


def edges_of(problem: Problem) -> set[tuple[int, int]]:
    return set(graph_of(problem).edges)


def level_sizes(problem: Problem) -> list[int]:
    return [len(level) for level in nx.topological_generations(graph_of(problem))]


def digest(problem: Problem) -> str:
    machines = problem.machines
    whole = hashlib.sha256()
    for array in (
        problem.work,
        problem.noise,
        problem.etc,
        problem.arrival,
        problem.memory,
        *problem.edge_list(),
        machines.frequency,
        machines.memory,
        machines.bandwidth,
        machines.latency,
    ):
        whole.update(np.ascontiguousarray(array).astype(array.dtype.newbyteorder("<")).tobytes())
    return whole.hexdigest()[:16]


def realised_ccr(problem: Problem) -> float:
    communication = mean_communication(problem, problem.succ_bytes).mean()
    return float(communication / mean_execution_cost(problem).mean())


def out_degree(problem: Problem) -> np.ndarray:
    return np.diff(problem.succ_ptr)


def in_degree(problem: Problem) -> np.ndarray:
    return np.diff(problem.pred_ptr)


# Graphs of fixed shape


@pytest.mark.parametrize(("m", "tasks", "edges"), [(2, 2, 1), (3, 5, 5), (5, 14, 19), (10, 54, 89)])
def test_gaussian_elimination_has_the_published_size(m: int, tasks: int, edges: int) -> None:
    assert tasks == (m * m + m - 2) // 2
    problem = problem_of("gaussian-elimination", tasks)
    assert (problem.n_tasks, problem.n_edges) == (tasks, edges)
    # The longest path alternates pivots and the updates of the next column.
    assert len(level_sizes(problem)) == 2 * (m - 1)


def test_gaussian_elimination_of_three_columns_is_the_known_graph() -> None:
    # pivot 0, its updates 1 and 2; pivot 3 of column 2, its update 4 of column 3.
    expected = {(0, 1), (0, 2), (1, 3), (2, 4), (3, 4)}
    assert edges_of(problem_of("gaussian-elimination", 5)) == expected


@pytest.mark.parametrize(("points", "tasks"), [(2, 5), (4, 15), (8, 39), (16, 95)])
def test_fft_has_the_published_size_and_degrees(points: int, tasks: int) -> None:
    bits = points.bit_length() - 1
    assert tasks == 2 * points - 1 + points * bits
    problem = problem_of("fft", tasks)
    assert problem.n_tasks == tasks
    assert problem.n_edges == 2 * (points - 1) + 2 * points * bits
    assert level_sizes(problem) == [2**k for k in range(bits + 1)] + [points] * bits
    assert (in_degree(problem)[2 * points - 1 :] == 2).all()
    # Every output depends on every leaf, which is what a Fourier transform computes.
    graph = graph_of(problem)
    leaves = set(range(points - 1, 2 * points - 1))
    assert all(leaves <= nx.ancestors(graph, exit_) for exit_ in range(tasks - points, tasks))


@pytest.mark.parametrize(("tiles", "tasks"), [(1, 1), (2, 4), (3, 10), (4, 20), (8, 120)])
def test_cholesky_has_the_known_size(tiles: int, tasks: int) -> None:
    assert tasks == tiles * (tiles + 1) * (tiles + 2) // 6
    problem = problem_of("cholesky", tasks)
    pairs, triples = tiles * (tiles - 1) // 2, tiles * (tiles - 1) * (tiles - 2) // 6
    assert (problem.n_tasks, problem.n_edges) == (tasks, 3 * pairs + 3 * triples)
    # POTRF, TRSM, SYRK of one tile column follow each other: 3 (T - 1) + 1 levels.
    assert len(level_sizes(problem)) == 3 * tiles - 2


def test_cholesky_of_three_tiles_is_the_known_graph() -> None:
    potrf0, trsm10, trsm20, syrk11, gemm21, syrk22, potrf1, trsm21, syrk22b, potrf2 = range(10)
    expected = {
        (potrf0, trsm10),
        (potrf0, trsm20),
        (trsm10, syrk11),
        (trsm10, gemm21),
        (trsm20, gemm21),
        (trsm20, syrk22),
        (syrk11, potrf1),
        (potrf1, trsm21),
        (gemm21, trsm21),
        (trsm21, syrk22b),
        (syrk22, syrk22b),
        (syrk22b, potrf2),
    }
    assert edges_of(problem_of("cholesky", 10)) == expected


@pytest.mark.parametrize("family", [name for name, family in FAMILIES.items() if not family.exact])
def test_a_fixed_shape_is_the_largest_that_is_not_above_the_tasks(family: str) -> None:
    rng = np.random.default_rng(0)
    graph = FAMILIES[family].graph
    got = {tasks: graph(Shape(tasks, None, None, 0.0), rng).n_tasks for tasks in range(5, 400)}
    for tasks, size in got.items():
        assert size == max(other for other in got.values() if other <= tasks)


# Shapes that are asked for


@pytest.mark.parametrize(
    ("fields", "sizes"),
    [
        ({"width": 10}, [10] * 6),
        ({"width": 16}, [16, 16, 16, 12]),
        ({"width": 60}, [60]),
        ({"depth": 7}, [9, 9, 9, 9, 8, 8, 8]),
        ({"depth": 60}, [1] * 60),
        ({}, [8] * 7 + [4]),
        ({"width": 12, "out_degree": 0}, [12] * 5),
    ],
)
def test_layered_levels_are_exact(fields: dict[str, float], sizes: list[int]) -> None:
    assert level_sizes(problem_of("layered", **fields)) == sizes


@pytest.mark.parametrize("wanted", [1.5, 3, 9.99])
def test_layered_out_degree_is_realised(wanted: float) -> None:
    problem = problem_of("layered", 1000, width=50, out_degree=wanted)
    assert problem.n_edges == round(wanted * 950)
    assert (in_degree(problem)[50:] >= 1).all()


def test_layered_takes_every_pair_when_more_are_asked_for() -> None:
    problem = problem_of("layered", 60, width=12, out_degree=1000)
    assert problem.n_edges == 4 * 12 * 12


@pytest.mark.parametrize(
    ("tasks", "fields", "sizes"),
    [
        (1, {}, [1]),
        (2, {}, [1, 1]),
        (10, {"width": 3}, [1, 2, 1, 2, 1, 2, 1]),
        (9, {"width": 3}, [1, 3, 1, 3, 1]),
        (12, {"width": 10}, [1, 10, 1]),
        (12, {"depth": 12}, [1, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1]),
        (12, {"depth": 6}, [1, 5, 1, 4, 1]),
        (5, {"width": 1}, [1, 1, 1, 1, 1]),
        (4, {"width": 1}, [1, 1, 1, 1]),
        (12, {"depth": 1}, [1, 10, 1]),
    ],
)
def test_fork_join_stages(tasks: int, fields: dict[str, int], sizes: list[int]) -> None:
    problem = problem_of("fork-join", tasks, **fields)
    assert level_sizes(problem) == sizes
    assert (in_degree(problem) == 0).sum() == (out_degree(problem) == 0).sum() == 1


@pytest.mark.parametrize("tasks", [1, 2, 7, 500])
def test_trees_are_trees(tasks: int) -> None:
    out_tree, in_tree = (problem_of(f"{way}-tree", tasks) for way in ("out", "in"))
    assert in_degree(out_tree).tolist() == [0] + [1] * (tasks - 1)
    assert out_degree(in_tree).tolist() == [1] * (tasks - 1) + [0]
    if tasks > 1:
        assert nx.is_arborescence(graph_of(out_tree))
        assert nx.is_arborescence(graph_of(in_tree).reverse())


@pytest.mark.parametrize("wanted", [1, 1.7, 2, 4])
def test_tree_out_degree_is_the_mean_of_inner_tasks(wanted: float) -> None:
    degrees = out_degree(problem_of("out-tree", 20_000, out_degree=wanted))
    inner = degrees[degrees > 0]
    assert inner.max() <= max(1, 2 * wanted - 1) + 1
    assert inner.mean() == pytest.approx(wanted, rel=0.03)


@pytest.mark.parametrize(("wanted", "edges"), [(1, 59), (2, 2 * 58 + 1)])
def test_series_parallel_extremes(wanted: float, edges: int) -> None:
    problem = problem_of("series-parallel", out_degree=wanted)
    assert problem.n_edges == edges
    if wanted == 1:
        assert level_sizes(problem) == [1] * 60


@pytest.mark.parametrize("seed", range(5))
def test_series_parallel_reduces_to_one_edge(seed: int) -> None:
    graph = nx.MultiDiGraph(graph_of(problem_of("series-parallel", 80, seed)))
    reducible = True
    while reducible:
        parallel = {(u, v) for u, v, k in graph.edges(keys=True) if k > 0}
        for u, v in parallel:
            graph.remove_edges_from([(u, v)] * (graph.number_of_edges(u, v) - 1))
        series = [x for x in graph if graph.in_degree(x) == graph.out_degree(x) == 1]
        for x in series[:1]:
            (u,), (v,) = graph.predecessors(x), graph.successors(x)
            graph.remove_node(x)
            graph.add_edge(u, v)
        reducible = bool(parallel or series)
    assert (graph.number_of_nodes(), graph.number_of_edges()) == (2, 1)


def test_erdos_renyi_draws_pairs_uniformly() -> None:
    counts = np.zeros((6, 6))
    rng = np.random.default_rng(0)
    for _ in range(2000):
        n, parents, children = erdos_renyi(Shape(6, None, None, 1.0), rng)
        assert (n, parents.size) == (6, 6)
        counts[parents, children] += 1
    pairs = counts[np.triu_indices(6, 1)]
    assert counts.sum() == pairs.sum()
    # 15 pairs, each drawn with probability 0.4: five standard deviations of a binomial count.
    assert np.abs(pairs - 800).max() < 5 * np.sqrt(2000 * 0.4 * 0.6)


def test_erdos_renyi_can_be_empty_or_complete() -> None:
    assert problem_of("erdos-renyi", 30, out_degree=0).n_edges == 0
    assert problem_of("erdos-renyi", 30, out_degree=30).n_edges == 30 * 29 // 2


def test_independent_tasks_have_no_edges() -> None:
    assert problem_of("independent").n_edges == 0


# Numbers that are asked for


@pytest.mark.parametrize("ccr", [0.01, 1, 7.5])
@pytest.mark.parametrize("fields", [{}, {"link_spread": 20, "latency": 0.3, "memory": 0.4}])
def test_ccr_is_realised(ccr: float, fields: dict[str, float]) -> None:
    for family in FAMILIES:
        problem = problem_of(family, ccr=ccr, **fields)
        if problem.n_edges:
            assert realised_ccr(problem) == pytest.approx(ccr, rel=1e-6)


def test_ccr_of_zero_sends_nothing() -> None:
    problem = problem_of("layered", ccr=0, latency=0.5, link_spread=3)
    assert realised_ccr(problem) == 0.0


def test_latency_is_its_share_of_the_transfer_time() -> None:
    problem = problem_of("layered", latency=0.25, link_spread=9)
    lag = problem.machines.latency[~np.eye(4, dtype=bool)]
    total = mean_communication(problem, problem.succ_bytes).mean()
    assert lag.mean() == pytest.approx(0.25 * total, rel=1e-6)
    assert np.unique(lag).size == 12


def test_links_are_alike_or_unlike_as_asked() -> None:
    assert problem_of("layered", latency=0.5).machines.uniform
    machines = problem_of("layered", machines=40, link_spread=9).machines
    off_diagonal = machines.bandwidth[~np.eye(40, dtype=bool)]
    assert not machines.uniform
    assert 8 < off_diagonal.max() / off_diagonal.min() <= 9 * (1 + 1e-6)


@pytest.mark.parametrize("ratio", [1, 4, 100])
def test_heterogeneity_is_the_ratio_of_speeds(ratio: float) -> None:
    speed = problem_of("layered", machines=9, heterogeneity=ratio).machines.speed(0.0)
    assert speed.max() / speed.min() == pytest.approx(ratio, rel=1e-6)
    assert np.unique(speed).size == (9 if ratio > 1 else 1)


def test_noise_has_its_sigma_and_a_median_of_one() -> None:
    problem = problem_of("independent", 5000, machines=8, noise=0.3)
    log = np.log(problem.noise)
    assert log.std() == pytest.approx(0.3, rel=0.02)
    assert abs(np.median(log)) < 0.01
    assert problem_of("independent", noise=0).noise is None


def test_costs_are_rebuilt_from_their_factors() -> None:
    problem = problem_of("layered")
    speed = problem.machines.speed(problem.alpha)
    assert (problem.etc == problem.work[:, None] / speed * problem.noise).all()


@pytest.mark.parametrize("spread", [0, 0.5, 2])
def test_arrivals_fill_their_share_of_the_parallel_time(spread: float) -> None:
    problem = problem_of("layered", 2000, arrival_spread=spread)
    horizon = spread * mean_execution_cost(problem).sum() / problem.n_machines
    assert (np.diff(problem.arrival) >= 0).all()
    assert problem.arrival.max() <= horizon * (1 + 1e-6)
    assert problem.arrival.mean() == pytest.approx(horizon / 2, rel=0.05)


@pytest.mark.parametrize("share", [0.25, 1])
def test_memory_keeps_its_share_of_tasks_off_the_smallest_machine(share: float) -> None:
    problem = problem_of("layered", 400, machines=6, memory=share)
    capacity = problem.machines.memory
    assert (problem.memory > capacity.min()).sum() == 400 * share
    assert (problem.memory <= capacity.max()).all()
    assert (np.isinf(problem.etc) == (problem.memory[:, None] > capacity)).all()


def test_without_memory_there_are_no_limits() -> None:
    problem = problem_of("layered")
    assert (problem.memory == 0).all()
    assert np.isinf(problem.machines.memory).all()


# The same and not the same


@pytest.mark.parametrize("family", FAMILIES)
def test_a_seed_is_a_problem_for_ever(family: str) -> None:
    fields = {"ccr": 2, "arrival_spread": 0.5, "memory": 0.3, "link_spread": 5, "latency": 0.1}
    assert digest(problem_of(family, 40, 7, **fields)) == STORED[family]


@pytest.mark.parametrize("family", FAMILIES)
def test_seeds_differ(family: str) -> None:
    digests = {digest(problem_of(family, 30, seed)) for seed in range(20)}
    assert len(digests) == 20
    assert digest(problem_of(family, 30, 3)) in digests


def test_one_parameter_changes_what_it_means_and_nothing_else() -> None:
    one, other = (problem_of("layered", ccr=ccr) for ccr in (1, 2))
    assert (one.etc == other.etc).all()
    assert edges_of(one) == edges_of(other)
    assert other.succ_bytes == pytest.approx(2 * one.succ_bytes, rel=1e-6)


def test_the_name_tells_family_size_and_seed() -> None:
    assert problem_of("fft", 20, seed=12).name == "fft-15x4-seed12"


# What is refused


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"tasks": 0}, "tasks 0 must be at least 1"),
        ({"tasks": 2.5}, "tasks 2.5 is not a whole number"),
        ({"tasks": True}, "tasks True is not a whole number"),
        ({"family": "fft", "tasks": 4}, "tasks 4 must be at least 5 in family 'fft'"),
        ({"machines": -1}, "machines -1 must be at least 1"),
        ({"width": 0}, "width 0 must be at least 1"),
        ({"width": 61}, "width 61 is more than the 60 tasks"),
        ({"width": 5, "depth": 12}, "width 5 and depth 12: give one of them"),
        ({"family": "cholesky", "depth": 3}, "depth 3: family 'cholesky' takes none"),
        ({"family": "fft", "out_degree": 2}, "out_degree 2: family 'fft' takes none"),
        ({"family": "in-tree", "out_degree": 0.5}, "out_degree 0.5 must be between 1 and"),
        ({"family": "series-parallel", "out_degree": 3}, "out_degree 3 must be between 1 and 2"),
        ({"out_degree": float("inf")}, "out_degree inf must be between 0 and"),
        ({"ccr": -0.1}, "ccr -0.1 must be between 0 and"),
        ({"ccr": float("nan")}, "ccr nan must be between"),
        ({"ccr": "1"}, "ccr '1' is not a number"),
        ({"heterogeneity": 0.5}, "heterogeneity 0.5 must be between 1 and"),
        ({"noise": 11}, "noise 11 must be between 0 and 10"),
        ({"arrival_spread": -1}, "arrival_spread -1 must be between"),
        ({"memory": 1.5}, "memory 1.5 must be between 0 and 1"),
        ({"link_spread": 0}, "link_spread 0 must be between 1 and"),
        ({"latency": 2}, "latency 2 must be between 0 and 1"),
    ],
)
def test_an_illegal_value_is_named(fields: dict[str, object], message: str) -> None:
    legal = {"family": "layered", "tasks": 60, "machines": 4}
    with pytest.raises(InvalidProblem, match=re.escape(message)):
        GeneratorSpec(**{**legal, **fields})


def test_an_unknown_family_is_answered_with_the_known_ones() -> None:
    with pytest.raises(
        UnknownName,
        match=r"unknown family 'tree' .'in-tree' is meant..; one of: cholesky, .*out-tree",
    ):
        problem_of("tree")


@pytest.mark.parametrize("seed", [-1, 1.0, None])
def test_an_illegal_seed_is_named(seed: object) -> None:
    with pytest.raises(InvalidProblem, match=f"seed {seed}"):
        problem_of("layered", seed=seed)


# Whatever is asked for


@st.composite
def specs(draw: st.DrawFn) -> GeneratorSpec:
    name = draw(st.sampled_from(sorted(FAMILIES)))
    family = FAMILIES[name]
    tasks = draw(st.integers(family.fewest, 90))
    shape: dict[str, float] = {}
    if family.shaped and draw(st.booleans()):
        shape[draw(st.sampled_from(["width", "depth"]))] = draw(st.integers(1, tasks))
    if family.out_degree is not None and draw(st.booleans()):
        least, _, greatest = family.out_degree
        shape["out_degree"] = draw(st.floats(least, min(greatest, 50)))
    return GeneratorSpec(
        family=name,
        tasks=tasks,
        machines=draw(st.integers(1, 6)),
        ccr=draw(st.sampled_from([0, 0.1, 10]) | st.floats(0, 100)),
        heterogeneity=draw(st.floats(1, 1000)),
        noise=draw(st.just(0) | st.floats(0, 10)),
        arrival_spread=draw(st.just(0) | st.floats(0, 3)),
        memory=draw(st.just(0) | st.floats(0, 1)),
        link_spread=draw(st.just(1) | st.floats(1, 100)),
        latency=draw(st.just(0) | st.floats(0, 1)),
        **shape,
    )


@settings(max_examples=100)
@given(spec=specs(), seed=st.integers(0, 2**40))
def test_every_legal_specification_gives_a_problem_that_can_be_scheduled(
    spec: GeneratorSpec, seed: int
) -> None:
    problem = generate(spec, seed)
    assert problem.n_machines == spec.machines
    assert problem.n_tasks <= spec.tasks
    assert problem.n_tasks == spec.tasks or not FAMILIES[spec.family].exact
    assert (problem.topo == np.arange(problem.n_tasks)).all()
    assert (problem.work > 0).all()
    if spec.family == "layered" and spec.depth is not None:
        assert len(level_sizes(problem)) == spec.depth
    if spec.family == "layered" and spec.width is not None:
        assert max(level_sizes(problem)) == spec.width
    if spec.family == "fork-join" and spec.width is not None:
        assert max(level_sizes(problem)) <= spec.width
    if spec.family == "fork-join" and spec.depth is not None:
        assert len(level_sizes(problem)) <= max(3, spec.depth)
    if problem.n_edges and spec.machines > 1:
        assert realised_ccr(problem) == pytest.approx(spec.ccr, rel=1e-6)
    assert violations(problem, heft(problem)) == []


def test_the_largest_problem_of_the_paper_is_generated() -> None:
    problem = generate(GeneratorSpec(family="layered", tasks=84_654, machines=20, width=2000), 1)
    assert problem.etc.shape == (84_654, 20)
    assert problem.n_edges == 3 * (84_654 - 84_654 % 2000)
    assert realised_ccr(problem) == pytest.approx(1.0, rel=1e-6)
