"""A problem is checked once, when it is made, and every refusal names its place."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepsched.baselines.errors import InvalidProblem
from deepsched.baselines.kernels import costs
from deepsched.baselines.kernels.edges import in_order
from deepsched.baselines.machines import draw_machines, make_machines, times_and_range
from deepsched.baselines.problem import Problem, make_problem
from tests import strategies

TWO = make_machines(2, ids=["fast", "slow"])


def small(**changes: object) -> Problem:
    parts: dict[str, object] = {
        "machines": TWO,
        "etc": [[1, 2], [3, 4], [5, 6]],
        "edges": ([0, 1], [1, 2], [10, 20]),
        "task_ids": ["a", "b", "c"],
    }
    return make_problem(**(parts | changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"etc": np.empty((0, 2)), "task_ids": [], "edges": ([], [], [])}, "there is no task"),
        ({"etc": [[1, 2], [3, -4], [5, 6]]}, "task 'b': etc on machine 'slow' is -4"),
        ({"etc": [[1, 2], [3, 4], [np.nan, 6]]}, "task 'c': etc on machine 'fast' is nan"),
        ({"etc": [[1, 2], [3, 4], [np.inf, np.inf]]}, "no machine can run task 'c'"),
        ({"etc": [[1], [2], [3]]}, "etc has shape (3, 1); 3 tasks x 2 machines expected"),
        ({"etc": [[1, 2], [3], [5, 6]]}, "not numeric or not rectangular"),
        ({"etc": [["x", 2], [3, 4], [5, 6]]}, "not numeric"),
        ({"work": [1, 2, 3]}, "either as etc or as work"),
        ({"etc": None, "work": [1, np.inf, 3]}, "task 'b': work is inf"),
        ({"task_ids": ["a", "b", "a"]}, "task id 'a' is given twice"),
        ({"task_ids": ["a", "b"]}, "2 task ids for 3 tasks"),
        ({"arrival": [0, -1, 0]}, "task 'b': arrival is -1"),
        ({"arrival": [0, 1]}, "arrival has shape (2,) for 3 tasks"),
        ({"priority": [0, np.nan, 0]}, "task 'b': priority is nan"),
        ({"memory": [0, 0, np.inf]}, "task 'c': memory is inf"),
        ({"edges": ([0, 0], [1, 1], [1, 2])}, "edge 'a' -> 'b' is given twice"),
        ({"edges": ([0], [0], [1])}, "edge 'a' -> 'a' is a self-loop"),
        ({"edges": ([0], [3], [1])}, "edge 'a' -> '#3' names a task that does not exist"),
        ({"edges": ([0], [1], [-1])}, "edge 'a' -> 'b': bytes is -1"),
        ({"edges": ([0], [1], [np.inf])}, "edge 'a' -> 'b': bytes is inf"),
        ({"edges": ([0, 1], [1], [1])}, "2 parents, 1 children and 1 byte counts"),
        ({"edges": ([0, 1, 2], [1, 2, 0], [1, 1, 1])}, "close a cycle: 'a' -> 'b' -> 'c' -> 'a'"),
    ],
)
def test_what_is_wrong_is_named(changes: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidProblem, match=re.escape(message)):
        small(**changes)


def test_problems_and_machines_are_shown_in_a_line() -> None:
    assert repr(small(name="tiny")) == "Problem('tiny', 3 tasks, 2 edges, 2 machines)"
    alone = make_problem(machines=make_machines(1), work=[1.0], name="a'b")
    assert repr(alone) == 'Problem("a\'b", 1 task, 0 edges, 1 machine)'
    assert repr(TWO) == "Machines(2)"


def test_a_cycle_is_found_behind_tasks_that_merely_follow_it() -> None:
    with pytest.raises(InvalidProblem, match=r"cycle: '(b' -> 'c' -> 'b|c' -> 'b' -> 'c)'"):
        make_problem(
            machines=TWO,
            etc=np.ones((4, 2)),
            edges=([1, 2, 2, 0], [2, 1, 3, 1], [0, 0, 0, 0]),
            task_ids=["a", "b", "c", "d"],
        )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n": 0}, "there is no machine"),
        ({"n": 2, "ids": ["x", "x"]}, "machine id 'x' is given twice"),
        ({"n": 2, "cores": [1, 0]}, "machine 'm1': cores 0 must be positive"),
        ({"n": 2, "frequency": [np.nan, 1]}, "machine 'm0': frequency is nan"),
        ({"n": 2, "bandwidth": 0}, "bandwidth from 'm0' to 'm1' is 0; it must be positive"),
        ({"n": 2, "bandwidth": [1, 2]}, "bandwidth has shape (2,); give one number or 2 x 2"),
        ({"n": 2, "latency": [[0, -1], [0, 0]]}, "latency from 'm0' to 'm1' is -1"),
        ({"n": 2, "latency": "soon"}, "latency is not numeric"),
    ],
)
def test_illegal_machines_are_named(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidProblem, match=re.escape(message)):
        make_machines(**arguments)  # type: ignore[arg-type]


def test_the_diagonal_of_the_links_is_ignored() -> None:
    machines = make_machines(2, bandwidth=[[0, 5], [5, np.nan]], latency=[[9, 1], [1, -3]])
    assert np.diag(machines.bandwidth).tolist() == [np.inf, np.inf]
    assert np.diag(machines.latency).tolist() == [0, 0]
    assert machines.uniform


def test_memory_decides_where_a_task_may_run() -> None:
    machines = make_machines(2, memory=[100, 200])
    problem = make_problem(machines=machines, etc=[[1, 1], [1, 1]], memory=[100, 101])
    assert np.isinf(problem.etc).tolist() == [[False, False], [True, False]]
    with pytest.raises(InvalidProblem, match="it needs 201 MB, the largest machine has 200 MB"):
        make_problem(machines=machines, etc=[[1, 1]], memory=[201])


def test_etc_is_work_over_speed_times_noise() -> None:
    machines = make_machines(2, cores=[1, 4], frequency=[2000, 1000])
    noise = [[1.0, 2.0]]
    sequential = make_problem(machines=machines, work=[10], alpha=0, noise=noise)
    assert sequential.etc.tolist() == [[10, 40]]
    parallel = make_problem(machines=machines, work=[10], alpha=1, noise=noise)
    assert parallel.etc.tolist() == [[10, 10]]


def test_drawn_machines_have_speeds_between_a_half_and_two() -> None:
    speed = draw_machines(2000, seed=3).speed(0.0)
    assert 0.5 <= speed.min() < 0.51
    assert 1.96 < speed.max() <= 2.0
    assert abs(np.log(speed).mean()) < 0.03  # log-uniform is symmetric around 1
    assert draw_machines(5, seed=3).speed(0.0).tolist() == speed[:5].tolist()


def test_arrays_cannot_be_changed_and_the_callers_stay_writable() -> None:
    etc = np.ones((2, 2))
    problem = make_problem(machines=TWO, etc=etc)
    etc[0, 0] = 7.0
    assert problem.etc[0, 0] == 1.0
    for array in (problem.etc, problem.succ, problem.topo, problem.machines.bandwidth):
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 0


@settings(max_examples=200)
@given(problem=strategies.problems())
def test_topo_is_the_lexicographically_smallest_order(problem: Problem) -> None:
    parents: list[set[int]] = [set() for _ in range(problem.n_tasks)]
    for u, v, _ in zip(*problem.edge_list(), strict=True):
        parents[v].add(int(u))
    done: list[int] = []
    while len(done) < problem.n_tasks:
        done.append(
            min(i for i in set(range(problem.n_tasks)) - set(done) if parents[i] <= set(done))
        )
    assert problem.topo.tolist() == done
    assert problem.topo_index[problem.topo].tolist() == list(range(problem.n_tasks))


@pytest.mark.parametrize("p", [1, 3, 16, 40])
def test_the_range_of_the_times_is_found_as_by_its_definition(p: int) -> None:
    rng = np.random.default_rng(p)
    work, speed, noise = rng.random(50), 0.5 + rng.random(p), 0.5 + rng.random((50, p))
    work[:5] = 0
    need, limit = rng.choice([0.0, 1.0, 2.0, 3.0], 50), rng.choice([1.0, 2.0, np.inf], p)
    limit[0] = 2.0
    etc = np.where(need[:, None] <= limit, work[:, None] / speed * noise, np.inf)
    times, stuck, longest = times_and_range(work, speed, noise, need, limit)
    assert times.tobytes() == etc.tobytes()
    nowhere = np.flatnonzero(~np.isfinite(etc).any(axis=1))
    assert stuck == (nowhere[0] if nowhere.size else -1)
    assert longest == etc[np.isfinite(etc)].max()
    assert costs.cost_range(etc) == (stuck, longest)
    assert costs.cost_range(np.full((2, p), np.inf)) == (0, 0.0)
    assert costs.cost_range(np.zeros((2, p))) == (-1, 0.0)


@given(ends=st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), max_size=30))
def test_edges_are_put_in_order_as_by_sorting_them(ends: list[tuple[int, int]]) -> None:
    src, dst = np.array(ends, dtype=np.int64).reshape(-1, 2).T.copy()
    _, by_child = in_order(dst, 7, np.arange(src.size))
    begins, by_parent = in_order(src, 7, by_child)
    assert by_parent.tolist() == np.lexsort((dst, src)).tolist()
    assert np.diff(begins).tolist() == np.bincount(src, minlength=7).tolist()


@settings(max_examples=200)
@given(problem=strategies.problems(), data=st.data())
def test_the_order_of_the_edges_does_not_matter(problem: Problem, data: st.DataObject) -> None:
    edges = problem.edge_list()
    shuffle = np.array(data.draw(st.permutations(range(problem.n_edges))), dtype=np.int64)
    again = make_problem(
        machines=problem.machines,
        etc=problem.etc,
        edges=tuple(side[shuffle] for side in edges),  # type: ignore[arg-type]
    )
    for name in ("succ_ptr", "succ", "succ_bytes", "pred_ptr", "pred", "pred_bytes"):
        assert getattr(again, name).tolist() == getattr(problem, name).tolist()
