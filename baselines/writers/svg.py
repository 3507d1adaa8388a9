"""Schedules as a picture: one small SVG file without scripts, for a README or a slide."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from deepsched.baselines.atomic import write_text
from deepsched.baselines.chain import critical_chain
from deepsched.baselines.writers.cells import SHADES, Runs, busy_runs
from deepsched.baselines.writers.kinds import task_kinds
from deepsched.baselines.writers.panels import origin_of, panels_of, rows_of
from deepsched.baselines.writers.svg_elements import (
    escaped,
    label,
    px,
    seconds,
    short,
    upright,
    width,
)
from deepsched.baselines.writers.svg_style import FONT, style

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from deepsched.baselines.arrays import IntArray
    from deepsched.baselines.problem import Problem
    from deepsched.baselines.schedule import Schedule
    from deepsched.baselines.writers.panels import Panel

# Lengths are in px of a picture that nobody has scaled.
WIDTH = 960
MARGIN = 16
RIGHT = 34  # of the plot: half of the axis' last number may stand there
LINE = 20  # height of a line of text
TITLE = 30  # height of a panel's title
GAP = 10  # below a panel
ROW = (2.0, 24.0)  # least and greatest height of a machine
PANEL = 360  # height of the rows of a panel with many machines
MAX_ROWS = 180  # beyond, machines share rows

MAX_NAMED = 1_000  # bars that carry their task's name and times
MAX_BARS = 4_000  # beyond, cells of a grid take the place of bars
MAX_RUNS = 20_000  # of such cells
COLUMNS = 1_600  # of that grid
MAX_LINKS = 1_000  # of a critical chain that is drawn


@dataclass(frozen=True, kw_only=True, slots=True)
class Frame:
    """What all panels have in common.

    Attributes
    ----------
    left, width : of the plot, px.
    origin : s, the time at the plot's left end, from which the axis counts.
    span : s, from the plot's left to its right end.
    row_of : (n_machines,) row of each machine.
    rows, row : how many, and how high, px.
    labels : row in which one stands, counted from 0 and maybe between two, and its text.
    edges : rows above which another group begins.
    """

    left: int
    width: int
    origin: float
    span: float
    row_of: IntArray
    rows: int
    row: float
    labels: tuple[tuple[float, str], ...]
    edges: tuple[int, ...]

    @property
    def height(self) -> float:
        """The height of all rows, px."""
        return self.rows * self.row

    @property
    def bar(self) -> float:
        """The height of a bar, px; high rows are kept apart."""
        return self.row - 2 if self.row > 5 else self.row

    def x(self, time: float) -> float:
        """Return where a time is, px from the plot's left end."""
        return self.at(time - self.origin)

    def at(self, after: float) -> float:
        """Return where a time of the axis is, px from the plot's left end."""
        return self.width * min(max(after / self.span, 0.0), 1.0)

    def ticks(self) -> Iterator[tuple[float, str]]:
        """Yield the round times of the axis, s after its origin, and how they are written."""
        rough = self.span / 11
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough * 0.999)
        digits = max(0, -math.floor(math.log10(step) + 1e-9))
        plain = digits <= 6 and self.span < 1e9
        for k in range(math.floor(self.span / step * (1 + 1e-9)) + 1):
            time = k * step
            yield time, f"{time:,.{digits}f} s" if plain else f"{time:.3g} s"


def write_svg(
    path: str | os.PathLike[str],
    problem: Problem,
    *schedules: Schedule,
    kinds: Mapping[str, str] | None = None,
    groups: Sequence[str] | None = None,
) -> None:
    """Write schedules of one problem, one above the other on one time axis, as a picture.

    It brings its own background, light or dark as the reader prefers, and outlines what explains
    each makespan (`critical_chain`), but chains beyond 1,000 links. With thousands of tasks it
    shows how busy each machine is at each moment, so that the file stays below about 300 kB.

    Parameters
    ----------
    schedules : of this problem, at least one; makespans are compared with that of the first.
    kinds, groups : of tasks by id and of machines, as `write_gantt` takes them.

    Raises
    ------
    InvalidInput
        If there is no schedule, one is none of this problem's, or the numbers of machines and of
        groups differ.
    UnwritableOutput
        If the file cannot be written.
    """
    write_text(path, svg_text(problem, *schedules, kinds=kinds, groups=groups))


def svg_text(
    problem: Problem,
    *schedules: Schedule,
    kinds: Mapping[str, str] | None = None,
    groups: Sequence[str] | None = None,
) -> str:
    """Return the picture; the same text for the same schedules."""
    panels = panels_of(problem, schedules)
    names, kind = task_kinds(problem.task_ids, kinds)
    origin = origin_of(schedules)
    span = max(panel.schedule.makespan for panel in panels) - origin
    frame = _frame(problem, origin, span, groups)
    name = short(problem.name, 80)
    counts = {"tasks": problem.n_tasks, "edges": problem.n_edges, "machines": problem.n_machines}
    facts = " · ".join(f"{what} {count:,}" for what, count in counts.items())
    facts += " · outlined: critical chain"
    if origin:
        facts += f" · 0 is {origin!r} s"
    parts = [
        label("name", MARGIN, MARGIN + 12, name),
        label("soft end", WIDTH - RIGHT, MARGIN + 12, facts),
    ]
    legend, y = _legend(names, MARGIN + LINE)
    parts += legend
    for panel, drawn in zip(panels, _drawn(problem, schedules, kind, frame), strict=True):
        parts += _panel(problem, panel, schedules[0], drawn, frame, y)
        y += TITLE + frame.height + GAP
    parts += [
        label("soft middle", frame.left + frame.at(t), y + 6, text) for t, text in frame.ticks()
    ]
    height = px(y + LINE)
    spoken = "; ".join(f"{short(p.name, 60)} {seconds(p.schedule.makespan)}" for p in panels)
    head = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" '
        f'viewBox="0 0 {WIDTH} {height}" role="img" class="schedules" font-size="12" '
        f'font-family="{FONT}">',
        f"<title>{escaped(f'Schedules of {name}, makespans: {spoken}')}</title>",
        f"<style>{style(len(names))}</style>",
        f'<rect class="page" width="{WIDTH}" height="{height}" rx="6"/>',
    ]
    return "\n".join([*head, *parts, "</svg>\n"])


def _frame(problem: Problem, origin: float, span: float, groups: Sequence[str] | None) -> Frame:
    p = problem.n_machines
    rows = min(p, MAX_ROWS)
    row = min(ROW[1], max(ROW[0], PANEL // p))
    machine_row, blocks = rows_of(problem, groups)
    row_of = machine_row * rows // p
    every = math.ceil(13 / row)
    if blocks:
        ends = [(first * rows // p, (first + size) * rows // p) for _, first, size in blocks]
        labels, free = list[tuple[float, str]](), 0.0
        for (label_, _, _), (first, last) in zip(blocks, ends, strict=True):
            middle = (first + max(last, first + 1)) / 2 - 0.5
            if middle >= free:
                labels.append((middle, label_))
                free = middle + every
    else:
        ends = []
        named = np.searchsorted(row_of, np.arange(0, rows, every)).tolist()
        labels = [(k * every, problem.machines.ids[m]) for k, m in enumerate(named)]
    shown = [label_ for _, label_ in labels] if blocks else problem.machines.ids
    left = round(MARGIN + max(width(short(name, 14)) for name in shown) + 8)
    return Frame(
        left=left,
        width=WIDTH - RIGHT - left,
        origin=origin,
        span=span if span > 1e-300 else 1.0,  # below, the axis' steps would be 0
        row_of=row_of,
        rows=rows,
        row=row,
        labels=tuple(labels),
        edges=tuple(first for first, _ in ends[1:]),
    )


def _legend(kinds: list[str], y: float) -> tuple[list[str], float]:
    """Return the legend and where it ends; there is none where all tasks are of one kind."""
    if len(kinds) == 1:
        return [], y
    parts, x, y = list[str](), float(MARGIN), y + LINE
    for k, kind in enumerate(kinds):
        text = short(kind, 40)
        if x > MARGIN and x + 16 + width(text) > WIDTH - MARGIN:
            x, y = float(MARGIN), y + LINE
        parts.append(f'<rect class="k{k}" x="{px(x)}" y="{px(y - 10)}" width="11" height="11"/>')
        parts.append(label("soft", x + 16, y, text))
        x += 16 + width(text) + 16
    return parts, y + 10


def _drawn(
    problem: Problem, schedules: Sequence[Schedule], kind: NDArray[np.uint8], frame: Frame
) -> list[tuple[list[str], list[str]]]:
    """Return each schedule's tasks in coordinates of its panel's rows, and the names on them."""
    count = len(schedules) * problem.n_tasks
    if count <= MAX_BARS and frame.rows == problem.n_machines:
        named = count <= MAX_NAMED
        return [_bars(problem, schedule, kind, frame, named=named) for schedule in schedules]
    grids = busy_runs(schedules, kind, frame.row_of, frame.span, COLUMNS, MAX_RUNS, frame.origin)
    return [(_cells(runs, frame), []) for runs in grids]


def _panel(
    problem: Problem,
    panel: Panel,
    first: Schedule,
    drawn: tuple[list[str], list[str]],
    frame: Frame,
    y: float,
) -> list[str]:
    schedule = panel.schedule
    spans = [("name", panel.name), ("", f"makespan {seconds(schedule.makespan)}")]
    if panel.difference:
        spans.append(("name", panel.compared))
    title = "".join(
        f'<tspan class="{look}" dx="{12 if k else 0}">{escaped(short(text, 60))}</tspan>'
        for k, (look, text) in enumerate(spans)
    )
    ends = [upright("makespan", frame.x(schedule.makespan), frame.height)]
    if schedule is not first:
        ends.insert(0, upright("first", frame.x(first.makespan), frame.height))
    return [
        f'<g class="panel" transform="translate({frame.left} {px(y + TITLE)})">',
        f'<text y="-9">{title}</text>',
        *_rows(frame),
        *drawn[0],
        *_chain(problem, schedule, frame),
        *drawn[1],
        *ends,
        "</g>",
    ]


def _chain(problem: Problem, schedule: Schedule, frame: Frame) -> list[str]:
    """Return outlines of the tasks in the critical chain and lines for its transfers."""
    links = critical_chain(problem, schedule)
    if len(links) > MAX_LINKS:
        return []
    row = frame.row_of[schedule.proc]
    boxes, lines = "", ""
    for link in links:
        x, y = frame.x(link.start), row[link.task] * frame.row + (frame.row - frame.bar) / 2
        wide = frame.x(link.finish) - x
        if link.step == "task":
            w, h = wide - 2.75, frame.bar - 1.75
            if min(w, h) > 6:
                boxes += f"M{px(x + 0.9)} {px(y + 0.9)}h{px(w)}v{px(h)}h{px(-w)}z"
            else:  # an outline would hide the colour
                boxes += f"M{px(x)} {px(y + frame.bar - 0.9)}h{px(max(wide, 0.75))}"
            continue
        before = link.parent if link.step == "transfer" else link.task
        middle = px((row[before] + 0.5) * frame.row), px((row[link.task] + 0.5) * frame.row)
        lines += f"M{px(x)} {middle[0]}L{px(x + wide)} {middle[1]}"
    rim = [f'<path class="rim" d="{lines}"/>'] if lines and frame.row > 8 else []
    return [*rim, f'<path class="chain" d="{lines}{boxes}"/>']


def _rows(frame: Frame) -> list[str]:
    """Return the empty rows with their machines' names, and the lines of the axis across them."""
    top = (frame.row - frame.bar) / 2
    d = "".join(
        f"M0 {px(k * frame.row + top)}h{frame.width}v{px(frame.bar)}h-{frame.width}z"
        for k in range(frame.rows)
    )
    lines = "".join(f"M{px(frame.at(t))} 0v{px(frame.height)}" for t, _ in frame.ticks())
    borders = "".join(f"M0 {px(k * frame.row)}h{frame.width}" for k in frame.edges)
    return [
        f'<path class="row" d="{d}"/>',
        f'<path class="line" d="{lines}"/>',
        *([f'<path class="border" d="{borders}"/>'] if borders else []),
        *(
            label("soft end", -8, (row + 0.5) * frame.row + 4, short(name, 14))
            for row, name in frame.labels
        ),
    ]


def _bars(
    problem: Problem, schedule: Schedule, kind: NDArray[np.uint8], frame: Frame, *, named: bool
) -> tuple[list[str], list[str]]:
    """Return a bar a task, in the problem's order, and the names that fit on their bars."""
    top, parts, names = (frame.row - frame.bar) / 2, list[str](), list[str]()
    rows = frame.row_of[schedule.proc].tolist()
    for i, (row, start, finish) in enumerate(
        zip(rows, schedule.ast.tolist(), schedule.aft.tolist(), strict=True)
    ):
        x, y = frame.x(start), row * frame.row + top
        wide = frame.x(finish) - x
        shown = wide - 1 if wide > 4 else max(wide, 0.75)  # neighbours apart, none invisible
        bar = (
            f'<rect class="k{kind[i]}" x="{px(x)}" y="{px(y)}" '
            f'width="{px(shown)}" height="{px(frame.bar)}"'
        )
        if not named:
            parts.append(f"{bar}/>")
            continue
        task = problem.task_ids[i]
        begin, end = seconds(start - frame.origin), seconds(finish - frame.origin)
        about = f"{short(task, 40)}: {begin} to {end}"
        parts.append(f"{bar}><title>{escaped(about)}</title></rect>")
        if frame.bar >= 13 and width(task, 11) + 6 <= shown:
            names.append(label(f"middle t{kind[i]}", x + shown / 2, y + frame.bar / 2 + 4, task))
    return parts, names


def _cells(runs: Runs, frame: Frame) -> list[str]:
    """Return a path for each kind of task and each shade: a horizontal stroke a run of cells."""
    column = frame.width / runs.columns
    parts = [
        f'<g class="cells" stroke-width="{px(frame.bar / frame.row)}" '
        f'transform="scale({column:.6f} {px(frame.row)}) translate(0 .5)">'
    ]
    look = runs.kind * len(SHADES) + runs.shade - 1
    for value in np.unique(look).tolist():
        own = look == value
        strokes = zip(
            runs.first[own].tolist(), runs.row[own].tolist(), runs.length[own].tolist(), strict=True
        )
        d = "".join(f"M{x} {y}h{length}" for x, y, length in strokes)
        k, shade = divmod(value, len(SHADES))
        parts.append(f'<path class="k{k} s{shade}" d="{d}"/>')
    return [*parts, "</g>"]
