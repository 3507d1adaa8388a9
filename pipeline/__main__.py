"""The command line: `deepsched COMMAND`, the same as `python -m pipeline COMMAND`."""

from __future__ import annotations

import importlib
from typing import Any

import click

from pipeline.cli import keep_lines, run_command

# Each command lives beside the stage it runs and is imported only when called, so that
# `deepsched --help` does not wait for torch and Ray.
COMMANDS = {
    "schedule": ("pipeline.schedule", "Schedule one workflow file and write the result."),
    "fetch": ("pipeline.fetch", "Download public workflow files, verified, to try it on."),
    "label": ("pipeline.label", "Make a dataset: problems, each scheduled by several teachers."),
    "verify": ("pipeline.verify", "Check every file and every schedule of a dataset."),
    "train": ("pipeline.train", "Train a network on a labelled dataset."),
    "improve": ("pipeline.improve", "Let the network that bends HEFT improve itself."),
    "tune": ("pipeline.tune", "Search hyperparameters of the training."),
    "evaluate": ("pipeline.evaluate", "Compare all schedulers and write report.html."),
    "serve": ("pipeline.serve", "Answer scheduling requests over HTTP."),
    "benchmark": ("pipeline.benchmark", "Measure speed and cost, one table a subcommand."),
    "chaos": ("pipeline.chaos", "Break things on purpose and check that nothing is lost."),
    "demo": ("pipeline.demo", "Run every stage once, small, from problems to report."),
}


class LazyGroup(click.Group):
    """A group whose commands are imported when they are called for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order of the work."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return one command; each stage module calls its own `command`."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(COMMANDS[cmd_name][0]).command
        return keep_lines(command)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands from the table, importing none of them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="deepsched")
def cli(**_: Any) -> None:
    """Schedule task graphs on unlike machines, and make, train, tune and serve the network.

    Every command has its own --help. A file is read as WfFormat 1.5 (.json, .json.gz), the
    explicit deepsched-problem/1 format, STG, HCSP ETC, the paper's CSV or a GoCJ list.
    """


def main() -> None:
    """Run the command line."""
    run_command(cli)


if __name__ == "__main__":
    main()
