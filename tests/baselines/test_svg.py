"""The picture of schedules: its bars are where the tasks are, and it stays small whatever comes."""

from __future__ import annotations

import itertools
import re
from typing import TYPE_CHECKING
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepsched.baselines.cpop import cpop
from deepsched.baselines.errors import InvalidInput
from deepsched.baselines.generate import GeneratorSpec, generate
from deepsched.baselines.heft import heft
from deepsched.baselines.machines import make_machines
from deepsched.baselines.problem import make_problem
from deepsched.baselines.schedule import make_schedule
from deepsched.baselines.writers import svg, write_svg
from deepsched.baselines.writers.cells import SHADES, busy_runs
from deepsched.baselines.writers.palette import COLOURS
from deepsched.baselines.writers.svg import svg_text
from tests.baselines.test_reference_values import topcuoglu

if TYPE_CHECKING:
    from pathlib import Path
    from xml.etree.ElementTree import Element

    from deepsched.baselines.problem import Problem
    from deepsched.baselines.schedule import Schedule

LARGEST_FILE = 300_000  # bytes


def parsed(text: str) -> Element:
    """Read the picture, its element names without the namespace."""
    root = ElementTree.fromstring(text)
    for element in root.iter():
        element.tag = element.tag.removeprefix("{http://www.w3.org/2000/svg}")
    return root


def panels(root: Element) -> list[Element]:
    return root.findall("g[@class='panel']")


def bars(panel: Element) -> list[Element]:
    return panel.findall("rect")


def number(element: Element, key: str) -> float:
    return float(element.attrib[key])


def marker(panel: Element, kind: str) -> float:
    """Return where a vertical line is."""
    (line,) = panel.findall(f"path[@class='{kind}']")
    return float(line.attrib["d"].split()[0].removeprefix("M"))


def axis(root: Element) -> dict[str, float]:
    """Return the numbers of the axis and where they are on the page."""
    return {
        (text.text or ""): number(text, "x")
        for text in root.findall("text")
        if (text.text or "").endswith(" s")
    }


def offset(panel: Element) -> float:
    found = re.fullmatch(r"translate\(([\d.]+) [\d.]+\)", panel.attrib["transform"])
    assert found
    return float(found[1])


@pytest.fixture
def hand() -> tuple[Problem, Schedule]:
    problem = make_problem(
        machines=make_machines(2, ids=["fast", "slow"]),
        etc=[[40, 80], [30, 60], [20, 30]],
        task_ids=["load_1", "load_2", "plot_1"],
        name="three",
    )
    return problem, make_schedule("hand", [0, 0, 1], [0, 40, 50], [40, 70, 80])


def test_each_task_is_a_bar_where_and_when_it_runs(hand: tuple[Problem, Schedule]) -> None:
    root = parsed(svg_text(*hand))
    (panel,) = panels(root)
    found = bars(panel)
    assert [bar.findtext("title") for bar in found] == [
        "load_1: 0 s to 40 s",
        "load_2: 40 s to 70 s",
        "plot_1: 50 s to 80 s",
    ]
    end = marker(panel, "makespan")
    assert [number(bar, "x") / end * 80 for bar in found] == pytest.approx([0, 40, 50], abs=0.01)
    widths = [number(bar, "width") / end * 80 for bar in found]
    assert widths == pytest.approx([40, 30, 30], abs=0.1)  # but for the gap between neighbours
    rows = [number(bar, "y") for bar in found]
    assert rows[0] == rows[1] < rows[2]
    assert rows[2] - rows[0] >= number(found[0], "height")
    assert [bar.attrib["class"] for bar in found] == ["k0", "k0", "k1"]
    names = [text.text for text in panel.iter("text")]
    assert names[1:3] == ["fast", "slow"]
    assert {"load_1", "load_2", "plot_1"} <= set(names)  # on the bars, which are wide enough


def test_the_texts_say_what_is_drawn(hand: tuple[Problem, Schedule]) -> None:
    root = parsed(svg_text(*hand))
    texts = [text.text for text in root.findall("text")]
    assert texts[:4] == [
        "three",
        "tasks 3 · edges 0 · machines 2 · outlined: critical chain",
        "load",
        "plot",
    ]
    assert list(axis(root)) == [f"{10 * k} s" for k in range(9)]
    spans = [span.text for span in panels(root)[0].iter("tspan")]
    assert spans == ["hand", "makespan 80 s"]
    assert root.findtext("title") == "Schedules of three, makespans: hand 80 s"


def test_all_schedules_have_one_axis(hand: tuple[Problem, Schedule]) -> None:
    problem, first = hand
    other = make_schedule("hand", [0, 0, 0], [0, 50, 80], [40, 80, 100])
    root = parsed(svg_text(problem, first, other))
    one, two = panels(root)
    assert [span.text for span in one.iter("tspan")] == ["hand (1)", "makespan 80 s"]
    assert [span.text for span in two.iter("tspan")] == [
        "hand (2)",
        "makespan 100 s",
        "+25.0 % against hand (1)",
    ]
    assert offset(one) == offset(two)
    assert number(bars(two)[2], "x") == pytest.approx(marker(one, "makespan"), abs=0.01)
    assert marker(two, "first") == marker(one, "makespan")
    assert marker(two, "makespan") / marker(one, "makespan") == pytest.approx(100 / 80, abs=1e-3)
    assert one.find("path[@class='first']") is None
    places = axis(root)
    assert places["0 s"] == offset(one)
    assert places["80 s"] == pytest.approx(offset(one) + marker(one, "makespan"), abs=0.01)
    assert places["100 s"] == pytest.approx(offset(one) + marker(two, "makespan"), abs=0.01)
    assert places["100 s"] < svg.WIDTH


@pytest.mark.parametrize("span", [3e-9, 0.02, 1.0, 7.3, 999.0, 12_345.0, 1e8, 3e15, 1e300])
def test_the_axis_has_round_numbers_at_every_scale(span: float) -> None:
    problem = make_problem(machines=make_machines(1), work=[1.0])
    root = parsed(svg_text(problem, make_schedule("hand", [0], [0], [span])))
    places = axis(root)
    assert 5 <= len(places) <= 13
    (panel,) = panels(root)
    for text, x in places.items():
        value = float(text.removesuffix(" s").replace(",", ""))
        assert len(f"{value:.12e}".split("e")[0].replace(".", "").strip("0")) <= 2
        at = offset(panel) + marker(panel, "makespan") * value / span
        assert at == pytest.approx(x, abs=0.02)


def test_the_picture_brings_nothing_from_anywhere(hand: tuple[Problem, Schedule]) -> None:
    text = svg_text(*hand)
    root = parsed(text)
    assert {element.tag for element in root.iter()} <= {
        *("svg", "title", "style", "rect", "text", "tspan", "g", "path"),
    }
    assert not re.search(r"href|url\(|@import|@font-face", text)
    assert text.count("http") == 1  # the name of SVG itself
    page = root.find("rect")
    assert page is not None
    assert (page.attrib["class"], page.attrib["width"]) == ("page", root.attrib["width"])
    style = root.findtext("style") or ""
    assert style.count(".page{fill:") == 2  # light, and
    assert "@media(prefers-color-scheme:dark){" in style
    inside = style.replace("@media(prefers-color-scheme:dark){", "").replace("}}", "}")
    selectors = [one for rule in inside.split("}")[:-1] for one in rule.split("{")[0].split(",")]
    assert all(one.startswith(".schedules ") for one in selectors)


NASTY = [
    "</title><script>alert(1)</script>",
    "a & b < c > d \" e ' f",
    "]]>",
    "bell \x07 and null \0",
    "lone \ud800 surrogate",
    "\ufffe",
    "line\nbreak",
    "zażółć ☃ 🦀",
    "",
    "x" * 10_000,
]


def test_names_are_escaped_and_cut(tmp_path: Path) -> None:
    n = len(NASTY)
    problem = make_problem(
        machines=make_machines(n, ids=NASTY), work=np.ones(n), task_ids=NASTY, name=NASTY[0]
    )
    schedule = make_schedule("</g>&\ud800", range(n), np.zeros(n), np.ones(n))
    write_svg(tmp_path / "s.svg", problem, schedule)
    text = (tmp_path / "s.svg").read_text(encoding="utf-8")
    root = parsed(text)
    titles = [bar.findtext("title") or "" for bar in bars(panels(root)[0])]
    shown = [title.removesuffix(": 0 s to 1 s") for title in titles]
    assert shown[:3] == NASTY[:3]
    assert shown[3:9] == [
        r"bell \x07 and null \x00",
        r"lone \ud800 surrogate",
        r"\ufffe",
        "line break",
        "zażółć ☃ 🦀",
        "",
    ]
    assert shown[9] == "x" * 39 + "…"
    assert next(root.iter("tspan")).text == r"</g>&\ud800"
    assert root.find(".//script") is None
    assert len(text) < 20_000


@given(names=st.lists(st.text(), min_size=1, max_size=8, unique=True))
def test_any_name_can_be_read_back(names: list[str]) -> None:
    problem = make_problem(
        machines=make_machines(1), work=np.ones(len(names)), task_ids=names, name=names[0]
    )
    (panel,) = panels(parsed(svg_text(problem, heft(problem))))
    titles = [bar.findtext("title") or "" for bar in bars(panel)]
    for name, title in zip(names, titles, strict=True):
        if name.isprintable() and len(name) <= 40 and name == " ".join(name.split()):
            assert title.startswith(f"{name}: ")


def test_tasks_and_schedules_without_length_are_drawn() -> None:
    problem = make_problem(machines=make_machines(1), work=[0.0, 0.0])
    (panel,) = panels(parsed(svg_text(problem, heft(problem))))
    assert marker(panel, "makespan") == 0
    assert [number(bar, "x") for bar in bars(panel)] == [0, 0]
    assert all(number(bar, "width") > 0.5 for bar in bars(panel))
    for finish in (5e-324, 1e-301, 2.3e-308, 1e300):
        text = svg_text(problem, make_schedule("hand", [0, 0], [0, 0], [0, finish]))
        assert "nan" not in text
        assert "inf" not in text
        assert all(number(bar, "width") < svg.WIDTH for bar in bars(panels(parsed(text))[0]))


@pytest.mark.parametrize("machines", [8, 188, 1_500])
def test_many_tasks_make_a_small_file(machines: int) -> None:
    spec = GeneratorSpec(family="layered", tasks=20_000, machines=machines, width=400)
    problem = generate(spec, 1)
    schedules = [heft(problem), cpop(problem)]
    text = svg_text(problem, *schedules)
    assert len(text.encode()) < LARGEST_FILE
    assert text == svg_text(problem, *schedules)
    root = parsed(text)
    for panel, schedule in zip(panels(root), schedules, strict=True):
        assert bars(panel) == []
        (cells,) = panel.findall("g[@class='cells']")
        strokes = [
            tuple(map(int, stroke))
            for path in cells
            for stroke in re.findall(r"M(\d+) (\d+)h(\d+)", path.attrib["d"])
        ]
        rows = {row for _, row, _ in strokes}
        used = np.unique(np.arange(machines)[schedule.proc] * min(machines, 180) // machines)
        assert rows <= set(used.tolist())
        assert len(rows) > 0.9 * used.size  # some run too little to be seen
    heights = [number(root, "height")]
    assert max(heights) < 1_200


@pytest.mark.parametrize("tasks", [svg.MAX_NAMED, svg.MAX_NAMED + 1, svg.MAX_BARS])
def test_up_to_thousands_every_task_has_its_bar(tasks: int) -> None:
    names = [f"{'a name that is rather long':40}{i}" for i in range(tasks)]
    problem = make_problem(machines=make_machines(5), work=np.ones(tasks), task_ids=names)
    text = svg_text(problem, heft(problem))
    (panel,) = panels(parsed(text))
    assert len(bars(panel)) == tasks
    assert bool(panel.findall("rect/title")) == (tasks <= svg.MAX_NAMED)
    assert len(text.encode()) < LARGEST_FILE
    two = parsed(svg_text(problem, heft(problem), heft(problem)))
    assert bool(bars(panels(two)[0])) == (2 * tasks <= svg.MAX_BARS)


def test_cells_show_how_busy_rows_are() -> None:
    # Two machines share the first row. Columns of 1 s; the last is half filled on the third.
    schedule = make_schedule("hand", [0, 1, 0, 2, 2], [0, 0, 2, 0, 3], [2, 2, 4, 3, 3.5])
    kind = np.array([0, 1, 0, 1, 0], dtype=np.uint8)
    row_of = np.array([0, 0, 1])
    (runs,) = busy_runs([schedule], kind, row_of, 4.0, 4, 100)
    assert runs.columns == 4
    drawn = list(zip(*(column.tolist() for column in runs[1:]), strict=True))
    full, half = len(SHADES), 2
    # Each with its row, first column, length, kind and shade.
    assert drawn == [(0, 0, 2, 0, full), (0, 2, 2, 0, half), (1, 0, 3, 1, full), (1, 3, 1, 0, half)]
    (coarse,) = busy_runs([schedule], kind, row_of, 4.0, 4, 2)
    assert coarse.columns == 1
    assert coarse.row.tolist() == [0, 1]
    both = busy_runs([schedule, schedule], kind, row_of, 4.0, 4, 7)
    assert [runs.columns for runs in both] == [2, 2]


def strokes(panel: Element, kind: str) -> list[tuple[float, ...]]:
    """Return the numbers of each part of a panel's one path of that class."""
    (path,) = panel.findall(f"path[@class='{kind}']")
    return [
        tuple(map(float, re.findall(r"-?[\d.]+", part))) for part in path.attrib["d"].split("M")[1:]
    ]


def test_the_critical_chain_is_outlined() -> None:
    problem = topcuoglu()
    (panel,) = panels(parsed(svg_text(problem, heft(problem))))
    found = strokes(panel, "chain")
    lines, boxes = found[:3], found[3:]
    end = marker(panel, "makespan")
    times = [(round(x0 / end * 80, 1), round(x1 / end * 80, 1)) for x0, _, x1, _ in lines]
    assert times == [(9, 18), (42, 57), (62, 73)]  # transfers of 1 to 4, 6 to 8, 8 to 10
    outlined = [bars(panel)[i] for i in (0, 3, 5, 7, 9)]
    for (x, y, w, h, _), bar in zip(boxes, outlined, strict=True):
        assert number(bar, "x") <= x <= x + w <= number(bar, "x") + number(bar, "width")
        assert number(bar, "y") <= y <= y + h <= number(bar, "y") + number(bar, "height")


def test_groups_stand_together_under_their_label() -> None:
    problem = make_problem(machines=make_machines(4), work=np.ones(4))
    schedule = make_schedule("hand", range(4), np.zeros(4), np.ones(4))
    text = svg_text(problem, schedule, groups=["b", "a", "b", "a"])
    (panel,) = panels(parsed(text))
    names = [(name.text, number(name, "y")) for name in panel.findall("text[@class='soft end']")]
    tops = [number(bar, "y") for bar in bars(panel)]
    assert [label for label, _ in names] == ["b", "a"]
    assert tops[0] < tops[2] < tops[1] < tops[3]
    assert tops[0] < names[0][1] < tops[1] < names[1][1]
    assert len(strokes(panel, "border")) == 1
    with pytest.raises(InvalidInput, match="2 labels of groups for 4 machines"):
        svg_text(problem, schedule, groups=["a", "b"])
    many = make_problem(machines=make_machines(400), work=np.ones(4))
    spread = make_schedule("hand", range(4), np.zeros(4), np.ones(4))
    root = parsed(svg_text(many, spread, groups=[f"n{m // 48}" for m in range(400)]))
    labels = panels(root)[0].findall("text[@class='soft end']")
    assert [label.text for label in labels] == [f"n{k}" for k in range(9)]


def test_kinds_can_be_given(hand: tuple[Problem, Schedule]) -> None:
    root = parsed(svg_text(*hand, kinds={"load_2": "plot"}))
    assert [bar.attrib["class"] for bar in bars(panels(root)[0])] == ["k1", "k0", "k0"]


# What people see who lack a cone: Machado, Oliveira, Fernandes (2009), doi:10.1109/TVCG.2009.113,
# table 1, severity 1; of linear RGB.
SEEN = {
    "all": np.eye(3),
    "no red": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "no green": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "no blue": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}
XYZ = [
    [0.4124564, 0.3575761, 0.1804375],
    [0.2126729, 0.7151522, 0.0721750],
    [0.0193339, 0.1191920, 0.9503041],
]
WHITE = [0.95047, 1.0, 1.08883]


@pytest.mark.parametrize("eyes", SEEN)
def test_everybody_can_tell_the_colours_apart(eyes: str) -> None:
    def lab(colour: str) -> np.ndarray:
        value = np.array([int(colour[k : k + 2], 16) for k in (1, 3, 5)]) / 255
        linear = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
        ratio = np.array(XYZ) @ np.clip(np.array(SEEN[eyes]) @ linear, 0, 1) / WHITE
        x, y, z = np.where(ratio > 0.008856, np.cbrt(ratio), 7.787 * ratio + 16 / 116)
        return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])

    seen = [lab(colour) for colour, _ in COLOURS]
    distances = [np.linalg.norm(a - b) for a, b in itertools.combinations(seen, 2)]
    assert min(distances) > 16  # CIE 1976; what can just be noticed is about 2
