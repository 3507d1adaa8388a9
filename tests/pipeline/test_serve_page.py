"""The service's page in a real browser: what it asks, what it shows, and how it is worked."""

from __future__ import annotations

import gzip
import json
import re
import time
from typing import TYPE_CHECKING, Any

import pytest

from deepsched.baselines.cpop import cpop
from deepsched.baselines.generate import GeneratorSpec, generate
from deepsched.baselines.heft import heft
from deepsched.baselines.machines import make_machines
from deepsched.baselines.problem import make_problem
from deepsched.baselines.readers import problem_document, problem_from_bytes
from deepsched.baselines.writers import write_csv, write_json, write_trace
from tests.pipeline.page_service import PAGE, SECONDS, VERSION, answer_to, serving_page

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from deepsched.baselines.problem import Problem
    from tests.browser import Browser
    from tests.pipeline.page_service import Service

PATIENCE = 60.0  # s until a page shows what is waited for
WIDTHS = [1300, 600, 400]  # px
LIGHT = {"card": "#ffffff", "parent": "#b34700", "child": "#0072b2", "text": "#1b2127"}
DATA = "tests/data"


@pytest.fixture
def service() -> Iterator[Service]:
    with serving_page() as running:
        yield running


@pytest.fixture
def page(browser: Browser, service: Service) -> Browser:
    """Open the page and wait until it knows the schedulers."""
    visit(browser, service)
    return browser


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
        f"(() => {{ const box = document.getElementById('text'); box.value = {json.dumps(document)}; "
        "box.dispatchEvent(new Event('input')); })()"
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
        f"(() => {{ const [x, y] = m.middleOf(c[{chart}], {task}); "
        f"return [...c[{chart}].{canvas}.getImageData(x, y - c[{chart}].row / 3, 1, 1).data]; }})()",
    )
    return "#" + "".join(f"{value:02x}" for value in values[:3])


def example() -> Problem:
    found = problem_from_bytes((PAGE / "example.json").read_bytes(), "request body")
    assert found.n_machines == 16  # its own it has none
    return found


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
    assert not seen(page, "#found")
    click(page, "#first")
    until(page, "document.querySelectorAll('.chart').length === 2")
    assert not seen(page, "#empty")
    queries = service.queries()
    assert [one["scheduler"] for one in queries] == ["deepsched", "heft"]
    assert all(one["machines"] == "4" and one["edges"] == "true" for one in queries)
    body = next(one for one in service.asked if one.method == "POST")
    problem = problem_from_bytes(body.body, "x")
    assert problem.n_tasks == 25
    ours, theirs = (
        answer_to(problem_of(service), name) for name in ("deepsched", "heft")
    )
    assert ours["makespan"] < theirs["makespan"]
    saved = 100 * (1 - ours["makespan"] / theirs["makespan"])
    assert text(page, "#headline") == (
        f"deepsched finishes in {ours['makespan']:.5g} s, {saved:.1f} % sooner than HEFT "
        f"({theirs['makespan']:.5g} s)."
    )
    assert f"No schedule can be shorter than {ours['lower_bound']:.5g} s." in text(page, "#bound")
    assert texts(page, "#figures thead th")[:4] == [
        *("Scheduler", "Makespan", "Ratio to HEFT", "Over the bound")
    ]
    cells = texts(page, "#figures tbody tr:first-child td")
    over = 100 * (ours["makespan"] / ours["lower_bound"] - 1)
    assert cells[:7] == [
        f"{ours['makespan']:.5g} s",
        f"{ours['makespan'] / theirs['makespan']:.3f} −{saved:.1f} %",
        f"+{over:.1f} %",
        f"{ours['mean_turnaround']:.5g} s",
        "4 ms",
        "deepsched",
        f"deepsched {VERSION[:8]}",
    ]
    assert texts(page, "#figures tbody th") == ["deepsched ★", "heft"]
    assert chart_at(page, "c.map((one) => m.xOf(one, 50) - m.xOf(one, 0))")[0] > 0
    widths = chart_at(page, "c.map((one) => m.xOf(one, 50) - m.xOf(one, 0))")
    assert widths[0] == widths[1]  # one time axis
    tops = page.run("[...document.querySelectorAll('.chart')].map((o) => o.offsetTop)")
    assert tops[0] == tops[1]
    assert faults(page) == []


def problem_of(service: Service) -> Problem:
    """Return the problem that was asked for last, on its machines."""
    from tests.pipeline.page_service import read

    return read([one for one in service.asked if one.method == "POST"][-1])


def test_a_file_is_dropped_or_chosen_and_sent_as_it_is(page: Browser, service: Service) -> None:
    from pathlib import Path

    dax = Path(DATA, "workflow.dax").read_bytes()
    drop(page, "workflow.dax", dax)
    assert text(page, "#source").startswith("workflow · 1.1 kB")
    schedule(page, 2)
    packed = gzip.compress(Path(DATA, "tiny.stg").read_bytes())
    drop(page, "tiny.stg.gz", packed)
    assert text(page, "#source").startswith("tiny.stg.gz · ")
    schedule(page, 2)
    assert text(page, "#bound").startswith("tiny: ")
    root = page.send("DOM.getDocument")["root"]["nodeId"]
    field = page.send("DOM.querySelector", nodeId=root, selector="#file")["nodeId"]
    wfformat = Path(DATA, "wfformat.json").resolve()
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
    paste(page, document_of(odd_names()))
    assert page.run(off) == [True] * 3
    assert text(page, "#own") == "The document brings its own 2 machines, and times on each."
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


def test_pointing_shows_a_task_and_its_relatives_in_every_chart(page: Browser) -> None:
    click(page, "#first")
    until(page, "document.querySelectorAll('.chart').length === 2")
    problem = example()
    parents, children, _ = problem.edge_list()
    ids = problem.task_ids
    task = ids.index("model_background")
    kin = {int(i): LIGHT["parent"] for i in parents[children == task]}
    kin |= {int(i): LIGHT["child"] for i in children[parents == task]}
    assert len(set(kin.values())) == 2
    hover(page, 1, task)
    assert text(page, "#card h4") == "model_background"
    answer = page.run(
        "document.querySelector('#card .here').textContent.replaceAll('\\u00a0', ' ')"
    )
    assert re.fullmatch(r"heft: m\d, [\d.]+ s to [\d.]+ s", answer)
    assert text(page, "#card .parents") == "Parents: fit_planes"
    assert text(page, "#card .children").startswith("Children: correct_1, correct_2")
    for chart in (0, 1):
        assert tint(page, chart, task) == LIGHT["text"]
        assert {i: tint(page, chart, i) for i in kin} == kin
    page.mouse("mouseMoved", 2, 2)
    page.settle()
    assert not seen(page, "#card")
    assert faults(page) == []


def test_a_click_keeps_a_task_until_escape(page: Browser) -> None:
    click(page, "#first")
    until(page, "document.querySelectorAll('.chart').length === 2")
    hover(page, 0, 3)
    page.click(*bar(page, 0, 3))
    page.mouse("mouseMoved", 2, 2)
    page.settle()
    assert text(page, "#card h4") == example().task_ids[3]
    page.press("Escape")
    assert not seen(page, "#card")


def test_keys_walk_from_task_to_task(page: Browser) -> None:
    paste(page, document_of(odd_names()))
    choose(page, "heft")
    schedule(page, 1)
    problem = odd_names()
    found = heft(problem)
    rows = [sorted((found.proc == m).nonzero()[0], key=lambda i: found.ast[i]) for m in (0, 1)]
    page.run("document.querySelector('.chart .over').focus()")
    walk: list[str] = []
    longest = max(rows, key=len)
    keys = ["ArrowRight", "Home", *["ArrowRight"] * 4, *["ArrowLeft"] * 4, "End", "Home"]
    first = next(row for row in rows if row)
    expected = [0, 0, *range(1, 5), *range(3, -1, -1), 9, 0]
    for key in keys:
        page.press(key)
        walk.append(text(page, "#card h4"))
    names = [problem.task_ids[i] for i in first]
    shown = [re.sub(r"\s+", " ", name) for name in names]
    top = len(shown) - 1
    at, places = 0, []
    for key in keys:
        at += {"ArrowRight": 1, "ArrowLeft": -1}.get(key, 0)
        at = {"Home": 0, "End": top}.get(key, min(max(at, 0), top)) if places else 0
        places.append(at)
    assert walk == [shown[place] for place in places]
    assert longest
    assert expected
    assert text(page, "#said").startswith(shown[0].split(",")[0])
    page.press("+")
    assert page.run("document.getElementById('shown').textContent") != ""
    page.press("0")
    assert page.run("document.getElementById('shown').textContent") == ""
    assert faults(page) == []
