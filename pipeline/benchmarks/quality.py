"""How good schedules are and what they cost: the network on graphs never seen."""

from __future__ import annotations

import functools
import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console

from deepsched.baselines.atomic import write_text
from deepsched.pipeline.benchmarks.quality_methods import AVERAGED, ONCE, Outcome, Runner
from deepsched.pipeline.benchmarks.quality_problems import (
    anytime_problems,
    grid_problems,
    hcsp_problems,
    job_shop_problems,
    large_problems,
    related_problems,
    stg_problems,
    trace_problems,
)
from deepsched.pipeline.benchmarks.quality_tables import by_ccr, lead, ratios, table
from deepsched.pipeline.common.cli import messages, progress_bar, results
from deepsched.pipeline.common.outputs import check_writable
from deepsched.pipeline.common.provenance import provenance
from deepsched.pipeline.common.strict_json import json_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from deepsched.pipeline.benchmarks.quality_problems import Case

# Of the anytime comparison: s → graphs a cell, in quick runs 2.
BUDGETS = {0.1: 10, 1.0: 4, 10.0: 2}
TRACE_MANY_MACHINES = (64,)  # on so many HEFT leaves almost nothing: told without a goal
STG_MACHINES = (2, 4, 8, 16)

Part = tuple[str, "list[Case]", "Callable[..., Outcome]"]


@click.command(name="quality")
@click.option("--quick", is_flag=True, help="Fewer cells, no 10,000 tasks: at most 20 minutes.")
@click.option("--part", metavar="WORDS", default="", help="Only parts whose name has these words.")
@click.option(
    "--checkpoint",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Network to measure.  [default: the pretrained one]",
)
@click.option(
    "--data",
    metavar="DIR",
    envvar="DEEPSCHED_DATA",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    help="Folder of real inputs.  [default: $DEEPSCHED_DATA; without it they are left out]",
)
@click.option(
    "--json", "json_out", metavar="FILE", type=click.Path(path_type=Path), help="Every ratio, too."
)
@click.option(
    "--html", "html_out", metavar="FILE", type=click.Path(path_type=Path), help="The tables, too."
)
def command(
    quick: bool,
    part: str,
    checkpoint: Path | None,
    data: Path | None,
    json_out: Path | None,
    html_out: Path | None,
) -> None:
    """Compare schedules with HEFT's on the held-out benchmark, used by no training or selection.

    Ratios are paired, problem by problem; every cell counts the same. Quality and time come from
    the same run. The network is shown with and without guard; beside it stand its own
    decoder with the network's outputs zeroed, and searches at the time of its 32 samples.
    """
    for option, path in {"--json": json_out, "--html": html_out}.items():
        if path is not None:
            check_writable(path.absolute().parent, f"{option} {path}")
    runner = Runner(checkpoint)
    parts: dict[str, list[Outcome]] = {}
    if data is not None:
        for name in ("wfinstances", "hcsp/512x16", "stg", "jsp"):
            if not (data / name).is_dir():
                raise click.BadParameter(f"--data {data}: there is no folder {name} in it")
    chosen = [one for one in _parts(quick, data) if part in one[0]]
    if not chosen:
        raise click.BadParameter(f"no part of the benchmark is called {part!r}")
    runner.warm_up()
    with progress_bar() as bar:
        for name, source, run in chosen:
            task = bar.add_task(name, total=len(source))
            parts[name] = []
            for case in source:
                parts[name].append(run(runner, *case()))
                bar.advance(task)
            # After each part: a long run that is cut off has told something.
            if json_out is not None:
                _write_json(json_out, parts, provenance(quick=quick, networks=runner.networks))
    tables = []
    for name, outcomes in parts.items():
        tables.append(table(name, outcomes, cells=True))
        if name == "generated, makespan":
            heavy = by_ccr(outcomes, 1.0)
            tables.append(table("generated, makespan, CCR >= 1", heavy, cells=False))
    for one in tables:
        results.print_table(one)
    for name, others in _leads(parts).items():
        for other, (mean, half) in others.items():
            own = ONCE if other == AVERAGED else "deepsched"
            results.print(
                f"{name}: {own} is ahead of {other} by {100 * mean:.2f} ± {100 * half:.2f} % of "
                "HEFT"
            )
    if data is None:
        messages.print("no real traces: give --data or set DEEPSCHED_DATA")
    if html_out is not None:
        console = Console(record=True, width=150, file=io.StringIO())
        for one in tables:
            console.print(one)
        write_text(html_out, console.export_html())


def _leads(parts: dict[str, list[Outcome]]) -> dict[str, dict[str, tuple[float, float]]]:
    found: dict[str, dict[str, tuple[float, float]]] = {}
    for part, outcomes in parts.items():
        methods = outcomes[0].values
        if "search" in methods:
            found[part] = {
                other: lead(outcomes, "deepsched", other) for other in ("search", "zeroed")
            }
        if AVERAGED in methods:
            found[part] = {AVERAGED: lead(outcomes, ONCE, AVERAGED)}
    return found


def _write_json(path: Path, parts: dict[str, list[Outcome]], about: dict[str, Any]) -> None:
    document = {
        "provenance": about,
        "parts": {part: ratios(outcomes) for part, outcomes in parts.items()},
        "ahead": _leads(parts),
    }
    write_text(path, json_text(document) + "\n")


def _parts(quick: bool, data: Path | None) -> Iterator[Part]:
    yield "generated, makespan", grid_problems(quick), Runner.run
    yield "generated, mean turnaround", grid_problems(quick), Runner.turnaround
    yield "the paper's scale, makespan", large_problems(), Runner.large
    if not quick:
        yield "HEFT and the network, makespan", grid_problems(quick), Runner.network
    if data is not None:
        in_time = functools.partial(Runner.network, search=True)
        if not quick:
            yield "traces in 1 s, makespan", trace_problems(data, True), in_time
            yield "related machines in 1 s, makespan", related_problems(data), in_time
        yield "real traces, makespan", trace_problems(data, quick), Runner.run
        if not quick:
            many = trace_problems(data, False, TRACE_MANY_MACHINES)
            yield "real traces, 64 machines, makespan", many, Runner.run
        shops = job_shop_problems(data)
        yield "public: Taillard's job shops", shops, Runner.solved_in_time
        yield "public: HCSP", hcsp_problems(data), Runner.solved_in_time
        for machines in STG_MACHINES[1:2] if quick else STG_MACHINES:
            part = f"public: STG-50, {machines} machines"
            yield part, stg_problems(data, machines), Runner.solved
            some = stg_problems(data, machines)[::6]
            yield f"{part}, every sixth graph", some, Runner.solved_in_time
    for budget, graphs in list(BUDGETS.items())[: 2 if quick else None]:
        yield (
            f"anytime, {budget:g} s",
            anytime_problems(2 if quick else graphs),
            functools.partial(Runner.anytime, budget=budget),
        )
