"""Where a command's words go: results to stdout, all that is said along the way to stderr."""

from __future__ import annotations

import re
from textwrap import wrap
from typing import TYPE_CHECKING, Any

from rich import box
from rich.cells import cell_len
from rich.console import Console

from deepsched.baselines.text import printable

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

WIDEST = 1000  # columns of a table


class _Console(Console):
    """A console on which a text is what it says: no markup, no emoji codes, no control characters.

    Names come from files and from users.
    """

    def __init__(self, *, stderr: bool = False) -> None:
        super().__init__(stderr=stderr, highlight=False, soft_wrap=True, markup=False, emoji=False)

    def render_str(self, text: str, **how: Any) -> Text:
        """Return a text of lines, whatever else is in it as escapes."""
        return super().render_str("\n".join(map(printable, text.split("\n"))), **how)

    def print_table(self, table: Table) -> None:
        """Print a table as wide as it needs to be: a row is a line, whatever the terminal's width.

        It has no frame, and headings of several lines where it would not fit otherwise.
        """
        table.box, table.show_edge, table.pad_edge = box.SIMPLE_HEAD, False, False
        table.padding, table.title_justify = 0, "left"
        for column in table.columns:
            column.no_wrap = True
        anywhere = self.options.update(max_width=WIDEST)
        if self.measure(table, options=anywhere).maximum > self.width:
            _fold_headings(table)
        needed = self.measure(table, options=anywhere).maximum
        title = self.measure(str(table.title or ""), options=anywhere).maximum
        before, self._width = self._width, max(needed, title, self.width)
        try:
            self.print(table, crop=False)
        finally:
            self._width = before

    def on_broken_pipe(self) -> None:
        """Leave it to `run_command`."""
        raise  # rich calls this where it has caught the error


def _fold_headings(table: Table) -> None:
    """Break headings between words, to be no wider than what stands below them where possible."""
    for column in table.columns:
        heading = " ".join(str(column.header).split())
        least = [len(piece) for piece in re.findall(r"[^\s-]+-?", heading)]
        width = max([*(cell_len(str(cell)) for cell in column.cells), *least, 1])
        column.header, column.vertical = "\n".join(wrap(heading, width)), "bottom"


# Results go to stdout, everything said along the way to stderr, so that output can be piped.
messages = _Console(stderr=True)  # progress and notes, which --quiet hides
failures = _Console(stderr=True)  # what went wrong, which nothing hides
results = _Console()
