#!/usr/bin/env python3
"""`deepsched demo`: every stage once, small, from workflow files to the report."""

from __future__ import annotations

if __name__ == "__main__":  # run as a file, maybe from a checkout that is not installed
    import runpy
    from pathlib import Path

    runpy.run_path(str(Path(__file__).resolve().parent / "common/as_file.py"))["run_file"](__file__)

import http.client
import importlib
import json
import logging
import math
import os
import shlex
import socket
import statistics
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import click

from deepsched.baselines.atomic import write_text
from deepsched.baselines.errors import InvalidInput
from deepsched.baselines.readers import ReadOptions, problem_document, read_problem
from deepsched.baselines.registry import get_scheduler, teacher_rng
from deepsched.baselines.writers import write_gantt
from deepsched.model.load import PRETRAINED, load_network
from deepsched.pipeline.common.cli import messages, results
from deepsched.pipeline.common.options import CONTEXT_SETTINGS, DATA_FOLDER, DATA_VARIABLE, TRACES
from deepsched.pipeline.common.outputs import check_destination, make_folder
from deepsched.pipeline.common.ray_session import ray_session
from deepsched.pipeline.common.strict_json import json_text
from deepsched.pipeline.dataset.storage import Dataset
from deepsched.pipeline.labelling.presets import PresetSource, get_preset

PRESET = "demo"  # problems where there are no traces
GENERATED_OUT, TRACES_OUT = "runs/demo", "runs/demo-traces"
SUMMARY = "summary.json"
NOISE = 0.2  # sigma of what a task takes on one machine and not on another
SERVE_CPUS = 1  # the process for quick requests


@dataclass(frozen=True, kw_only=True)
class Size:
    """How much the demo does."""

    samples: int
    steps: int
    epochs: int
    limit: int


# A tenth of the samples is held out.
FULL = Size(samples=420, steps=300, epochs=4, limit=42)
QUICK = Size(samples=40, steps=20, epochs=1, limit=4)


@click.command(context_settings=CONTEXT_SETTINGS)
@click.option(
    "--data",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help=f"Folder that holds {TRACES}/ with workflow files.  [default: ${DATA_VARIABLE}; without "
    f"it {DATA_FOLDER}, if there are any; else problems are generated]",
)
@click.option(
    "--out",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Folder for everything that is made.  "
    f"[default: {GENERATED_OUT}; on workflow files {TRACES_OUT}]",
)
@click.option("--quick", is_flag=True, help="A smoke test: 40 samples, 20 steps.")
@click.option("--tune", is_flag=True, help="Search hyperparameters too, two short trials.")
def command(data: Path | None, out: Path | None, quick: bool, tune: bool) -> None:
    """Run every stage once, small: label, train, evaluate, schedule and serve.

    A network is trained from nothing and held against HEFT on problems that were kept from it,
    beside the pretrained one, a genetic algorithm and the paper's network. Each stage is shown as
    the command that does the same by itself. Run again, the demo keeps the stages that are
    finished.
    """
    begin = time.perf_counter()
    importlib.import_module("ray")  # without it nothing is begun
    traces = find_data(data)
    # Apart, since stages that are finished are kept: those of other problems would be in the way.
    out = out or Path(GENERATED_OUT if traces is None else TRACES_OUT)
    check_destination(str(out))
    make_folder(out, f"--out {out}")
    out = out.absolute()
    if traces is None:
        messages.print(
            f"${DATA_VARIABLE} is not set: the demo runs on generated problems (preset {PRESET!r})"
        )
        messages.print(f"`deepsched fetch {TRACES}` brings real ones")
    else:
        messages.print(f"the demo runs on the workflow files in {traces}", markup=False)
    workflow = example_workflow(traces, out)
    cpus = max(os.cpu_count() or 1, SERVE_CPUS)
    # Tune needs the dashboard's process; it costs seconds, so only then.
    with ray_session(num_cpus=cpus, dashboard=tune):
        for step in steps(traces, out, workflow, QUICK if quick else FULL, tune=tune):
            run_step(step)
        ask_service(out / "model" / "checkpoint", workflow)
    found = held_out_ratios(
        str(out / "data"), out / "model" / "checkpoint", out / "paper" / "checkpoint"
    )
    write_text(out / SUMMARY, json_text(found) + "\n")
    before, after = draw(workflow, NOISE if traces else 0.0, out / "schedule.html")
    results.print(f"\nDone in {time.perf_counter() - begin:.0f} s. Open these in a browser:")
    for path in (out / "evaluation" / "report.html", out / "schedule.html"):
        results.print(f"  {path}", markup=False)
    held_out = found.pop("problems")
    results.print(f"\nMakespan on {held_out} problems that no training saw, × HEFT's:")
    for name, ratio in found.items():
        results.print(f"  {TITLES[name]:<44} {ratio:.3f}", markup=False)
    gain = f"{100 * (after / before - 1):+.1f}".replace("-", "\N{MINUS SIGN}")
    results.print(f"\nHEFT {before:.4g} → deepsched {after:.4g} s ({gain} %)", markup=False)


TITLES = {
    "trained_unguarded": "deepsched, trained just now, without guard",
    "shipped_guarded": "deepsched, as it comes with the package",
    "shipped_32": "the same with 32 samples",
    "ga": "the paper's genetic algorithm",
    "paper": "the paper's network, trained just now",
}


def held_out_ratios(data: str, trained: Path, paper: Path) -> dict[str, float]:
    """Return the geometric mean of makespan / HEFT's over the test split, and how many those are.

    Parameters
    ----------
    trained, paper : checkpoints.
    """
    schedulers = {
        "trained_unguarded": load_network(trained, guard=False, samples=1),
        "shipped_guarded": load_network(samples=1),
        "shipped_32": load_network(samples=32),
        "ga": get_scheduler("ga"),
        "paper": load_network(paper),
    }
    logs: dict[str, list[float]] = {name: [] for name in schedulers}
    for sample in Dataset.open(data).samples("heft", "test"):
        for name, scheduler in schedulers.items():
            own = scheduler(sample.problem, teacher_rng(0, sample.sample_id, name))
            logs[name].append(math.log(own.makespan / sample.schedule.makespan))
    means = {name: math.exp(statistics.fmean(values)) for name, values in logs.items()}
    return {**means, "problems": len(logs["ga"])}


def draw(workflow: Path, noise: float, page: Path) -> tuple[float, float]:
    """Draw HEFT's schedule and the pretrained network's on one page; return the makespans, s."""
    problem = read_problem(workflow, ReadOptions(noise=noise))
    before = get_scheduler("heft")(problem, teacher_rng(0, 0, "heft"))
    after = load_network(samples=32)(problem, teacher_rng(0, 0, PRETRAINED))
    write_gantt(page, problem, before, after)
    return before.makespan, after.makespan


@dataclass(frozen=True, kw_only=True)
class Step:
    """One stage: its command and options."""

    stage: str
    arguments: tuple[str, ...]


def steps(traces: Path | None, out: Path, workflow: Path, size: Size, *, tune: bool) -> list[Step]:
    """Return the stages in order."""
    data, model = out / "data", out / "model"
    source = ("--preset", PRESET) if traces is None else ("--traces", str(traces))
    # With few machines a guess is right so often that there is little to learn.
    problems = (*source, "--machines", "16", "--noise", str(NOISE))
    given = ("--data", str(data))
    noise = ("--noise", str(NOISE)) if traces else ()
    label = Step(
        stage="label",
        arguments=(
            *problems,
            *("--samples", str(size.samples), "--schedulers", "heft,best-of", "--out", str(data)),
        ),
    )
    search = Step(
        stage="tune",
        arguments=(*given, "--trials", "2", "--epochs", "2", "--out", str(out / "tune")),
    )
    chosen = ("--config", str(out / "tune" / "best.json")) if tune else ()
    train = Step(
        stage="train",
        arguments=(
            *(*given, *chosen, "--steps", str(size.steps), "--check-every", str(size.steps // 4)),
            *("--out", str(model), "--resume"),
        ),
    )
    imitate = Step(
        stage="train",
        arguments=(
            *(*given, "--network", "paper", "--epochs", str(size.epochs)),
            *("--out", str(out / "paper"), "--resume"),
        ),
    )
    evaluate = Step(
        stage="evaluate",
        arguments=(
            *(*given, "--checkpoint", str(model / "checkpoint"), "--limit", str(size.limit)),
            *("--unseen", "small", "--out", str(out / "evaluation"), "--resume"),
        ),
    )
    schedule = Step(
        stage="schedule",
        arguments=(
            *(str(workflow), *noise, "--samples", "32"),
            *("--json", str(out / "schedule.json")),
        ),
    )
    return [label, *([search] if tune else []), train, imitate, evaluate, schedule]


def run_step(step: Step) -> None:
    """Run a stage in this process, as its command would.

    Raises
    ------
    click.exceptions.Exit
        With the stage's exit code, if it did not succeed.
    """
    results.print(f"\n$ deepsched {step.stage} {shlex.join(step.arguments)}", markup=False)
    stage: click.Command = importlib.import_module(f"deepsched.pipeline.{step.stage}").command
    code = stage.main(
        list(step.arguments), prog_name=f"deepsched {step.stage}", standalone_mode=False
    )
    if code:
        raise click.exceptions.Exit(code)


def find_data(data: Path | None) -> Path | None:
    """Return the folder of workflow files: of the option, else of the environment.

    Where neither names one, what `deepsched fetch` leaves below the current folder; else None.

    Raises
    ------
    InvalidInput
        If one is named and is not there.
    """
    named = data or (Path(os.environ[DATA_VARIABLE]) if os.environ.get(DATA_VARIABLE) else None)
    if named is None:
        fetched = Path(DATA_FOLDER, TRACES)
        return fetched.absolute() if workflow_files(fetched) else None
    source = "--data" if data else f"${DATA_VARIABLE}"
    traces = named / TRACES
    if not traces.is_dir():
        raise InvalidInput(f"{source} {named}: there is no folder {TRACES} in it")
    return traces.absolute()


def workflow_files(traces: Path) -> list[Path]:
    """Return the workflow files below a folder, the smallest first; none where it does not exist.

    Hidden files are none: `deepsched fetch` keeps unfinished ones under such names.
    """
    found = (path for path in traces.rglob("*.json*") if not path.name.startswith("."))
    return sorted(found, key=lambda path: (path.stat().st_size, path))


def example_workflow(traces: Path | None, out: Path) -> Path:
    """Return the file that is scheduled and sent to the service; generated where none is there."""
    if traces is not None:
        files = workflow_files(traces)
        if not files:
            raise InvalidInput(f"{traces}: there is no workflow file (.json, .json.gz) in it")
        return files[len(files) // 2]  # of middling size
    problem = PresetSource(name=PRESET, seed=1, preset=get_preset(PRESET)).problem(0)
    path = out / "problem.json"
    write_text(path, json.dumps(problem_document(problem)))
    return path


def ask_service(checkpoint: Path, workflow: Path) -> None:
    """Start the service on a free port of the loopback, send one workflow, and stop it.

    Raises
    ------
    InvalidInput
        If the service does not answer with a schedule.
    """
    from ray import serve

    from deepsched.pipeline.serving.app import APPLICATION, build_app
    from deepsched.pipeline.serving.settings import ServeArgs
    from deepsched.pipeline.serving.start import start_service

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    results.print(
        f"\n$ deepsched serve --checkpoint {checkpoint} --port {port}\n"
        f"$ curl --data-binary @{workflow} http://127.0.0.1:{port}/v1/schedule",
        markup=False,
    )
    arguments = ServeArgs(checkpoint=checkpoint, port=port, gateways=1, replicas=1)
    logging.getLogger("ray.serve").setLevel(logging.WARNING)
    try:
        start_service(build_app(arguments), arguments, partial(messages.print, markup=False))
        answer = _post(port, workflow.read_bytes())
    finally:
        serve.delete(APPLICATION)
    results.print(
        f"{len(answer['tasks'])} tasks scheduled by {answer['scheduler']}, makespan "
        f"{answer['makespan']:.6g} s, in {answer['seconds']:.3g} s",
        markup=False,
    )


def _post(port: int, body: bytes) -> dict[str, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    try:
        connection.request("POST", "/v1/schedule", body=body)
        response = connection.getresponse()
        text = response.read()
    finally:
        connection.close()
    if response.status != 200:
        raise InvalidInput(f"the service answered {response.status}: {text[:200]!r}")
    answer: dict[str, Any] = json.loads(text)
    return answer
