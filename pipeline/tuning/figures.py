"""The drawings of a search's report, each returned as SVG text."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import matplotlib as mpl

from deepsched.pipeline.common.drawing import GREY, WIDTH, drawing_style, new_figure, svg_text

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

BEST = "#c0392b"
FAILED = 1.1  # where trials without a score end, above the worst


def parallel_coordinates(results: Sequence[Mapping[str, Any]], names: Sequence[str]) -> str:
    """Draw each trial as a line through its settings to its score; the best one first.

    Parameters
    ----------
    names : of the settings, one axis each.
    """
    columns = [[result["params"].get(name) for result in results] for name in names]
    scores = [result["score"] for result in results]
    low, high = (pick(s for s in scores if s is not None) for pick in (min, max))
    with drawing_style():
        figure, axes = new_figure(WIDTH, 3.8)
        places = [_placed(values) for values in columns]
        for k in reversed(range(len(results))):
            end = FAILED if scores[k] is None else _between(scores[k], low, high)
            line = [place(values[k]) for place, values in zip(places, columns, strict=True)] + [end]
            axes.plot(range(len(line)), line, **_style(k, len(results), failed=scores[k] is None))
        for k, (place, values) in enumerate(zip(places, columns, strict=True)):
            for value in _marks(values):
                axes.annotate(
                    value_text(value),
                    (k, place(value)),
                    (4, 0),
                    textcoords="offset points",
                    fontsize=8,
                )
        for score in dict.fromkeys((low, high)):
            axes.annotate(
                f"{score:.4f}",
                (len(names), _between(score, low, high)),
                (4, 0),
                textcoords="offset points",
                fontsize=8,
            )
        titles = [name.removeprefix("network_options.").replace("_", "\n") for name in names]
        axes.set_xticks(range(len(names) + 1), [*titles, "score"])
        axes.set_yticks([])
        axes.margins(x=0.06)
        axes.grid(visible=True, axis="x", color="#9aa3ac")
        axes.spines["left"].set_visible(False)
        return svg_text(figure)


def importance_bars(shares: Mapping[str, float | None]) -> str:
    """Draw how much each setting explains, the largest first."""
    with drawing_style():
        names = [name for name, share in shares.items() if share is not None]
        figure, axes = new_figure(WIDTH, 0.34 * len(names) + 0.9)
        values = [100 * float(shares[name] or 0) for name in names]
        bars = axes.barh(range(len(names)), values, height=0.6, color="#1f5c99")
        axes.bar_label(bars, [f"{value:.0f} %" for value in values], padding=4, color=GREY)
        axes.set_yticks(range(len(names)), [n.removeprefix("network_options.") for n in names])
        axes.set_ylim(len(names) - 0.5, -0.5)
        axes.set_xlim(0, 105)
        axes.grid(visible=False, axis="y")
        axes.set_xlabel("share of the variance of ranks (%)")
        return svg_text(figure)


def learning_curves(results: Sequence[Mapping[str, Any]]) -> str:
    """Draw the score of each trial's validations over its steps; the best one first."""
    with drawing_style():
        figure, axes = new_figure(WIDTH, 3.8)
        for k in reversed(range(len(results))):
            if points := results[k]["validations"]:
                style = _style(k, len(results), failed=results[k]["score"] is None)
                label = f"trial {results[k]['trial']}, the best" if not k else None
                axes.plot(*zip(*points, strict=True), marker="o", ms=3, label=label, **style)
        axes.set(xlabel="step", ylabel="score in validation")
        axes.legend()
        return svg_text(figure)


def _style(rank: int, n: int, *, failed: bool) -> dict[str, Any]:
    if failed:
        return {"color": "#9aa3ac", "linestyle": ":", "linewidth": 1.0}
    if not rank:
        return {"color": BEST, "linewidth": 2.4}
    return {"color": mpl.colormaps["viridis"](rank / max(n, 2)), "linewidth": 1.2, "alpha": 0.8}


def _placed(values: Sequence[Any]) -> Callable[[Any], float]:
    """Return where values lie on an axis from 0 to 1: by logarithm, or by place in a list."""
    if _continuous(values):
        low, high = math.log(min(values)), math.log(max(values))
        return lambda value: _between(math.log(value), low, high)
    order = _in_order(values)
    return lambda value: _between(order.index(value), 0, len(order) - 1)


def _continuous(values: Sequence[Any]) -> bool:
    numbers = all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in values)
    return numbers and len(set(values)) > 4 and min(values) > 0


def _in_order(values: Sequence[Any]) -> list[Any]:
    distinct = list(dict.fromkeys(values))
    try:
        return sorted(distinct)
    except TypeError:
        return sorted(distinct, key=str)


def _marks(values: Sequence[Any]) -> list[Any]:
    return [min(values), max(values)] if _continuous(values) else _in_order(values)


def _between(value: float, low: float, high: float) -> float:
    return (value - low) / (high - low) if high > low else 0.5


def value_text(value: Any) -> str:
    """Return a setting's value, a number shortened."""
    return f"{value:.3g}" if isinstance(value, float) else str(value)
