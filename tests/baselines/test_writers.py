"""The writers: what is written is what was scheduled, exactly, and a failure leaves no trace."""

from __future__ import annotations

import base64
import csv
import itertools
import json
import os
import re
import stat
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepsched.baselines import metrics
from deepsched.baselines.bounds import lower_bound
from deepsched.baselines.chain import critical_chain
from deepsched.baselines.cpop import cpop
from deepsched.baselines.errors import InvalidInput, UnwritableOutput
from deepsched.baselines.generate import GeneratorSpec, generate
from deepsched.baselines.heft import heft
from deepsched.baselines.machines import make_machines
from deepsched.baselines.problem import make_problem
from deepsched.baselines.schedule import make_schedule
from deepsched.baselines.writers import chrome_trace as trace_module
from deepsched.baselines.writers import (
    write_csv,
    write_gantt,
    write_json,
    write_svg,
    write_trace,
)
from deepsched.baselines.writers.gantt import gantt_page
from deepsched.baselines.writers.panels import panels_of

if TYPE_CHECKING:
    from pathlib import Path

    from deepsched.baselines.problem import Problem
    from deepsched.baselines.schedule import Schedule

WRITERS = [write_json, write_csv, write_trace, write_svg, write_gantt]
NASTY = [
    "</script><script>alert(1)</script>",
    "<!--",
    "<!--data-->",
    "a,b\"c'd\n;e",
    "&lt;",
    "zażółć ☃ 🦀",
    "\u2028",
    "lone \ud800 surrogate",
    "",
    "__proto__",
]


@pytest.fixture(scope="module")
def solved() -> tuple[Problem, Schedule]:
    spec = GeneratorSpec(family="cholesky", tasks=60, machines=3, ccr=0.7, arrival_spread=0.2)
    problem = generate(spec, 5)
    return problem, heft(problem)


@pytest.fixture(scope="module")
def nasty() -> tuple[Problem, Schedule]:
    n = len(NASTY)
    problem = make_problem(
        machines=make_machines(2, ids=["</script>", "m,\n\"2'"]),
        work=np.arange(n, dtype=float),
        edges=(np.zeros(n - 1, int), np.arange(1, n), np.full(n - 1, 1e8)),
        task_ids=NASTY,
        name="</title><script>x()</script> & <!--data--> \ud800",
    )
    return problem, heft(problem)


def strict_json(text: str) -> Any:
    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    return json.loads(text, parse_constant=refuse)


class Page(HTMLParser):
    """Collects elements with their attributes and the text in them, as a browser sees them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self.texts.append("")

    def handle_data(self, data: str) -> None:
        if self.texts:
            self.texts[-1] += data

    def text_of(self, tag: str, **attributes: str) -> list[str]:
        return [
            text
            for (name, attrs), text in zip(self.elements, self.texts, strict=True)
            if name == tag and attributes.items() <= attrs.items()
        ]


def embedded(page: str) -> Any:
    (text,) = Page(page).text_of("script", id="data")
    return strict_json(text)


def unpacked(text: str, dtype: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text, validate=True), dtype=dtype)


# JSON


def test_the_document_has_exactly_the_promised_layout(
    solved: tuple[Problem, Schedule],
) -> None:
    problem, schedule = solved
    document = schedule.to_json(problem, 0.25)
    assert list(document) == [
        "scheduler",
        "winner",
        "makespan",
        "mean_turnaround",
        "mean_waiting",
        "lower_bound",
        "seconds",
        "tasks",
    ]
    assert document["scheduler"] == "heft"
    assert document["makespan"] == schedule.aft.max()
    assert document["mean_turnaround"] == metrics.mean_turnaround(problem, schedule)
    assert document["mean_waiting"] == metrics.mean_waiting(problem, schedule)
    assert document["lower_bound"] == lower_bound(problem, "strong")
    assert document["seconds"] == 0.25
    for i, task in enumerate(document["tasks"]):
        assert task == {
            "id": problem.task_ids[i],
            "machine": problem.machines.ids[schedule.proc[i]],
            "start": schedule.ast[i],
            "finish": schedule.aft[i],
        }


def test_without_a_scheduling_time_the_files_name_none(
    solved: tuple[Problem, Schedule], tmp_path: Path
) -> None:
    problem, schedule = solved
    with_it = schedule.to_json(problem, 0.25)
    assert schedule.to_json(problem) == {
        key: value for key, value in with_it.items() if key != "seconds"
    }
    write_json(tmp_path / "s.json", problem, schedule)
    assert strict_json((tmp_path / "s.json").read_text()) == schedule.to_json(problem)
    write_trace(tmp_path / "t.json", problem, schedule)
    assert "scheduling_s" not in strict_json((tmp_path / "t.json").read_text())["otherData"]


@pytest.mark.parametrize("which", ["solved", "nasty"])
def test_json_reads_back_as_the_document(
    which: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    problem, schedule = request.getfixturevalue(which)
    path = tmp_path / "schedule.json"
    write_json(path, problem, schedule, 1.5)
    text = path.read_text(encoding="ascii")
    assert strict_json(text) == schedule.to_json(problem, 1.5)
    assert text.count("\n") == problem.n_tasks + 11  # a line a task, so that files can be compared


# CSV


@pytest.mark.parametrize("which", ["solved", "nasty"])
def test_csv_reads_back_exactly(which: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    problem, schedule = request.getfixturevalue(which)
    path = tmp_path / "schedule.csv"
    write_csv(path, problem, schedule, 1.5)
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["task"] for row in rows] == [
        name.replace("\ud800", "\\ud800") for name in problem.task_ids
    ]
    assert [row["machine"] for row in rows] == [problem.machines.ids[q] for q in schedule.proc]
    columns = {
        "start": schedule.ast,
        "finish": schedule.aft,
        "arrival": problem.arrival,
        "waiting": schedule.ast - problem.arrival,
        "turnaround": schedule.aft - problem.arrival,
    }
    for name, values in columns.items():
        assert [float(row[name]) for row in rows] == values.tolist()


# Chrome trace


def events_of(path: Path, phase: str) -> list[dict[str, Any]]:
    trace = strict_json(path.read_text(encoding="ascii"))
    return [event for event in trace["traceEvents"] if event["ph"] == phase]


@pytest.mark.parametrize("which", ["solved", "nasty"])
def test_trace_has_a_slice_a_task_on_its_machines_track(
    which: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    problem, schedule = request.getfixturevalue(which)
    path = tmp_path / "trace.json"
    write_trace(path, problem, schedule, 0.5)
    tracks = {
        event["tid"]: event["args"]["name"]
        for event in events_of(path, "M")
        if event["name"] == "thread_name"
    }
    assert tracks == dict(enumerate(problem.machines.ids, start=1))
    slices = events_of(path, "X")
    assert [event["name"] for event in slices] == list(problem.task_ids)
    assert [event["tid"] for event in slices] == (schedule.proc + 1).tolist()
    assert [event["ts"] for event in slices] == [int(t * 1e6) for t in schedule.ast.tolist()]
    ends = [event["ts"] + event["dur"] for event in slices]
    assert ends == [int(t * 1e6) for t in schedule.aft.tolist()]
    assert {event["pid"] for event in slices} == {1}


def test_slices_of_a_track_never_overlap(tmp_path: Path) -> None:
    # Finish and start are the same float64 here, at times whose microseconds are fractions.
    problem = make_problem(machines=make_machines(1), work=[0.1 + 1e-7 * k for k in range(300)])
    write_trace(tmp_path / "trace.json", problem, heft(problem), 0.5)
    slices = sorted(events_of(tmp_path / "trace.json", "X"), key=lambda event: event["ts"])
    for before, after in itertools.pairwise(slices):
        assert before["ts"] + before["dur"] <= after["ts"]


def test_every_edge_is_an_arrow_from_within_its_parent_to_its_childs_start(
    solved: tuple[Problem, Schedule], tmp_path: Path
) -> None:
    problem, schedule = solved
    path = tmp_path / "trace.json"
    write_trace(path, problem, schedule, 0.5)
    slices = events_of(path, "X")
    tails = {event["id"]: event for event in events_of(path, "s")}
    heads = {event["id"]: event for event in events_of(path, "f")}
    parents, children, _ = problem.edge_list()
    assert len(tails) == len(heads) == problem.n_edges
    for k in range(problem.n_edges):
        parent, child = slices[parents[k]], slices[children[k]]
        assert tails[k]["tid"] == parent["tid"]
        assert parent["ts"] <= tails[k]["ts"] < parent["ts"] + parent["dur"]
        assert (heads[k]["tid"], heads[k]["ts"]) == (child["tid"], child["ts"])


def test_too_many_arrows_are_left_out_and_counted(
    solved: tuple[Problem, Schedule], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    problem, schedule = solved
    monkeypatch.setattr(trace_module, "MAX_FLOWS", problem.n_edges - 1)
    path = tmp_path / "trace.json"
    write_trace(path, problem, schedule, 0.5)
    assert events_of(path, "s") == events_of(path, "f") == []
    assert len(events_of(path, "X")) == problem.n_tasks
    assert strict_json(path.read_text())["otherData"]["edges_left_out"] == problem.n_edges


# Gantt page


@pytest.mark.parametrize("which", ["solved", "nasty"])
def test_gantt_embeds_the_schedule_exactly(
    which: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    problem, schedule = request.getfixturevalue(which)
    path = tmp_path / "gantt.html"
    write_gantt(path, problem, schedule, seconds=[0.5])
    data = embedded(path.read_text(encoding="utf-8"))
    assert data["tasks"] == list(problem.task_ids)
    assert data["machines"] == list(problem.machines.ids)
    (panel,) = data["panels"]
    assert (panel["name"], panel["difference"]) == ("heft", "")
    for holder, key, dtype, values in (
        (panel, "machine", "<i4", schedule.proc),
        (panel, "start", "<f8", schedule.ast),
        (panel, "finish", "<f8", schedule.aft),
        (data, "arrival", "<f8", problem.arrival),
        (data, "pred_ptr", "<i4", problem.pred_ptr),
        (data, "pred", "<i4", problem.pred),
    ):
        assert np.array_equal(unpacked(holder[key], dtype), values), key
    assert panel["chain"] == [
        [link.step, link.task, link.parent, link.reason, link.cause, link.start, link.finish]
        for link in critical_chain(problem, schedule)
    ]
    assert unpacked(data["row"], "<i4").tolist() == list(range(problem.n_machines))
    assert data["groups"] == []
    kinds = unpacked(data["kind"], "u1")
    assert kinds.size == problem.n_tasks
    assert kinds.max() < len(data["kinds"])
    document = schedule.to_json(problem, 0.5)
    summary = panel["summary"]
    for key in ("makespan", "mean_turnaround", "mean_waiting", "seconds"):
        assert summary[key] == document[key]
    assert data["lower_bound"] == document["lower_bound"]
    duration = schedule.aft - schedule.ast
    capacity = schedule.makespan * problem.n_machines
    assert summary["utilisation"] == pytest.approx(duration.sum() / capacity)


def test_several_schedules_share_the_problem_of_the_page(
    solved: tuple[Problem, Schedule],
) -> None:
    problem, first = solved
    others = [cpop(problem), heft(problem)]
    data = embedded(gantt_page(problem, first, *others, seconds=[1, 2, 3]))
    assert [panel["name"] for panel in data["panels"]] == ["heft (1)", "cpop", "heft (2)"]
    for panel, schedule, seconds in zip(
        data["panels"], [first, *others], (1.0, 2.0, 3.0), strict=True
    ):
        assert np.array_equal(unpacked(panel["machine"], "<i4"), schedule.proc)
        assert np.array_equal(unpacked(panel["start"], "<f8"), schedule.ast)
        assert np.array_equal(unpacked(panel["finish"], "<f8"), schedule.aft)
        assert panel["summary"]["makespan"] == schedule.makespan
        assert panel["summary"]["seconds"] == seconds
    change = 100 * (others[0].makespan / first.makespan - 1)
    assert [panel["difference"] for panel in data["panels"]] == [
        "",
        f"{change:+.1f} %".replace("-", "−"),
        "±0.0 %",
    ]
    assert [panel["against"] for panel in data["panels"]] == ["", "heft (1)", "heft (1)"]
    alone = embedded(gantt_page(problem, first))
    assert "seconds" not in alone["panels"][0]["summary"]
    assert {key: alone[key] for key in alone if key != "panels"} == {
        key: data[key] for key in data if key != "panels"
    }


def test_a_difference_has_a_sign_and_none_where_nothing_takes_time() -> None:
    problem = make_problem(machines=make_machines(1), work=[1.0])

    def differences(*finishes: float) -> list[str]:
        schedules = [make_schedule("hand", [0], [0], [finish]) for finish in finishes]
        return [panel.difference for panel in panels_of(problem, schedules)]

    assert differences(80, 70, 88, 80.0001) == ["", "−12.5 %", "+10.0 %", "±0.0 %"]
    assert differences(80, 79.9999) == ["", "±0.0 %"]
    assert differences(0, 3) == ["", ""]


@pytest.mark.parametrize("writer", [write_gantt, write_svg])
def test_a_chart_refuses_what_it_cannot_draw(
    writer: Any, solved: tuple[Problem, Schedule], tmp_path: Path
) -> None:
    problem, schedule = solved
    n = problem.n_tasks
    for others, words in (
        ([], "there is no schedule to draw; give at least one"),
        ([schedule, make_schedule("short", [0], [0], [1])], "'short' is not one of the problem"),
        ([make_schedule("far", [3] * n, [0] * n, [1] * n)], "machine index 3, the problem has 3"),
        ([make_schedule("nan", [0] * n, [0] * n, [np.nan] * n)], "its times are not all finite"),
    ):
        with pytest.raises(InvalidInput, match=words):
            writer(tmp_path / "chart", problem, *others)
    assert list(tmp_path.iterdir()) == []


def test_machines_of_a_group_get_neighbouring_rows(solved: tuple[Problem, Schedule]) -> None:
    data = embedded(gantt_page(*solved, groups=["b", "a", "b"]))
    assert unpacked(data["row"], "<i4").tolist() == [0, 2, 1]
    assert data["groups"] == [["b", 0, 2], ["a", 2, 1]]
    with pytest.raises(InvalidInput, match="1 labels of groups for 3 machines"):
        gantt_page(*solved, groups=["a"])


def test_a_page_takes_kinds_by_task(solved: tuple[Problem, Schedule]) -> None:
    problem = solved[0]
    data = embedded(gantt_page(*solved, kinds=dict.fromkeys(problem.task_ids[1:], "bwa")))
    assert data["kinds"] == ["bwa", problem.task_ids[0]]
    assert unpacked(data["kind"], "u1").tolist() == [1] + [0] * (problem.n_tasks - 1)


def test_each_schedule_of_a_page_has_its_scheduling_time_or_none(
    solved: tuple[Problem, Schedule],
) -> None:
    with pytest.raises(InvalidInput, match="1 scheduling times for 2 schedules"):
        gantt_page(*solved, solved[1], seconds=[0.5])


@pytest.mark.parametrize("count", [1, 2])
def test_no_name_can_break_out_of_the_page(
    count: int, solved: tuple[Problem, Schedule], nasty: tuple[Problem, Schedule], tmp_path: Path
) -> None:
    pages = []
    for problem, schedule in (solved, nasty):
        others = [make_schedule("</title>", schedule.proc, schedule.ast, schedule.aft)]
        write_gantt(tmp_path / "gantt.html", problem, schedule, *others[: count - 1])
        pages.append(Page((tmp_path / "gantt.html").read_text(encoding="utf-8")))
    plain, hostile = pages
    assert hostile.elements == plain.elements
    # All text but the data and the title is that of the template.
    changed = {
        plain.elements[k][1].get("id", plain.elements[k][0])
        for k, (one, other) in enumerate(zip(plain.texts, hostile.texts, strict=True))
        if one != other
    }
    assert changed == {"data", "title"}
    (title,) = hostile.text_of("title")
    names = ["heft", "heft, </title>"][count - 1]
    assert title.strip() == f"</title><script>x()</script> & <!--data--> \\ud800 · {names}"


def test_the_page_loads_nothing(solved: tuple[Problem, Schedule], tmp_path: Path) -> None:
    write_gantt(tmp_path / "gantt.html", *solved, solved[1], seconds=[0.5, 0.5])
    text = (tmp_path / "gantt.html").read_text(encoding="utf-8")
    page = Page(text)
    policy = [
        attrs["content"]
        for tag, attrs in page.elements
        if tag == "meta" and attrs.get("http-equiv") == "Content-Security-Policy"
    ]
    assert policy
    assert policy[0].startswith("default-src 'none';")
    links = [value for _, attrs in page.elements for key, value in attrs.items() if key == "href"]
    assert links == ["data:,"]
    assert not any("src" in attrs for _, attrs in page.elements)
    assert not re.search(r"https?:|url\(|@import|fetch\(|XMLHttpRequest|innerHTML", text)


def test_a_schedule_that_takes_no_time_is_written(tmp_path: Path) -> None:
    problem = make_problem(machines=make_machines(1), work=[0.0, 0.0])
    for writer in WRITERS:
        writer(tmp_path / "file", problem, heft(problem))
        text = (tmp_path / "file").read_text(encoding="utf-8")
        assert "t0" in text
        assert "t1" in text
    assert embedded(text)["panels"][0]["summary"]["utilisation"] == 0


@given(names=st.lists(st.text(), min_size=1, max_size=8, unique=True))
def test_any_name_survives_the_page(names: list[str]) -> None:
    problem = make_problem(
        machines=make_machines(1), work=np.ones(len(names)), task_ids=names, name=names[0]
    )
    data = embedded(gantt_page(problem, heft(problem)))
    assert data["tasks"] == names
    assert data["problem"] == names[0]


# Files


@pytest.mark.parametrize("writer", WRITERS)
def test_the_file_replaces_an_old_one_and_leaves_nothing_else(
    writer: Any, solved: tuple[Problem, Schedule], tmp_path: Path
) -> None:
    path = tmp_path / "out"
    path.write_text("old")
    writer(path, *solved)
    assert path.read_text(encoding="utf-8") != "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["out"]
    umask = os.umask(0)
    os.umask(umask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~umask


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("missing/out", "No such file or directory"),
        ("file/out", "Not a directory"),
        ("folder", "it is a folder"),
        ("x" * 300, "File name too long"),
        ("nul\0", "embedded null"),
    ],
)
def test_an_unwritable_path_is_named_and_nothing_is_left(
    writer: Any, name: str, reason: str, solved: tuple[Problem, Schedule], tmp_path: Path
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    path = tmp_path / name
    with pytest.raises(UnwritableOutput) as caught:
        writer(path, *solved)
    assert str(caught.value).startswith(f"{path}: cannot be written: ")
    assert reason in str(caught.value)
    assert {entry.name for entry in tmp_path.rglob("*")} == {"folder", "file"}
