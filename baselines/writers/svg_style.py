"""The looks of an SVG file: its font, its colours on light and dark pages, and its style sheet."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

# Colours that colour-blind people can tell apart, each with that of the text on it, after Okabe and
# Ito (2008), Color Universal Design. Two greys follow: for the eighth kind, and for all others.
COLOURS = (
    ("#56b4e9", "#111"),
    ("#e69f00", "#111"),
    ("#009e73", "#111"),
    ("#cc79a7", "#111"),
    ("#f0e442", "#111"),
    ("#d55e00", "#111"),
    ("#0072b2", "#fff"),
    ("#8a8a8a", "#111"),
    ("#c4c4c4", "#111"),
)
FONT = "system-ui, -apple-system, 'Segoe UI', Helvetica, Arial, sans-serif"
LIGHT = {"page": "#fff", "text": "#1f2328", "soft": "#59636e", "line": "#d1d9e0", "row": "#f3f5f7"}
DARK = {
    "page": "#0d1117",
    "text": "#e6edf3",
    "soft": "#9198a1",
    "line": "#3d444d",
    "row": "#171c23",
}


def style(kinds: int) -> str:
    """Return the rules of a picture with so many kinds of task, for its style element."""
    rules = {
        ".name": "font-weight:600",
        ".end": "text-anchor:end",
        ".middle": "text-anchor:middle",
        ".panel .middle": "font-size:11px",
        ".makespan": "stroke-width:1.5",
        ".first": "stroke-dasharray:4 3",
        ".cells path": "fill:none;shape-rendering:crispEdges",
        ".s0": "opacity:.35",
        ".s1": "opacity:.65",
    }
    inks = {}
    for k, (fill, ink) in enumerate(COLOURS[:kinds]):
        rules |= {f".k{k}": f"fill:{fill}", f".cells .k{k}": f"stroke:{fill}"}
        inks[f".t{k}"] = f"fill:{ink}"
    dark = _rules(_theme(DARK))
    return (
        f"{_rules(rules | _theme(LIGHT))}@media(prefers-color-scheme:dark){{{dark}}}{_rules(inks)}"
    )


def _theme(colours: Mapping[str, str]) -> dict[str, str]:
    return {
        ".page": f"fill:{colours['page']}",
        "text": f"fill:{colours['text']}",
        ".soft": f"fill:{colours['soft']}",
        ".row": f"fill:{colours['row']}",
        ".line": f"stroke:{colours['line']}",
        ".makespan,.first": f"stroke:{colours['text']}",
    }


def _rules(rules: Mapping[str, str]) -> str:
    # Below the picture's own class: put into a page of HTML, it changes nothing else there.
    return "".join(
        f"{','.join(f'.schedules {one}' for one in selector.split(','))}{{{body}}}"
        for selector, body in rules.items()
    )
