#!/usr/bin/env python3
"""Measurements that anyone can repeat, one subcommand each."""

from __future__ import annotations

from pathlib import Path

import click

from pipeline.benchmark_speed import command as speed


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def command() -> None:
    """Measure what the README claims. Run on a quiet machine; times are medians."""


command.add_command(speed, "speed")


if __name__ == "__main__":
    import sys

    # The script's own folder would hide the packages: look from the root of the checkout instead.
    sys.path[0] = str(Path(__file__).resolve().parent.parent)
    from pipeline.benchmark import command as importable
    from pipeline.cli import run_command

    run_command(importable)
