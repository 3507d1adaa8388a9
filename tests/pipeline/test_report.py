"""The report: every scheduler and number of the evaluation, nothing from the network."""

from __future__ import annotations

import base64
import re
from html.parser import HTMLParser
from typing import Any
from xml.etree import ElementTree

import pytest
from rich.console import Console

from deepsched.baselines.registry import SCHEDULERS as ALL
from deepsched.pipeline.evaluation.figures import scheduler_styles, training_curve
from deepsched.pipeline.evaluation.measure import Row
from deepsched.pipeline.evaluation.report import PAPER_SECONDS, render
from deepsched.pipeline.evaluation.summary import (
    ranked,
    seconds_by_size,
    summarise_group,
    verdicts,
)
from deepsched.pipeline.evaluation.terminal import comparison_table

SCHEDULERS = {"paper": 1.25, "heft": 1.0, "ga": 1.5, "mct": 0.875}
TITLES = {"seen": "Seen", "unseen": "Unseen"}


def made_up(**changes: Any) -> dict[str, Any]:
    """Return an evaluation document with numbers that are easy to find again."""
    rows = [
        Row(
            group=group,
            sample_id=k,
            source=f"trace {k}",
            tasks=400 * (k + 1),
            machines=4,
            scheduler=name,
            makespan=1000.0 * (k + 1) * factor,
            mean_turnaround=640.0 * (k + 1) * factor + (group == "unseen"),
            mean_waiting=320.0 * (k + 1) * factor,
            lower_bound=900.0,
            same_machine=0.5,
            seconds=0.0625 * (k + 1) * factor,
        )
        for group in TITLES
        for k in range(3)
        for name, factor in SCHEDULERS.items()
    ]
    fit = {
        "tasks": 100,
        "accuracy": 0.75,
        "chance": 0.25,
        "ast_mae": 0.111,
        "ast_rmse": 0.222,
        "aft_mae": 0.333,
        "aft_rmse": 0.444,
    }
    groups = []
    for name, title in TITLES.items():
        own = [row for row in rows if row.group == name]
        numbers = summarise_group(own, [fit], learned="paper", known_sources=frozenset({"trace 0"}))
        said = verdicts(numbers, ("heft", "ga"))
        groups.append(
            {"name": name, "title": title, "about": "made up", **numbers, "verdicts": said}
        )
    history = [
        {
            "step": 10 * k,
            "epoch": k,
            "train_loss": 3 / k,
            "val_makespan": 1 + 1 / k,
            "val_turnaround": 2 + 1 / k,
        }
        for k in (1, 2, 3)
    ]
    document = {
        "title": "DeepSched evaluation",
        "reference": "heft",
        "provenance": {
            "command": "deepsched evaluate --data <here>",
            "data": "runs/data & more",
            "manifest_sha256": "a" * 64,
            "checkpoint": "runs/model/checkpoint",
            "checkpoint_sha256": "b" * 64,
            "workers": 2,
            "date": "2026-01-02 03:04 UTC",
            "machine": "a CPU, 2 CPUs, Linux",
            "versions": {"python": "3.11.7", "torch": "2.13.0"},
        },
        "network": {
            "name": "paper",
            "teacher": "heft",
            "imitates": True,
            "meta": {"step": 30},
        },
        "groups": groups,
        "seconds": seconds_by_size(rows),
        "training": history,
        "search": [
            {
                "tasks": "201–500",
                "samples": 3,
                "points": [
                    {"way": "1 sample", "seconds": 0.001, "ratio": 0.975},
                    {"way": "0.1 s", "seconds": 0.1, "ratio": 0.925},
                ],
            }
        ],
        "charts": [
            {
                "kind": kind,
                "group": "unseen",
                "sample_id": 7,
                "source": "trace <7>",
                "tasks": 1234,
                "machines": 4,
                "ratio": ratio,
                "file": f"gantt/{kind}-1.html",
            }
            for kind, ratio in (("best", 0.875), ("worst", 1.25))
        ],
        "notes": ["Times are modelled.", "A < B & C."],
        "rows": [
            {
                "group": r.group,
                "sample_id": r.sample_id,
                "scheduler": r.scheduler,
                "makespan": r.makespan,
            }
            for r in rows
        ],
    }
    return {**document, **changes}


class Page(HTMLParser):
    """Collects what a page shows, the tables' rows, and what it would load."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.images: list[str] = []
        self.loaded: list[str] = []
        self.open: list[str] = []
        self.words = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        values = dict(attributes)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
        if tag == "img":
            self.images.append(values["src"] or "")
        self.loaded += [values[key] or "" for key in ("src", "href") if key in values]
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.words += data
        if self.open and self.open[-1] in ("td", "th"):
            self.rows[-1][-1] += data


@pytest.fixture(scope="module")
def text() -> str:
    return render(made_up())


@pytest.fixture(scope="module")
def page(text: str) -> Page:
    return Page(text)


def test_the_page_is_well_formed(page: Page) -> None:
    assert page.open == []


def test_nothing_is_loaded_from_elsewhere(page: Page, text: str) -> None:
    charts = ["gantt/best-1.html", "gantt/worst-1.html"]
    assert [address for address in page.loaded if not address.startswith("data:")] == charts
    assert page.images
    assert all(address.startswith("data:image/svg+xml;base64,") for address in page.images)
    assert "url(" not in text.replace("xlink", "")


def test_every_plot_is_an_svg_that_names_what_it_shows(page: Page) -> None:
    texts = []
    for address in page.images:
        root = ElementTree.fromstring(base64.b64decode(address.partition(",")[2]))
        assert root.tag == "{http://www.w3.org/2000/svg}svg"
        texts.append(" ".join(root.itertext()))
    turnaround, spread, search, seconds, training = texts
    assert all("HEFT" in text for text in (turnaround, spread, search, training))
    assert "201–500 tasks (3)" in search
    for name in SCHEDULERS:
        assert all(name in text for text in (turnaround, spread, seconds))
    assert all(title in turnaround for title in TITLES.values())
    assert "HEFT (published by the paper)" in seconds
    for words in ("loss in training", "makespan", "mean turnaround", "HEFT", "step", "epoch"):
        assert words in training


@pytest.mark.parametrize("name", SCHEDULERS)
@pytest.mark.parametrize("group", range(2))
def test_each_schedulers_numbers_are_in_the_table(page: Page, name: str, group: int) -> None:
    numbers = made_up()["groups"][group]["schedulers"][name]
    wanted = {
        f"{numbers['mean_turnaround']:,.1f}",
        f"{numbers['ratio']['makespan']['mean']:.3f}",
        f"{numbers['ratio']['makespan']['median']:.3f}",
        f"{numbers['ratio']['makespan']['worst']:.3f}",
        f"{numbers['above_bound']:.3f}",
        "50.0 %",
    }
    rows = [row for row in page.rows if row[0] == name and len(row) == 12]
    assert len(rows) == 2
    assert wanted <= set(rows[group])


def test_the_papers_figures_are_marked_as_the_papers(page: Page) -> None:
    (heading,) = (row for row in page.rows if row[0] == "seconds")
    assert heading[-3:] == ["paper: 486", "paper: 10,000", "paper: 84,654"]
    by_name = {row[0]: row for row in page.rows if len(row) == len(heading)}
    assert by_name["heft"][-3:] == ["31.5", "305.5", "670"]
    assert by_name["ga"][-3:] == ["67.5", "602.5", "3967"]
    assert by_name["paper"][-3:] == ["0.125"] * 3
    assert by_name["mct"][-3:] == [""] * 3
    assert by_name["heft"][1:3] == ["0.0625", "0.156"]  # medians of one and of two sizes
    assert "are not ours" in page.words
    assert PAPER_SECONDS["GA"][84_654] == 3967.0


def test_what_the_network_learned_is_shown(page: Page) -> None:
    (row,) = (row for row in page.rows if row[:1] == ["Seen"] and "75.0 %" in row)
    assert row == ["Seen", "100", "75.0 %", "25.0 %", "3.00 x", "0.111", "0.222", "0.333", "0.444"]


def test_a_loss_is_said(page: Page) -> None:
    assert "makespan is 25.0 % higher than heft's" in page.words
    assert "makespan is 16.7 % lower than ga's" in page.words


def test_where_it_comes_from_is_said_and_escaped(page: Page) -> None:
    for text in (
        "deepsched evaluate --data <here>",
        "runs/data & more",
        "a" * 64,
        "b" * 64,
        "2026-01-02 03:04 UTC",
        "torch 2.13.0",
        "A < B & C.",
        "the network after step 30, the best in validation",
    ):
        assert text in page.words


def test_the_same_document_gives_the_same_page(text: str) -> None:
    assert render(made_up()) == text


def test_a_report_without_a_training_history_has_no_curve() -> None:
    page = Page(render(made_up(training=[])))
    assert len(page.images) == 4
    assert "Training" not in page.words


def test_an_evaluation_without_search_or_charts_has_none() -> None:
    document = made_up()
    del document["search"], document["charts"]
    page = Page(render(document))
    assert len(page.images) == 4
    assert "Best and worst samples" not in page.words
    assert "search time" not in page.words


def test_schedulers_stand_by_their_ratio_and_the_best_is_marked(text: str, page: Page) -> None:
    by_ratio = ["mct", "heft", "paper", "ga"]
    names = [row[0] for row in page.rows if row[0] in SCHEDULERS]
    assert names == 4 * by_ratio  # a table a group, mean turnaround, seconds
    best = re.findall(r'<tr class="([^"]*\bbest\b[^"]*)"><td>([^<]*)</td>', text)
    assert best == 2 * [("best", "mct")]
    assert ranked(made_up()["groups"][0]) == by_ratio
    bars = ElementTree.fromstring(base64.b64decode(page.images[0].partition(",")[2]))
    drawn = [text for text in bars.itertext() if text in SCHEDULERS]
    assert drawn == by_ratio


def test_a_refused_scheduler_stands_last_and_is_not_the_best() -> None:
    group = {"learned": "x", "schedulers": {"x": {"ratio": None}, "heft": made_ratio(1.0)}}
    assert ranked(group) == ["heft", "x"]


def made_ratio(mean: float) -> dict[str, Any]:
    return {"ratio": {"makespan": {"mean": mean}}}


def test_charts_are_linked_and_named(page: Page) -> None:
    assert "0.875 × HEFT's trace <7>, 1,234 tasks on 4 machines (Unseen, sample 7)" in page.words
    assert "1.250 × HEFT's" in page.words


def test_time_for_the_search_is_in_a_table(page: Page) -> None:
    assert ["201–500", "3", "0.975 in 1.0 ms", "0.925 in 100 ms"] in page.rows


def test_no_two_schedulers_look_the_same() -> None:
    names = ["deepsched", "paper", *ALL]
    styles = scheduler_styles(names, "deepsched")
    looks = {(s["color"], s.get("ls"), s["marker"]) for s in styles.values()}
    assert len(looks) == len(names)
    assert styles["paper"]["color"] != styles["perturbation"]["color"]
    assert styles["deepsched"]["color"] not in {
        style["color"] for name, style in styles.items() if name != "deepsched"
    }


def test_page_and_pictures_have_dark_colours(text: str, page: Page) -> None:
    assert "prefers-color-scheme: dark" in text
    for address in page.images:
        svg = base64.b64decode(address.partition(",")[2]).decode()
        assert "@media (prefers-color-scheme:dark)" in svg
        assert "fill: #ffffff" not in svg, "no white ground"


def test_a_training_of_one_epoch_has_steps_alone() -> None:
    history = [{**entry, "epoch": 1} for entry in made_up()["training"]]
    assert "epoch" not in training_curve(history)


def test_a_training_without_validation_has_a_curve() -> None:
    history = [
        {**entry, "val_makespan": None, "val_turnaround": None} for entry in made_up()["training"]
    ]
    curve = training_curve(history)
    assert "loss in training" in curve
    assert "mean turnaround" not in curve


def test_the_table_for_the_terminal_fits_80_columns_uncut() -> None:
    group = made_up()["groups"][0]
    console = Console(width=80, record=True, file=None, force_terminal=False)
    with console.capture() as captured:
        console.print(comparison_table(group))
    text = captured.get()
    assert "…" not in text
    for name, found in group["schedulers"].items():
        line = next(line for line in text.splitlines() if line.startswith(f"{name} "))
        shown = re.split(r"\s{1,}", line.strip())
        assert f"{found['ratio']['makespan']['mean']:.3f}" in shown
