"""The texts and numbers of an SVG file: escaped, cut to a length, and written short."""

from __future__ import annotations

import html
import re
import unicodedata

from deepsched.baselines.writers.names import legible

CHARACTER = 6.7  # px, the width of most characters at 12 px

SPACES = re.compile(r"[ \t\n\r]+")


def escaped(text: str) -> str:
    r"""Return a text as it may stand in an element or attribute; what may not, as \x00, \ud800."""
    return html.escape(legible(SPACES.sub(" ", text).strip(" ")))


def short(text: str, most: int) -> str:
    """Return at most so many characters, the last one … where some are left out."""
    return text if len(text) <= most else text[: most - 1] + "…"


def width(text: str, size: float = 12) -> float:
    """Estimate the width of a text of that font size, px; which font is used is not known."""
    wide = sum(unicodedata.east_asian_width(character) in "WF" for character in text)
    return CHARACTER * size / 12 * (len(text) + wide)


def px(value: float) -> str:
    """Return a length to a hundredth."""
    return f"{value:.2f}".rstrip("0").rstrip(".")


def seconds(value: float) -> str:
    """Return a time of four digits, or all of those before the point."""
    return f"{value:,.0f} s" if 1e3 <= value < 1e9 else f"{value:.4g} s"


def label(kind: str, x: float, y: float, text: str) -> str:
    """Return a text element of those classes."""
    return f'<text class="{kind}" x="{px(x)}" y="{px(y)}">{escaped(text)}</text>'


def upright(kind: str, x: float, height: float) -> str:
    """Return a vertical line from 0 downwards, of that class."""
    return f'<path class="{kind}" d="M{px(x)} 0v{px(height)}"/>'
