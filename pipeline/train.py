#!/usr/bin/env python3
"""`deepsched train`: train a network on a labelled dataset."""

from __future__ import annotations

if __name__ == "__main__":  # run as a file, maybe from a checkout that is not installed
    import runpy
    from pathlib import Path

    runpy.run_path(str(Path(__file__).resolve().parent / "common/as_file.py"))["run_file"](__file__)

from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

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
from deepsched.pipeline.training.config import config_options

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from deepsched.pipeline.training.board import Status
    from deepsched.pipeline.training.plan import Plan, Trained
    from deepsched.pipeline.training.state import Record


EXAMPLES = """\b
Examples:
  deepsched train --data runs/data --out runs/model
  deepsched train --data runs/data --out runs/model --resume --epochs 40
  deepsched train --data runs/data --out runs/ga --teacher ga --config runs/tune/best.json
"""


@click.command(context_settings=CONTEXT_SETTINGS, epilog=EXAMPLES)
@click.option("--data", metavar="URI", required=True, help="Dataset made by `label`.")
@click.option(
    "--out",
    metavar="DIR",
    required=True,
    type=click.Path(path_type=Path),
    help="Folder for checkpoint/ (the best network) and history.json.",
)
@click.option(
    "--config",
    "config_file",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="JSON or YAML file with settings, such as tune's best.json; options given here win.",
)
@click.option("--resume", is_flag=True, help="Go on with the training that --out holds, if any.")
@config_options
@click.option(
    "--max-tasks", type=click.IntRange(min=1), help="Same as --network-option max_tasks=N."
)
@click.option(
    "--max-machines",
    type=click.IntRange(min=1),
    help="Together with --max-tasks: the padded, fixed-size original of the paper's network.",
)
@click.option("--address", help="Ray cluster to join.  [default: $RAY_ADDRESS, or a local Ray]")
@click.option(
    "--storage",
    metavar="URI",
    help="Checkpoints on the way; all nodes of a cluster must reach it.  [default: DIR/ray]",
)
def command(
    data: str,
    out: Path,
    config_file: Path | None,
    resume: bool,
    max_tasks: int | None,
    max_machines: int | None,
    address: str | None,
    storage: str | None,
    **options: Any,
) -> None:
    """Train a network to imitate a teacher.

    Sample ids ending in 8 are for validation: the epoch with the least loss on them becomes
    DIR/checkpoint. Those ending in 9 are never looked at. Each epoch is saved; after Ctrl-C or a
    crash, the same command with --resume goes on, and after the end it does so with more --epochs.
    """
    # Late, as torch and Ray Train take seconds that --help has not.
    from deepsched.pipeline.training.plan import finished_training, plan_training

    check_destination(str(out))
    out = out.expanduser().absolute()
    for name, limit in {"max_tasks": max_tasks, "max_machines": max_machines}.items():
        if limit is not None:
            options["network_options"] = {**(options["network_options"] or {}), name: limit}
    plan = plan_training(
        data, out, storage=storage, config_file=config_file, options=options, resume=resume
    )
    trained = finished_training(plan)
    if trained:
        messages.print(f"{out} holds all {len(trained.history)} epochs already")
    else:
        make_folder(out, f"--out {out}")
        with open_folder(str(out)).locked():
            trained = _train(plan, address)
    results.print(summary(plan, trained), markup=False)


def _train(plan: Plan, address: str | None) -> Trained:
    """Train and show the progress; leave with an exit code where there is no result."""
    from deepsched.pipeline.training.run import TrainingFailed, run_training

    done: list[Record] = []
    try:
        with ray_session(address=address), _progress(plan) as on_status:

            def watch(status: Status) -> None:
                done[:] = status.history
                on_status(status)

            return run_training(plan, on_status=watch)
    except KeyboardInterrupt:
        messages.print(
            f"interrupted after epoch {len(done)} of {plan.config.epochs}; the same command with "
            "--resume goes on"
        )
        raise click.exceptions.Exit(EXIT_INTERRUPTED) from None
    except TrainingFailed as error:
        messages.print(f"deepsched: {error}; --resume goes on", markup=False)
        raise click.exceptions.Exit(EXIT_FAILED) from None


def summary(plan: Plan, trained: Trained) -> str:
    """Return what was learned, in a few lines."""
    from deepsched.pipeline.training.loop import best_record

    best = best_record(trained.history)
    first = trained.history[0]
    lines = {
        "network": f"{plan.config.network}, imitates {plan.config.teacher}",
        "samples": f"{plan.n_train} to train on, {plan.n_val} for validation",
        "epochs": f"{len(trained.history)}, the best is {best['epoch']}",
        "training": f"loss {first['train_loss']:.4f} in epoch 1, then {best['train_loss']:.4f}",
    }
    if best["val_loss"] is None:
        lines["validation"] = "none: there are too few samples; the training loss decided"
    else:
        lines["validation"] = (
            f"loss {best['val_loss']:.4f}: cross-entropy {best['val_cross_entropy']:.4f}, "
            f"squared error of the times {best['val_mse']:.4f}"
        )
        accuracy, chance = best["val_accuracy"], best["val_chance"]
        lines["accuracy"] = (
            f"{accuracy:.1%} of the teacher's machines, {accuracy / chance:.1f} times the chance "
            f"of {chance:.1%}"
        )
    lines["time"] = f"{sum(record['seconds'] for record in trained.history):.1f} s in epochs"
    lines["checkpoint"] = str(trained.checkpoint)
    return "\n".join(f"{name:<11} {text}" for name, text in lines.items())


@contextmanager
def _progress(plan: Plan) -> Iterator[Callable[[Status], None]]:
    """Show a line an epoch, and below it on a terminal a bar over all samples of all epochs."""
    epochs = plan.config.epochs
    shown, attempts = 0, 1
    with ExitStack() as stack:
        bar = stack.enter_context(progress_bar()) if messages.is_terminal else None
        task = bar.add_task("starting", total=epochs * plan.n_train) if bar else None

        def on_status(status: Status) -> None:
            nonlocal shown, attempts
            if status.attempt > attempts:
                attempts = status.attempt
                messages.print(
                    f"a training process died; all were started again after epoch "
                    f"{len(status.history)} (restart {attempts - 1} of at most "
                    f"{plan.config.max_failures})"
                )
            for record in status.history[shown:]:
                messages.print(epoch_line(record, epochs))
            shown = max(shown, len(status.history))
            if bar and task is not None and status.attempt:
                done = len(status.history) * plan.n_train + min(status.samples, plan.n_train)
                epoch = min(len(status.history) + 1, epochs)
                bar.update(task, completed=done, description=f"epoch {epoch}/{epochs}")

        yield on_status


def epoch_line(record: Record, epochs: int) -> str:
    """Return one epoch in one line."""
    parts = [f"loss {record['train_loss']:.4f}"]
    if record["val_loss"] is not None:
        parts.append(f"validation {record['val_loss']:.4f}")
        parts.append(f"accuracy {record['val_accuracy']:.1%} (chance {record['val_chance']:.1%})")
    left = record["seconds"] * (epochs - record["epoch"])
    parts.append(f"{record['seconds']:.1f} s, about {left:.0f} s left")
    return f"epoch {record['epoch']}/{epochs}: {', '.join(parts)}"
