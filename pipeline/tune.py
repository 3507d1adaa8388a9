#!/usr/bin/env python3
"""`deepsched tune`: search hyperparameters of the training."""

from __future__ import annotations

if __name__ == "__main__":  # run as a file, maybe from a checkout that is not installed
    import runpy
    from pathlib import Path

    runpy.run_path(str(Path(__file__).resolve().parent / "common/as_file.py"))["run_file"](__file__)

from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.table import Table

from deepsched.pipeline.common.cli import (
    EXIT_FAILED,
    EXIT_INTERRUPTED,
    messages,
    progress_bar,
    results,
)
from deepsched.pipeline.common.options import CONTEXT_SETTINGS
from deepsched.pipeline.common.outputs import check_destination, make_folder
from deepsched.pipeline.common.ray_session import ray_session
from deepsched.pipeline.dataset.files import open_folder
from deepsched.pipeline.training.config import complete, merged_config

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from deepsched.pipeline.tuning.plan import Search
    from deepsched.pipeline.tuning.results import TrialResult

EXAMPLES = """\b
Examples:
  deepsched tune --data runs/data --out runs/tune --trials 16 --epochs 20
  deepsched tune --data runs/data --out runs/lr --search learning_rate=1e-5..1e-2
  deepsched train --data runs/data --out runs/model --config runs/tune/best.json
"""


@click.command(context_settings=CONTEXT_SETTINGS, epilog=EXAMPLES)
@click.option("--data", metavar="URI", required=True, help="Dataset made by `label`.")
@click.option(
    "--out",
    metavar="DIR",
    required=True,
    type=click.Path(path_type=Path),
    help="Folder for best.json, results.json and results.csv.",
)
@click.option(
    "--trials",
    type=click.IntRange(min=1),
    default=8,
    show_default=True,
    help="How many settings are tried.",
)
@click.option(
    "--epochs",
    type=click.IntRange(min=1),
    help="Epochs of the trials that are not stopped early.  [default: the training's]",
)
@click.option(
    "--search",
    metavar="FIELD=RANGE",
    multiple=True,
    help="A setting and its values: LOW..HIGH (log-uniform) or A,B,C. An option of the network is "
    "network_options.NAME. May be repeated; replaces the default search of learning rate, batch "
    "size and widths.",
)
@click.option(
    "--config",
    "config_file",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="JSON or YAML file with the settings that all trials share.",
)
@click.option("--network", help="Network to train, by its name in NETWORKS.  [default: deepsched]")
@click.option("--teacher", help="Teacher that is imitated, where that is the objective.")
@click.option("--objective", help="What is trained by.  [default: the first that the network has]")
@click.option("--seed", type=click.IntRange(min=0), help="Seed of the trials.  [default: 0]")
@click.option(
    "--limit-samples", type=click.IntRange(min=1), help="Use only so many samples of each split."
)
@click.option(
    "--max-concurrent",
    type=click.IntRange(min=1),
    help="Trials at a time.  [default: one a CPU, or one a GPU where there are any]",
)
@click.option("--address", help="Ray cluster to join.  [default: $RAY_ADDRESS, or a local Ray]")
@click.option(
    "--storage",
    metavar="URI",
    help="Trials on the way; all nodes of a cluster must reach it.  [default: DIR/ray]",
)
def command(
    data: str,
    out: Path,
    trials: int,
    search: tuple[str, ...],
    config_file: Path | None,
    max_concurrent: int | None,
    address: str | None,
    storage: str | None,
    **options: Any,
) -> None:
    """Search the settings of the training that make the shortest schedules in validation.

    Each trial is a training in one process. ASHA stops trials that are worse than the others after
    as many validations. DIR/best.json is a file for `train --config`; DIR/results.csv lists all
    trials.

    The same command again goes on where it was stopped.
    """
    # Late, as torch and Ray Tune take seconds that --help has not.
    from deepsched.pipeline.tuning.plan import plan_search
    from deepsched.pipeline.tuning.results import BEST, finished_search
    from deepsched.pipeline.tuning.search_space import default_space, parse_search

    check_destination(str(out))
    out = out.expanduser().absolute()
    config = complete(merged_config(config_file, options), generated=False)
    ranges = parse_search(search) or default_space(config.network)
    plan = plan_search(data, out, config, ranges, trials, storage)
    found = finished_search(plan)
    if found:
        messages.print(f"{out} holds the results of this search already")
    else:
        make_folder(out, f"--out {out}")
        with open_folder(str(out)).locked():
            found = _search(plan, max_concurrent, address)
    results.print(table(found))
    results.print(f"best settings: {out / BEST}", markup=False)


def _search(plan: Search, concurrent: int | None, address: str | None) -> list[TrialResult]:
    """Search and show the progress; leave with an exit code where there is no result."""
    from deepsched.pipeline.tuning.run import SearchFailed, run_search

    try:
        with ray_session(address=address), _progress(plan) as on_trial:
            return run_search(plan, concurrent=concurrent, on_trial=on_trial)
    except KeyboardInterrupt:
        messages.print("interrupted; the same command goes on where it stopped")
        raise click.exceptions.Exit(EXIT_INTERRUPTED) from None
    except SearchFailed as error:
        messages.print(f"deepsched: {error}", markup=False)
        raise click.exceptions.Exit(EXIT_FAILED) from None


def table(found: list[TrialResult]) -> Table:
    """Return the trials as a table, the best one first."""
    names = list(dict.fromkeys(name for result in found for name in result.params))
    shown = Table(box=None, pad_edge=False)
    for title in ("rank", "x HEFT", "steps", *names):
        shown.add_column(title.removeprefix("network_options."), justify="right")
    for rank, result in enumerate(found, 1):
        measure = "failed" if result.score is None else f"{result.score:.4f}"
        values = [result.params.get(name) for name in names]
        texts = [f"{v:.3g}" if isinstance(v, float) else str(v) for v in values]
        shown.add_row(str(rank), measure, str(result.steps), *texts)
    return shown


@contextmanager
def _progress(search: Search) -> Iterator[Callable[[str, int, bool], None]]:
    """Show a bar over all steps of all trials, or a line a trial where there is no terminal."""
    from deepsched.pipeline.training.course import make_course

    steps: dict[str, int] = {}
    ended: set[str] = set()
    each = make_course(search.data, search.config).steps.total
    with ExitStack() as stack:
        bar = stack.enter_context(progress_bar()) if messages.is_terminal else None
        task = bar.add_task("searching", total=search.trials * each) if bar else None

        def on_trial(trial: str, step: int, end: bool) -> None:
            steps[trial] = max(steps.get(trial, 0), step)
            if end:
                ended.add(trial)
            if bar and task is not None:
                # A trial that was stopped early has nothing left to do.
                done = sum(each if t in ended else min(n, each) for t, n in steps.items())
                bar.update(task, completed=done, description=f"{len(ended)} trials done")
            elif end:
                messages.print(
                    f"trial {len(ended)}/{search.trials} ended after step {steps[trial]}"
                )

        yield on_trial
