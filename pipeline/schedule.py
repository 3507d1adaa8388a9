#!/usr/bin/env python3
"""`deepsched schedule`: one workflow file in, one schedule out."""

from __future__ import annotations

if __name__ == "__main__":  # run as a file, maybe from a checkout that is not installed
    import runpy
    from pathlib import Path

    runpy.run_path(str(Path(__file__).resolve().parent / "common/as_file.py"))["run_file"](__file__)

import contextlib
import functools
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click
from rich.table import Table
from rich.text import Text

from deepsched.baselines.bounds import lower_bound
from deepsched.baselines.comparison import REFERENCE
from deepsched.baselines.errors import DeepSchedError, InvalidInput, extra_for
from deepsched.baselines.heft import heft
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
from deepsched.model.networks.deepsched.options import (
    OBJECTIVES,
    DeepSchedOptions,
    default_samples,
)
from deepsched.pipeline.common.cli import EXIT_INTERRUPTED, messages, results
from deepsched.pipeline.common.headline import Found, fitting, headline
from deepsched.pipeline.common.interrupts import stopped_by_interrupt
from deepsched.pipeline.common.numbers import SEED
from deepsched.pipeline.common.options import CONTEXT_SETTINGS, machine_options, settings_options
from deepsched.pipeline.common.outputs import STANDARD, check_outputs
from deepsched.pipeline.common.streams import read_stdin

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from deepsched.baselines.problem import Problem
    from deepsched.baselines.registry import Scheduler
    from deepsched.baselines.schedule import Schedule
    from deepsched.pipeline.client.answers import Answered
    from deepsched.pipeline.client.blocking import Client


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
@click.option(
    "--server",
    metavar="URL",
    help="Let a service schedule it that `deepsched serve` runs, such as http://127.0.0.1:8000.",
)
@click.option(
    "--token-file",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="With --server: file with the token to show.  [default: the environment's "
    "DEEPSCHED_TOKEN]",
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
@click.option("--schedule", "as_table", is_flag=True, help="Print where and when each task runs.")
def command(
    file: str,
    read_options: ReadOptions,
    scheduler: str | None,
    checkpoint: Path | None,
    network_options: dict[str, Any],
    seed: int,
    server: str | None,
    token_file: Path | None,
    json_out: str | None,
    csv_out: str | None,
    gantt_out: str | None,
    svg_out: str | None,
    trace_out: str | None,
    wfformat_out: str | None,
    node_link_out: str | None,
    dot_out: str | None,
    as_table: bool,
) -> None:
    r"""Schedule one workflow FILE; say what is gained over HEFT, write the schedule where asked.

    FILE may be WfFormat, deepsched-problem/1, SAGA or node-link JSON, GraphML, GML, DOT, Pegasus
    DAX or YAML, STG, a job shop, an HCSP ETC matrix, the paper's jobs CSV, a GoCJ list and others,
    plain or compressed; - reads standard input.

    \b
    Examples:
      deepsched schedule montage.json.gz
      deepsched schedule montage.json.gz --samples 32 --budget 1
      deepsched schedule montage.json.gz --machines 32 --scheduler ga --gantt montage.html
      deepsched schedule problem.json --checkpoint runs/train/checkpoint --json schedule.json
      deepsched schedule montage.json.gz --server http://127.0.0.1:8000 --gantt montage.html
    """
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
    if server is None:
        if token_file is not None:
            raise InvalidInput("--token-file is for --server, which is not given")
        name = register_named(scheduler or PRETRAINED)
        if checkpoint and name != PRETRAINED:
            raise InvalidInput(f"--checkpoint is for --scheduler {PRETRAINED}, not for {name}")
        run = resolve_scheduler(name, checkpoint, network_options)
        problem = _read(file, read_options)
        done = _here(run, name, problem, network_options, seed)
    else:
        _check_server_options(scheduler, checkpoint)
        asked = {"scheduler": scheduler, "seed": seed, **network_options}
        with _client(server, token_file) as client:
            problem = _read(file, read_options)
            done = _at_service(client, problem, asked)
    schedule, seconds = done.schedule, done.seconds
    found = Found(
        problem=problem,
        schedule=schedule,
        reference=schedule if schedule.scheduler == REFERENCE else heft(problem),
        objective=network_options.get("objective", OBJECTIVES[0]),
        samples=done.samples,
        noise=read_options.noise,
        seconds=seconds,
    )
    _write(found, outputs)
    for option, path in outputs.items():
        if path not in (None, STANDARD):
            messages.print(f"{option[2:]} written to {printable(path)}", markup=False)
    said = messages if any(outputs.values()) else results  # beside what was asked for
    said.print(fitting(headline(found), said.encoding), markup=False)
    if not any(outputs.values()):
        results.print(summary(problem, schedule, seconds), markup=False)
    if as_table:
        said.print_table(task_table(problem, schedule))
    if done.interrupted:
        messages.print("interrupted: the best schedule so far was kept", markup=False)
        click.get_current_context().exit(EXIT_INTERRUPTED)


class Done(NamedTuple):
    """A schedule as it was found, here or by a service."""

    schedule: Schedule
    seconds: float
    samples: int | None  # schedules decoded; None for a scheduler that decodes none
    interrupted: bool = False  # it is the best up to then


def _here(
    run: Scheduler, name: str, problem: Problem, options: Mapping[str, Any], seed: int
) -> Done:
    warm_up(run)
    warm_up(heft)
    budget = float(options.get("budget", 0.0))
    if budget >= LONG:
        messages.print(f"searching for {budget:g} s; Ctrl-C keeps the best so far")
    samples_for = getattr(run, "samples_for", None)  # who has it can be stopped, too
    with stopped_by_interrupt(samples_for is not None) as stop:
        told: Callable[..., Schedule] = run
        if stop is not None:
            told = functools.partial(told, stop=stop)
        schedule, seconds = timed(told, problem, lambda: teacher_rng(seed, 0, name))
    samples = None if samples_for is None else samples_for(problem)
    return Done(schedule, seconds, samples, stop is not None and bool(stop[0]))


def _check_server_options(scheduler: str | None, checkpoint: Path | None) -> None:
    """Refuse what only this process has."""
    if checkpoint is not None:
        raise InvalidInput("--checkpoint is not for --server: a service has its own network")
    if scheduler is not None and ":" in scheduler:
        raise InvalidInput(f"--scheduler {scheduler} is not for --server: a service has its own")


def _client(server: str, token_file: Path | None) -> Client:
    token = None
    if token_file is not None:
        try:
            token = token_file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "no text in UTF-8"
            raise InvalidInput(f"--token-file {printable(token_file)}: {reason}") from None
        if not token:
            raise InvalidInput(f"--token-file {printable(token_file)}: the file is empty")
    with extra_for("--server"):
        import httpx  # noqa: F401 - the first that is missing names the extra that has them all

        from deepsched.pipeline.client.blocking import Client
    return Client(server, token, retry_for=RETRY_FOR, waiting=messages.print)


def _at_service(client: Client, problem: Problem, asked: dict[str, Any]) -> Done:
    budget = float(asked.get("budget", 0.0))
    if budget >= LONG:
        messages.print(f"searching for {budget:g} s; Ctrl-C cancels")
    long = budget > AT_ONCE
    answered = _as_job(client, problem, asked) if long else client.ask(problem, **asked)
    warm_up(heft)  # for the line that compares
    network = answered.schedule.scheduler == PRETRAINED
    by_default = default_samples(problem.n_tasks, problem.n_machines)
    samples = (asked.get("samples") or by_default) if network else None
    return Done(answered.schedule, answered.answer.seconds, samples)


def _as_job(client: Client, problem: Problem, asked: dict[str, Any]) -> Answered:
    job = client.submit(problem, **asked)
    try:
        return job.answer()
    except KeyboardInterrupt:
        with contextlib.suppress(DeepSchedError):
            job.cancel()
        raise


def _write(found: Found, outputs: Mapping[str, str | None]) -> None:
    problem, schedule, seconds = found.problem, found.schedule, found.seconds
    machines = problem.machines
    groups = machines.nodes if machines.n_nodes < len(machines) else None

    def path(option: str) -> Path | None:
        given = outputs[option]
        return None if given in (None, STANDARD) else Path(str(given))

    if trace := path("--trace"):  # first, as only a trace may refuse a schedule
        write_trace(trace, problem, schedule, seconds)
    if outputs["--json"] == STANDARD:
        click.echo(json.dumps(schedule.to_json(problem, seconds), indent=2, allow_nan=False))
    if page := path("--gantt"):
        both = () if schedule.scheduler == found.reference.scheduler else (found.reference,)
        times = [*(None for _ in both), seconds]
        write_gantt(page, problem, *both, schedule, seconds=times, groups=groups)
    if picture := path("--svg"):
        write_svg(picture, problem, schedule, groups=groups)
    for option, write in (
        ("--json", write_json),
        ("--csv", write_csv),
        ("--wfformat", write_wfformat),
        ("--node-link", write_node_link),
        ("--dot", write_dot),
    ):
        if to := path(option):
            write(to, problem, schedule, seconds)


def summary(problem: Problem, schedule: Schedule, seconds: float) -> str:
    """Return the schedule's measures as a few aligned lines."""
    least = lower_bound(problem, "strong")
    makespan = METRICS["makespan"](problem, schedule)
    above = f"  (makespan is {makespan / least:.3f} x this)" if least > 0 else ""
    head = (
        f"{printable(problem.name)}: {problem.n_tasks} tasks, {problem.n_edges} edges, "
        f"{problem.n_machines} machines"
    )
    rows = [("format", problem.format)] if problem.format else []
    rows.append(("machines", printable(problem.machines.described())))
    asked = schedule.scheduler
    rows.append(("scheduler", asked if schedule.winner == asked else f"{asked} (HEFT's is kept)"))
    for metric, measure in METRICS.items():
        unit = " s" if metric in SECONDS else ""
        rows.append((metric.replace("_", " "), f"{measure(problem, schedule):.6g}{unit}"))
    rows.append(("lower bound", f"{least:.6g} s{above}"))
    rows.append(("scheduling time", f"{seconds:.3g} s"))
    return "\n".join([head, *(f"  {label:<16} {value}" for label, value in rows)])


LONG = 2.0  # s of search, of which it is said that they begin
AT_ONCE = 10.0  # s of search that a service does for one request; more is a job
RETRY_FOR = 20.0  # s; a service that is restarted is away for some 10
SECONDS = {"makespan", "mean_turnaround", "mean_waiting"}


def task_table(problem: Problem, schedule: Schedule) -> Table:
    """Return the schedule as a table, a row a task, by start."""
    table = Table()
    for heading in ("task", "machine", "start", "finish"):
        table.add_column(heading, justify="left" if heading in ("task", "machine") else "right")
    rows = schedule.rows(problem)
    for row in sorted(rows, key=lambda row: (row["start"], row["finish"])):
        names = (Text(printable(row[key])) for key in ("task", "machine"))
        table.add_row(*names, f"{row['start']:.6g}", f"{row['finish']:.6g}")
    return table


def _read(file: str, options: ReadOptions) -> Problem:
    if file != STANDARD:
        return read_problem(Path(file), options)
    return problem_from_bytes(read_stdin(), "standard input", options)
