"""The Gantt page in a real browser: what it shows, and what clicks, the wheel and keys do."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np
import pytest

from deepsched.baselines.chain import critical_chain
from deepsched.baselines.cpop import cpop
from deepsched.baselines.generate import GeneratorSpec, generate
from deepsched.baselines.heft import heft
from deepsched.baselines.machines import make_machines
from deepsched.baselines.problem import make_problem
from deepsched.baselines.schedule import make_schedule
from deepsched.baselines.writers import write_gantt, write_svg
from deepsched.baselines.writers.palette import COLOURS
from tests.baselines.test_reference_values import topcuoglu

if TYPE_CHECKING:
    from pathlib import Path

    from deepsched.baselines.problem import Problem
    from deepsched.baselines.schedule import Schedule
    from tests.browser import Browser

WIDTHS = [1300, 600]  # px
INK = "#1f2328"  # the colour of text on light pages


@pytest.fixture(scope="module")
def solved() -> tuple[Problem, Schedule, Schedule]:
    """Return two kinds of task on three machines, and two schedules of them."""
    problem = topcuoglu()
    named = make_problem(
        machines=problem.machines,
        etc=problem.etc,
        edges=problem.edge_list(),
        task_ids=[f"{'load' if i % 2 else 'plot'}_{i}" for i in range(problem.n_tasks)],
        name="named",
    )
    return named, heft(named), cpop(named)


@pytest.fixture
def page(browser: Browser, solved: tuple[Problem, Schedule, Schedule], tmp_path: Path) -> Browser:
    """Open a page of both schedules."""
    write_gantt(tmp_path / "gantt.html", *solved)
    browser.open(tmp_path / "gantt.html")
    return browser


def text(page: Browser, selector: str) -> str:
    return page.run(f"document.querySelector({selector!r}).textContent")


def texts(page: Browser, selector: str) -> list[str]:
    return page.run(f"[...document.querySelectorAll({selector!r})].map((one) => one.textContent)")


def middle(page: Browser, selector: str) -> tuple[float, float]:
    """Return the middle of an element in the window."""
    box = page.run(f"document.querySelector({selector!r}).getBoundingClientRect().toJSON()")
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def bar(page: Browser, panel: int, task: int) -> tuple[float, float]:
    """Return the middle of a task's bar in the window."""
    x, y = page.run(
        f"(() => {{ const one = panels[{panel}], box = $('over').getBoundingClientRect(); "
        f"return [box.x + xOf(centre(one, {task})), box.y + middleOf(one, {task})]; }})()"
    )
    return x, y


def pixel(page: Browser, where: str, canvas: str = "base") -> str:
    """Return the colour of a canvas at an expression's [x, y]."""
    values = page.run(f"[...{canvas}.getImageData(...{where}, 1, 1).data]")
    return "#" + "".join(f"{value:02x}" for value in values[:3])


def filling(page: Browser, panel: int, task: int, canvas: str = "base") -> str:
    """Return the colour of a task's bar, a little above its middle, where no text is."""
    one = f"panels[{panel}]"
    at = f"[xOf(centre({one}, {task})), middleOf({one}, {task}) - row / 3.5]"
    return pixel(page, at, canvas)


def span(page: Browser) -> list[float]:
    """Return begin and end of the time that is shown, and of all, as the page says."""
    return [float(value) for value in re.findall(r"([\d.]+) s", text(page, "#shown"))]


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", WIDTHS)
def test_the_page_opens_without_complaint_in_every_window(
    width: int,
    dark: bool,
    browser: Browser,
    solved: tuple[Problem, Schedule, Schedule],
    tmp_path: Path,
) -> None:
    write_gantt(tmp_path / "gantt.html", *solved, seconds=[0.1, 0.2])
    browser.open(tmp_path / "gantt.html", width, dark=dark)
    assert browser.complaints() == []
    assert browser.run("document.documentElement.scrollWidth") <= width
    background = browser.run("getComputedStyle(document.body).backgroundColor")
    assert background == ("rgb(13, 17, 23)" if dark else "rgb(255, 255, 255)")
    assert pixel(browser, "[2, 2]") == ("#0d1117" if dark else "#ffffff")
    kinds = browser.run("[...kind]")
    for panel in (0, 1):
        for task in range(10):
            assert filling(browser, panel, task) == COLOURS[kinds[task]][0]
    right = browser.run("$('plot').getBoundingClientRect().right")
    beside = browser.run("$('dag').getBoundingClientRect().left") >= right
    assert beside is (width == WIDTHS[0])  # else below


def test_the_difference_is_named(page: Browser, solved: tuple[Problem, Schedule, Schedule]) -> None:
    _, first, second = solved
    percent = f"{100 * (second.makespan / first.makespan - 1):+.1f} %".replace("-", "−")
    assert text(page, "#differences") == (
        f"cpop {percent} against heft: {second.makespan:g} s instead of {first.makespan:g} s"
    )
    assert texts(page, ".panel b") == ["heft", "cpop"]
    assert f"{percent} against heft" in texts(page, ".panel")[1]


def test_a_click_on_the_legend_hides_a_kind_and_shows_it_again(page: Browser) -> None:
    kinds = page.run("[...kind]")
    assert texts(page, "#legend button") == ["load", "plot", "Show all"]
    pressed = "[...document.querySelectorAll('#legend button')].map((b) => b.ariaPressed)"
    assert text(page, "#shown").startswith("Shown: all 10 tasks, ")
    page.click(*middle(page, "#legend button"))
    assert page.run(pressed)[:2] == ["false", "true"]
    assert text(page, "#shown").startswith("Shown: 5 of 10 tasks, ")
    for panel in (0, 1):
        for task in range(10):
            shown = filling(page, panel, task) == COLOURS[kinds[task]][0]
            assert shown is (kinds[task] == 1)
    page.mouse("mouseMoved", *bar(page, 0, kinds.index(0)))
    page.settle()
    assert page.run("$('card').hidden")
    page.click(*middle(page, "#all"))
    assert page.run(pressed)[:2] == ["true", "true"]
    assert page.run("$('all').hidden")
    assert text(page, "#shown").startswith("Shown: all 10 tasks, ")


def test_zoom_and_pan_move_all_panels_together(
    page: Browser, solved: tuple[Problem, Schedule, Schedule]
) -> None:
    kinds, last = page.run("[...kind]"), max(solved[1].makespan, solved[2].makespan)
    assert span(page) == [0, last, last]
    task = int(np.abs(solved[2].ast + solved[2].aft - last).argmin())  # in the middle
    x, y = bar(page, 1, task)
    page.mouse("mouseWheel", x, y, deltaX=0, deltaY=-400)
    page.settle()
    begin, end, _ = span(page)
    assert end - begin < 0.5 * last
    assert bar(page, 1, task)[0] == pytest.approx(x, abs=1)  # what was pointed at stays
    for panel, schedule in enumerate(solved[1:]):
        seen = np.flatnonzero((schedule.ast > begin) & (schedule.aft < end)).tolist()
        assert seen
        assert all(filling(page, panel, i) == COLOURS[kinds[i]][0] for i in seen)
    page.mouse("mousePressed", x, y, button="left", clickCount=1)
    page.mouse("mouseMoved", x - 200, y, button="left", buttons=1)
    page.mouse("mouseReleased", x - 200, y, button="left", clickCount=1)
    page.settle()
    assert span(page)[0] > begin
    page.click(*middle(page, "#fit"))
    assert span(page) == [0, last, last]
    for name, smaller in (("#in", True), ("#out", False)):
        before = span(page)
        page.click(*middle(page, name))
        after = span(page)
        assert (after[1] - after[0] < before[1] - before[0]) is smaller


def test_the_chains_are_listed_and_outlined(
    page: Browser, solved: tuple[Problem, Schedule, Schedule]
) -> None:
    problem, *schedules = solved
    rows = page.run(
        "[...document.querySelectorAll('#chains details')].map((one) => "
        "[...one.querySelectorAll('tbody tr')].map((line) => "
        "[...line.cells].map((cell) => cell.textContent)))"
    )
    names, hosts = problem.task_ids, problem.machines.ids
    for listed, schedule in zip(rows, schedules, strict=True):
        expected = []
        for link in critical_chain(problem, schedule):
            what, why, host = names[link.task], link.reason, hosts[schedule.proc[link.task]]
            if link.step == "transfer":
                what, why = f"{names[link.parent]} → {what}", ""
                host = f"{hosts[schedule.proc[link.parent]]} → {host}"
            expected.append([f"{link.start:g}", f"{link.finish - link.start:g}", what, host, why])
        assert listed == expected
    last = "panels[0].links.at(-1).task"
    left_edge = f"[xAt(panels[0].start[{last}]) + 1, middleOf(panels[0], {last})]"
    assert pixel(page, left_edge) == INK
    page.click(*middle(page, "#chain"))
    assert pixel(page, left_edge) != INK
    page.press("c")
    assert pixel(page, left_edge) == INK
    page.run("document.querySelector('#chains td button').click()")
    page.settle()
    assert text(page, "#card h2") == names[critical_chain(problem, schedules[0])[0].task]


def test_the_graph_and_the_chart_point_at_the_same_task(
    page: Browser, solved: tuple[Problem, Schedule, Schedule]
) -> None:
    names = solved[0].task_ids
    at = page.run(
        "(() => { const box = $('dagover').getBoundingClientRect(), [x, y] = dagAt(0); "
        "return [box.x + x, box.y + y]; })()"
    )
    page.mouse("mouseMoved", *at)
    page.settle()
    assert text(page, "#card h2") == names[0]
    assert texts(page, "#card h3") == ["Parents: none", "Children: 5"]
    child = page.run("childrenOf(0)[0]")
    for panel in (0, 1):
        assert filling(page, panel, 0, "over") == INK
        assert filling(page, panel, child, "over") == "#0072b2"  # the colour of children
    page.mouse("mouseMoved", *bar(page, 1, child))
    page.settle()
    assert text(page, "#card h2") == names[child]
    for task, colour in ((child, INK), (0, "#b34700")):  # the colour of parents
        corner = f"[dagAt({task})[0] - dagBox()[0] / 2 + 2, dagAt({task})[1]]"
        assert pixel(page, corner, "dagOver") == colour


def test_keys_do_what_the_pointer_does(
    page: Browser, solved: tuple[Problem, Schedule, Schedule]
) -> None:
    problem, schedule, _ = solved
    unreachable = page.run(
        "[...document.querySelectorAll('button, input, canvas[tabindex], summary')]"
        ".filter((one) => one.offsetParent && one.tabIndex < 0).length"
    )
    assert unreachable == 0
    page.run("document.querySelector('#legend button').focus()")
    page.press(" ")
    assert text(page, "#shown").startswith("Shown: 5 of 10 tasks")
    page.press(" ")
    page.run("$('dagover').focus()")
    page.press("ArrowDown")
    assert text(page, "#card h2") == problem.task_ids[0]
    page.press("ArrowDown")
    assert text(page, "#card h2") == problem.task_ids[page.run("childrenOf(0)[0]")]
    page.press("ArrowUp")
    assert text(page, "#card h2") == problem.task_ids[0]
    page.press("Escape")
    assert page.run("$('card').hidden")
    page.run("$('over').focus()")
    page.press(".")
    row = page.run("panels[0].row[picked]")
    first = text(page, "#card h2")
    page.press(".")
    assert text(page, "#card h2") != first
    assert page.run("panels[0].row[picked]") == row
    page.press("/")
    assert page.run("document.activeElement.id") == "search"
    for letter in "load_3":
        page.press(letter)
    assert text(page, "#found") == "1 of 1"
    assert text(page, "#card h2") == "load_3"
    assert page.run("panels[0].machine[picked]") == schedule.proc[3]


def test_paper_is_white_and_keeps_the_legend(
    browser: Browser, solved: tuple[Problem, Schedule, Schedule], tmp_path: Path
) -> None:
    write_gantt(tmp_path / "gantt.html", *solved)
    browser.open(tmp_path / "gantt.html", dark=True)
    assert pixel(browser, "[2, 2]") == "#0d1117"
    browser.print(tmp_path / "page.pdf")
    assert (tmp_path / "page.pdf").read_bytes().startswith(b"%PDF")
    browser.settle()
    assert pixel(browser, "[2, 2]") == "#0d1117"  # the screen is dark again
    browser.send("Emulation.setEmulatedMedia", media="print")
    browser.run("dispatchEvent(new Event('beforeprint'))")
    assert pixel(browser, "[2, 2]") == "#ffffff"
    drawn = browser.run(
        "['#legend', '#marks', '#differences', '#chains', '#plot', '#dag', '.tools', '#keys']"
        ".map((one) => document.querySelector(one).getBoundingClientRect().height > 0)"
    )
    assert drawn == [True] * 6 + [False] * 2
    swatch = "document.querySelector('#legend button'), '::before'"
    assert browser.run(f"getComputedStyle({swatch}).printColorAdjust") == "exact"
    assert browser.run("$('plot').clientWidth") < 980  # letter paper, turned, has 981
    browser.run("dispatchEvent(new Event('afterprint'))")
    browser.send("Emulation.setEmulatedMedia", media="")
    assert browser.complaints() == []


@pytest.mark.parametrize("count", [1, 2])
def test_the_page_says_whose_schedule_was_kept(
    count: int, browser: Browser, solved: tuple[Problem, Schedule, Schedule], tmp_path: Path
) -> None:
    problem, first, _ = solved
    kept = make_schedule("deepsched", first.proc, first.ast, first.aft, winner="heft")
    write_gantt(tmp_path / "gantt.html", problem, *[first, kept][-count:])
    browser.open(tmp_path / "gantt.html")
    where, words = ("#summary", "schedule keptheft's"), (".panel:last-of-type", "(heft's is kept)")
    selector, said = where if count == 1 else words
    assert said in " ".join(texts(browser, selector))
    assert browser.complaints() == []


def test_machines_of_a_group_stand_together(browser: Browser, tmp_path: Path) -> None:
    problem = make_problem(machines=make_machines(4), work=np.ones(4))
    schedule = make_schedule("hand", range(4), np.zeros(4), np.ones(4))
    write_gantt(tmp_path / "gantt.html", problem, schedule, groups=["b", "a", "b", "a"])
    browser.open(tmp_path / "gantt.html")
    tops = [bar(browser, 0, task)[1] for task in range(4)]
    assert tops[0] < tops[2] < tops[1] < tops[3]
    browser.mouse("mouseMoved", *bar(browser, 0, 1))
    browser.settle()
    assert text(browser, "#card h2") == "t1"
    assert texts(browser, "#card p")[0] == "m1 of a · task"
    assert browser.run("$('dag').hidden")  # no edges, no graph
    assert browser.complaints() == []


@pytest.mark.parametrize("tasks", [2_000, 84_654])
def test_large_problems_are_drawn(tasks: int, browser: Browser, tmp_path: Path) -> None:
    spec = GeneratorSpec(family="layered", tasks=tasks, machines=188, width=400)
    problem = generate(spec, 1)
    write_gantt(tmp_path / "gantt.html", problem, heft(problem))
    browser.open(tmp_path / "gantt.html")
    assert browser.complaints() == []
    assert browser.run("$('dag').hidden") is (tasks > 2_000)
    coloured = browser.run(
        "(() => { const all = base.getImageData(gutter, AXIS, width - gutter, room()).data; "
        "let found = 0; for (let k = 0; k < all.length; k += 4) found += all[k] < 200; "
        "return found / (all.length / 4); })()"
    )
    assert coloured > 0.05
    browser.run("reveal(1234)")
    browser.settle()
    assert text(browser, "#card h2") == problem.task_ids[1234]
    assert filling(browser, 0, 1234, "over") == INK
    assert browser.complaints() == []


def test_hostile_names_do_nothing(browser: Browser, tmp_path: Path) -> None:
    names = ["</script><script>window.broken = 1</script>", "<img src=x onerror=broken()>", "\0"]
    problem = make_problem(
        machines=make_machines(1, ids=["<b>m"]),
        work=[1, 2, 3],
        edges=([0, 1], [1, 2], [0, 0]),
        task_ids=names,
        name="</title><script>window.broken = 1</script>",
    )
    write_gantt(tmp_path / "gantt.html", problem, heft(problem), kinds={names[0]: "<i>kind"})
    browser.open(tmp_path / "gantt.html")
    assert browser.run("window.broken") is None
    assert text(browser, "#title") == f"{problem.name} · heft"
    assert "<i>kind" in texts(browser, "#legend button")
    browser.run("reveal(1)")
    browser.settle()
    assert text(browser, "#card h2") == names[1]
    assert texts(browser, "#chains td button")[:2] == names[:2]
    assert browser.complaints() == []


@pytest.mark.parametrize("finish", [0.0, 1e-300, 5e-324, 1e300])
def test_any_length_of_time_is_drawn(finish: float, browser: Browser, tmp_path: Path) -> None:
    problem = make_problem(machines=make_machines(1), work=[0.0, 0.0])
    schedule = make_schedule("hand", [0, 0], [0, 0], [0, finish])
    write_gantt(tmp_path / "gantt.html", problem, schedule)
    browser.open(tmp_path / "gantt.html")
    browser.run("zoomTime(2)")
    assert browser.complaints() == []


def test_the_picture_has_no_complaint_either(
    browser: Browser, solved: tuple[Problem, Schedule, Schedule], tmp_path: Path
) -> None:
    write_svg(tmp_path / "s.svg", *solved)
    browser.open(tmp_path / "s.svg")
    assert browser.complaints() == []
    assert browser.run("document.querySelectorAll('.panel > rect').length") == 20
