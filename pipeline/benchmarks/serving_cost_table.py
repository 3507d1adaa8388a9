"""The table of what requests cost."""

from __future__ import annotations

import os
import statistics
from typing import TYPE_CHECKING

from rich.table import Table

from deepsched.pipeline.benchmarks.serving_runs import LIBRARY, PLAIN, SERVICE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from deepsched.pipeline.benchmarks.serving_runs import Run


def cost_table(size: str, runs: Sequence[Run]) -> Table:
    """Return a row for each kind of request of one size."""
    of_service = [one for one in runs if one.target == SERVICE and one.size == size]
    processes = sorted({process for one in of_service for process in one.cpu})
    table = Table(title=f"{size}: a problem, by kind of request (medians; ms of CPU at 1 conn.)")
    table.add_column("request")
    counts = {
        name: sorted({one.connections for one in runs if (one.target, one.size) == (name, size)})
        for name in (PLAIN, SERVICE)
    }
    headings = [
        *("library CPU", "scheduling", "plain CPU"),
        *(f"{process} CPU" for process in processes),
        *("service CPU", "beyond library", "p50 ms", "p99 ms", "CPU allows /s"),
        *(f"{name} /s, {count} conn." for name in counts for count in counts[name]),
    ]
    for heading in headings:
        table.add_column(heading, justify="right")
    for kind in dict.fromkeys(one.kind for one in of_service):
        cells = _cells(size, kind, runs, processes, counts)
        table.add_row(kind, *(f"{value:.3g}" for value in cells))
    return table


def _cells(
    size: str,
    kind: str,
    runs: Sequence[Run],
    processes: Sequence[str],
    counts: Mapping[str, Sequence[int]],
) -> list[float]:
    library = chosen_runs(runs, LIBRARY, size, kind, 0)
    plain = chosen_runs(runs, PLAIN, size, kind, 1)
    service = chosen_runs(runs, SERVICE, size, kind, 1)

    def rates(target: str) -> list[float]:
        return [
            median([one.rate for one in chosen_runs(runs, target, size, kind, count)])
            for count in counts[target]
        ]

    return [
        median([one.whole_cpu for one in library]),
        median([one.scheduling or 0.0 for one in library]),
        median([one.whole_cpu for one in plain]),
        *(median([one.cpu.get(process, 0.0) for one in service]) for process in processes),
        median([one.whole_cpu for one in service]),
        beyond(runs, size, kind),
        median([one.p50 for one in service]),
        median([one.p99 for one in service]),
        1e3 * (os.cpu_count() or 1) / median([one.whole_cpu for one in service]),
        *rates(PLAIN),
        *rates(SERVICE),
    ]


def chosen_runs(
    runs: Sequence[Run], target: str, size: str, kind: str, connections: int
) -> list[Run]:
    """Return the runs of one cell of the table, one a round."""
    cell = (target, size, kind, connections)
    return [one for one in runs if (one.target, one.size, one.kind, one.connections) == cell]


def beyond(runs: Sequence[Run], size: str, kind: str, target: str = SERVICE) -> float:
    """Return ms of CPU a problem above that of the library, on one connection."""
    whole = [one.whole_cpu for one in chosen_runs(runs, target, size, kind, 1) if one.cpu]
    library = [one.whole_cpu for one in chosen_runs(runs, LIBRARY, size, kind, 0)]
    return median(whole) - median(library)


def median(values: Sequence[float]) -> float:
    """Return the median; NaN for none."""
    return statistics.median(values) if values else float("nan")
