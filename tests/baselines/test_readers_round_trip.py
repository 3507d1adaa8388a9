"""What is written or turned into a graph comes back the same, bit for bit."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Any

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepsched.baselines.errors import InvalidInput, UnwritableOutput
from deepsched.baselines.machines import make_machines
from deepsched.baselines.problem import Problem, make_problem
from deepsched.baselines.readers import (
    ReadOptions,
    from_networkx,
    problem_document,
    problem_from_bytes,
    problem_from_json,
    read_problem,
    to_networkx,
    write_problem,
)

if TYPE_CHECKING:
    from pathlib import Path

# Not only round values: denormals, the largest floats and integers beyond 2**53 too.
COSTS = st.floats(min_value=0.0, max_value=1e200) | st.integers(0, 2**60).map(float)
SPEEDS = st.floats(min_value=1e-3, max_value=1e6)
NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=5)


@st.composite
def problems(draw: st.DrawFn) -> Problem:
    n, p = draw(st.integers(1, 6)), draw(st.integers(1, 4))

    def vector(values: st.SearchStrategy[float], size: int) -> list[float]:
        return draw(st.lists(values, min_size=size, max_size=size))

    def matrix(values: st.SearchStrategy[float], rows: int) -> np.ndarray:
        return np.array([vector(values, p) for _ in range(rows)])

    def links(values: st.SearchStrategy[float]) -> Any:
        return draw(values) if draw(st.booleans()) else matrix(values, p)

    memory = vector(st.just(np.inf) | COSTS, p)
    machines = make_machines(
        p,
        ids=draw(st.lists(NAMES, min_size=p, max_size=p, unique=True)),
        cores=vector(SPEEDS, p),
        frequency=vector(SPEEDS, p),
        memory=memory,
        bandwidth=links(st.just(np.inf) | SPEEDS),
        latency=links(COSTS),
        nodes=draw(st.lists(NAMES, min_size=p, max_size=p)) if draw(st.booleans()) else None,
    )
    pairs = [(u, v) for u in range(n) for v in range(n) if u < v]
    edges = draw(st.lists(st.sampled_from(pairs), unique=True)) if pairs else []
    place = draw(st.permutations(range(n)))  # not listed topologically
    costs: dict[str, Any] = {}
    kind = draw(st.sampled_from(["etc", "work", "work of sequential tasks", "noise"]))
    if kind == "etc":
        etc = matrix(st.just(np.inf) | COSTS, n)
        etc[:, int(np.argmax(memory))] = vector(COSTS, n)
        costs["etc"] = etc
    else:
        costs["work"] = vector(st.floats(0, 1e200), n)
        costs["alpha"] = 0.0 if kind == "work of sequential tasks" else 1.0
        if kind == "noise":
            costs["noise"] = matrix(st.floats(1e-3, 1e3), n)
    return make_problem(
        machines=machines,
        edges=(
            [place[u] for u, _ in edges],
            [place[v] for _, v in edges],
            vector(COSTS, len(edges)),
        ),
        task_ids=draw(st.lists(NAMES, min_size=n, max_size=n, unique=True)),
        arrival=vector(COSTS, n),
        priority=vector(st.floats(-1e300, 1e300), n),
        memory=[draw(st.floats(0, max(memory), allow_infinity=False)) for _ in range(n)],
        name="drawn",
        **costs,
    )


def differences(one: Any, other: Any, leave_out: tuple[str, ...] = ()) -> list[str]:
    """Names of the fields that differ in any bit, those of the machines included."""
    found = []
    for field in dataclasses.fields(one):
        a, b = getattr(one, field.name), getattr(other, field.name)
        if field.name in (*leave_out, "origin") or not field.init:  # whence; what follows
            continue
        if dataclasses.is_dataclass(a):
            found += differences(a, b)
        elif isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
            # Zeros of both signs are the same number of seconds.
            if a.dtype != b.dtype or (a + 0.0).tobytes() != (b + 0.0).tobytes():
                found.append(field.name)
        elif a is not b and a != b:
            found.append(field.name)
    return found


FACTORS = ("work", "noise", "alpha", "name", "format")


@given(problem=problems())
@settings(max_examples=60)
def test_the_explicit_format_keeps_every_bit_and_networkx_the_factors_too(problem: Problem) -> None:
    document = problem_document(problem)
    text = json.dumps(document, allow_nan=False)
    back = problem_from_bytes(text.encode(), "drawn.json")
    assert differences(problem, back, leave_out=FACTORS) == []
    if "work" in document["tasks"][0]:
        assert problem.work is not None
        assert back.work is not None
        assert np.array_equal(problem.work, back.work)
        assert back.noise is problem.noise is None
    assert problem_document(back) == document
    # Drawing a problem is the slow part, so both ways there and back are taken with each.
    assert differences(problem, from_networkx(to_networkx(problem))) == []


@given(problem=problems())
@settings(max_examples=25)
def test_the_file_holds_the_document(problem: Problem, tmp_path_factory: Any) -> None:
    path = tmp_path_factory.mktemp("written") / "p.json"
    write_problem(path, problem)
    assert json.loads(path.read_bytes()) == problem_document(problem)
    assert [file.name for file in path.parent.iterdir()] == ["p.json"]


def test_what_is_the_same_on_every_link_is_written_once() -> None:
    machines = make_machines(2, bandwidth=5.0, latency=[[0, 1], [2, 0]])
    document = problem_document(make_problem(machines=machines, etc=[[1, np.inf]]))
    assert document == {
        "format": "deepsched-problem/1",
        "tasks": [{"id": "t0", "etc": [1.0, None]}],
        "machines": [
            {"id": "m0", "cores": 1.0, "frequency": 2000.0},
            {"id": "m1", "cores": 1.0, "frequency": 2000.0},
        ],
        "edges": [],
        "bandwidth": 5.0,
        "latency": [[0.0, 1.0], [2.0, 0.0]],
    }


def test_a_work_figure_is_written_where_the_format_means_the_same_by_it() -> None:
    def first_task(**changes: Any) -> dict[str, Any]:
        problem = make_problem(machines=make_machines(1, cores=2), work=[4], **changes)
        return problem_document(problem)["tasks"][0]

    assert first_task(alpha=1.0) == {"id": "t0", "work": 4.0}
    assert first_task(alpha=0.0) == {"id": "t0", "etc": [4.0]}
    assert first_task(alpha=1.0, noise=[[1.5]]) == {"id": "t0", "etc": [3.0]}


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    problem = make_problem(machines=make_machines(1), etc=[[1]])
    folder = tmp_path / "folder"
    folder.mkdir()
    for target in (folder, tmp_path / "nowhere" / "p.json"):
        with pytest.raises(UnwritableOutput, match=target.name):
            write_problem(target, problem)
    assert [path.name for path in tmp_path.rglob("*")] == ["folder"]


def test_a_plain_graph_needs_only_costs() -> None:
    graph = nx.DiGraph()
    graph.add_node(1, etc=np.array([1.0, np.inf]), memory=np.float32(3))
    graph.add_node(("b", 2), etc=(np.int64(3), 4))
    graph.add_edge(1, ("b", 2))
    problem = from_networkx(graph)
    assert problem.task_ids == ("1", "('b', 2)")
    assert problem.etc.tolist() == [[1, np.inf], [3, 4]]
    assert problem.succ_bytes.tolist() == [0]
    assert problem.memory.tolist() == [3, 0]


def test_a_graph_of_work_runs_on_the_machines_of_the_options() -> None:
    graph = nx.DiGraph(alpha=0.0, name="g")
    graph.add_node("a", work=6)
    machines = make_machines(2, cores=8, frequency=[2000, 4000])
    problem = from_networkx(graph, ReadOptions(machines=machines))
    assert problem.etc.tolist() == [[6, 3]]
    assert problem.name == "g"


def test_a_graph_may_list_its_machines_as_the_explicit_format_does() -> None:
    graph = nx.DiGraph(machines=[{"id": "x", "cores": 1, "frequency": 1000}], bandwidth=5)
    graph.add_node("a", work=6)
    assert from_networkx(graph).etc.tolist() == [[12]]


def node(**attributes: Any) -> nx.DiGraph:
    graph = nx.DiGraph()
    graph.add_node("a", **attributes)
    return graph


def joined(graph: nx.DiGraph, **attributes: Any) -> nx.DiGraph:
    graph.add_edge("a", "b", **attributes)
    graph.nodes["b"]["etc"] = [1]
    return graph


@pytest.mark.parametrize(
    ("graph", "reason"),
    [
        (nx.Graph(), "networkx.DiGraph is needed, not Graph"),
        (nx.MultiDiGraph(), "networkx.DiGraph is needed, not MultiDiGraph"),
        (nx.DiGraph(), "no task"),
        (node(), r"node 'a' has neither etc nor work"),
        (node(etc=[]), "no machine"),
        (node(etc=[1, "2"]), r"node 'a'\.etc\[1\] is '2'"),
        (node(etc=np.array([1, np.nan])), r"node 'a'\.etc\[1\] is nan"),
        (node(etc=5), r"node 'a'\.etc is 5; it must be a list"),
        (node(work=1, noise=[0.0] * 16), r"node 'a'\.noise\[0\] is 0\.0"),
        (node(work=1, noise=[1.0]), r"node 'a'\.noise has 1 entries for 16 machines"),
        (node(etc=[1], noise=[1.0]), "noise goes with work"),
        (joined(node(etc=[1]), bytes=-1), r"edge 'a' -> 'b': bytes is -1"),
        (joined(node(etc=[1, 2])), r"node 'b'\.etc has 1 entries for 2 machines"),
        (nx.DiGraph([("a", "b"), ("b", "a")]), "node 'a' has neither"),
    ],
)
def test_bad_graphs(graph: Any, reason: str) -> None:
    with pytest.raises(ValueError, match=rf"^(graph: |a ).*{reason}"):
        from_networkx(graph)


def test_two_nodes_of_one_name() -> None:
    graph = nx.DiGraph()
    graph.add_nodes_from([1, "1"], work=1)
    with pytest.raises(InvalidInput, match="'1' is given twice"):
        from_networkx(graph)


def test_json_without_a_file_reads_the_same(tmp_path: Path) -> None:
    problem = make_problem(machines=make_machines(2), etc=[[1, 2]])
    write_problem(tmp_path / "p.json", problem)
    direct = problem_from_json(problem_document(problem), "p")
    assert differences(direct, read_problem(tmp_path / "p.json")) == []
