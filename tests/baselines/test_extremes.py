"""Numbers at the edges of floats, and names that no place takes, in all schedulers and writers."""

from __future__ import annotations

import csv
import itertools
import json
import math
import re
import warnings
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, note, settings

from deepsched.baselines import writers
from deepsched.baselines.bounds import lower_bound, mean_turnaround_bound, mean_waiting_bound
from deepsched.baselines.errors import InvalidInput
from deepsched.baselines.heft import heft
from deepsched.baselines.machines import make_machines
from deepsched.baselines.metrics import METRICS
from deepsched.baselines.problem import Problem, make_problem
from deepsched.baselines.readers import read_problem, to_networkx
from deepsched.baselines.readers.networkx_graph import from_networkx
from deepsched.baselines.readers.options import ReadOptions
from deepsched.baselines.registry import SCHEDULERS, teacher_rng
from deepsched.baselines.schedule import Schedule, make_schedule, violations
from deepsched.baselines.writers.csv_table import name_of
from deepsched.baselines.writers.names import legible
from deepsched.baselines.writers.ticks import LARGEST, scale_of
from tests import strategies

if TYPE_CHECKING:
    from pathlib import Path

WRITERS = {name: getattr(writers, name) for name in writers.__all__}


def strict(text: str) -> Any:
    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    return json.loads(text, parse_constant=refuse)


def as_in_a_file(name: str) -> str:
    """Return a name as a text file has it, where half a surrogate pair is spelt out."""
    return name.encode("utf-8", errors="backslashreplace").decode()


class Strict(HTMLParser):
    """Fails where markup is not what the page was made of."""

    def __init__(self) -> None:
        super().__init__()
        self.scripts = 0

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.scripts += tag == "script"


def check_json(text: str, problem: Problem, schedule: Schedule) -> None:
    document = strict(text)
    assert [task["start"] for task in document["tasks"]] == schedule.ast.tolist()
    assert [task["id"] for task in document["tasks"]] == list(problem.task_ids)


def check_csv(text: str, problem: Problem, schedule: Schedule) -> None:
    rows = list(csv.reader(text.splitlines(keepends=True)))[1:]
    assert [name_of(row[0]) for row in rows] == [as_in_a_file(name) for name in problem.task_ids]
    hosts = [as_in_a_file(problem.machines.ids[q]) for q in schedule.proc]
    assert [name_of(row[1]) for row in rows] == hosts
    assert [float(row[2]) for row in rows] == schedule.ast.tolist()
    assert [float(row[3]) for row in rows] == schedule.aft.tolist()
    assert all(math.isfinite(float(cell)) for row in rows for cell in row[2:-1])
    for row in rows:
        assert not row[0].startswith(("=", "+", "-", "@", "\t", "\r", "\n"))
        assert not row[1].startswith(("=", "+", "-", "@", "\t", "\r", "\n"))


def check_trace(text: str, problem: Problem, schedule: Schedule) -> None:
    document = strict(text)
    slices = [event for event in document["traceEvents"] if event["ph"] == "X"]
    assert [event["name"] for event in slices] == list(problem.task_ids)
    other = document["otherData"]
    unit, offset = other["microsecond_s"], other["offset_s"]
    span = schedule.makespan - float(schedule.ast.min())
    for event, start, finish in zip(
        slices, schedule.ast.tolist(), schedule.aft.tolist(), strict=True
    ):
        assert 0 <= event["ts"] <= event["ts"] + event["dur"] <= LARGEST
        near = max(unit, 1e-12 * span)
        assert math.isclose(event["ts"] * unit, start - offset, rel_tol=1e-9, abs_tol=near)
        assert math.isclose(event["dur"] * unit, finish - start, rel_tol=1e-9, abs_tol=2 * near)
        assert (event["args"]["start"], event["args"]["finish"]) == (start, finish)
    by_start = np.argsort(schedule.ast, kind="stable").tolist()
    for i, j in itertools.pairwise(by_start):
        if schedule.ast[j] - schedule.ast[i] > 1e-13 * span:
            assert slices[i]["ts"] < slices[j]["ts"]


def check_svg(text: str, problem: Problem, schedule: Schedule) -> None:
    root = ElementTree.fromstring(text)
    numbers = [
        float(element.attrib[key])
        for element in root.iter()
        for key in ("x", "y", "width", "height")
        if key in element.attrib
    ]
    assert np.isfinite(numbers).all()
    shown = [
        element.text for element in root.iter() if element.attrib.get("class") == "soft middle"
    ]
    assert len(set(shown)) == len(shown)
    assert legible(text.replace("\n", "")) == text.replace("\n", "")


def check_gantt(text: str, problem: Problem, schedule: Schedule) -> None:
    page = Strict()
    page.feed(text)
    page.close()
    assert page.scripts == 2
    (data,) = re.findall(r'<script id="data"[^>]*>(.*?)</script>', text, re.DOTALL)
    assert strict(data)["tasks"] == list(problem.task_ids)


def check_wfformat(text: str, problem: Problem, schedule: Schedule) -> None:
    document = strict(text)
    execution = document["workflow"]["execution"]
    assert [task["startInSeconds"] for task in execution["tasks"]] == schedule.ast.tolist()
    names = [problem.machines.nodes[q] for q in schedule.proc]
    assert [task["machines"] for task in execution["tasks"]] == [[name] for name in names]


def check_node_link(text: str, problem: Problem, schedule: Schedule) -> None:
    graph = nx.node_link_graph(strict(text))
    assert list(graph) == list(problem.task_ids)
    assert [finish for _, finish in graph.nodes(data="finish")] == schedule.aft.tolist()


def check_dot(text: str, problem: Problem, schedule: Schedule) -> None:
    # Strings of DOT: a backslash takes the next character, and nothing else ends a quote.
    bare = re.sub(r'"(?:[^"\\]|\\.)*"', "S", text)
    assert '"' not in bare
    assert "\\" not in bare
    assert bare.count("->") == problem.n_edges
    assert legible(text.replace("\n", "")) == text.replace("\n", "")
    nodes = re.findall(r'^("(?:[^"\\]|\\.)*") \[label=', text, re.MULTILINE)
    assert len(set(nodes)) == len(nodes) == problem.n_tasks


CHECKS = {
    "write_json": check_json,
    "write_csv": check_csv,
    "write_trace": check_trace,
    "write_svg": check_svg,
    "write_gantt": check_gantt,
    "write_wfformat": check_wfformat,
    "write_node_link": check_node_link,
    "write_dot": check_dot,
}


def test_every_writer_has_a_check() -> None:
    assert set(CHECKS) == set(WRITERS)


@settings(max_examples=150)
@given(problem=strategies.extreme_problems())
def test_no_scheduler_measure_or_bound_stumbles(problem: Problem) -> None:
    # Warnings are errors in all tests: numpy's reach nobody.
    for name, scheduler in SCHEDULERS.items():
        note(name)
        schedule = scheduler(problem, teacher_rng(0, 0, name))
        assert violations(problem, schedule) == []
        for metric, measure in METRICS.items():
            note(metric)
            assert not math.isnan(measure(problem, schedule))
        assert lower_bound(problem, "strong") <= schedule.makespan * (1 + 1e-9)
        for bound, metric in (
            (lower_bound, "makespan"),
            (mean_turnaround_bound, "mean_turnaround"),
            (mean_waiting_bound, "mean_waiting"),
        ):
            assert bound(problem) <= METRICS[metric](problem, schedule) * (1 + 1e-9)


@settings(max_examples=300)
@given(
    problem=strategies.extreme_problems()
    | strategies.problems(max_tasks=8, max_machines=3, halves=True)
)
def test_every_writer_writes_what_was_scheduled_or_says_why_not(
    problem: Problem, tmp_path_factory: pytest.TempPathFactory
) -> None:
    schedule = heft(problem)
    path = tmp_path_factory.getbasetemp() / "extreme"
    for name, writer in WRITERS.items():
        note(name)
        try:
            writer(path, problem, schedule)
        except InvalidInput:
            # Only where times differ by less than any unit that is a float.
            assert name == "write_trace"
            assert schedule.makespan < 1e-300
            continue
        with path.open(encoding="utf-8", newline="") as file:
            CHECKS[name](file.read(), problem, schedule)


@pytest.mark.parametrize("writer", WRITERS)
def test_no_writer_writes_what_is_no_number(writer: str, tmp_path: Path) -> None:
    problem = make_problem(machines=make_machines(1), etc=[[1.0], [1.0]])
    for bad in (np.nan, np.inf):
        with pytest.raises(InvalidInput, match="its times are not all finite"):
            WRITERS[writer](tmp_path / "f", problem, make_schedule("x", [0, 0], [0, 1], [1, bad]))
    assert list(tmp_path.iterdir()) == []


# The trace


def ticks(starts: list[float], finishes: list[float]) -> tuple[list[int], float, float, int]:
    ast, aft = np.array(starts), np.array(finishes)
    scale = scale_of(ast, aft)
    return scale.ticks(ast).tolist(), scale.offset, scale.microsecond, scale.parts


def test_a_trace_keeps_to_whole_microseconds_where_they_are_enough() -> None:
    assert ticks([0, 1.5, 3], [1.5, 3, 4]) == ([0, 1_500_000, 3_000_000], 0.0, 1e-6, 1)
    # What is different by rounding only is no reason for another unit.
    assert ticks([0, 0.1 + 0.2, 0.3], [1, 2, 80])[1:] == (0.0, 1e-6, 1)


def test_a_trace_chooses_parts_offset_or_unit_by_need() -> None:
    tenth = 1e-7
    assert ticks([0, tenth], [tenth, 2 * tenth]) == ([0, 51], 0.0, 1e-6, 512)
    assert ticks([1e15, 1e15 + 0.125], [1e15 + 1, 1e15 + 2]) == ([0, 125_000], 1e15, 1e-6, 1)
    assert ticks([0, 1e-12], [1e-12, 3e-12]) == ([0, 1000], 0.0, 1e-15, 1)
    assert ticks([0, 1e290], [1e290, 3e290]) == ([0, 1000], 0.0, 1e287, 1)
    assert ticks([1e200], [1e200]) == ([0], 1e200, 1e-6, 1)
    with pytest.raises(InvalidInput, match=r"^times from 0 s to .*e-32\d s.*any unit$"):
        ticks([0, 5e-324], [5e-324, 1e-323])


def test_a_trace_says_unit_and_offset_in_its_name_too(tmp_path: Path) -> None:
    problem = make_problem(machines=make_machines(1), etc=[[1e-12]], arrival=0.0, name="tiny")
    writers.write_trace(tmp_path / "t", problem, heft(problem))
    head = strict((tmp_path / "t").read_text())["traceEvents"][0]
    assert head["args"]["name"] == "tiny, heft (0 is 0.0 s, 1 µs stands for 1e-15 s)"


# CSV


def test_formulas_in_a_table_are_texts(tmp_path: Path) -> None:
    names = ["=1+1", "+1", "-1", "@x", "\t=1", "\r=1", "'=1", "a=1", "a\rb", ' "', "", "\uff1d1"]
    problem = make_problem(machines=make_machines(1, ids=["=m"]), etc=[[1.0]] * 12, task_ids=names)
    writers.write_csv(tmp_path / "t.csv", problem, heft(problem))
    with (tmp_path / "t.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["task"] for row in rows] == [
        *(f"'{name}" for name in names[:7]), *names[7:11], "'\uff1d1",
    ]  # fmt: skip
    assert [name_of(row["task"]) for row in rows] == names
    assert {row["machine"] for row in rows} == {"'=m"}


# Charts


def test_a_chart_of_what_is_far_from_0_begins_there(tmp_path: Path) -> None:
    problem = make_problem(machines=make_machines(1), etc=[[1.0]] * 2, arrival=1e15)
    writers.write_svg(tmp_path / "s.svg", problem, heft(problem))
    root = ElementTree.fromstring((tmp_path / "s.svg").read_text(encoding="utf-8"))
    bars = [e for e in root.iter() if e.tag.endswith("rect") and e.attrib["class"] == "k0"]
    plot = 2 * (float(bars[1].attrib["x"]) - float(bars[0].attrib["x"]))
    assert float(bars[0].attrib["x"]) == 0
    assert plot > 800  # px, of a picture of 960
    assert "0 is 1000000000000000.0 s" in "".join(root.itertext())


@pytest.mark.parametrize("cost", [0.0, 1e-308, 1e-12, 3.0, 1e12, 1e15, 1e299])
def test_the_labels_of_an_axis_differ(cost: float, tmp_path: Path) -> None:
    problem = make_problem(machines=make_machines(1), etc=[[cost]])
    writers.write_svg(tmp_path / "s.svg", problem, heft(problem))
    check_svg((tmp_path / "s.svg").read_text(encoding="utf-8"), problem, heft(problem))


# Graphs


@settings(max_examples=100)
@given(problem=strategies.problems(max_tasks=10, max_machines=3))
def test_what_is_written_for_others_reads_back_as_the_same_graph(
    problem: Problem, tmp_path_factory: pytest.TempPathFactory
) -> None:
    schedule = heft(problem)
    path = tmp_path_factory.getbasetemp() / "back.json"
    writers.write_node_link(path, problem, schedule)
    again = from_networkx(nx.node_link_graph(strict(path.read_text())))
    same = to_networkx(again)
    assert dict(same.nodes(data=True)) == dict(to_networkx(problem).nodes(data=True))
    assert list(same.edges(data=True)) == list(to_networkx(problem).edges(data=True))
    for field in ("bandwidth", "latency", "memory", "cores", "frequency"):
        own, other = (getattr(one.machines, field) for one in (problem, again))
        assert np.array_equal(own, other), field
    writers.write_wfformat(path, problem, schedule)
    machines = make_machines(problem.n_machines, ids=problem.machines.ids)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that a graph without edges has none
        again = read_problem(path, ReadOptions(machines=machines))
    assert again.task_ids == problem.task_ids
    for field in ("succ_ptr", "succ", "succ_bytes"):
        assert np.array_equal(getattr(again, field), getattr(problem, field)), field
    took = problem.etc[np.arange(problem.n_tasks), schedule.proc]
    assert again.work is not None
    assert again.work.tolist() == took.tolist()


# As pydot calls pyparsing.
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_graph_for_graphviz_is_read_by_pydot(tmp_path: Path) -> None:
    pydot = pytest.importorskip("pydot")
    names = ["plain", "two words", 'a "quote"', "end\\", 'both\\"', "->", "tab\tnew\nline", "é☃"]
    n = len(names)
    problem = make_problem(
        machines=make_machines(2, ids=["m 0", 'm"1']),
        etc=np.ones((n, 2)),
        edges=(np.zeros(n - 1, int), np.arange(1, n), np.ones(n - 1)),
        task_ids=names,
        name='a "name"',
    )
    schedule = heft(problem)
    writers.write_dot(tmp_path / "g.dot", problem, schedule)
    (graph,) = pydot.graph_from_dot_data((tmp_path / "g.dot").read_text(encoding="utf-8"))
    nodes = [node for node in graph.get_node_list() if node.get_name() not in ("node", "graph")]
    assert len(nodes) == n
    assert len(graph.get_edge_list()) == n - 1
    assert [node.get("start") for node in nodes] == [f'"{t!r}"' for t in schedule.ast.tolist()]
    clusters = {one.get_name(): one for one in graph.get_subgraph_list()}
    assert len(clusters) == 2


def test_an_executed_workflow_has_its_times_dates_and_machines(tmp_path: Path) -> None:
    problem = make_problem(
        machines=make_machines(2, cores=4, memory=[1000, np.inf]),
        etc=[[1.5, 9], [9, 2.0]],
        edges=([0], [1], [125e6]),
        memory=[1, 2],
        priority=[0, 3],
        name="two",
    )
    schedule = heft(problem)
    writers.write_wfformat(tmp_path / "w.json", problem, schedule, 0.5)
    document = strict((tmp_path / "w.json").read_text(encoding="utf-8"))
    assert (document["name"], document["schemaVersion"]) == ("two", "1.5")
    specification, execution = (
        document["workflow"][part] for part in ("specification", "execution")
    )
    assert specification["tasks"][1] == {
        "name": "t1",
        "id": "t1",
        "parents": ["t0"],
        "children": [],
        "inputFiles": ["edge_0"],
        "outputFiles": [],
    }
    assert specification["files"] == [{"id": "edge_0", "sizeInBytes": 125_000_000}]
    assert execution["makespanInSeconds"] == schedule.makespan == 4.5
    assert execution["executedAt"] == "1970-01-01T00:00:00.000000+00:00"
    assert execution["tasks"][1] == {
        "id": "t1",
        "runtimeInSeconds": 2.0,
        "executedAt": "1970-01-01T00:00:02.500000+00:00",
        "machines": ["m1"],
        "startInSeconds": 2.5,
        "finishInSeconds": 4.5,
        "priority": 3,
        "memoryInBytes": 2_000_000,
    }
    assert execution["machines"][0] == {
        "nodeName": "m0",
        "memoryInBytes": 1_000_000_000,
        "cpu": {"coreCount": 4, "speedInMHz": 2000},
    }
    assert "memoryInBytes" not in execution["machines"][1]


def test_dates_tell_close_starts_apart_and_are_left_out_beyond_all_dates(tmp_path: Path) -> None:
    def dates(costs: list[float], arrival: list[float]) -> list[Any]:
        problem = make_problem(
            machines=make_machines(1), etc=np.array([costs]).T, arrival=np.array(arrival)
        )
        writers.write_wfformat(tmp_path / "w.json", problem, heft(problem))
        execution = strict((tmp_path / "w.json").read_text())["workflow"]["execution"]
        return [task.get("executedAt") for task in execution["tasks"]]

    assert dates([1e-8, 1e-8], [0, 0])[1].startswith("1970-01-01T00:00:00.000000010")
    assert dates([0.125, 0.125], [1e15, 1e15]) == [
        "1970-01-01T00:00:00.000000+00:00",
        "1970-01-01T00:00:00.125000+00:00",
    ]
    assert dates([1, 1], [0, 1e15]) == [None, None]
