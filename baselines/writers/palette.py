"""The colours of kinds of tasks in charts."""

from __future__ import annotations

# That colour-blind people can tell apart, each with that of the text on it, after Okabe and Ito
# (2008), Color Universal Design, https://jfly.uni-koeln.de/color/; their black is that of lines.
# Two greys follow: for the eighth kind, and for all others. A grey between the two would look like
# the green and the purple to people who see no green.
COLOURS = (
    ("#56b4e9", "#111"),
    ("#e69f00", "#111"),
    ("#009e73", "#111"),
    ("#cc79a7", "#111"),
    ("#f0e442", "#111"),
    ("#d55e00", "#111"),
    ("#0072b2", "#fff"),
    ("#5c5c5c", "#fff"),
    ("#c4c4c4", "#111"),
)
