"""Schedulers side by side on some problems: who is shorter, by how much, and how fast."""

from __future__ import annotations

import functools
import html
from dataclasses import asdict, dataclass
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np

from deepsched.baselines.bounds import lower_bound
from deepsched.baselines.errors import InvalidInput, TooLarge, extra_for
from deepsched.baselines.heft import heft
from deepsched.baselines.metrics import mean_turnaround
from deepsched.baselines.ratios import RatioSummary, summarise_ratios
from deepsched.baselines.registry import teacher_rng
from deepsched.baselines.text import printable
from deepsched.baselines.timing import timed, warm_up

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    import pandas as pd
    from matplotlib.axes import Axes

    from deepsched.baselines.problem import Problem
    from deepsched.baselines.registry import Scheduler

REFERENCE = "heft"
REPEATS = 3  # timed runs of which the median counts, where one is short
HEADINGS = {
    "ratio": "/ HEFT",
    "interval": "95 % interval",
    "gap": "above bound",
    "wins": "< = >",
    "seconds": "ms",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class ComparisonRow:
    """One scheduler on one problem.

    Attributes
    ----------
    problem, scheduler : their names; a problem is numbered where a name repeats.
    tasks, machines : of the problem.
    makespan, mean_turnaround : s; None where the scheduler is not offered for the size.
    ratio : makespan / HEFT's.
    gap : makespan / lower bound - 1; None where the bound is 0.
    winner : whose schedule it is, see `Schedule`.
    seconds : of scheduling, the median of a few runs; compiling is not in it.
    """

    problem: str
    scheduler: str
    tasks: int
    machines: int
    makespan: float | None = None
    mean_turnaround: float | None = None
    ratio: float | None = None
    gap: float | None = None
    winner: str | None = None
    seconds: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class SchedulerSummary:
    """One scheduler over all problems.

    Attributes
    ----------
    ratios : makespan / HEFT's; None where it was offered for no problem.
    gap, seconds : mean above the lower bound, median time.
    refused : problems whose size it is not offered for.
    """

    scheduler: str
    ratios: RatioSummary | None
    gap: float | None
    seconds: float | None
    refused: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """What `compare_schedulers` found: rows, problem by problem, in the schedulers' order."""

    rows: tuple[ComparisonRow, ...]

    def __repr__(self) -> str:
        names = dict.fromkeys(row.scheduler for row in self.rows)
        problems = len({row.problem for row in self.rows})
        return f"Comparison({problems} problems, {', '.join(names)})"

    def __str__(self) -> str:
        """Return the summary as lines of text."""
        rows = self.table()
        lines = [list(rows[0]), *(list(row.values()) for row in rows)]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        return "\n".join(
            "  ".join(
                cell.rjust(width) if k else cell.ljust(width)
                for k, (cell, width) in enumerate(zip(line, widths, strict=True))
            )
            for line in lines
        )

    def summary(self) -> list[SchedulerSummary]:
        """Return a line for each scheduler, the best mean ratio to HEFT first."""
        names = dict.fromkeys(row.scheduler for row in self.rows)
        found = [self._of(name) for name in names]
        return sorted(found, key=lambda one: one.ratios.mean if one.ratios else np.inf)

    def _of(self, name: str) -> SchedulerSummary:
        own = [row for row in self.rows if row.scheduler == name]
        done = [row for row in own if row.ratio is not None]
        gaps = [row.gap for row in done if row.gap is not None]
        ratios = None
        if done:
            values = [row.ratio for row in done if row.ratio is not None]
            ratios = summarise_ratios(values, np.ones(len(done)), [row.problem for row in done])
        return SchedulerSummary(
            scheduler=name,
            ratios=ratios,
            gap=float(np.mean(gaps)) if gaps else None,
            seconds=median(row.seconds for row in done if row.seconds is not None)
            if done
            else None,
            refused=len(own) - len(done),
        )

    def to_pandas(self) -> pd.DataFrame:
        """Return the rows as a table of pandas.

        Raises
        ------
        NotInstalled
            Without the extra `plot`.
        """
        with extra_for("to_pandas"):
            import pandas as pd
        return pd.DataFrame([asdict(row) for row in self.rows])

    def to_json(self) -> dict[str, Any]:
        """Return rows and summary as JSON-ready values."""
        return {
            "reference": REFERENCE,
            "summary": [asdict(one) for one in self.summary()],
            "rows": [asdict(row) for row in self.rows],
        }

    def plot(self, axes: Axes | None = None) -> Axes:
        """Draw the ratios to HEFT, a line a scheduler with all problems on it, the mean marked.

        Raises
        ------
        NotInstalled
            Without the extra `plot`.
        """
        with extra_for("plot"):
            import matplotlib.pyplot as plt
        names = [one.scheduler for one in self.summary()]
        if axes is None:
            _, axes = plt.subplots(figsize=(7.0, 0.45 * len(names) + 1.2), layout="constrained")
        for k, name in enumerate(names):
            values = [row.ratio for row in self.rows if row.scheduler == name and row.ratio]
            axes.plot(values, [k] * len(values), "o", color="#0072B2", alpha=0.35, markersize=4)
            if values:
                axes.plot([np.mean(values)], [k], "D", color="#D55E00", markersize=6)
        axes.axvline(1.0, color="0.5", linewidth=1)
        axes.set_yticks(range(len(names)), names)
        axes.invert_yaxis()
        axes.set_xlabel("makespan / HEFT's (a point a problem; the diamond is the mean)")
        return axes

    def table(self) -> list[dict[str, str]]:
        """Return the summary as texts, by column."""
        return [_texts(one) for one in self.summary()]

    def problem_table(self) -> tuple[list[str], list[list[str]]]:
        """Return headings and rows of texts: a problem a row, HEFT's makespan, others' ratios."""
        names = [one.scheduler for one in self.summary() if one.scheduler != REFERENCE]
        cells: dict[str, dict[str, ComparisonRow]] = {}
        for row in self.rows:
            cells.setdefault(row.problem, {})[row.scheduler] = row
        rows = []
        for problem, found in cells.items():
            head = found[REFERENCE]
            ratios = [_ratio_text(found[name].ratio) for name in names]
            size = f"{head.tasks}×{head.machines}"
            rows.append([printable(problem), size, f"{head.makespan:.6g}", *ratios])
        return ["problem", "tasks×p", "HEFT s", *names], rows

    def _repr_html_(self) -> str:
        """Return both tables, for notebooks."""
        summary = self.table()
        headings, rows = self.problem_table()
        return _html_table(list(summary[0]), [list(one.values()) for one in summary]) + _html_table(
            headings, rows
        )


def compare_schedulers(
    problems: Iterable[Problem],
    schedulers: Mapping[str, Scheduler],
    *,
    seed: int = 0,
    on_done: Callable[[], None] | None = None,
) -> Comparison:
    """Let every scheduler schedule every problem; HEFT is always among them.

    Parameters
    ----------
    schedulers : by name.
    seed : with the problem's number and the scheduler's name it gives a random stream.
    on_done : called after each schedule.

    Raises
    ------
    InvalidInput
        If there is no problem.
    """
    every = {**({} if REFERENCE in schedulers else {REFERENCE: heft}), **schedulers}
    for scheduler in every.values():
        warm_up(scheduler)
    rows: list[ComparisonRow] = []
    names: dict[str, int] = {}
    for number, problem in enumerate(problems):
        names[problem.name] = names.get(problem.name, 0) + 1
        repeat = names[problem.name]
        name = problem.name if repeat == 1 else f"{problem.name} ({repeat})"
        rows += _compared(problem, name, number, every, seed, on_done)
    if not rows:
        raise InvalidInput("there is no problem to compare schedulers on")
    return Comparison(rows=tuple(rows))


def _compared(
    problem: Problem,
    name: str,
    number: int,
    schedulers: Mapping[str, Scheduler],
    seed: int,
    on_done: Callable[[], None] | None,
) -> list[ComparisonRow]:
    least = lower_bound(problem, "strong")
    reference = heft(problem).makespan
    rows = []
    for scheduler, run in schedulers.items():
        row = ComparisonRow(
            problem=name,
            scheduler=scheduler,
            tasks=problem.n_tasks,
            machines=problem.n_machines,
        )
        try:
            stream = functools.partial(teacher_rng, seed, number, scheduler)
            schedule, seconds = timed(run, problem, stream, repeats=REPEATS)
        except TooLarge:
            rows.append(row)
        else:
            makespan = schedule.makespan
            found = {
                "makespan": makespan,
                "mean_turnaround": mean_turnaround(problem, schedule),
                "ratio": makespan / reference if reference > 0 else 1.0,
                "gap": makespan / least - 1.0 if least > 0 else None,
                "winner": schedule.winner,
                "seconds": seconds,
            }
            rows.append(ComparisonRow(**{**asdict(row), **found}))
        if on_done is not None:
            on_done()
    return rows


def _texts(one: SchedulerSummary) -> dict[str, str]:
    ratios = one.ratios
    texts = dict.fromkeys(HEADINGS.values(), "–")
    if ratios is not None:
        texts[HEADINGS["ratio"]] = _ratio_text(ratios.mean)
        if ratios.interval is not None:
            texts[HEADINGS["interval"]] = "–".join(f"{end:.3f}" for end in ratios.interval)
        if one.gap is not None:
            texts[HEADINGS["gap"]] = f"{100 * one.gap:.1f} %"
        texts[HEADINGS["wins"]] = f"{ratios.better} / {ratios.equal} / {ratios.worse}"
        if one.seconds is not None:
            texts[HEADINGS["seconds"]] = f"{1e3 * one.seconds:.3g}"
    name = one.scheduler if not one.refused else f"{one.scheduler} ({one.refused} too large)"
    return {"scheduler": name, **texts}


def _ratio_text(ratio: float | None) -> str:
    return "–" if ratio is None else f"{ratio:.4f}" if ratio < 10 else f"{ratio:.4g}"


def _html_table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f"<th>{html.escape(cell)}</th>" for cell in headings)
    body = "".join(
        f"<tr>{''.join(f'<td>{html.escape(cell)}</td>' for cell in row)}</tr>" for row in rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
