#!/usr/bin/env python3
"""`deepsched chaos`: break things on purpose, one subcommand a stage."""

from __future__ import annotations

if __name__ == "__main__":  # run as a file, maybe from a checkout that is not installed
    import runpy
    from pathlib import Path

    runpy.run_path(str(Path(__file__).resolve().parent / "common/as_file.py"))["run_file"](__file__)

import click

from deepsched.pipeline.faults.label import command as label
from deepsched.pipeline.faults.read import command as read
from deepsched.pipeline.faults.serve import command as serve
from deepsched.pipeline.faults.train import command as train


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def command() -> None:
    """Break things on purpose and check that nothing is lost."""


command.add_command(label, "label")
command.add_command(read, "read")
command.add_command(serve, "serve")
command.add_command(train, "train")
