"""The validator catches each kind of violation, and simulation refuses illegal orders."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from deepsched.baselines.bounds import lower_bound
from deepsched.baselines.errors import InvalidInput
from deepsched.baselines.heft import heft
from deepsched.baselines.list_schedule import simulate
from deepsched.baselines.machines import make_machines
from deepsched.baselines.problem import Problem, make_problem
from deepsched.baselines.schedule import make_schedule, violations
from tests import strategies


@pytest.fixture
def chain() -> Problem:
    # a (2 s) -> b (3 s), 8 bytes at 2 bytes/s with 1 s latency: 5 s between machines.
    return make_problem(
        machines=make_machines(2, memory=[10, 5], bandwidth=2.0, latency=1.0),
        etc=[[2, 2], [3, 3]],
        edges=([0], [1], [8]),
        task_ids=["a", "b"],
        memory=[0, 6],
        arrival=[1, 0],
    )


def test_a_valid_schedule_has_no_violation(chain: Problem) -> None:
    assert violations(chain, make_schedule("hand", [1, 0], [1, 8], [3, 11])) == []
    assert violations(chain, make_schedule("hand", [0, 0], [1, 3], [3, 6])) == []


@pytest.mark.parametrize(
    ("proc", "ast", "aft", "message"),
    [
        ([0], [1], [3], "the schedule has 1 tasks, the problem 2"),
        ([0, 2], [1, 9], [3, 12], "task 'b': machine index 2 does not exist"),
        ([0, 0], [1, np.nan], [3, 12], "task 'b': times nan, 12.0"),
        ([0, 1], [1, 9], [3, 12], "task 'b' does not fit on machine 'm1'"),
        ([0, 0], [1, 3], [3, 7], "task 'b': finish 7.0 is not start 3.0 + duration 3.0"),
        ([0, 0], [0, 3], [2, 6], "task 'a' starts at 0.0 before it arrives at 1.0"),
        ([1, 0], [1, 7.9], [3, 10.9], "task 'b' starts at 7.9 before its input from 'a'"),
        ([0, 0], [1, 2.5], [3, 5.5], "tasks 'a' and 'b' overlap on machine 'm0'"),
    ],
)
def test_each_rule_is_checked(
    chain: Problem, proc: list[int], ast: list[float], aft: list[float], message: str
) -> None:
    found = violations(chain, make_schedule("hand", proc, ast, aft))
    assert any(line.startswith(message) for line in found), found


def test_a_zero_length_task_inside_another_is_an_overlap() -> None:
    problem = make_problem(machines=make_machines(1), etc=[[4], [0]])
    inside = make_schedule("hand", [0, 0], [0, 2], [4, 2])
    assert violations(problem, inside) == ["tasks 't0' and 't1' overlap on machine 'm0'"]
    for edge in (0, 4):
        assert violations(problem, make_schedule("hand", [0, 0], [0, edge], [4, edge])) == []


def test_an_error_below_the_tolerance_is_forgiven_and_one_above_is_not(chain: Problem) -> None:
    for error, count in ((1e-10, 0), (1e-7, 1)):
        schedule = make_schedule("hand", [1, 0], [1, 8 - error], [3, 11 - error])
        assert len(violations(chain, schedule)) == count


def test_arrays_of_different_length_are_refused() -> None:
    with pytest.raises(InvalidInput, match="vectors of one length"):
        make_schedule("hand", [0, 1], [0.0], [1.0])


def test_a_schedule_is_shown_in_a_line() -> None:
    assert repr(make_schedule("heft", [0, 1], [0, 1], [1, 80])) == (
        "Schedule('heft', 2 tasks, makespan 80 s)"
    )
    assert repr(make_schedule("a'b", [0], [0], [1234.5678])) == (
        'Schedule("a\'b", 1 task, makespan 1234.57 s)'
    )
    assert repr(make_schedule("none", [], [], [])) == "Schedule('none', no task)"


def test_rows_hold_numbers_or_with_the_problem_names(chain: Problem) -> None:
    schedule = make_schedule("hand", [1, 0], [1, 8], [3, 11])
    first, second = schedule.rows()
    assert first == {"task": 0, "machine": 1, "start": 1.0, "finish": 3.0, "duration": 2.0}
    assert list(second.items()) == [
        ("task", 1),
        ("machine", 0),
        ("start", 8.0),
        ("finish", 11.0),
        ("duration", 3.0),
    ]
    named = schedule.rows(chain)
    assert [(row["task"], row["machine"]) for row in named] == [("a", "m1"), ("b", "m0")]
    assert [row["start"] for row in named] == [1.0, 8.0]
    assert json.loads(json.dumps([*schedule.rows(), *named])) == [*schedule.rows(), *named]


def test_a_schedule_becomes_its_json_document(chain: Problem) -> None:
    schedule = make_schedule("hand", [1, 0], [1, 8], [3, 11])
    document = schedule.to_json(chain)
    assert document == {
        "scheduler": "hand",
        "winner": "hand",
        "makespan": 11.0,
        "mean_turnaround": ((3 - 1) + 11) / 2,
        "mean_waiting": (0 + 8) / 2,
        "lower_bound": lower_bound(chain, "strong"),
        "tasks": [
            {"id": "a", "machine": "m1", "start": 1.0, "finish": 3.0},
            {"id": "b", "machine": "m0", "start": 8.0, "finish": 11.0},
        ],
    }
    assert schedule.to_json(chain, 2) == document | {"seconds": 2.0}
    cheap = schedule.to_json(chain, bound="cheap")
    assert cheap == document | {"lower_bound": lower_bound(chain)}


@pytest.mark.parametrize(
    ("proc", "aft", "words"),
    [
        ([0], [1], "it has 1 tasks, the problem 2"),
        ([0, 2], [1, 2], "machine index 2, the problem has 2 machines"),
        ([-1, 0], [1, 2], "machine index -1, the problem has 2 machines"),
        ([0, 0], [1, np.inf], "its times are not all finite"),
    ],
)
def test_a_schedule_of_another_problem_is_refused(
    chain: Problem, proc: list[int], aft: list[float], words: str
) -> None:
    schedule = make_schedule("hand", proc, [0] * len(proc), aft)
    for use in (schedule.rows, schedule.to_json):
        with pytest.raises(InvalidInput, match="schedule 'hand' is not one of the problem") as got:
            use(chain)
        assert str(got.value).endswith(words)


@settings(max_examples=200)
@given(problem=strategies.problems(), data=st.data())
def test_no_task_of_a_heft_schedule_can_start_earlier(
    problem: Problem, data: st.DataObject
) -> None:
    # HEFT starts every task as early as its machine allows, so any earlier start breaks a rule.
    schedule = heft(problem)
    i = data.draw(st.integers(0, problem.n_tasks - 1))
    # A task without length may also stand between two others that touch, where HEFT sees no gap.
    assume(schedule.aft[i] > schedule.ast[i])
    shift = 0.25 * schedule.makespan
    ast, aft = schedule.ast.copy(), schedule.aft.copy()
    ast[i] -= shift
    aft[i] -= shift
    assert violations(problem, make_schedule("moved", schedule.proc, ast, aft))


@pytest.mark.parametrize(
    ("proc", "order", "message"),
    [
        ([0, 0], [1, 0], "order puts 'b' before its parent 'a'"),
        ([0, 0], [0, 0], "order misses task 'b'"),
        ([0, 0], [0, 5], "order names a task that does not exist"),
        ([0, 0], [0], "must have 2 entries"),
        ([0, 7], [0, 1], "proc names a machine that does not exist"),
        ([0, 1], [0, 1], "task 'b' does not fit on 'm1'"),
    ],
)
def test_simulation_refuses_what_cannot_run(
    chain: Problem, proc: list[int], order: list[int], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        simulate(chain, proc, order)


def test_simulation_appends_with_transfers_and_arrivals(chain: Problem) -> None:
    schedule = simulate(chain, [1, 0], [0, 1])
    assert (schedule.ast.tolist(), schedule.aft.tolist()) == ([1, 8], [3, 11])
