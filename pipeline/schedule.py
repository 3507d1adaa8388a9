#!/usr/bin/env python3
"""`deepsched schedule`: one workflow file in, one schedule out."""

from __future__ import annotations

if __name__ == "__main__":  # run as a file, maybe from a checkout that is not installed
    import runpy
    from pathlib import Path

    runpy.run_path(str(Path(__file__).resolve().parent / "common/as_file.py"))["run_file"](__file__)

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from deepsched.baselines.bounds import lower_bound
from deepsched.baselines.errors import InvalidInput
from deepsched.baselines.metrics import METRICS
from deepsched.baselines.plugins import register_named
from deepsched.baselines.readers import ReadOptions, problem_from_bytes, read_problem
from deepsched.baselines.registry import teacher_rng
from deepsched.baselines.text import printable
from deepsched.baselines.timing import timed, warm_up
from deepsched.baselines.writers import (
    write_csv,
    write_dot,
    write_gantt,
    write_json,
    write_node_link,
    write_svg,
    write_trace,
    write_wfformat,
)
from deepsched.model.load import PRETRAINED, known_schedulers, resolve_scheduler
from deepsched.model.networks.deepsched.options import DeepSchedOptions
from deepsched.pipeline.common.cli import messages, results
from deepsched.pipeline.common.numbers import SEED
from deepsched.pipeline.common.options import CONTEXT_SETTINGS, machine_options, settings_options
from deepsched.pipeline.common.outputs import STANDARD, check_outputs
from deepsched.pipeline.common.streams import read_stdin

if TYPE_CHECKING:
    from deepsched.baselines.problem import Problem
    from deepsched.baselines.schedule import Schedule


@click.command(context_settings=CONTEXT_SETTINGS)
@click.argument("file")
@machine_options
@click.option(
    "--scheduler",
    metavar="NAME",
    help=f"One of: {', '.join(known_schedulers())}; or one of your own as FILE.py:function or "
    f"module:function.  [default: {PRETRAINED}]",
)
@click.option(
    "--checkpoint",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help=f"Folder with the network that {PRETRAINED} uses.  [default: the pretrained one]",
)
@settings_options(DeepSchedOptions, "network_options", "Of the network: ")
@click.option(
    "--seed",
    type=SEED,
    default=0,
    show_default=True,
    help="Random stream of ga, random and other schedulers that draw.",
)
@click.option("--json", "json_out", metavar="FILE", help="Write the schedule as JSON; - prints it.")
@click.option("--csv", "csv_out", metavar="FILE", help="Write one row a task.")
@click.option(
    "--gantt", "gantt_out", metavar="FILE", help="Write a Gantt chart to open in a browser."
)
@click.option("--svg", "svg_out", metavar="FILE", help="Write a Gantt chart as a picture.")
@click.option("--trace", "trace_out", metavar="FILE", help="Write a Chrome trace, for Perfetto.")
@click.option(
    "--wfformat",
    "wfformat_out",
    metavar="FILE",
    help="Write it as a workflow's execution, WfFormat 1.5.",
)
@click.option(
    "--node-link", "node_link_out", metavar="FILE", help="Write the graph as networkx's JSON."
)
@click.option("--dot", "dot_out", metavar="FILE", help="Write the graph for Graphviz.")
def command(
    file: str,
    read_options: ReadOptions,
    scheduler: str | None,
    checkpoint: Path | None,
    network_options: dict[str, Any],
    seed: int,
    json_out: str | None,
    csv_out: str | None,
    gantt_out: str | None,
    svg_out: str | None,
    trace_out: str | None,
    wfformat_out: str | None,
    node_link_out: str | None,
    dot_out: str | None,
) -> None:
    r"""Schedule one workflow FILE; print a summary, or write the schedule where asked.

    FILE may be WfFormat, deepsched-problem/1, SAGA or node-link JSON, GraphML, GML, DOT, Pegasus
    DAX or YAML, STG, a job shop, an HCSP ETC matrix, the paper's jobs CSV, a GoCJ list and others,
    plain or compressed; - reads standard input.

    \b
    Examples:
      deepsched schedule montage.json.gz
      deepsched schedule montage.json.gz --samples 32 --budget 1
      deepsched schedule montage.json.gz --machines 32 --scheduler ga --gantt montage.html
      deepsched schedule problem.json --checkpoint runs/train/checkpoint --json schedule.json
    """
    name = register_named(scheduler or PRETRAINED)
    if checkpoint and name != PRETRAINED:
        raise InvalidInput(f"--checkpoint is for --scheduler {PRETRAINED}, not for {name}")
    outputs = {
        "--json": json_out,
        "--csv": csv_out,
        "--gantt": gantt_out,
        "--svg": svg_out,
        "--trace": trace_out,
        "--wfformat": wfformat_out,
        "--node-link": node_link_out,
        "--dot": dot_out,
    }
    # Refuse before any work, so that no output is written when another cannot be.
    check_outputs(file, {option: path for option, path in outputs.items() if path is not None})
    run = resolve_scheduler(name, checkpoint, network_options)
    problem = _read(file, read_options)
    warm_up(run)
    schedule, seconds = timed(run, problem, lambda: teacher_rng(seed, 0, name))
    if trace_out is not None:  # first, as only a trace may refuse a schedule
        write_trace(Path(trace_out), problem, schedule, seconds)
    if json_out == STANDARD:
        click.echo(json.dumps(schedule.to_json(problem, seconds), indent=2, allow_nan=False))
    elif json_out is not None:
        write_json(Path(json_out), problem, schedule, seconds)
    if csv_out is not None:
        write_csv(Path(csv_out), problem, schedule, seconds)
    if gantt_out is not None:
        write_gantt(Path(gantt_out), problem, schedule, seconds=[seconds])
    if svg_out is not None:
        write_svg(Path(svg_out), problem, schedule)
    if wfformat_out is not None:
        write_wfformat(Path(wfformat_out), problem, schedule, seconds)
    if node_link_out is not None:
        write_node_link(Path(node_link_out), problem, schedule, seconds)
    if dot_out is not None:
        write_dot(Path(dot_out), problem, schedule, seconds)
    for option, path in outputs.items():
        if path not in (None, STANDARD):
            messages.print(f"{option[2:]} written to {printable(path)}", markup=False)
    if not any(outputs.values()):
        results.print(summary(problem, schedule, seconds), markup=False)


def summary(problem: Problem, schedule: Schedule, seconds: float) -> str:
    """Return the schedule's measures as a few aligned lines."""
    least = lower_bound(problem)
    makespan = METRICS["makespan"](problem, schedule)
    above = f"  (makespan is {makespan / least:.3f} x this)" if least > 0 else ""
    head = (
        f"{printable(problem.name)}: {problem.n_tasks} tasks, {problem.n_edges} edges, "
        f"{problem.n_machines} machines"
    )
    rows = [("format", problem.format)] if problem.format else []
    rows.append(("scheduler", schedule.scheduler))
    for metric, measure in METRICS.items():
        unit = " s" if metric in SECONDS else ""
        rows.append((metric.replace("_", " "), f"{measure(problem, schedule):.6g}{unit}"))
    rows.append(("lower bound", f"{least:.6g} s{above}"))
    rows.append(("scheduling time", f"{seconds:.3g} s"))
    return "\n".join([head, *(f"  {label:<16} {value}" for label, value in rows)])


SECONDS = {"makespan", "mean_turnaround", "mean_waiting"}


def _read(file: str, options: ReadOptions) -> Problem:
    if file != STANDARD:
        return read_problem(Path(file), options)
    return problem_from_bytes(read_stdin(), "standard input", options)
