#!/usr/bin/env python3
"""Measurements that anyone can repeat, one subcommand each."""

from __future__ import annotations

if __name__ == "__main__":  # run as a file, maybe from a checkout that is not installed
    import importlib
    import sys
    from pathlib import Path

    sys.path[0] = str(Path(__file__).resolve().parent.parent)
    from pipeline.cli import run_command

    run_command(importlib.import_module("pipeline.benchmark").command)

import click

from pipeline.benchmarks.claims import command as claims
from pipeline.benchmarks.labelling import command as label
from pipeline.benchmarks.quality import command as quality
from pipeline.benchmarks.speed import command as speed


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def command() -> None:
    """Measure what the README claims. Run on a quiet machine; times are medians."""


command.add_command(speed, "speed")
command.add_command(quality, "quality")
command.add_command(label, "label")
command.add_command(claims, "claims")
