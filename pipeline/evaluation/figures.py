"""The plots of the report, each returned as SVG text that needs nothing from the network."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, NullLocator

from deepsched.baselines.comparison import REFERENCE
from deepsched.pipeline.common.drawing import (
    BLUE,
    EDGE,
    GREEN,
    GREY,
    INK,
    ORANGE,
    PURPLE,
    SKY,
    VERMILLION,
    WIDTH,
    drawing_style,
    new_figure,
    svg_text,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

GROUP_COLOURS = (SKY, BLUE, ORANGE, PURPLE)
# What a line or box of a scheduler looks like: the network and HEFT have their own colour, others
# share the rest, with another mark and dash each time the colours come round again.
NETWORK_COLOUR, REFERENCE_COLOUR = VERMILLION, INK
OTHERS = (BLUE, GREEN, ORANGE, SKY, PURPLE, "#7f7f7f")
MARKS = ("o", "s", "^", "D", "v")
DASHES = ("-", "--", "-.", (0, (1, 1)), (0, (5, 1, 1, 1, 1, 1)))


def scheduler_styles(names: Sequence[str], learned: str) -> dict[str, dict[str, Any]]:
    """Return matplotlib's settings of each scheduler's line; no two are the same."""
    styles: dict[str, dict[str, Any]] = {}
    for name in names:
        if name == learned:
            styles[name] = {"color": NETWORK_COLOUR, "lw": 2.8, "marker": "o", "ms": 5, "zorder": 5}
        elif name == REFERENCE:
            styles[name] = {
                "color": REFERENCE_COLOUR,
                "lw": 2.2,
                "marker": "s",
                "ms": 4,
                "zorder": 4,
            }
        else:
            again, k = divmod(len(set(styles) - {learned, REFERENCE}), len(OTHERS))
            styles[name] = {
                "color": OTHERS[k],
                "lw": 1.3,
                "ls": DASHES[again % len(DASHES)],
                "marker": MARKS[again % len(MARKS)],
                "ms": 3.5,
            }
    return styles


def turnaround_bars(
    schedulers: Sequence[str], groups: Mapping[str, Mapping[str, float | None]], learned: str
) -> str:
    """Draw the mean turnaround of each scheduler, one bar a group (the paper's Fig. 4).

    A dashed line of the group's colour is at HEFT's.

    Parameters
    ----------
    schedulers : names, in the order of the axis.
    groups : title of the group to scheduler to seconds; None leaves a gap.
    learned : the name set in bold.
    """
    with drawing_style():
        figure, axes = new_figure(WIDTH, 0.17 * len(schedulers) * (len(groups) + 1) + 1.0)
        height = 0.8 / max(len(groups), 1)
        for k, (title, values) in enumerate(groups.items()):
            places = [i + (k - (len(groups) - 1) / 2) * height for i in range(len(schedulers))]
            widths = [values.get(name) or 0.0 for name in schedulers]
            axes.barh(places, widths, height=height * 0.92, color=_colour(k), label=title, zorder=2)
            if values.get(REFERENCE) is not None:
                label = "HEFT" if k == len(groups) - 1 else None
                axes.axvline(values[REFERENCE], color=INK, ls="--", lw=1.2, zorder=3, label=label)
        axes.set_yticks(range(len(schedulers)), schedulers)
        _in_bold(axes, learned)
        axes.set_ylim(len(schedulers) - 0.5, -0.5)
        axes.grid(visible=False, axis="y")
        axes.margins(x=0.03)
        axes.set_xlabel("mean turnaround (s), lower is better")
        axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=len(groups) + 1)
        return svg_text(figure)


def _in_bold(axes: Any, learned: str) -> None:
    for tick in axes.get_yticklabels():
        if tick.get_text() == learned:
            tick.set_fontweight("bold")


def ratio_boxes(groups: Mapping[str, Mapping[str, Sequence[float]]], learned: str) -> str:
    """Draw how the makespan ratios to HEFT spread over the samples, one panel a group.

    Parameters
    ----------
    groups : title to scheduler to the ratio of each sample; the same schedulers in each, in the
        order of the axis.
    """
    with drawing_style():
        names = list(next(iter(groups.values())))
        own = {learned: NETWORK_COLOUR, REFERENCE: GREY}
        figure, rows = new_figure(
            WIDTH, 0.3 * len(names) + 1.1, len(groups), sharey=True, squeeze=False
        )
        panels = rows[0]
        for axes, (title, values) in zip(panels, groups.items(), strict=True):
            boxes = axes.boxplot(
                [list(values[name]) for name in names],
                orientation="horizontal",
                widths=0.6,
                whis=(0, 100),
                patch_artist=True,
                medianprops={"color": INK, "linewidth": 1.6},
                **{part: {"color": GREY} for part in ("boxprops", "whiskerprops", "capprops")},
            )
            for box, name in zip(boxes["boxes"], names, strict=True):
                box.set(facecolor=own.get(name, SKY), alpha=0.85)
            axes.axvline(1.0, color=INK, linewidth=1.6, linestyle="--", zorder=5, label="HEFT")
            axes.set_title(title, fontsize=10)
            axes.set_yticks(range(1, len(names) + 1), names)
            axes.grid(visible=False, axis="y")
            if max((max(ratios) for ratios in values.values() if ratios), default=1.0) > 4:
                axes.set_xscale("log")
                axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
                axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
                axes.xaxis.set_minor_locator(NullLocator())
            axes.set_xlabel("makespan / HEFT's")
        _in_bold(panels[0], learned)
        panels[0].invert_yaxis()
        panels[-1].legend(loc="lower right", bbox_to_anchor=(1, 1), fontsize=8)
        return svg_text(figure)


def seconds_by_size(
    measured: Mapping[str, Sequence[tuple[float, float]]],
    published: Mapping[str, Sequence[tuple[float, float]]],
    learned: str,
) -> str:
    """Draw scheduling time over tasks, both axes logarithmic; published figures dashed.

    Parameters
    ----------
    measured, published : scheduler to (tasks, s) points in ascending order.
    """
    with drawing_style():
        figure, axes = new_figure(WIDTH, 4.4)
        styles = scheduler_styles(list(measured), learned)
        for name, points in measured.items():
            axes.plot(*zip(*points, strict=True), label=name, **{"zorder": 3, **styles[name]})
        for marker, (name, points) in zip("Xp*h", published.items(), strict=False):
            axes.plot(
                *zip(*points, strict=True),
                marker=marker,
                markersize=7,
                linestyle=":",
                linewidth=1.1,
                color=EDGE,
                label=f"{name} (published by the paper)",
            )
        axes.set_xscale("log")
        axes.set_yscale("log")
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
            axis.set_minor_formatter(NullFormatter())
        axes.set_xlabel("tasks")
        axes.set_ylabel("seconds to schedule")
        axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), fontsize=8)
        return svg_text(figure)


def training_curve(history: Sequence[Mapping[str, Any]]) -> str:
    """Draw what the training made small, and the ratios to HEFT in validation, over its steps.

    A training that went through its samples more than once has epochs along the top.
    """
    with drawing_style():
        figure, (measure, ratio) = new_figure(WIDTH, 3.3, columns=2)
        steps = [entry["step"] for entry in history]
        names = [name for name in history[-1] if name.startswith("train_")][:1]
        for name in names:
            values = [entry.get(name) for entry in history]
            if None not in values:
                measure.plot(steps, values, "o-", ms=3, color=GROUP_COLOURS[1])
            measure.set(ylabel=f"{name.removeprefix('train_').replace('_', ' ')} in training")
        measure.set(xlabel="step")
        for name, label, colour in (
            ("val_makespan", "makespan", NETWORK_COLOUR),
            ("val_turnaround", "mean turnaround", BLUE),
        ):
            values = [entry[name] for entry in history]
            if None not in values:
                ratio.plot(steps, values, "o-", ms=3, color=colour, label=label)
        ratio.axhline(1.0, ls="--", lw=1.6, color=INK, label="HEFT")
        ratio.set(xlabel="step", ylabel="decoded in validation / HEFT's")
        ratio.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=3)
        epochs = {entry["step"]: entry["epoch"] for entry in history if entry["epoch"]}
        if len(set(epochs.values())) > 1:
            shown = list(epochs)[:: -(-len(epochs) // 8)]
            for axes in (measure, ratio):
                top = axes.secondary_xaxis("top")
                top.set_xticks(shown, [str(epochs[step]) for step in shown])
                top.set_xlabel("epoch", color=GREY)
                top.tick_params(colors=GREY)
        return svg_text(figure)


def makespan_against_time(curves: Sequence[Mapping[str, Any]]) -> str:
    """Draw makespans / HEFT's over the seconds that the network's search takes, a line a size.

    Parameters
    ----------
    curves : as of `search_curve`.
    """
    with drawing_style():
        figure, axes = new_figure(WIDTH, 3.8)
        for k, curve in enumerate(curves):
            points = sorted(curve["points"], key=lambda point: point["seconds"])
            axes.plot(
                [1e3 * point["seconds"] for point in points],
                [point["ratio"] for point in points],
                color=OTHERS[k % len(OTHERS)],
                marker=MARKS[k % len(MARKS)],
                ls=DASHES[k % len(DASHES)],
                lw=1.8,
                label=f"{curve['tasks']} tasks ({curve['samples']})",
            )
        axes.axhline(1.0, ls="--", lw=1.6, color=INK, label="HEFT")
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
        axes.set_xlabel("milliseconds to schedule")
        axes.set_ylabel("makespan / HEFT's")
        axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), fontsize=8)
        return svg_text(figure)


def _colour(k: int) -> str:
    return GROUP_COLOURS[k % len(GROUP_COLOURS)]
