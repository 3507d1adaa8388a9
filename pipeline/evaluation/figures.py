"""The plots of the report, each returned as SVG text that needs nothing from the network."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import matplotlib as mpl
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, NullLocator

from deepsched.pipeline.common.drawing import GREY, WIDTH, drawing_style, new_figure, svg_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

GROUP_COLOURS = ("#8fb3d9", "#1f5c99", "#e0973a", "#7a4f9e")
NETWORK_COLOUR = "#c0392b"


def turnaround_bars(
    schedulers: Sequence[str], groups: Mapping[str, Mapping[str, float | None]], learned: str
) -> str:
    """Draw the mean turnaround of each scheduler, one bar a group (the paper's Fig. 4).

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
            bars = axes.barh(
                places, widths, height=height * 0.92, color=_colour(k), label=title, zorder=2
            )
            labels = [
                "–" if values.get(name) is None else f"{values[name]:.4g}" for name in schedulers
            ]
            axes.bar_label(bars, labels=labels, padding=4, fontsize=8, color=GREY)
        axes.set_yticks(range(len(schedulers)), schedulers)
        for tick, name in zip(axes.get_yticklabels(), schedulers, strict=True):
            if name == learned:
                tick.set_fontweight("bold")
        axes.set_ylim(len(schedulers) - 0.5, -0.5)
        axes.grid(visible=False, axis="y")
        axes.margins(x=0.12)
        axes.set_xlabel("mean turnaround (s), lower is better")
        axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=len(groups))
        return svg_text(figure)


def ratio_boxes(groups: Mapping[str, Mapping[str, Sequence[float]]], learned: str) -> str:
    """Draw how the makespan ratios to HEFT spread over the samples, one panel a group.

    Parameters
    ----------
    groups : title to scheduler to the ratio of each sample; the same schedulers in each.
    """
    with drawing_style():
        names = list(next(iter(groups.values())))
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
                medianprops={"color": "#222", "linewidth": 1.5},
            )
            for box, name in zip(boxes["boxes"], names, strict=True):
                colour = NETWORK_COLOUR if name == learned else GROUP_COLOURS[0]
                box.set(facecolor=colour, alpha=0.85)
            axes.axvline(1.0, color="#222", linewidth=1, linestyle="--")
            axes.set_title(title, fontsize=10)
            axes.set_yticks(range(1, len(names) + 1), names)
            axes.grid(visible=False, axis="y")
            if max((max(ratios) for ratios in values.values() if ratios), default=1.0) > 4:
                axes.set_xscale("log")
                axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
                axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
                axes.xaxis.set_minor_locator(NullLocator())
            axes.set_xlabel("makespan / HEFT's")
        panels[0].invert_yaxis()
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
        colours = mpl.colormaps["tab20"]
        for k, (name, points) in enumerate(measured.items()):
            bold = name == learned
            axes.plot(
                *zip(*points, strict=True),
                marker="o",
                markersize=5 if bold else 3.5,
                linewidth=2.6 if bold else 1.3,
                color=NETWORK_COLOUR if bold else colours(k % colours.N),
                label=name,
                zorder=4 if bold else 3,
            )
        for marker, (name, points) in zip("s^vD", published.items(), strict=False):
            axes.plot(
                *zip(*points, strict=True),
                marker=marker,
                linestyle="--",
                linewidth=1.1,
                color="#9aa3ac",
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
    """Draw what the training made small, and the ratios to HEFT in validation, over its steps."""
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
            ("val_turnaround", "mean turnaround", GROUP_COLOURS[0]),
        ):
            values = [entry[name] for entry in history]
            if None not in values:
                ratio.plot(steps, values, "o-", ms=3, color=colour, label=label)
        ratio.axhline(1.0, ls="--", color=GREY, label="HEFT")
        ratio.set(xlabel="step", ylabel="decoded in validation / HEFT's")
        ratio.legend()
        return svg_text(figure)


def _colour(k: int) -> str:
    return GROUP_COLOURS[k % len(GROUP_COLOURS)]
