"""Schedules as a picture: one small SVG file without scripts, for a README or a slide."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from deepsched.baselines.atomic import write_text
from deepsched.baselines.writers.cells import SHADES, Runs, busy_runs
from deepsched.baselines.writers.kinds import task_kinds
from deepsched.baselines.writers.panels import origin_of, panels_of
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
    from collections.abc import Iterator, Sequence

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
    """

    left: int
    width: int
    origin: float
    span: float
    row_of: IntArray
    rows: int
    row: float

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


def write_svg(path: str | os.PathLike[str], problem: Problem, *schedules: Schedule) -> None:
    """Write schedules of one problem, one above the other on one time axis, as a picture.

    It brings its own background, light or dark as the reader prefers. With thousands of tasks it
    shows how busy each machine is at each moment, so that the file stays below about 300 kB.

    Parameters
    ----------
    schedules : of this problem, at least one; makespans are compared with that of the first.

    Raises
    ------
    InvalidInput
        If there is no schedule, or one is none of this problem's.
    UnwritableOutput
        If the file cannot be written.
    """
    write_text(path, svg_text(problem, *schedules))


def svg_text(problem: Problem, *schedules: Schedule) -> str:
    """Return the picture; the same text for the same schedules."""
    panels = panels_of(problem, schedules)
    kinds, kind = task_kinds(problem.task_ids)
    origin = origin_of(schedules)
    frame = _frame(problem, origin, max(panel.schedule.makespan for panel in panels) - origin)
    name = short(problem.name, 80)
    counts = {"tasks": problem.n_tasks, "edges": problem.n_edges, "machines": problem.n_machines}
    facts = " · ".join(f"{what} {count:,}" for what, count in counts.items())
    if origin:
        facts += f" · 0 is {origin!r} s"
    parts = [
        label("name", MARGIN, MARGIN + 12, name),
        label("soft end", WIDTH - RIGHT, MARGIN + 12, facts),
    ]
    legend, y = _legend(kinds, MARGIN + LINE)
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
        f"<style>{style(len(kinds))}</style>",
        f'<rect class="page" width="{WIDTH}" height="{height}" rx="6"/>',
    ]
    return "\n".join([*head, *parts, "</svg>\n"])


def _frame(problem: Problem, origin: float, span: float) -> Frame:
    p = problem.n_machines
    rows = min(p, MAX_ROWS)
    left = round(MARGIN + max(width(short(name, 14)) for name in problem.machines.ids) + 8)
    return Frame(
        left=left,
        width=WIDTH - RIGHT - left,
        origin=origin,
        span=span if span > 1e-300 else 1.0,  # below, the axis' steps would be 0
        row_of=np.arange(p) * rows // p,
        rows=rows,
        row=min(ROW[1], max(ROW[0], PANEL // p)),
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
) -> list[list[str]]:
    """Return what each schedule's tasks look like, in coordinates of its panel's rows."""
    count = len(schedules) * problem.n_tasks
    if count <= MAX_BARS and frame.rows == problem.n_machines:
        named = count <= MAX_NAMED
        return [_bars(problem, schedule, kind, frame, named=named) for schedule in schedules]
    grids = busy_runs(schedules, kind, frame.row_of, frame.span, COLUMNS, MAX_RUNS, frame.origin)
    return [_cells(runs, frame) for runs in grids]


def _panel(
    problem: Problem, panel: Panel, first: Schedule, drawn: list[str], frame: Frame, y: float
) -> list[str]:
    schedule = panel.schedule
    spans = [("name", panel.name), ("", f"makespan {seconds(schedule.makespan)}")]
    if panel.difference:
        spans.append(("name", panel.difference))
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
        *_rows(problem, frame),
        *drawn,
        *ends,
        "</g>",
    ]


def _rows(problem: Problem, frame: Frame) -> list[str]:
    """Return the empty rows with their machines' names, and the lines of the axis across them."""
    top = (frame.row - frame.bar) / 2
    d = "".join(
        f"M0 {px(k * frame.row + top)}h{frame.width}v{px(frame.bar)}h-{frame.width}z"
        for k in range(frame.rows)
    )
    lines = "".join(f"M{px(frame.at(t))} 0v{px(frame.height)}" for t, _ in frame.ticks())
    every = math.ceil(13 / frame.row)
    named = np.searchsorted(frame.row_of, np.arange(0, frame.rows, every)).tolist()
    return [
        f'<path class="row" d="{d}"/>',
        f'<path class="line" d="{lines}"/>',
        *(
            label("soft end", -8, (k * every + 0.5) * frame.row + 4, short(machine, 14))
            for k, machine in enumerate(problem.machines.ids[m] for m in named)
        ),
    ]


def _bars(
    problem: Problem, schedule: Schedule, kind: NDArray[np.uint8], frame: Frame, *, named: bool
) -> list[str]:
    """Return a bar a task, in the problem's order."""
    top, parts = (frame.row - frame.bar) / 2, list[str]()
    for i, (machine, start, finish) in enumerate(
        zip(schedule.proc.tolist(), schedule.ast.tolist(), schedule.aft.tolist(), strict=True)
    ):
        x, y = frame.x(start), machine * frame.row + top
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
            parts.append(label(f"middle t{kind[i]}", x + shown / 2, y + frame.bar / 2 + 4, task))
    return parts


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
