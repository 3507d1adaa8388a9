"""The service's page in a real browser: what it asks, what it shows, and how it is worked."""

from __future__ import annotations

import gzip
import json
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from deepsched.baselines.cpop import cpop
from deepsched.baselines.generate import GeneratorSpec, generate
from deepsched.baselines.heft import heft
from deepsched.baselines.machines import make_machines
from deepsched.baselines.problem import make_problem
from deepsched.baselines.readers import ReadOptions, problem_document, problem_from_bytes
from deepsched.baselines.writers import write_csv, write_json, write_trace
from deepsched.pipeline.serving.pages import PAGE
from tests.pipeline.page_service import SECONDS, VERSION, answer_to, serving_page

if TYPE_CHECKING:
    from collections.abc import Iterator

    from deepsched.baselines.problem import Problem
    from tests.browser import Browser
    from tests.pipeline.page_service import Service

PATIENCE = 60.0  # s until a page shows what is waited for
WIDTHS = [1300, 600, 400]  # px
LIGHT = {"card": "#ffffff", "parent": "#b34700", "child": "#0072b2", "text": "#1b2127"}
DATA = Path(__file__).parents[1] / "data"


@pytest.fixture
def service() -> Iterator[Service]:
    with serving_page() as running:
        yield running


@pytest.fixture
def page(browser: Browser, service: Service) -> Browser:
    """Open the page and wait until it knows the schedulers."""
    visit(browser, service)
    return browser


@pytest.fixture
def shown(page: Browser) -> Browser:
    """Show the example's schedules, of the stand-in for the network and of HEFT."""
    click(page, "#first")
    until(page, "document.querySelectorAll('.chart').length === 2 && $id('stop').hidden")
    return page


def visit(page: Browser, service: Service, place: str = "", **window: Any) -> None:
    page.open("about:blank")  # another tab's token is not this one's
    page.open(service.url + place, **window)
    until(page, "document.querySelector('#schedulers input') || $id('asking').open")


def until(page: Browser, script: str) -> None:
    """Wait until an expression of the page is true; `$id` is short for what it looks for."""
    full = script.replace("$id(", "document.getElementById(")
    end = time.monotonic() + PATIENCE
    while not page.run(f"Boolean({full})"):
        assert time.monotonic() < end, (script, page.run("document.body.innerText"))
        time.sleep(0.02)
    page.settle()


def text(page: Browser, selector: str) -> str:
    """Return what an element says, as if written with plain spaces."""
    found: str = page.run(f"document.querySelector({selector!r}).textContent")
    return re.sub(r"\s+", " ", found).strip()


def texts(page: Browser, selector: str) -> list[str]:
    found = page.run(f"[...document.querySelectorAll({selector!r})].map((one) => one.textContent)")
    return [re.sub(r"\s+", " ", one).strip() for one in found]


def seen(page: Browser, selector: str) -> bool:
    return bool(page.run(f"document.querySelector({selector!r}).checkVisibility()"))


def click(page: Browser, selector: str) -> None:
    page.run(f"document.querySelector({selector!r}).click()")
    page.settle()


def paste(page: Browser, document: str) -> None:
    page.run(
        "(() => { const box = document.getElementById('text'); "
        f"box.value = {json.dumps(document)}; box.dispatchEvent(new Event('input')); }})()"
    )


def fill(page: Browser, **fields: object) -> None:
    for name, value in fields.items():
        page.run(f"document.getElementById({name!r}).value = {str(value)!r}")


def drop(page: Browser, name: str, content: bytes) -> None:
    page.run(
        "(() => { const held = new DataTransfer(); "
        f"held.items.add(new File([new Uint8Array({list(content)})], {json.dumps(name)})); "
        "for (const kind of ['dragenter', 'dragover', 'drop']) document.body.dispatchEvent("
        "new DragEvent(kind, { bubbles: true, cancelable: true, dataTransfer: held })); })()"
    )
    until(page, "$id('source').textContent")


def choose(page: Browser, *names: str) -> None:
    page.run(
        "for (const box of document.querySelectorAll('fieldset input')) "
        f"box.checked = {list(names)!r}.includes(box.value)"
    )


def schedule(page: Browser, charts: int) -> None:
    click(page, "#schedule")
    until(page, f"document.querySelectorAll('.chart').length === {charts} && $id('stop').hidden")


def refused(page: Browser) -> str:
    """Schedule, and return the line that says why there is none."""
    click(page, "#schedule")
    until(page, "!$id('message').hidden")
    return text(page, "#message-text")


def faults(page: Browser) -> list[str]:
    """Return what the console has beside the answers that were meant to be errors."""
    return [line for line in page.complaints() if "Failed to load resource" not in line]


def chart_at(page: Browser, script: str) -> Any:
    """Return an expression of the chart's module, of which `c` are the charts."""
    return page.run(
        f"import('{page.run('location.origin')}/static/chart.js')"
        f".then((m) => {{ const c = m.charts; return {script}; }})"
    )


def bar(page: Browser, chart: int, task: int) -> tuple[float, float]:
    """Return the middle of a task's bar in the window."""
    x, y = chart_at(
        page,
        f"(() => {{ const box = c[{chart}].stick.getBoundingClientRect(); "
        f"const [x, y] = m.middleOf(c[{chart}], {task}); return [box.x + x, box.y + y]; }})()",
    )
    return x, y


def hover(page: Browser, chart: int, task: int) -> None:
    page.run("document.getElementById('charts').scrollIntoView()")
    page.mouse("mouseMoved", *bar(page, chart, task))
    page.settle()


def tint(page: Browser, chart: int, task: int, canvas: str = "over") -> str:
    """Return the colour of a task's bar, near its upper edge, where no text is."""
    values = chart_at(
        page,
        f"((one) => {{ const [x, y] = m.middleOf(one, {task}); "
        f"return [...one.{canvas}.getImageData(x, y - one.row / 3, 1, 1).data]; }})(c[{chart}])",
    )
    return "#" + "".join(f"{value:02x}" for value in values[:3])


def example() -> Problem:
    """Return the page's example, on as many machines as the page says."""
    content = (PAGE / "example.json").read_bytes()
    return problem_from_bytes(content, "example", ReadOptions(n_machines=4))


def odd_names() -> Problem:
    """Return a problem whose names try what names can try; its tasks do not all arrive at 0."""
    names = ["<script>window.broken = 1</script>", "<img src=x onerror='window.broken = 1'>"]
    return make_problem(
        machines=make_machines(2, ids=["<b>m", "=2+3"]),
        work=[1.25, 2, 3, 1e-7],
        edges=([0, 1, 0], [1, 2, 2], [0, 10, 5]),
        task_ids=[*names, '@a, "b"; c', "größe\u2028\U0001f680"],
        arrival=[0, 0.5, 0, 1 / 3],
        name="odd names",
    )


def document_of(problem: Problem) -> str:
    return json.dumps(problem_document(problem))


def test_the_example_shows_two_schedules_and_their_figures(page: Browser, service: Service) -> None:
    assert seen(page, "#first")
    assert not seen(page, "#found")
    click(page, "#first")
    until(page, "document.querySelectorAll('.chart').length === 2")
    assert not seen(page, "#empty")
    assert service.queries() == [
        {"machines": "4", "scheduler": name, "edges": "true"} for name in ("deepsched", "heft")
    ]
    ours, theirs = (answer_to(example(), name) for name in ("deepsched", "heft"))
    assert ours["makespan"] < theirs["makespan"]
    saved = f"{100 * (1 - ours['makespan'] / theirs['makespan']):.1f} %"
    assert text(page, "#headline") == (
        f"deepsched finishes in {ours['makespan']:.5g} s, {saved} sooner than HEFT "
        f"({theirs['makespan']:.5g} s)."
    )
    assert text(page, "#bound") == (
        f"sky mosaic: 25 tasks on 4 machines. No schedule can be shorter than "
        f"{ours['lower_bound']:.5g} s."
    )
    assert texts(page, "#figures tbody th") == ["deepsched ★", "heft"]
    assert texts(page, "#figures tbody tr:first-child td")[:7] == [
        f"{ours['makespan']:.5g} s",
        f"{ours['makespan'] / theirs['makespan']:.3f} −{saved}",
        f"+{100 * (ours['makespan'] / ours['lower_bound'] - 1):.1f} %",
        f"{ours['mean_turnaround']:.5g} s",
        f"{1000 * SECONDS:g} ms",
        "deepsched",
        f"deepsched {VERSION[:8]}",
    ]
    assert texts(page, "#figures tbody tr:last-child td")[5:7] == ["heft", "–"]
    one, other = chart_at(page, "c.map((one) => m.xOf(one, 50) - m.xOf(one, 0))")
    assert one == other > 0  # one axis
    tops = page.run("[...document.querySelectorAll('.chart')].map((one) => one.offsetTop)")
    assert tops[0] == tops[1]
    assert faults(page) == []


def test_a_file_is_dropped_or_chosen_and_sent_as_it_is(page: Browser, service: Service) -> None:
    dax = (DATA / "workflow.dax").read_bytes()
    drop(page, "workflow.dax", dax)
    assert text(page, "#source").startswith("workflow · 1.1 kB")
    schedule(page, 2)
    packed = gzip.compress((DATA / "tiny.stg").read_bytes())
    drop(page, "tiny.stg.gz", packed)
    assert text(page, "#source").startswith("tiny.stg.gz · ")
    schedule(page, 2)
    assert text(page, "#bound").startswith("tiny: ")
    root = page.send("DOM.getDocument")["root"]["nodeId"]
    field = page.send("DOM.querySelector", nodeId=root, selector="#file")["nodeId"]
    wfformat = DATA / "wfformat.json"
    page.send("DOM.setFileInputFiles", nodeId=field, files=[str(wfformat)])
    until(page, "$id('source').textContent.startsWith('wfformat')")
    assert "4 tasks" in text(page, "#source")
    schedule(page, 2)
    posted = [one for one in service.asked if one.method == "POST"]
    assert [one.body for one in posted[::2]] == [dax, packed, wfformat.read_bytes()]
    any_type = "application/octet-stream"
    assert [one.kind for one in posted[::2]] == [any_type, any_type, "application/json"]
    assert faults(page) == []


@pytest.mark.parametrize("wrong", ['{"tasks": [}', "[1, 2]", '{"a": 1}', "no workflow"])
def test_what_is_no_workflow_is_one_line(wrong: str, page: Browser) -> None:
    paste(page, wrong)
    line = refused(page)
    assert line.startswith("request body: ")
    assert "\n" not in page.run("document.getElementById('message-text').textContent")
    assert not seen(page, "#found")
    assert not seen(page, "#again")
    drop(page, "x.json", wrong.encode())
    assert refused(page) == line
    assert faults(page) == []


def test_nothing_to_schedule_and_nobody_to_do_it_are_said(page: Browser, service: Service) -> None:
    assert "no workflow yet" in refused(page)
    assert page.run("document.activeElement.id") == "text"
    paste(page, "{}")
    choose(page)
    assert refused(page) == "Choose a scheduler first."
    choose(page, "heft")
    fill(page, machines="0")
    assert refused(page).startswith("Number: ")
    assert service.queries() == []


def test_machines_of_the_document_close_their_fields(page: Browser, service: Service) -> None:
    off = "['machines', 'machine_seed', 'noise'].map((id) => document.getElementById(id).disabled)"
    assert page.run(off) == [False] * 3
    fill(page, machines=8, noise=0.5, machine_seed=3)
    paste(page, document_of(odd_names()))  # with work, on which noise acts
    assert page.run(off) == [True, True, False]
    assert text(page, "#own") == "The document brings its own 2 machines."
    paste(page, (DATA / "topcuoglu.json").read_text())
    assert page.run(off) == [True] * 3
    assert text(page, "#own") == "The document brings its own 3 machines, and times on each."
    schedule(page, 2)
    assert service.queries()[-1] == {"scheduler": "heft", "edges": "true"}
    click(page, "#clear")
    assert page.run(off) == [False] * 3
    assert not seen(page, "#own")


def test_the_form_becomes_the_query(page: Browser, service: Service) -> None:
    paste(page, (PAGE / "example.json").read_text())
    fill(page, machines=3, machine_seed=5, noise=0.2, bandwidth="1e9", samples=64, budget=0.5)
    schedule(page, 2)
    both = {"machines": "3", "machine_seed": "5", "noise_seed": "5", "noise": "0.2"}
    both |= {"bandwidth": "1e9", "edges": "true"}
    network = {"samples": "64", "budget": "0.5"}
    assert service.queries() == [
        {**both, "scheduler": "deepsched", **network},
        {**both, "scheduler": "heft"},
    ]
    choose(page, "peft")
    page.run("document.getElementById('schedulers').dispatchEvent(new Event('change'))")
    assert page.run("document.getElementById('samples').disabled")


def test_pointing_shows_a_task_and_its_relatives_in_every_chart(shown: Browser) -> None:
    problem, found = example(), heft(example())
    parents, children, _ = problem.edge_list()
    task = problem.task_ids.index("model_background")
    kin = {int(i): LIGHT["parent"] for i in parents[children == task]}
    kin |= {int(i): LIGHT["child"] for i in children[parents == task]}
    assert len(set(kin.values())) == 2
    hover(shown, 1, task)
    assert text(shown, "#card h4") == "model_background"
    machine = problem.machines.ids[found.proc[task]]
    times = f"{found.ast[task]:.7g} s to {found.aft[task]:.7g} s"
    assert text(shown, "#card .here") == f"heft: {machine}, {times}"
    assert text(shown, "#card .parents") == "Parents: fit_planes"
    assert text(shown, "#card .children") == (
        "Children: correct_1, correct_2, correct_3, correct_4 and 2 more"
    )
    for chart in (0, 1):
        assert tint(shown, chart, task) == LIGHT["text"]
        assert {i: tint(shown, chart, i) for i in kin} == kin
    shown.mouse("mouseMoved", 2, 2)
    shown.settle()
    assert not seen(shown, "#card")
    assert tint(shown, 0, task) == "#000000"  # nothing is drawn there
    assert faults(shown) == []


def test_a_click_keeps_a_task_until_escape(shown: Browser) -> None:
    hover(shown, 0, 3)
    shown.click(*bar(shown, 0, 3))
    shown.mouse("mouseMoved", 2, 2)
    shown.settle()
    assert text(shown, "#card h4") == example().task_ids[3]
    shown.press("Escape")
    assert not seen(shown, "#card")


def test_keys_walk_along_a_machine_and_to_others(shown: Browser) -> None:
    problem, found = example(), heft(example())
    ids = problem.task_ids
    first = [i for i in found.ast.argsort(kind="stable") if found.proc[i] == 0]
    shown.run("document.querySelectorAll('.chart .over')[1].focus()")

    def walk(*keys: str) -> list[str]:
        names = []
        for key in keys:
            shown.press(key)
            names.append(text(shown, "#card h4"))
        return names

    assert walk("ArrowRight", "ArrowRight", "End", "ArrowRight", "ArrowLeft", "Home") == [
        ids[first[place]] for place in (0, 1, -1, -1, -2, 0)
    ]
    assert walk("ArrowLeft", "ArrowUp") == [ids[first[0]]] * 2
    below = walk("ArrowDown")[0]
    assert found.proc[ids.index(below)] == 1
    assert walk("c", "p") == ["difference_1", "project_1"]
    task = ids.index("project_1")
    assert text(shown, "#said") == (
        f"project_1, on {problem.machines.ids[found.proc[task]]}, {found.ast[task]:.7g} s to "
        f"{found.aft[task]:.7g} s, 0 parents, 3 children"
    )
    shown.press("+")
    assert text(shown, "#shown").endswith(" s")
    shown.press("0")
    assert text(shown, "#shown") == ""
    shown.press("Escape")
    assert not seen(shown, "#card")


def test_everything_has_a_name_and_shows_that_it_has_the_focus(shown: Browser) -> None:
    worked = {"button", "textbox", "spinbutton", "checkbox", "combobox", "application", "link"}
    nodes = shown.send("Accessibility.getFullAXTree")["nodes"]
    found = [one for one in nodes if one.get("role", {}).get("value") in worked]
    assert len(found) > 20
    assert [one for one in found if not one["name"]["value"].strip()] == []
    outline = (
        "[...document.querySelectorAll('button, input, select, textarea, a, summary')]"
        ".filter((one) => one.checkVisibility() && !one.disabled).map((one) => { "
        "one.focus({ focusVisible: true }); "
        "return getComputedStyle(one.closest('.button') ?? one).outlineStyle; })"
    )
    assert set(shown.run(outline)) == {"solid"}


def test_a_job_draws_its_steps_and_joins_the_others_at_the_end(
    shown: Browser, service: Service
) -> None:
    fill(shown, job_budget=7)
    click(shown, "#run")
    until(shown, "$id('job-state').textContent === 'running'")
    [query] = service.queries("/v1/jobs")
    assert query == {"machines": "4", "scheduler": "deepsched", "edges": "true", "budget": "7"}
    assert shown.run("document.getElementById('run').disabled")
    until(shown, "document.querySelectorAll('.chart').length === 3")
    best = answer_to(example(), "deepsched")
    assert text(shown, "#job-state") == "done"
    assert text(shown, "#job-about") == "deepsched · 25 tasks on 4 machines"
    saved = f"{100 * (1 - best['makespan'] / best['heft_makespan']):.1f} %"
    assert text(shown, "#job-best") == (
        f"Best makespan: {best['makespan']:.5g} s (HEFT {best['heft_makespan']:.5g} s, −{saved})"
    )
    steps = shown.run("document.getElementById('curve').ariaLabel").replace("\u00a0", " ")
    values = [float(value) for value in re.findall(r"([\d.]+) s after", steps)]
    assert values == sorted(values, reverse=True)
    assert len(values) == 4
    assert texts(shown, "#figures tbody th")[2] == "deepsched, job of 2 s ★"
    assert not seen(shown, "#cancel")
    assert not shown.run("document.getElementById('run').disabled")
    assert faults(shown) == []


def steps_drawn(page: Browser) -> list[int]:
    """Return how high the curve stands at each tenth of its canvas, px from below; 0: not there."""
    heights: list[int] = page.run(
        "(() => { const { width, height } = curve, context = curve.getContext('2d'), found = []; "
        "for (let k = 1; k < 10; k++) { "
        "const data = context.getImageData(Math.round((width * k) / 10), 0, 1, height).data; "
        "let y = 0; while (y < height && "
        "!(data[4 * y + 3] > 200 && data[4 * y] < 30 && data[4 * y + 2] > 150)) y++; "
        "found.push(height - y); } return found; })()"
    )
    return heights


def test_the_curve_goes_down_in_steps_and_a_cancelled_job_has_no_schedule(
    page: Browser, service: Service
) -> None:
    service.patient = True
    paste(page, (PAGE / "example.json").read_text())
    fill(page, job_budget=2)
    click(page, "#run")
    until(
        page,
        "$id('job-best').textContent.includes('so far') && "
        "/(after.*){4}/.test($id('curve').ariaLabel)",
    )
    heights = [height for height in steps_drawn(page) if height]
    assert len(set(heights)) > 1
    assert heights == sorted(heights, reverse=True)
    click(page, "#cancel")
    until(page, "$id('job-state').textContent === 'cancelled' && !$id('run').disabled")
    assert [one.path for one in service.asked if one.method == "DELETE"] == ["/v1/jobs/j0"]
    assert not seen(page, "#found")
    assert not seen(page, "#cancel")
    assert faults(page) == []


def test_a_job_is_watched_on_after_the_page_was_closed(page: Browser, service: Service) -> None:
    service.patient = True
    paste(page, (PAGE / "example.json").read_text())
    click(page, "#run")
    until(page, "$id('job-state').textContent === 'running'")
    place = page.run("location.hash")
    assert place == "#job=j0"
    service.patient = False
    visit(page, service, place)
    until(page, "document.querySelectorAll('.chart').length === 1")
    assert text(page, "#job-state") == "done"
    visit(page, service, "#job=gone")
    until(page, "!$id('message').hidden")
    assert text(page, "#message-text") == "there is nothing here"
    assert page.run("location.hash") == ""


def save(page: Browser, folder: Path, title: str) -> Path:
    """Press a schedule's button and return the file that it saves."""
    page.send("Page.setDownloadBehavior", behavior="allow", downloadPath=str(folder))
    click(page, f"[aria-label='Save cpop as {title}']")
    end = time.monotonic() + PATIENCE
    while True:
        found = [one for one in folder.iterdir() if one.suffix in (".json", ".csv")]
        if found:
            return found[0]
        assert time.monotonic() < end, list(folder.iterdir())
        time.sleep(0.02)


def test_what_is_saved_is_what_the_package_writes(page: Browser, tmp_path: Path) -> None:
    problem = odd_names()
    drop(page, "odd names.json", document_of(problem).encode())
    choose(page, "cpop")
    schedule(page, 1)
    for title in ("JSON", "CSV", "Trace"):
        (tmp_path / title).mkdir()
    saved = {title: save(page, tmp_path / title, title) for title in ("JSON", "CSV", "Trace")}
    assert saved["CSV"].name == "odd_names-cpop.csv"
    ours = cpop(problem)
    write_json(tmp_path / "json", problem, ours, SECONDS)
    write_csv(tmp_path / "csv", problem, ours)
    write_trace(tmp_path / "trace", problem, ours, SECONDS)
    assert saved["JSON"].read_bytes() == (tmp_path / "json").read_bytes()
    assert saved["CSV"].read_bytes() == (tmp_path / "csv").read_bytes()
    trace, expected = (json.loads(p.read_text()) for p in (saved["Trace"], tmp_path / "trace"))
    assert trace["otherData"] == expected["otherData"]
    assert trace == expected
    assert faults(page) == []


@pytest.mark.parametrize("scale", [1e-9, 1e-4, 1.0, 1e12])
def test_traces_choose_the_same_unit(scale: float, page: Browser, tmp_path: Path) -> None:
    problem = generate(GeneratorSpec(family="layered", tasks=30, machines=3), 1)
    small = make_problem(
        machines=problem.machines,
        etc=problem.etc * scale,
        edges=problem.edge_list(),
        name="workflow",
    )
    paste(page, document_of(small))
    choose(page, "cpop")
    schedule(page, 1)
    write_trace(tmp_path / "trace", small, cpop(small), SECONDS)
    (tmp_path / "saved").mkdir()
    saved = save(page, tmp_path / "saved", "Trace")
    assert json.loads(saved.read_text()) == json.loads((tmp_path / "trace").read_text())


def test_without_arrivals_a_table_has_fewer_columns(
    page: Browser, service: Service, tmp_path: Path
) -> None:
    service.answers = [answer_to(odd_names(), "cpop", arrivals=False)]
    paste(page, "{}")
    choose(page, "cpop")
    schedule(page, 1)
    head = save(page, tmp_path, "CSV").read_text().splitlines()[0]
    assert head == "task,machine,start,finish,winner"


def test_names_are_only_text(page: Browser) -> None:
    problem = odd_names()
    paste(page, document_of(problem))
    schedule(page, 2)
    hover(page, 0, 0)
    assert text(page, "#card h4") == problem.task_ids[0]
    assert page.run("document.querySelectorAll('#card script, #card img, #card b').length") == 0
    assert page.run("window.broken") is None
    assert faults(page) == []


def test_no_script_makes_markup_of_data_or_knows_another_host() -> None:
    for path in PAGE.iterdir():
        content = path.read_text(encoding="utf-8")
        if path.name.endswith((".js", ".html", ".css")):
            assert not re.search(r"innerHTML|outerHTML|insertAdjacent|document\.write", content)
            assert not re.search(r"https?://", content), path
        if path.name.endswith(".html"):
            assert not re.search(r"\son\w+=|\sstyle=|(href|src)=\"/", content)


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", WIDTHS)
def test_every_window_shows_all_without_scrolling_sideways(
    width: int, dark: bool, browser: Browser, service: Service
) -> None:
    visit(browser, service, width=width, dark=dark)
    wide = "document.documentElement.scrollWidth"
    assert browser.run(wide) <= width
    click(browser, "#first")
    until(browser, "document.querySelectorAll('.chart').length === 2")
    click(browser, "#run")
    until(browser, "$id('job-state').textContent === 'done'")
    assert browser.run(wide) <= width
    outside = (
        "[...document.querySelectorAll('main *')].filter((one) => one.checkVisibility() && "
        "!one.matches('.away, .away *') && "
        f"one.getBoundingClientRect().right > {width}).map((one) => one.outerHTML.slice(0, 80))"
    )
    assert browser.run(outside) == []
    background = browser.run("getComputedStyle(document.body).backgroundColor")
    assert background == ("rgb(13, 17, 23)" if dark else "rgb(244, 246, 248)")
    corner = chart_at(browser, "[...c[0].base.getImageData(1, 1, 1, 1).data].slice(0, 3)")
    assert corner == ([21, 27, 35] if dark else [255, 255, 255])
    lefts = set(browser.run("[...document.querySelectorAll('.chart')].map((o) => o.offsetLeft)"))
    assert len(lefts) == (2 if width == WIDTHS[0] else 1)  # beside, or below each other
    assert faults(browser) == []


def test_paper_has_the_results_in_black_on_white(
    browser: Browser, service: Service, tmp_path: Path
) -> None:
    visit(browser, service, dark=True)
    click(browser, "#first")
    until(browser, "document.querySelectorAll('.chart').length === 2")
    browser.print(tmp_path / "page.pdf")
    assert (tmp_path / "page.pdf").read_bytes().startswith(b"%PDF")
    browser.send("Emulation.setEmulatedMedia", media="print")
    browser.run("dispatchEvent(new Event('beforeprint'))")
    browser.settle()
    try:
        assert not seen(browser, "#form")
        assert not seen(browser, ".saving")
        assert seen(browser, "#figures")
        assert chart_at(browser, "[...c[0].base.getImageData(1, 1, 1, 1).data]") == [255] * 4
        assert chart_at(browser, "c.map((one) => one.width)")[0] > 800
    finally:
        browser.send("Emulation.setEmulatedMedia", media="")
        browser.run("dispatchEvent(new Event('afterprint'))")
    browser.settle()
    assert seen(browser, "#form")


def test_ten_thousand_tasks_on_188_machines_are_drawn_and_pointed_at(
    page: Browser, service: Service
) -> None:
    problem = generate(GeneratorSpec(family="layered", tasks=10_000, machines=188, width=400), 1)
    service.answers = [answer_to(problem, "heft")]
    paste(page, "{}")
    choose(page, "heft")
    schedule(page, 1)
    row = page.run("document.querySelector('.rows').clientHeight") / 188
    assert row == 3
    found = heft(problem)
    # One that no neighbour hides, though it is a few pixels long.
    task = int((found.aft - found.ast).argmax())
    hover(page, 0, task)
    assert text(page, "#card h4") == problem.task_ids[task]
    click(page, "#tall")
    high = page.run(
        "(({ clientHeight, scrollHeight }) => [clientHeight, scrollHeight])"
        "(document.querySelector('.rows'))"
    )
    assert high[1] == 188 * 24 > high[0]
    page.run("document.querySelector('.over').focus()")
    for key in ("ArrowRight", "c", "c"):
        page.press(key)
    assert chart_at(page, "c[0].base.canvas.height") == high[0]  # only what is seen is drawn
    assert faults(page) == []


def test_a_token_is_asked_for_and_kept_in_this_tab_only(browser: Browser, service: Service) -> None:
    service.token = "right"
    visit(browser, service)
    until(browser, "$id('asking').open")
    fill(browser, token="wrong")
    click(browser, "#asking .main")
    until(browser, "$id('asking').open && $id('asking-why').textContent.includes('not know')")
    fill(browser, token="right")
    click(browser, "#asking .main")
    until(browser, "document.querySelector('#schedulers input')")
    click(browser, "#first")
    until(browser, "document.querySelectorAll('.chart').length === 2")
    assert browser.run("Object.values(sessionStorage)") == ["right"]
    assert browser.run("localStorage.length + document.cookie.length") == 0
    browser.open(service.url)  # the same tab
    until(browser, "document.querySelector('#schedulers input')")
    click(browser, "#forget")
    assert browser.run("sessionStorage.length") == 0
    paste(browser, "{}")
    click(browser, "#schedule")
    until(browser, "$id('asking').open")
    click(browser, "#dismiss")
    until(browser, "!$id('message').hidden")
    assert text(browser, "#message-text") == "a token is needed"
    assert seen(browser, "#again")
    assert faults(browser) == []


@pytest.mark.parametrize("status", [429, 503])
def test_a_full_service_says_how_long_to_wait(status: int, page: Browser, service: Service) -> None:
    service.refusals = [(status, "the queue is full; try again", 1)]
    paste(page, (PAGE / "example.json").read_text())
    assert refused(page) == "the queue is full; try again (wait 1 s)"
    assert page.run("document.getElementById('again').disabled")
    until(page, "!$id('again').disabled")
    click(page, "#again")
    until(page, "document.querySelectorAll('.chart').length === 2")
    assert not seen(page, "#message")


def test_a_service_that_starts_is_waited_for(browser: Browser, service: Service) -> None:
    service.starting = 2
    browser.open(service.url)
    until(browser, "!$id('message').hidden")
    assert text(browser, "#message-text") == "the service is starting (wait 1 s)"
    until(browser, "document.querySelector('#schedulers input')")
    assert not seen(browser, "#message")


def test_a_refused_workflow_leaves_the_last_results_dimmed(shown: Browser) -> None:
    old = "document.getElementById('found').matches('.old')"
    assert not shown.run(old)
    paste(shown, "[]")
    refused(shown)
    assert seen(shown, "#found")
    assert shown.run(old)
    paste(shown, (PAGE / "example.json").read_text())
    schedule(shown, 2)
    assert not shown.run(old)


def test_one_scheduler_that_refuses_leaves_the_others(page: Browser, service: Service) -> None:
    service.refusals = [(413, "too large for deepsched", None)]
    paste(page, (PAGE / "example.json").read_text())
    schedule(page, 1)
    assert text(page, "#message-text") == "deepsched: too large for deepsched"
    assert texts(page, "#figures tbody th") == ["heft ★"]
    assert text(page, "#headline").startswith("As good as HEFT: all is done in ")


def test_a_service_that_is_gone_is_said(page: Browser, service: Service) -> None:
    paste(page, (PAGE / "example.json").read_text())
    page.send("Network.enable")
    gone = {"latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
    page.send("Network.emulateNetworkConditions", offline=True, **gone)
    try:
        assert refused(page) == "The service cannot be reached."
    finally:
        page.send("Network.emulateNetworkConditions", offline=False, **gone)
    click(page, "#again")
    until(page, "document.querySelectorAll('.chart').length === 2")
