"""The comparison as a table for the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich import box
from rich.table import Table

from deepsched.pipeline.evaluation.numbers import interval_text, number_text, ratio_text
from deepsched.pipeline.evaluation.summary import ranked

if TYPE_CHECKING:
    from collections.abc import Mapping


def comparison_table(group: Mapping[str, Any]) -> Table:
    """Return one group's comparison for the terminal, the columns that fit into 80 characters."""
    table = Table(
        title=f"{group['title']}: {group['samples']} samples of {group['sources']} graphs",
        title_justify="left",
        box=box.SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        padding=(0, 0, 0, 1),
    )
    table.add_column("scheduler", no_wrap=True)
    for heading in (
        "turn-\naround s",
        "\n/ HEFT",
        "makespan\n/ HEFT",
        "95 %\ninterval",
        "\nworst",
        "better\n= worse",
        "\nms",
    ):
        table.add_column(heading, justify="right", no_wrap=True)
    for name in ranked(group):
        found = group["schedulers"][name]
        ratio = found["ratio"]
        span = ratio["makespan"] if ratio else None
        table.add_row(
            name,
            number_text(found["mean_turnaround"], 4),
            ratio_text(ratio and ratio["mean_turnaround"]["mean"]),
            ratio_text(span and span["mean"]),
            interval_text(span and span["interval"]),
            ratio_text(span and span["worst"]),
            f"{span['better']} {span['equal']} {span['worse']}" if span else "–",
            number_text(found["median_seconds"] and 1e3 * found["median_seconds"], 2),
            style="bold" if name == group["learned"] else None,
        )
    return table
