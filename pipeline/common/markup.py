"""Tables and figures as pieces of HTML."""

from __future__ import annotations

import base64
import html
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


def html_table(
    headings: Iterable[str],
    rows: Sequence[tuple[Sequence[str], str]],
    caption: str = "",
    style: str = "",
) -> str:
    """Return a table whose rows are cells and a class; what stands in them is escaped."""
    head = "".join(f"<th>{html.escape(text)}</th>" for text in headings)
    body = "".join(
        f'<tr class="{style}">{"".join(f"<td>{html.escape(cell)}</td>" for cell in cells)}</tr>'
        for cells, style in rows
    )
    label = f"<caption>{html.escape(caption)}</caption>" if caption else ""
    return (
        f'<div class="wide"><table class="{style}">{label}<thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def html_figure(svg: str, caption: str) -> str:
    """Return a drawing with a caption."""
    # As an image, so that ids and styles of one plot cannot touch another.
    data = base64.b64encode(svg.encode()).decode()
    text = html.escape(caption, quote=True)
    return (
        f'<figure><img src="data:image/svg+xml;base64,{data}" alt="{text}">'
        f"<figcaption>{text}</figcaption></figure>"
    )
