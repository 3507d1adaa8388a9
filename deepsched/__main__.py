"""The command line: `deepsched COMMAND`, the same as `python -m deepsched COMMAND`."""

from __future__ import annotations

from typing import Any

import click

import deepsched
from deepsched.pipeline.common.cli import LazyGroup, run_command

# Each command lives beside the stage it runs.
COMMANDS = {
    "schedule": ("deepsched.pipeline.schedule", "Schedule one workflow file and write the result."),
    "compare": (
        "deepsched.pipeline.compare",
        "Compare schedulers on workflow files, side by side.",
    ),
    "fetch": (
        "deepsched.pipeline.fetch",
        "Download public workflow files, verified, to try it on.",
    ),
    "label": (
        "deepsched.pipeline.label",
        "Make a dataset: problems, each scheduled by several teachers.",
    ),
    "verify": ("deepsched.pipeline.verify", "Check every file and every schedule of a dataset."),
    "train": (
        "deepsched.pipeline.train",
        "Train a network by its own rollouts, or to imitate a teacher.",
    ),
    "tune": ("deepsched.pipeline.tune", "Search hyperparameters of the training."),
    "evaluate": ("deepsched.pipeline.evaluate", "Compare all schedulers and write report.html."),
    "serve": ("deepsched.pipeline.serve", "Answer scheduling requests over HTTP."),
    "benchmark": (
        "deepsched.pipeline.benchmark",
        "Measure speed and cost, one table a subcommand.",
    ),
    "chaos": (
        "deepsched.pipeline.chaos",
        "Break things on purpose and check that nothing is lost.",
    ),
    "compile": (
        "deepsched.pipeline.compile",
        "Compile all schedulers now, so that no first use waits.",
    ),
    "demo": ("deepsched.pipeline.demo", "Run every stage once, small, from problems to report."),
}


@click.group(
    cls=LazyGroup, table=COMMANDS, context_settings={"help_option_names": ["-h", "--help"]}
)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=lambda context, _, wanted: _show_version(context) if wanted else None,
    help="Show the version and exit.",
)
def cli(**_: Any) -> None:
    """Schedule task graphs on heterogeneous machines, and make, train, tune and serve the network.

    Every command has its own --help. A file may be WfFormat, deepsched-problem/1, SAGA or node-link
    JSON, GraphML, GML, DOT, Pegasus, STG, a job shop, HCSP, the paper's CSV and others.
    """


def _show_version(context: click.Context) -> None:
    click.echo(f"deepsched, version {deepsched.__version__}")
    context.exit()


def main() -> None:
    """Run the command line."""
    run_command(cli)


if __name__ == "__main__":
    main()
