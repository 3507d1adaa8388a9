"""Nodes of several slots: reading and writing them, and what they change in the rules."""

from __future__ import annotations

import dataclasses
import json
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings

from deepsched.baselines.errors import InputWarning, InvalidInput, InvalidProblem
from deepsched.baselines.heft import heft
from deepsched.baselines.machines import draw_machines, make_machines
from deepsched.baselines.problem import Problem, make_problem
from deepsched.baselines.ranks import optimistic_cost, upward_rank
from deepsched.baselines.readers import (
    from_networkx,
    problem_document,
    problem_from_json,
    read_machines,
    read_problem,
    to_networkx,
)
from deepsched.baselines.readers.choice import read_options
from deepsched.baselines.registry import SCHEDULERS, get_scheduler
from deepsched.baselines.schedule import violations
from deepsched.baselines.writers import write_wfformat
from tests.strategies import problems

if TYPE_CHECKING:
    from collections.abc import Callable

DATA = Path(__file__).parents[1] / "data"
RECORD = DATA / "record.json"
TRACE = read_options("trace")


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def record(change: Callable[[dict[str, Any]], object] = lambda _: None) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(RECORD.read_text())
    change(document["workflow"]["execution"])
    return document


# What nodes are.


def test_slots_of_a_node_send_for_nothing_whatever_the_links_say() -> None:
    machines = make_machines(3, nodes=["a", "b", "a"], bandwidth=np.full((3, 3), 5.0), latency=2.0)
    assert machines.bandwidth.tolist() == [[np.inf, 5, np.inf], [5, np.inf, 5], [np.inf, 5, np.inf]]
    assert machines.latency.tolist() == [[0, 2, 0], [2, 0, 2], [0, 2, 0]]
    assert machines.nodes == ("a", "b", "a")
    assert machines.node.tolist() == [0, 1, 0]
    assert (machines.n_nodes, machines.uniform) == (2, True)


def test_a_machine_is_a_node_of_its_own_where_nobody_says_otherwise() -> None:
    machines = make_machines(3)
    assert machines.nodes == machines.ids
    assert machines.n_nodes == 3
    assert not machines.links.grouped


def test_each_machine_needs_a_node() -> None:
    with pytest.raises(InvalidProblem, match="2 nodes for 3 machines"):
        make_machines(3, nodes=["a", "b"])


def test_means_are_over_ordered_pairs_on_different_nodes() -> None:
    bandwidth = [[1, 9, 2.0], [9, 1, 4.0], [5.0, 8.0, 1]]
    latency = [[0, 7, 1.0], [7, 0, 2.0], [3.0, 4.0, 0]]
    machines = make_machines(3, nodes=["x", "x", "y"], bandwidth=bandwidth, latency=latency)
    problem = make_problem(machines=machines, etc=[[1, 1, 1]])
    assert problem.machines.mean_transfer() == pytest.approx(
        (2.5, (1 / 2 + 1 / 4 + 1 / 5 + 1 / 8) / 4)
    )


def test_with_one_node_nothing_is_ever_transferred() -> None:
    machines = make_machines(4, nodes=["x"] * 4, bandwidth=1.0, latency=9.0)
    problem = make_problem(machines=machines, etc=[[1] * 4] * 3, edges=([0, 0], [1, 2], [50, 50]))
    assert problem.machines.mean_transfer() == (0.0, 0.0)
    assert upward_rank(problem).tolist() == [2, 1, 1]
    assert optimistic_cost(problem).tolist() == [[1] * 4, [0] * 4, [0] * 4]
    for name in SCHEDULERS:
        schedule = get_scheduler(name)(problem, rng())
        assert violations(problem, schedule) == []
        if name not in {"random", "round-robin", "ga"}:
            assert schedule.makespan == 2.0, name


def test_a_node_of_slots_runs_so_many_tasks_at_once() -> None:
    machines = make_machines(3, nodes=["big", "big", "far"], bandwidth=1.0)
    problem = make_problem(
        machines=machines, etc=[[1, 1, 1]] * 3, edges=([0, 0], [1, 2], [100, 100])
    )
    assert heft(problem).makespan == 2.0
    apart = make_problem(
        machines=make_machines(3, bandwidth=1.0), etc=problem.etc, edges=problem.edge_list()
    )
    assert heft(apart).makespan == 3.0


def twin(problem: Problem, **changes: Any) -> Problem:
    """The same problem with other fields of its machines, whatever they claim."""
    return dataclasses.replace(problem, machines=dataclasses.replace(problem.machines, **changes))


@pytest.mark.parametrize("name", [name for name in SCHEDULERS if name != "cp-sat"])
@given(problem=problems(max_tasks=14))
@settings(max_examples=25)
def test_the_short_cuts_of_nodes_change_no_bit(name: str, problem: Problem) -> None:
    # Not uniform, latency to be added: the general loops, which know no node.
    general = twin(problem, uniform=False, zero_latency=False)
    one, other = (get_scheduler(name)(each, rng()) for each in (problem, general))
    assert one.proc.tolist() == other.proc.tolist()
    assert one.aft.tobytes() == other.aft.tobytes()


@pytest.mark.parametrize("name", [name for name in SCHEDULERS if name != "cp-sat"])
@given(problem=problems(max_tasks=14))
@settings(max_examples=25)
def test_nodes_of_one_slot_change_no_bit(name: str, problem: Problem) -> None:
    plain = problem.machines
    links = {"bandwidth": plain.bandwidth, "latency": plain.latency, "memory": plain.memory}
    p = len(plain)
    alone = dataclasses.replace(problem, machines=make_machines(p, **links))
    named = dataclasses.replace(
        problem, machines=make_machines(p, nodes=[f"node{k}" for k in range(p)], **links)
    )
    one, other = (get_scheduler(name)(each, rng()) for each in (alone, named))
    assert one.proc.tolist() == other.proc.tolist()
    assert one.aft.tobytes() == other.aft.tobytes()


# Machine files and documents.


def test_a_column_of_slots_makes_nodes_of_machines(tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    path.write_text(
        "machine_id,num_cores,core_freq,mem_cap,slots\nbig,4,2000,500,2\nsmall,1,1000,800,1\n"
    )
    machines = read_machines(path)
    assert machines.ids == ("big/0", "big/1", "small")
    assert machines.nodes == ("big", "big", "small")
    assert machines.cores.tolist() == [2, 2, 1]  # shared
    assert machines.memory.tolist() == [500, 500, 800]  # for one task at a time
    assert machines.origin == f"from {path}"
    assert machines.described() == f"3 slots of 2 nodes, from {path}"


def test_json_takes_slots_and_links_between_its_entries(tmp_path: Path) -> None:
    path = tmp_path / "m.json"
    entries = [
        {"id": "a", "slots": 2, "cores": 2, "frequency": 2000},
        {"id": "b", "cores": 1, "frequency": 2000},
        {"id": "c", "node": "b", "cores": 1, "frequency": 2000},
    ]
    rows = [[0, 10, 20], [30, 0, 40], [50, 60, 0]]
    path.write_text(json.dumps({"machines": entries, "bandwidth": rows, "latency": 1}))
    machines = read_machines(path)
    assert machines.ids == ("a/0", "a/1", "b", "c")
    assert machines.nodes == ("a", "a", "b", "b")
    assert machines.cores.tolist() == [1, 1, 1, 1]
    inf = np.inf
    assert machines.bandwidth.tolist() == [
        [inf, inf, 10, 20],
        [inf, inf, 10, 20],
        [30, 30, inf, inf],
        [50, 50, inf, inf],
    ]
    assert machines.latency.tolist() == [[0, 0, 1, 1], [0, 0, 1, 1], [1, 1, 0, 0], [1, 1, 0, 0]]


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({"slots": 0}, r"machines\[0\].slots is 0; it must be a whole number of at least 1"),
        ({"slots": 1.5}, r"machines\[0\].slots is 1.5; it must be a whole number"),
        ({"slots": True}, r"machines\[0\].slots is true; it must be a whole number"),
        ({"slots": float("inf")}, r"machines\[0\].slots is inf; it must be a whole number"),
        ({"slots": 2, "node": "x"}, r"machines\[0\] has both slots and node"),
        ({"node": 1.5}, r"machines\[0\].node is 1.5; it must be a string"),
        ({"slot": 2}, "unknown key 'slot'; 'slots' is meant"),
        ({"slots": 10**30}, "more than 4096 slots in all"),
    ],
)
def test_faults_of_slots_are_named(tmp_path: Path, entry: dict[str, Any], said: str) -> None:
    path = tmp_path / "m.json"
    path.write_text(json.dumps({"machines": [{"id": "a", "cores": 1, "frequency": 1} | entry]}))
    with pytest.raises(InvalidInput, match=said):
        read_machines(path)


def test_a_csv_names_the_line_of_a_wrong_number_of_slots(tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    path.write_text("machine_id,num_cores,core_freq,mem_cap,slots\na,1,1,1,2.5\n")
    with pytest.raises(InvalidInput, match=r"m.csv: line 2: slots is 2.5; it must be a whole"):
        read_machines(path)


def slotted() -> Problem:
    return read_problem(RECORD, TRACE)


def test_nodes_come_back_from_the_explicit_format_and_from_networkx() -> None:
    problem = slotted()
    for back in (
        problem_from_json(json.loads(json.dumps(problem_document(problem))), "body"),
        from_networkx(to_networkx(problem)),
        from_networkx(nx.node_link_graph(nx.node_link_data(to_networkx(problem)))),
    ):
        assert back.machines.nodes == problem.machines.nodes
        assert back.machines.bandwidth.tolist() == problem.machines.bandwidth.tolist()
        assert back.etc.tolist() == problem.etc.tolist()


# The machines of a trace.


def test_the_nodes_of_a_record_have_a_slot_for_each_core() -> None:
    machines = slotted().machines
    assert machines.ids == ("slow/0", "slow/1", "fast")
    assert machines.nodes == ("slow", "slow", "fast")
    assert machines.memory.tolist() == [8000, 8000, np.inf]
    assert machines.bandwidth[0].tolist() == [np.inf, np.inf, 125e6]
    assert machines.described() == "3 slots of 2 nodes, from the trace"


def test_a_runtime_is_one_on_the_node_where_it_was_measured() -> None:
    assert slotted().etc.tolist() == [[4, 4, 1], [8, 8, 2], [3, 3, 0.75]]


def test_links_and_noise_of_the_options_hold_between_the_nodes_of_a_trace() -> None:
    options = read_options("trace", bandwidth=5.0, latency=2.0, noise=0.3, noise_seed=1)
    problem = read_problem(RECORD, options)
    assert problem.machines.latency[0].tolist() == [0, 0, 2]
    assert problem.machines.bandwidth[0].tolist() == [np.inf, np.inf, 5]
    # Slots of one node are alike.
    factors = np.random.default_rng(1).lognormal(0, 0.3, (3, 2))[:, [0, 0, 1]]
    assert problem.etc == pytest.approx(slotted().etc * factors)


@pytest.mark.parametrize(
    ("change", "etc"),
    [
        # No speeds: as long everywhere. One: what was measured or would run elsewhere is unknown.
        (lambda run: [m["cpu"].pop("speedInMHz") for m in run["machines"]], [[4] * 3, [2] * 3]),
        (lambda run: run["machines"][1]["cpu"].pop("speedInMHz"), [[4, 4, 4], [2, 2, 2]]),
        (lambda run: run["machines"][1]["cpu"].update(speedInMHz=None), [[4, 4, 4], [2, 2, 2]]),
        (lambda run: run["tasks"][0].pop("machines"), [[4, 4, 4], [8, 8, 2]]),
        (lambda run: run["tasks"][0].update(machines=[]), [[4, 4, 4], [8, 8, 2]]),
    ],
)
def test_an_unknown_speed_leaves_the_runtime_as_it_was(
    change: Callable[[dict[str, Any]], object], etc: list[list[float]]
) -> None:
    problem = problem_from_json(record(change), "body", TRACE)
    assert problem.etc[:2].tolist() == etc


def test_noise_acts_on_a_trace_with_unknown_speeds_too() -> None:
    document = record(lambda run: run["machines"][1]["cpu"].pop("speedInMHz"))
    noisy = problem_from_json(document, "body", read_options("trace", noise=0.5, noise_seed=2))
    plain = problem_from_json(document, "body", TRACE)
    factors = np.random.default_rng(2).lognormal(0, 0.5, (3, 2))[:, [0, 0, 1]]
    assert noisy.etc == pytest.approx(plain.etc * factors)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            lambda run: run["tasks"][1].update(machines=["gone"]),
            "1 of 3 tasks ran on nodes that the record does not have ('gone' for one)",
        ),
        (
            lambda run: run["machines"][1].pop("cpu"),
            "no number of cores for 1 of 2 nodes ('fast' for one): each of them is taken as one",
        ),
        (
            lambda run: run["tasks"][1].update(coreCount=4),
            "1 of 3 tasks had several cores, up to 4",
        ),
    ],
)
def test_what_a_record_leaves_open_is_warned_of(
    change: Callable[[dict[str, Any]], object], said: str
) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        problem_from_json(record(change), "body", TRACE)
    assert [w.category for w in caught] == [InputWarning]
    assert said in str(caught[0].message)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda run: run.pop("machines"), "workflow.execution.machines is missing or empty"),
        (lambda run: run.update(machines=[]), "workflow.execution.machines is missing or empty"),
        (lambda run: run.update(machines=5), "workflow.execution.machines is 5"),
        (lambda run: run["machines"][0].pop("nodeName"), "machines[0].nodeName is missing"),
        (lambda run: run["machines"][1].update(nodeName="slow"), "'slow' is given twice"),
        (lambda run: run["machines"][0].update(cpu=3), "machines[0].cpu is 3"),
        (
            lambda run: run["machines"][0]["cpu"].update(coreCount=0.5),
            "machines[0].cpu.coreCount is 0.5; it must be a whole number of at least 1",
        ),
        (
            lambda run: run["machines"][0]["cpu"].update(speedInMHz=0),
            "machines[0].cpu.speedInMHz is 0.0; it must be a finite number above 0",
        ),
        (
            lambda run: run["machines"][0].update(memoryInBytes="8 GB"),
            "machines[0].memoryInBytes is '8 GB'",
        ),
        (lambda run: run["tasks"][2].update(machines=[7]), "tasks[2].machines is a list of 1"),
        (lambda run: run["tasks"][2].update(machines="slow"), "tasks[2].machines is 'slow'"),
    ],
)
def test_faults_of_a_record_are_one_line_that_names_the_place(
    change: Callable[[dict[str, Any]], object], said: str
) -> None:
    document = record(change)
    with pytest.raises(InvalidInput) as error:
        problem_from_json(document, "body", TRACE)
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_a_trace_that_was_never_run_has_no_machines() -> None:
    document = record()
    del document["workflow"]["execution"]
    with pytest.raises(InvalidInput, match=r"execution\.machines is missing or empty"):
        problem_from_json(document, "body", read_options("trace", runtime=1.0))


def test_before_1_5_cores_speed_and_memory_have_other_names_and_memory_is_in_kb() -> None:
    node = {"nodeName": "w", "memory": 2_000_000, "cpu": {"count": 2, "speed": 1000}}
    other = {"nodeName": "v", "memoryInBytes": 3e9, "cpu": {"count": 1, "speed": 2000}}
    tasks = [
        {"name": "a", "runtime": 4, "parents": [], "files": [], "machine": "w"},
        {"name": "b", "runtime": 2, "parents": ["a"], "files": [], "machine": "v"},
    ]
    document = {
        "schemaVersion": "1.3",
        "workflow": {"makespan": 1, "tasks": tasks, "machines": [node, other]},
    }
    problem = problem_from_json(document, "body", TRACE)
    assert problem.machines.ids == ("w/0", "w/1", "v")
    assert problem.machines.memory.tolist() == [2000, 2000, 3000]
    assert problem.etc.tolist() == [[4, 4, 2], [4, 4, 2]]


@pytest.mark.parametrize(
    "file", ["topcuoglu.json", "saga.json", "tiny.stg", "jobs.csv", "tiny.0", "node_link.json"]
)
def test_only_wfformat_has_machines_of_a_trace(file: str) -> None:
    with pytest.raises(InvalidInput, match="only WfFormat records machines; this is"):
        read_problem(DATA / file, TRACE)


def test_a_graph_has_no_machines_of_a_trace() -> None:
    with pytest.raises(InvalidInput, match="a graph records none"):
        from_networkx(nx.DiGraph([("a", "b")]), TRACE)


def test_trace_is_a_word_even_where_a_file_has_that_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "trace").write_text((DATA / "machines.csv").read_text())
    monkeypatch.chdir(tmp_path)
    assert read_options("trace").trace_machines
    assert read_options("./trace").machines is not None


def test_the_number_or_file_of_machines_keeps_todays_rule() -> None:
    three = read_problem(RECORD, read_options(make_machines(3)))
    assert three.etc.tolist() == [[4] * 3, [2] * 3, [3] * 3]


def test_an_executed_workflow_names_nodes_and_is_read_again_on_them(tmp_path: Path) -> None:
    problem = slotted()
    path = tmp_path / "done.json"
    write_wfformat(path, problem, heft(problem))
    run = json.loads(path.read_text())["workflow"]["execution"]
    assert [(m["nodeName"], m["cpu"]["coreCount"]) for m in run["machines"]] == [
        ("slow", 2),
        ("fast", 1),
    ]
    assert {task["machines"][0] for task in run["tasks"]} <= {"slow", "fast"}
    again = read_problem(path, TRACE)
    assert again.machines.nodes == problem.machines.nodes
    assert again.etc == pytest.approx(problem.etc)


@pytest.mark.data
def test_a_real_trace_runs_on_its_four_nodes(data_dir: Path) -> None:
    path = data_dir / "wfinstances/1000genome/1000genome-chameleon-10ch-100k-001.json.gz"
    problem = read_problem(path, TRACE)
    assert problem.machines.described() == "192 slots of 4 nodes, from the trace"
    assert len(set(problem.machines.nodes)) == 4
    schedule = heft(problem)
    assert violations(problem, schedule) == []
    assert schedule.makespan == pytest.approx(218.6188, rel=1e-5)


# Where machines came from.


def test_machines_say_where_they_came_from() -> None:
    drawn = read_problem(RECORD, read_options(4, machine_seed=7))
    assert drawn.machines.described() == "4, drawn with seed 7"
    assert read_problem(RECORD).machines.described() == "16, drawn with seed 0"
    assert read_problem(DATA / "topcuoglu.json").machines.described() == "3, the file's own"
    assert read_problem(DATA / "tiny.stg").machines.described() == "16, equal, of speed 1"
    assert make_machines(2).described() == "2"
    assert draw_machines(2, 3).described() == "2, drawn with seed 3"
