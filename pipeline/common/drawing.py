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
INK = "#1d2329"
LINE, EDGE = "#e6e9ec", "#9aa3ac"
WIDTH = 10.4  # inches
# Colours that people who see few of them can tell apart; yellow is left out, pale on white.
# Okabe, Ito (2008), https://jfly.uni-koeln.de/color/
ORANGE, SKY, GREEN, BLUE = "#e69f00", "#56b4e9", "#009e73", "#0072b2"
VERMILLION, PURPLE = "#d55e00", "#cc79a7"
# An image follows the reader's wish for dark pages by itself; text without a colour is ink.
_ON_DARK = {INK: "#e6edf3", GREY: "#aab4be", LINE: "#2d343c", EDGE: "#6b7680"}
_SCHEMES = (
    f"text{{fill:{INK}}}@media (prefers-color-scheme:dark){{text{{fill:{_ON_DARK[INK]}}}"
    + "".join(
        f'[style*="{kind}: {light}"]{{{kind}:{dark} !important}}'
        for light, dark in _ON_DARK.items()
        for kind in ("fill", "stroke")
    )
    + "}"
)
_STYLE = {
    "font.family": "sans-serif",
    "font.size": 10,
    "axes.edgecolor": EDGE,
    "axes.labelcolor": GREY,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": LINE,
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
    metadata = {"Date": None, "Creator": None}
    figure.savefig(buffer, format="svg", transparent=True, metadata=metadata)
    return buffer.getvalue().replace("</style>", f"{_SCHEMES}</style>", 1)
