#!/usr/bin/env python3
"""`deepsched tune`: search hyperparameters of the training."""

from __future__ import annotations

if __name__ == "__main__":  # run as a file, maybe from a checkout that is not installed
    import runpy
    from pathlib import Path

    runpy.run_path(str(Path(__file__).resolve().parent / "common/as_file.py"))["run_file"](__file__)

import math
import pickle
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.table import Table

from deepsched.baselines.errors import InvalidInput
from deepsched.baselines.text import absolute_path
from deepsched.baselines.waiting import loading
from deepsched.pipeline.common.cli import (
    EXIT_FAILED,
    EXIT_INTERRUPTED,
    failures,
    messages,
    progress_bar,
    results,
)
from deepsched.pipeline.common.numbers import MOST, SEED, Whole
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
  deepsched tune --out runs/tune --trials 16 --steps 500 --time-budget 20m
  deepsched tune --data runs/data --out runs/lr --epochs 20 --search learning_rate=1e-5..1e-2
  deepsched train --out runs/model --config runs/tune/best.json
"""

SCHEDULER_HELP = """asha stops trials that are worse than others after as many validations: where
many settings are tried. pbt lets the worst quarter go on from the best quarter's weights, with
changed settings: where a rate should change on the way, and all trials have room at once. none lets
each trial train to its end: where few are compared."""
SEARCHER_HELP = """random draws each trial's settings from the seed and its number. optuna chooses
them by what trials before came to (TPE, of the same seed), which pays from some 20 trials on, few
of them at a time."""
UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}


class Duration(click.ParamType[float]):
    """Seconds, or a number of seconds, minutes or hours with s, m or h behind it."""

    name = "duration"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Return seconds."""
        if isinstance(value, float):
            return value
        number, unit = (value[:-1], value[-1]) if value[-1:] in UNITS else (value, "s")
        try:
            seconds = float(number) * UNITS[unit]
        except ValueError:
            seconds = math.nan
        if not 0 < seconds <= MOST:
            self.fail(f"{value!r} is not a time such as 90s, 20m or 2h", param, ctx)
        return seconds


@click.command(context_settings=CONTEXT_SETTINGS, epilog=EXAMPLES)
@click.option(
    "--data", metavar="URI", help="Dataset made by `label`.  [default: generated problems]"
)
@click.option(
    "--out",
    metavar="DIR",
    required=True,
    type=click.Path(path_type=Path),
    help="Folder for best.json, results.json, results.csv and report.html.",
)
@click.option(
    "--trials",
    type=Whole(min=1),
    default=8,
    show_default=True,
    help="How many settings are tried.",
)
@click.option(
    "--steps",
    type=Whole(min=1),
    help="Steps of the trials that are not stopped early.  [default: the training's]",
)
@click.option("--epochs", type=Whole(min=1), help="The same in epochs of the dataset of --data.")
@click.option(
    "--check-every",
    type=Whole(min=1),
    help="Steps between two validations.  [default: the training's]",
)
@click.option(
    "--search",
    metavar="FIELD=RANGE",
    multiple=True,
    help="A setting and its values: LOW..HIGH (log-uniform) or A,B,C. An option of the network is "
    "network_options.NAME. May be repeated; replaces what the network has searched by default.",
)
@click.option(
    "--scheduler",
    type=click.Choice(("asha", "pbt", "none"), case_sensitive=False),
    default="asha",
    show_default=True,
    help=SCHEDULER_HELP,
)
@click.option(
    "--searcher",
    type=click.Choice(("random", "optuna"), case_sensitive=False),
    default="random",
    show_default=True,
    help=SEARCHER_HELP,
)
@click.option(
    "--time-budget",
    type=Duration(),
    help="Seconds, or 90s, 20m, 2h, of this start of the search: then no trial begins, and those "
    "that run end with their next validation.",
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
@click.option("--seed", type=SEED, help="Seed of the trials.  [default: 0]")
@click.option("--limit-samples", type=Whole(min=1), help="Use only so many samples of each split.")
@click.option(
    "--workers-per-trial",
    type=Whole(min=1),
    default=1,
    show_default=True,
    help="Processes that train a trial together; on CPUs they change no score.",
)
@click.option(
    "--max-concurrent",
    type=Whole(min=1),
    help="Trials at a time.  [default: as many as CPUs, or GPUs if any, have room for]",
)
@click.option("--address", help="Ray cluster to join.  [default: $RAY_ADDRESS, or a local Ray]")
@click.option(
    "--storage",
    metavar="URI",
    help="Trials on the way; all nodes of a cluster must reach it.  [default: DIR/ray]",
)
def command(
    data: str | None,
    out: Path,
    trials: int,
    search: tuple[str, ...],
    scheduler: str,
    searcher: str,
    time_budget: float | None,
    config_file: Path | None,
    workers_per_trial: int,
    max_concurrent: int | None,
    address: str | None,
    storage: str | None,
    **options: Any,
) -> None:
    """Search the settings of the training that make the shortest schedules in validation.

    Each trial is a training; the first one has the settings as they are, where they lie within what
    is searched. DIR/best.json is a file for `train --config`; DIR/results.csv lists all trials, and
    DIR/report.html shows them.

    The same command again goes on where it was stopped: each trial from its last validation.
    """
    # Late, as torch and Ray Tune take seconds that --help has not.
    loading("torch")
    from deepsched.pipeline.tuning.plan import plan_search
    from deepsched.pipeline.tuning.results import BEST, REPORT, finished_search
    from deepsched.pipeline.tuning.search_space import default_space, parse_search

    check_destination(str(out))
    if scheduler == "pbt" and max_concurrent:
        raise InvalidInput(
            "--scheduler pbt compares all trials with each other: no --max-concurrent; fewer "
            "--trials take less room"
        )
    out = absolute_path(out)
    config = complete(merged_config(config_file, options), generated=data is None)
    ranges = parse_search(search) or default_space(config, generated=data is None)
    plan = plan_search(
        data, out, config, ranges, trials, storage, scheduler=scheduler, searcher=searcher
    )
    found = finished_search(plan)
    if found:
        messages.print(f"{out} holds the results of this search already")
    else:
        make_folder(out, f"--out {out}")
        with open_folder(str(out)).locked():
            found = _search(
                plan,
                address,
                concurrent=max_concurrent,
                workers=workers_per_trial,
                seconds=time_budget,
            )
    results.print_table(table(found))
    results.print(f"best settings: {out / BEST}", markup=False)
    results.print(f"report: {out / REPORT}", markup=False)


def _search(plan: Search, address: str | None, **how: Any) -> list[TrialResult]:
    """Search and show the progress; leave with an exit code where there is no result."""
    from ray.tune import TuneError

    from deepsched.pipeline.tuning.run import SearchFailed, run_search

    def note(text: str) -> None:
        messages.print(text, markup=False)

    try:
        with ray_session(address=address), _progress(plan) as on_trial:
            return run_search(plan, **how, on_trial=on_trial, on_note=note)
    except KeyboardInterrupt:
        failures.print("interrupted; the same command goes on where it stopped")
        raise click.exceptions.Exit(EXIT_INTERRUPTED) from None
    except SearchFailed as error:
        reason = str(error)
    except (TuneError, EOFError, pickle.UnpicklingError) as error:
        # Click would take an EOFError for Ctrl-C.
        said = " ".join(str(error).split()) or type(error).__name__
        reason = f"Ray Tune broke off: {said}; the same command goes on with the trials so far"
    failures.print(f"deepsched: {reason}", markup=False)
    raise click.exceptions.Exit(EXIT_FAILED) from None


def table(found: list[TrialResult]) -> Table:
    """Return the trials as a table, the best one first."""
    names = list(dict.fromkeys(name for result in found for name in result.params))
    shown = Table(box=None, pad_edge=False)
    for title in ("rank", "trial", "x HEFT", "steps", "end", *names):
        shown.add_column(title.removeprefix("network_options."), justify="right")
    for rank, result in enumerate(found, 1):
        measure = "–" if result.score is None else f"{result.score:.4f}"
        values = [result.params.get(name) for name in names]
        texts = [f"{v:.3g}" if isinstance(v, float) else str(v) for v in values]
        shown.add_row(
            str(rank), str(result.trial), measure, str(result.steps), result.state, *texts
        )
    return shown


@contextmanager
def _progress(search: Search) -> Iterator[Callable[[int, int, bool], None]]:
    """Show a bar over all steps of all trials, or a line a trial where there is no terminal."""
    from deepsched.pipeline.training.course import make_course

    steps: dict[int, int] = {}
    ended: set[int] = set()
    each = make_course(search.data, search.config).steps.total
    with ExitStack() as stack:
        bar = stack.enter_context(progress_bar()) if messages.is_terminal else None
        task = bar.add_task("searching", total=search.trials * each) if bar else None

        def on_trial(trial: int, step: int, end: bool) -> None:
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
