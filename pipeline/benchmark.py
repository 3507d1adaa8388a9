#!/usr/bin/env python3
"""Measurements that anyone can repeat, one subcommand each."""

from __future__ import annotations

if __name__ == "__main__":  # run as a file, maybe from a checkout that is not installed
    import runpy
    from pathlib import Path

    runpy.run_path(str(Path(__file__).resolve().parent / "common/as_file.py"))["run_file"](__file__)

import click

from deepsched.pipeline.common.cli import LazyGroup

MEASUREMENTS = {
    "speed": ("deepsched.pipeline.benchmarks.speed", "Time schedulers at the paper's sizes."),
    "quality": (
        "deepsched.pipeline.benchmarks.quality",
        "Compare schedules with HEFT's on unseen graphs.",
    ),
    "startup": ("deepsched.pipeline.benchmarks.startup", "Time imports and first schedules."),
    "train": ("deepsched.pipeline.benchmarks.training", "Time training steps and their parts."),
    "label": (
        "deepsched.pipeline.benchmarks.labelling",
        "Measure what labelling costs, and project it.",
    ),
    "serve": (
        "deepsched.pipeline.benchmarks.serving",
        "Measure what the service costs and bears.",
    ),
    "claims": (
        "deepsched.pipeline.benchmarks.claims.command",
        "Hold the paper's network against HEFT and the GA.",
    ),
    "picture": (
        "deepsched.pipeline.benchmarks.picture",
        "Draw HEFT's and the network's schedule of one workflow.",
    ),
}


@click.group(
    cls=LazyGroup, table=MEASUREMENTS, context_settings={"help_option_names": ["-h", "--help"]}
)
def command() -> None:
    """Measure what the documentation claims. Run on a quiet machine; times are medians."""
