"""What a service does when ten times as much is asked of it as it can answer."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from rich.table import Table

from deepsched.pipeline.benchmarks.serving_bodies import SMALL, Request, json_request
from deepsched.pipeline.benchmarks.serving_goals import Found, Goal
from deepsched.pipeline.benchmarks.serving_load import (
    LEFT,
    UNSENT,
    Load,
    ask,
    finish,
    percentile,
    start,
    together,
)
from deepsched.pipeline.benchmarks.serving_processes import summed, usage_by_kind
from deepsched.pipeline.benchmarks.serving_service import HEALTH
from deepsched.pipeline.common.cli import messages

if TYPE_CHECKING:
    from collections.abc import Mapping

    from deepsched.pipeline.benchmarks.serving_goals import Extent
    from deepsched.pipeline.benchmarks.serving_service import Service

CONNECTIONS = (16, 64)  # that find out what it can do; the better one counts
TIMES = 10
CAPACITY, LOADED = 6, 12  # s of measuring, in seconds of one run
MOST_CONNECTIONS = 2_000  # of those who come at their times
ASKING = 2  # processes
HEALTH_RATE = 15.0  # /s
GOODPUT = 0.8
MEMORY_GROWTH = 1.1
ALLOWED = frozenset({"200", "429", "503", UNSENT, LEFT})
IMPATIENT, PACED = f"{TIMES} x as many connections", f"{TIMES} x as many requests/s"


def measure_overload(service: Service, extent: Extent) -> Found:
    """Find out the capacity, then offer ten times as much in two ways."""
    file = service.file(json_request(SMALL.problem()))
    health = service.file(Request(name="health", method="GET", path=HEALTH))
    whole = Load(host=service.host, port=service.port, files=[file])
    short, long = CAPACITY * extent.seconds, LOADED * extent.seconds
    messages.print("overload: what it can do")
    ask(replace(whole, connections=CONNECTIONS[0], seconds=extent.seconds))
    rates = {
        count: ask(replace(whole, connections=count, seconds=short)).in_time / short
        for count in CONNECTIONS
    }
    capacity = max(rates.values())
    idle = ask(replace(whole, files=[health], rate=HEALTH_RATE, connections=64, seconds=short))
    ways: dict[str, dict[str, Any]] = {
        IMPATIENT: {"connections": TIMES * CONNECTIONS[0] // ASKING},
        PACED: {
            "connections": MOST_CONNECTIONS // ASKING,
            "rate": TIMES * capacity / ASKING,
        },
    }
    said = ", ".join(f"{rate:.0f} on {count} connections" for count, rate in rates.items())
    found = Found(lines=[f"requests/s it can do: {said}"])
    table = _table()
    for name, way in ways.items():
        messages.print(f"overload: {name}")
        memory = _memory(service)
        probe = start(
            replace(whole, files=[health], rate=HEALTH_RATE, connections=256, seconds=long)
        )
        parts = [start(replace(whole, seconds=long, **way)) for _ in range(ASKING)]
        came, seen = together([finish(part) for part in parts]), finish(probe)
        row: dict[str, Any] = {
            "way": name,
            "capacity": capacity,
            "goodput": came.in_time / long,
            "statuses": came.statuses,
            "p99_ms": percentile(came.ms, 0.99),
            "health_p99_ms": percentile(seen.ms, 0.99),
            "health_idle_p99_ms": percentile(idle.ms, 0.99),
            "health_statuses": seen.statuses,
            "mb_before": memory,
            "mb_after": _memory(service),
            "asking_cpu": came.cpu,
            "fault": came.fault or seen.fault,
        }
        found.rows.append(row)
        found.goals += goals(row)
        ratio = row["health_p99_ms"] / row["health_idle_p99_ms"]
        found.lines.append(f"{name}: p99 of {HEALTH} is {ratio:.3g} x that of an idle service")
        found.lines += [f"{name}: an answer was {row['fault']}"] if row["fault"] else []
        _add(table, row)
    found.tables = [table]
    return found


def goals(row: Mapping[str, Any]) -> list[Goal]:
    """Hold one way to ask too much against what is to be reached."""
    name = f"overload, {row['way']}"
    share = row["goodput"] / row["capacity"] if row["capacity"] else math.nan
    wrong = sum(count for status, count in row["statuses"].items() if status not in ALLOWED)
    growth = row["mb_after"] / row["mb_before"] if row["mb_before"] else math.nan
    return [
        Goal(text=f"{name}: goodput / capacity", value=share, bound=GOODPUT),
        Goal(
            text=f"{name}: answers but 200, 429, 503",
            value=wrong,
            bound=0,
            at_least=False,
        ),
        Goal(
            text=f"{name}: memory after / before",
            value=growth,
            bound=MEMORY_GROWTH,
            unit="x",
            at_least=False,
        ),
    ]


def _memory(service: Service) -> float | None:
    """Return MB of all processes of the service; None where they are not known."""
    if service.root is None:
        return None
    return summed([*usage_by_kind(service.root).values()]).megabytes


def _table() -> Table:
    table = Table(title=f"{SMALL.name}, more than the service can do")
    table.add_column("offered")
    for heading in ("goodput /s", "share", "p99 ms", f"{HEALTH} p99 ms", "MB before", "MB after"):
        table.add_column(heading, justify="right")
    table.add_column("statuses")
    return table


def _add(table: Table, row: Mapping[str, Any]) -> None:
    numbers = [
        row["goodput"],
        row["goodput"] / row["capacity"] if row["capacity"] else math.nan,
        row["p99_ms"],
        row["health_p99_ms"],
        math.nan if row["mb_before"] is None else row["mb_before"],
        math.nan if row["mb_after"] is None else row["mb_after"],
    ]
    statuses = ", ".join(f"{count} x {status}" for status, count in sorted(row["statuses"].items()))
    table.add_row(row["way"], *(f"{value:.4g}" for value in numbers), statuses)
