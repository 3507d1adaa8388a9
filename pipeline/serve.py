#!/usr/bin/env python3
"""`deepsched serve`: answer scheduling requests over HTTP with Ray Serve."""

from __future__ import annotations

if __name__ == "__main__":  # run as a file, maybe from a checkout that is not installed
    import runpy
    from pathlib import Path

    runpy.run_path(str(Path(__file__).resolve().parent / "common/as_file.py"))["run_file"](__file__)

import contextlib
import logging
import os
import signal
import threading
from pathlib import Path

import click

from deepsched.baselines.waiting import loading
from deepsched.pipeline.common.cli import messages, results
from deepsched.pipeline.common.numbers import AMOUNT, Whole
from deepsched.pipeline.common.options import CONTEXT_SETTINGS
from deepsched.pipeline.common.ray_session import ray_session
from deepsched.pipeline.common.settings import parse_model
from deepsched.pipeline.serving.settings import ServeArgs

DEFAULTS = ServeArgs()
LOOPBACK = ("127.0.0.1", "::1", "localhost")


@click.command(context_settings=CONTEXT_SETTINGS)
@click.option(
    "--checkpoint",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Folder of the trained network, which then answers by default.  [default: the "
    "pretrained one]",
)
@click.option(
    "--device",
    metavar="NAME",
    default=DEFAULTS.device,
    show_default=True,
    help="Where the network runs: cpu or cuda.",
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=Whole(1, 65535), default=8000, show_default=True, help="Port.")
@click.option(
    "--replicas",
    type=Whole(min=1),
    default=DEFAULTS.replicas,
    show_default=True,
    help="Processes that run schedulers, and as many that run the network; one CPU each.",
)
@click.option(
    "--max-tasks",
    type=Whole(min=1),
    default=DEFAULTS.max_tasks,
    show_default=True,
    help="Largest problem, in tasks; beyond it 413.",
)
@click.option(
    "--max-body-mb",
    type=AMOUNT,
    default=DEFAULTS.max_body_mb,
    show_default=True,
    help="Largest request body, MB, also after unpacking; beyond it 413.",
)
@click.option(
    "--max-queued",
    type=Whole(min=1),
    default=DEFAULTS.max_queued,
    show_default=True,
    help="Requests that may wait for a process of each kind; beyond it 503.",
)
@click.option(
    "--max-batch-tasks",
    type=Whole(min=1),
    default=DEFAULTS.max_batch_tasks,
    show_default=True,
    help="Tasks of the requests that the network takes together.",
)
@click.option(
    "--timeout",
    type=AMOUNT,
    default=DEFAULTS.timeout_s,
    show_default=True,
    help="Seconds for one request; beyond it 408 or 504.",
)
@click.option("--address", help="Ray cluster to run on.  [default: a local one is started]")
def command(
    checkpoint: Path | None,
    device: str,
    host: str,
    port: int,
    replicas: int,
    max_tasks: int,
    max_body_mb: float,
    max_queued: int,
    max_batch_tasks: int,
    timeout: float,
    address: str | None,
) -> None:
    """Answer scheduling requests over HTTP until Ctrl-C.

    POST a deepsched-problem/1 or WfFormat document to /v1/schedule; the answer is the schedule as
    JSON. The query may name scheduler, seed, machines, machine_seed, noise, noise_seed, bandwidth
    and latency, and for deepsched objective, decode, samples, budget and guard.
    GET /v1/schedulers lists the schedulers and limits, GET /health says ok.

    There is no authentication: anyone who reaches the port can use it.

    \b
    Examples:
      deepsched serve --checkpoint runs/train/checkpoint
      curl --data-binary @workflow.json 'http://127.0.0.1:8000/v1/schedule?machines=8&samples=32'
      curl --data-binary @workflow.json.gz 'http://127.0.0.1:8000/v1/schedule?scheduler=peft'
    """  # noqa: D301 (click's mark for lines that stay as they are)
    # Late, as torch and Ray Serve take seconds that --help has not.
    loading("torch", "ray")
    import ray
    from ray import serve

    from deepsched.pipeline.serving.app import APPLICATION, build_app, processes
    from deepsched.pipeline.serving.start import check_port, start_service

    given = {
        "host": host,
        "port": port,
        "checkpoint": checkpoint.resolve() if checkpoint else None,
        "device": device,
        "replicas": replicas,
        "max_tasks": max_tasks,
        "max_body_mb": max_body_mb,
        "max_queued": max_queued,
        "max_batch_tasks": max_batch_tasks,
        "timeout_s": timeout,
    }
    args = parse_model(ServeArgs, given, "command line")
    application = build_app(args)  # reads the checkpoint: a bad one ends here, before Ray starts
    local = (address or os.environ.get("RAY_ADDRESS") or "local") == "local"
    if local and not ray.is_initialized():
        check_port(host, port)
    cpus = max(os.cpu_count() or 1, processes(args))
    logging.getLogger("ray.serve").setLevel(logging.WARNING)
    messages.print("the service starts; this takes about half a minute, the first time longer")
    with ray_session(address=address, num_cpus=cpus if local else None):
        # Ray sets a handler of its own when it starts. SIGTERM ends a service like Ctrl-C does.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        try:
            start_service(application, args)
            _announce(host, port, args)
            with contextlib.suppress(KeyboardInterrupt):
                threading.Event().wait()
            messages.print("stopping")
        finally:
            # It finishes what it has begun. Not serve.shutdown: a cluster that was joined may
            # serve other applications, and a local one ends with the session.
            serve.delete(APPLICATION)


def _announce(host: str, port: int, args: ServeArgs) -> None:
    shown = f"[{host}]" if ":" in host else host
    results.print(f"http://{shown}:{port}/v1/schedule", markup=False)
    learned = "the pretrained network answers" if args.checkpoint is None else "the network answers"
    messages.print(f"serving, {learned}; Ctrl-C stops", markup=False)
    if host not in LOOPBACK:
        messages.print(f"{host} is reachable from outside and there is no authentication")
