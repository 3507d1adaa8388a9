#!/usr/bin/env python3
"""`deepsched serve`: answer scheduling requests over HTTP with Ray Serve."""

from __future__ import annotations

if __name__ == "__main__":  # run as a file, maybe from a checkout that is not installed
    import runpy
    from pathlib import Path

    runpy.run_path(str(Path(__file__).resolve().parent / "common/as_file.py"))["run_file"](__file__)

import contextlib
import functools
import logging
import os
import shutil
import signal
import threading
from pathlib import Path
from typing import Any

import click

from deepsched.baselines.waiting import loading
from deepsched.pipeline.common.cli import messages, results
from deepsched.pipeline.common.model_options import model_options
from deepsched.pipeline.common.options import CONTEXT_SETTINGS
from deepsched.pipeline.common.ray_room import named_cluster
from deepsched.pipeline.common.ray_session import ray_session
from deepsched.pipeline.common.settings import parse_model
from deepsched.pipeline.serving.settings import ServeArgs
from deepsched.pipeline.serving.tokens import Tokens

PORT = 8000
LOOPBACK = ("127.0.0.1", "::1", "localhost")


@click.command(context_settings=CONTEXT_SETTINGS)
@model_options(ServeArgs)
@click.option("--address", help="Ray cluster to run on.  [default: a local one is started]")
def command(address: str | None, **given: Any) -> None:
    """Answer scheduling requests over HTTP until Ctrl-C.

    POST a workflow to /v1/schedule; the answer is the schedule as JSON. A page at / does it in a
    browser; /docs describes all that can be asked, with jobs, batches and Arrow.

    Who reaches the port can use it, unless --token-file or $DEEPSCHED_TOKENS names tokens.

    \b
    Examples:
      deepsched serve --checkpoint runs/train/checkpoint
      curl --data-binary @workflow.json 'http://127.0.0.1:8000/v1/schedule?machines=8&samples=32'
      deepsched schedule workflow.json --server http://127.0.0.1:8000
    """  # noqa: D301 (click's mark for lines that stay as they are)
    # Late, as torch and Ray Serve take seconds that --help has not.
    loading("torch", "ray")
    import ray
    from ray import serve

    from deepsched.pipeline.serving.app import (
        APPLICATION,
        application,
        build_app,
        gpu_share,
        processes,
    )
    from deepsched.pipeline.serving.keeper import folder_of
    from deepsched.pipeline.serving.start import check_port, start_service

    for name in ("checkpoint", "token_file", "jobs_dir"):
        if given[name] is not None:
            given[name] = Path(given[name]).resolve()
    given["port"] = given["port"] or PORT
    args = parse_model(ServeArgs, given, "command line")
    Tokens(args.token_file)  # wrong ones end here, too
    local = not named_cluster(address)
    # They read the checkpoint: a bad one ends here, before Ray starts.
    served = application(args, gpu_share(args, _gpus(args))) if local else build_app(args)
    if local and not ray.is_initialized():
        check_port(args.host, given["port"])
    if local:
        # Ray's processes are polite by default, and all else on the machine comes before them.
        os.environ.setdefault("RAY_worker_niceness", "0")
    cpus = max(os.cpu_count() or 1, processes(args))
    logging.getLogger("ray.serve").setLevel(logging.WARNING)
    messages.print("the service starts; this takes about half a minute, the first time longer")
    with ray_session(address=address, num_cpus=cpus if local else None):
        # Ray sets a handler of its own when it starts. SIGTERM ends a service like Ctrl-C does.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        try:
            start_service(served, args, functools.partial(messages.print, markup=False))
            _announce(args)
            with contextlib.suppress(KeyboardInterrupt):
                threading.Event().wait()
            messages.print("stopping")
        finally:
            # It finishes what it has begun. Not serve.shutdown: a cluster that was joined may
            # serve other applications, and a local one ends with the session.
            serve.delete(APPLICATION)
            if local and args.jobs_dir is None:
                shutil.rmtree(folder_of(args), ignore_errors=True)  # nobody would find them again


def _gpus(args: ServeArgs) -> int:
    if args.device == "cpu":
        return 0
    import torch

    return torch.cuda.device_count()


def _announce(args: ServeArgs) -> None:
    shown = f"[{args.host}]" if ":" in args.host else args.host
    results.print(f"http://{shown}:{args.port}/v1/schedule", markup=False)
    learned = "the pretrained network answers" if args.checkpoint is None else "the network answers"
    messages.print(f"serving, {learned}; Ctrl-C stops", markup=False)
    messages.print(f"a page for browsers: http://{shown}:{args.port}/", markup=False)
    if args.host not in LOOPBACK and not Tokens(args.token_file).wanted:
        messages.print(f"{args.host} is reachable from outside, and no token is asked for")
