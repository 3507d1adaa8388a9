"""What the scheduling service costs and bears, held against what it is to reach."""

from __future__ import annotations

import contextlib
import os
from dataclasses import replace
from typing import TYPE_CHECKING

import click

from deepsched.baselines.atomic import write_text
from deepsched.baselines.errors import InvalidInput
from deepsched.baselines.waiting import loading
from deepsched.pipeline.benchmarks.serving_goals import Extent
from deepsched.pipeline.common.cli import messages, results
from deepsched.pipeline.common.numbers import AMOUNT, Whole
from deepsched.pipeline.common.strict_json import json_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from deepsched.pipeline.benchmarks.serving_goals import Found
    from deepsched.pipeline.benchmarks.serving_service import Service

PARTS = ("cost", "mixed", "overload", "kill", "soak")
BUSY = 0.5  # load of a core, from which on others disturb
SOAK = "soak"  # not measured unless it is asked for
QUICK = Extent(seconds=0.4, rounds=1, whole=False)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--part",
    "names",
    multiple=True,
    type=click.Choice(PARTS, case_sensitive=False),
    help=f"Only this one; may be repeated.  [default: all but {SOAK}]",
)
@click.option(
    "--quick", is_flag=True, help="Shorter runs, fewer sizes of problems, fewer processes killed."
)
@click.option(
    "--minutes",
    type=AMOUNT,
    default=Extent().minutes,
    show_default=True,
    help="How long the soak takes.",
)
@click.option(
    "--url",
    help="Address of a service that runs already; $DEEPSCHED_TOKEN is its token.  [default: one is "
    "started on a free port]",
)
@click.option(
    "--pid",
    type=Whole(min=1),
    help="With --url, the process of that `deepsched serve` on this machine: without it nothing is "
    "said of CPU and memory, and no process killed.",
)
@click.option("--json", "json_path", type=click.Path(), help="Also write the rows to this file.")
def command(
    names: tuple[str, ...],
    quick: bool,
    minutes: float,
    url: str | None,
    pid: int | None,
    json_path: str | None,
) -> None:
    r"""Measure the scheduling service, and say which of its goals it reaches.

    \b
    cost      CPU by kind of process, time and requests/s, for each size and kind of request;
              beside a plain FastAPI process with the same code, and the code alone
    mixed     small requests beside eight of 84,654 tasks and eight jobs
    overload  ten times as much as it can do: what is still answered, and how
    kill      a process of each kind is killed: failures through the client, s until it is ready
    soak      mixed work for a while: whether memory, descriptors, threads or files grow

    It takes about 8 minutes, with --quick 2, and the soak as long as it is told. Everything that is
    compared is measured in turns. On a machine of few cores the processes that ask take their part
    of them.
    """
    if pid is not None and url is None:
        raise InvalidInput("--pid belongs to a service that runs already: give its --url, too")
    extent = replace(QUICK if quick else Extent(), minutes=minutes)
    chosen = names or tuple(name for name in PARTS if name != SOAK)
    loading("torch", "ray")
    if (busy := busy_machine()) is not None:
        results.print(busy)
    parts = _functions()
    found: dict[str, Found] = {}
    with _service(url, pid, soaked=SOAK in chosen) as service:
        for name in dict.fromkeys(chosen):
            found[name] = parts[name](service, extent)
            show(found[name])
    if json_path is not None:
        rows = {
            name: {"rows": one.rows, "goals": [goal.to_json() for goal in one.goals]}
            for name, one in found.items()
        }
        write_text(json_path, json_text(rows) + "\n")


def busy_machine() -> str | None:
    """Return what is to be said where others work on this machine before anything is measured."""
    load, cores = os.getloadavg()[0], os.cpu_count() or 1
    if load < BUSY * cores:
        return None
    return (
        f"others work on this machine (load {load:.1f}, {cores} cores): trust CPU and ratios only"
    )


def show(found: Found) -> None:
    """Print what one part has found."""
    for table in found.tables:
        results.print_table(table)
    for line in (*found.lines, *(goal.line for goal in found.goals)):
        results.print(line)
    results.print()


def _functions() -> Mapping[str, Callable[[Service, Extent], Found]]:
    # Late, as they load torch, which --help needs not.
    from deepsched.pipeline.benchmarks.serving_cost import measure_cost
    from deepsched.pipeline.benchmarks.serving_kill import measure_kill
    from deepsched.pipeline.benchmarks.serving_mixed import measure_mixed
    from deepsched.pipeline.benchmarks.serving_overload import measure_overload
    from deepsched.pipeline.benchmarks.serving_soak import measure_soak

    every = (measure_cost, measure_mixed, measure_overload, measure_kill, measure_soak)
    return dict(zip(PARTS, every, strict=True))


@contextlib.contextmanager
def _service(url: str | None, pid: int | None, *, soaked: bool) -> Iterator[Service]:
    from deepsched.pipeline.benchmarks.serving_service import own_service, running_service
    from deepsched.pipeline.benchmarks.serving_soak import OPTIONS

    if url is not None:
        with running_service(url, pid) as service:
            yield service
        return
    messages.print("a service is started, which takes about half a minute")
    with own_service(OPTIONS if soaked else ()) as service:
        yield service
