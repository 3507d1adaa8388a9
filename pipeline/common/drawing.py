"""What drawings of reports share: colours, style, and SVG text that needs nothing else."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

GREY = "#5b6570"
WIDTH = 10.4  # inches
_STYLE = {
    "font.family": "sans-serif",
    "font.size": 10,
    "axes.edgecolor": "#9aa3ac",
    "axes.labelcolor": GREY,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e6e9ec",
    "xtick.color": GREY,
    "ytick.color": GREY,
    "legend.frameon": False,
    "svg.fonttype": "none",  # text stays text: small, sharp and searchable
    "svg.hashsalt": "deepsched",  # the same figure gives the same bytes
}


def drawing_style() -> AbstractContextManager[None]:
    """Return the style, for all that is drawn within."""
    style: AbstractContextManager[None] = mpl.rc_context(_STYLE)
    return style


def new_figure(width: float, height: float, columns: int = 1, **options: Any) -> tuple[Figure, Any]:
    """Return a figure, of so many inches, and its axes: several in a row with `columns`.

    Parameters
    ----------
    options : matplotlib's, of subplots.
    """
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasSVG(figure)
    return figure, figure.subplots(1, columns, **options)


def svg_text(figure: Figure) -> str:
    """Return a figure as SVG; the same one gives the same text."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return buffer.getvalue()
