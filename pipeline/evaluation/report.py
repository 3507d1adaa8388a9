"""The report of an evaluation: one HTML page that needs nothing from the network.

It is a pure function of the evaluation document, the content of `evaluation.json`.
"""

from __future__ import annotations

import html
import math
from collections.abc import Mapping
from importlib import resources
from string import Template
from typing import Any

from deepsched.pipeline.common.markup import html_figure, html_table
from deepsched.pipeline.common.paper_figures import PAPER_SECONDS
from deepsched.pipeline.evaluation import figures
from deepsched.pipeline.evaluation.numbers import (
    interval_text,
    number_text,
    ratio_text,
    share_text,
)
from deepsched.pipeline.evaluation.summary import mean_ratio, ranked

Document = Mapping[str, Any]


def render(document: Document) -> str:
    """Return the report as one HTML page."""
    template = resources.files(__package__).joinpath("templates/report.html")
    parts = {
        "title": html.escape(document["title"]),
        "subtitle": html.escape(_subtitle(document)),
        "tiles": _tiles(document),
        "verdicts": _verdicts(document),
        "compared": _compared(document),
        "tables": "\n".join(_group_table(group) for group in document["groups"]),
        "charts": _charts(document),
        "search": _search(document),
        "turnaround": _turnaround(document),
        "spread": _spread(document),
        "network": _network(document),
        "seconds": _seconds(document),
        "training": _training(document),
        "notes": "\n".join(f"<li>{html.escape(note)}</li>" for note in document["notes"]),
        "provenance": _provenance(document),
        "command": html.escape(document["provenance"]["command"]),
    }
    return Template(template.read_text(encoding="utf-8")).substitute(parts)


def _ranked_over_all(document: Document) -> list[str]:
    """Return the schedulers by the mean of the groups' ratios: one order for all figures."""
    groups = document["groups"]
    total = {
        name: sum(mean_ratio(group["schedulers"][name]) for group in groups)
        for name in groups[0]["schedulers"]
    }
    return sorted(total, key=lambda name: total[name])


def _style(group: Mapping[str, Any], name: str) -> str:
    """Return the classes of a scheduler's row: the network's own, and the best."""
    least = min(map(mean_ratio, group["schedulers"].values()))
    best = mean_ratio(group["schedulers"][name]) == least < math.inf
    return " ".join(["own"] * (name == group["learned"]) + ["best"] * best)


_HEADINGS = (
    "scheduler",
    "mean turnaround (s)",
    "turnaround / HEFT",
    "makespan / HEFT",
    "95 % interval",
    "median",
    "worst",
    "better · equal · worse",
    "makespan / bound",
    "mean waiting (s)",
    "teacher's machine",
    "seconds",
)


def _cells(name: str, found: Mapping[str, Any]) -> list[str]:
    ratio = found["ratio"]
    span = ratio["makespan"] if ratio else None
    return [
        name,
        number_text(found["mean_turnaround"]),
        ratio_text(ratio and ratio["mean_turnaround"]["mean"]),
        ratio_text(span and span["mean"]),
        interval_text(span and span["interval"]),
        ratio_text(span and span["median"]),
        ratio_text(span and span["worst"]),
        f"{span['better']} · {span['equal']} · {span['worse']}" if span else "–",
        ratio_text(found["above_bound"]),
        number_text(found["mean_waiting"]),
        share_text(found["same_machine"]),
        number_text(found["median_seconds"], 3),
    ]


def _group_table(group: Mapping[str, Any]) -> str:
    rows = [
        (_cells(name, group["schedulers"][name]), _style(group, name)) for name in ranked(group)
    ]
    caption = f"{group['samples']} samples of {group['sources']} graphs; {group['about']}"
    return f"<h3>{html.escape(group['title'])}</h3>{html_table(_HEADINGS, rows, caption)}"


def _subtitle(document: Document) -> str:
    network, where = document["network"], document["provenance"]
    others = len(document["groups"][0]["schedulers"]) - 1
    what = "trained to imitate" if network["imitates"] else "that bends the rule of"
    return (
        f"{network['name']} is a network {what} {network['teacher']}. "
        f"Here it stands beside {others} other schedulers on the same problems. {where['date']}."
    )


def _tiles(document: Document) -> str:
    tiles = []
    for group in document["groups"]:
        own, fit = group["schedulers"][group["learned"]], group["network"]
        if not own["ratio"]:
            continue
        title = html.escape(group["title"])
        tile = (
            f"<li><span>{title}: makespan</span><b>{own['ratio']['makespan']['mean']:.3f} × HEFT's"
            "</b>"
        )
        if fit:
            tile += (
                f"<span>{title}: machine accuracy</span><b>{share_text(fit['accuracy'])}</b>"
                f"<span>{fit['accuracy'] / fit['chance']:.1f} × chance</span>"
            )
        tiles.append(f"{tile}</li>")
    return f'<ul class="tiles">{"".join(tiles)}</ul>'


def _verdicts(document: Document) -> str:
    parts = []
    for group in document["groups"]:
        items = "".join(f"<li>{html.escape(text)}</li>" for text in group["verdicts"])
        parts.append(f"<h3>{html.escape(group['title'])}</h3><ul>{items}</ul>")
    return "".join(parts)


def _compared(document: Document) -> str:
    rows = []
    for group in document["groups"]:
        tasks, machines = group["tasks"], group["machines"]
        cells = [
            group["title"],
            group["about"],
            str(group["samples"]),
            str(group["sources"]),
            f"{group['known']} of {group['samples']}",
            f"{tasks[0]:,} · {tasks[1]:,} · {tasks[2]:,}",
            f"{machines[0]} · {machines[1]} · {machines[2]}",
        ]
        rows.append((cells, ""))
    headings = (
        "group",
        "what it is",
        "samples",
        "graphs",
        "on a graph used in training",
        "tasks: least · median · most",
        "machines: least · median · most",
    )
    return html_table(headings, rows, style="words")


def _turnaround(document: Document) -> str:
    schedulers = _ranked_over_all(document)
    values = {
        group["title"]: {
            name: found["mean_turnaround"] for name, found in group["schedulers"].items()
        }
        for group in document["groups"]
    }
    learned = document["network"]["name"]
    picture = figures.turnaround_bars(schedulers, values, learned)
    rows = [
        (
            [name, *(number_text(values[title].get(name)) for title in values)],
            "own" if name == learned else "",
        )
        for name in schedulers
    ]
    headings = ("mean turnaround (s)", *values)
    text = "Mean turnaround of each scheduler, the measure of the paper's Fig. 4."
    return html_figure(picture, text) + html_table(headings, rows)


def _spread(document: Document) -> str:
    ratios: dict[str, dict[str, list[float]]] = {}
    order = _ranked_over_all(document)
    for group in document["groups"]:
        rows = [row for row in document["rows"] if row["group"] == group["name"]]
        reference = {
            row["sample_id"]: row["makespan"]
            for row in rows
            if row["scheduler"] == document["reference"]
        }
        found = ratios.setdefault(group["title"], {name: [] for name in order})
        for row in rows:
            base = reference[row["sample_id"]]
            if row["makespan"] and base:
                found[row["scheduler"]].append(row["makespan"] / base)
    picture = figures.ratio_boxes(ratios, document["network"]["name"])
    return html_figure(
        picture,
        "Makespan divided by HEFT's, sample by sample: left of the dashed line is better than "
        "HEFT. A box holds the middle half of the samples, its whiskers reach best and worst.",
    )


def _charts(document: Document) -> str:
    """Return links to the charts of the best and worst samples, if they were drawn."""
    titles = {group["name"]: group["title"] for group in document["groups"]}
    lists = []
    for kind in ("best", "worst"):
        items = [
            f'<li><a href="{html.escape(sample["file"])}">{sample["ratio"]:.3f} × HEFT\'s</a> '
            f"<span>{html.escape(sample['source'])}, {sample['tasks']:,} tasks on "
            f"{sample['machines']} machines ({html.escape(titles[sample['group']])}, sample "
            f"{sample['sample_id']})</span></li>"
            for sample in document.get("charts", ())
            if sample["kind"] == kind
        ]
        if items:
            lists.append(f"<div><h3>{kind.capitalize()}</h3><ol>{''.join(items)}</ol></div>")
    if not lists:
        return ""
    name = html.escape(document["network"]["name"])
    return (
        "<h2>Best and worst samples</h2>"
        f"<p>Gantt charts of HEFT's schedule and of {name}'s, side by side, from the folder "
        f'beside this page.</p><div class="pairs">{"".join(lists)}</div>'
    )


def _search(document: Document) -> str:
    """Return what more time for deepsched's search brings, if it was measured."""
    curves = document.get("search")
    if not curves:
        return ""
    ways = [point["way"] for point in curves[0]["points"]]
    rows = []
    for curve in curves:
        cells = [
            f"{ratio_text(point['ratio'])} in {number_text(1e3 * point['seconds'], 2)} ms"
            for point in curve["points"]
        ]
        rows.append(([curve["tasks"], str(curve["samples"]), *cells], ""))
    picture = html_figure(
        figures.makespan_against_time(curves),
        "Mean makespan / HEFT's over the median time that deepsched takes: with 1, 8 and 32 "
        "samples, and with a search that ends after 0.1 and 0.5 s. In brackets: samples.",
    )
    return (
        "<h2>Makespan against search time</h2>"
        "<p>A few samples of each size, scheduled in one process while nothing else of this "
        "evaluation ran. A search ends early where it reaches the lower bound.</p>"
        f"{picture}{html_table(('tasks', 'samples', *ways), rows)}"
    )


def _network(document: Document) -> str:
    rows = []
    for group in document["groups"]:
        fit = group["network"]
        if fit:
            errors = (
                ratio_text(fit[key]) for key in ("ast_mae", "ast_rmse", "aft_mae", "aft_rmse")
            )
            times = f"{fit['accuracy'] / fit['chance']:.2f} x"
            shares = [share_text(fit["accuracy"]), share_text(fit["chance"]), times]
            rows.append(([group["title"], f"{fit['tasks']:,}", *shares, *errors], ""))
    if not rows:
        return ""
    headings = (
        "group",
        "tasks",
        "machine accuracy",
        "chance",
        "accuracy / chance",
        "AST mean error",
        "AST RMSE",
        "AFT mean error",
        "AFT RMSE",
    )
    teacher = html.escape(document["network"]["teacher"])
    return (
        "<h2>What the network has learned</h2>"
        f"<p>Its raw predictions against the schedules of its teacher, {teacher}. Chance is what "
        "a uniform guess among the machines that can hold each task gets right. Errors of start "
        "(AST) and finish (AFT) are in units of a time scale that is known before scheduling: "
        "the greater of the longest mean-cost path and the mean work per machine.</p>"
        f"{html_table(headings, rows)}"
    )


def _seconds(document: Document) -> str:
    names = _ranked_over_all(document)
    buckets = document["seconds"]
    learned = document["network"]["name"]
    published = {"heft": "HEFT", "ga": "GA", learned: "network"}
    sizes = list(PAPER_SECONDS["HEFT"])
    rows = []
    for name in names:
        paper = PAPER_SECONDS.get(published.get(name, ""), {})
        cells = [name, *(number_text(bucket["seconds"].get(name), 3) for bucket in buckets)]
        cells += [f"{paper[size]:g}" if paper else "" for size in sizes]
        rows.append((cells, "own" if name == learned else ""))
    medians = [f"{b['median_tasks']:,.0f} · {b['median_machines']:,.0f}" for b in buckets]
    rows.append((["median tasks · machines", *medians, *(f"{s:,} · 188" for s in sizes)], ""))
    headings = (
        "seconds",
        *(f"{bucket['tasks']} tasks" for bucket in buckets),
        *(f"paper: {size:,}" for size in sizes),
    )
    measured = {
        name: [
            (bucket["median_tasks"], bucket["seconds"][name])
            for bucket in buckets
            if name in bucket["seconds"]
        ]
        for name in names
    }
    picture = figures.seconds_by_size(
        {name: points for name, points in measured.items() if points},
        {name: list(points.items()) for name, points in PAPER_SECONDS.items()},
        learned,
    )
    caption = (
        "Median seconds per schedule, measured here. The last three columns are not ours: they are "
        "what the paper published in its Table I, on an Intel i5-6600K with 188 machines."
    )
    text = "Scheduling time by input size, on logarithmic axes; dotted grey lines are the paper's."
    return html_table(headings, rows, caption, style="paper-last") + html_figure(picture, text)


def _training(document: Document) -> str:
    history = document["training"]
    if not history:
        return ""
    text = f"{history[-1]['step']} steps."
    step = document["network"]["meta"].get("step")
    if step is not None:
        text += f" What was evaluated is the network after step {step}, the best in validation."
    picture = html_figure(figures.training_curve(history), text)
    return f"<h2>Training</h2>{picture}"


def _provenance(document: Document) -> str:
    where = document["provenance"]
    entries = [
        ("date", where["date"]),
        ("data", f"{where['data']} (manifest SHA-256 {where['manifest_sha256']})"),
        ("network", f"{where['checkpoint']} (weights SHA-256 {where['checkpoint_sha256']})"),
        ("machine", where["machine"]),
        ("workers", str(where["workers"])),
        ("versions", ", ".join(f"{name} {text}" for name, text in where["versions"].items())),
    ]
    items = (f"<dt>{html.escape(a)}</dt><dd>{html.escape(b)}</dd>" for a, b in entries)
    return f"<dl>{''.join(items)}</dl>"
