"""The looks of an SVG file: its font, its colours on light and dark pages, and its style sheet."""

from __future__ import annotations

from typing import TYPE_CHECKING

from deepsched.baselines.writers.palette import COLOURS

if TYPE_CHECKING:
    from collections.abc import Mapping

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
        ".chain": "fill:none;stroke-width:1.75",
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
        ".border": f"stroke:{colours['soft']}",
        ".rim": f"fill:none;stroke-width:4;stroke:{colours['page']}",
        ".makespan,.first,.chain": f"stroke:{colours['text']}",
    }


def _rules(rules: Mapping[str, str]) -> str:
    # Below the picture's own class: put into a page of HTML, it changes nothing else there.
    return "".join(
        f"{','.join(f'.schedules {one}' for one in selector.split(','))}{{{body}}}"
        for selector, body in rules.items()
    )
