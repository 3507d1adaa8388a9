#!/usr/bin/env python3
"""`deepsched train`: train a network by its own rollouts, or to imitate a teacher."""

from __future__ import annotations

if __name__ == "__main__":  # run as a file, maybe from a checkout that is not installed
    import runpy
    from pathlib import Path

    runpy.run_path(str(Path(__file__).resolve().parent / "common/as_file.py"))["run_file"](__file__)

import os
import threading
from collections import Counter
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from deepsched.baselines.atomic import forget_unfinished
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
from deepsched.pipeline.common.numbers import Whole
from deepsched.pipeline.common.options import CONTEXT_SETTINGS
from deepsched.pipeline.common.outputs import check_destination, make_folder
from deepsched.pipeline.common.ray_room import named_cluster
from deepsched.pipeline.common.ray_session import ray_session
from deepsched.pipeline.common.ticking import every
from deepsched.pipeline.dataset.files import open_folder
from deepsched.pipeline.training.board import Status
from deepsched.pipeline.training.config import RECIPES, config_options
from deepsched.pipeline.training.history import best_record, ended_early
from deepsched.pipeline.training.plan import GENERATED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.progress import Progress, TaskID

    from deepsched.pipeline.training.history import Record
    from deepsched.pipeline.training.plan import Plan, Trained


EXAMPLES = """\b
Examples:
  deepsched train --out runs/model
  deepsched train --data runs/data --out runs/model --imitation-steps 100
  deepsched train --data runs/data --out runs/paper --network paper --epochs 20
  deepsched train --out runs/model --resume --steps 6000
"""
LINE_SECONDS = 10.0  # between two lines where there is no terminal


@click.command(context_settings=CONTEXT_SETTINGS, epilog=EXAMPLES)
@click.option("--data", metavar="URI", help="Dataset made by `label`, to learn from its samples.")
@click.option(
    "--problems",
    metavar="PRESET",
    type=click.Choice([GENERATED], case_sensitive=False),
    help=f"Endless generated problems instead, which is the default: {GENERATED}.",
)
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
@click.option(
    "--recipe",
    type=click.Choice(list(RECIPES), case_sensitive=False),
    help="Settings under a name; files and options win over them.",
)
@click.option("--resume", is_flag=True, help="Go on with the training that --out holds, if any.")
@config_options
@click.option("--max-tasks", type=Whole(min=1), help="Same as --network-option max_tasks=N.")
@click.option(
    "--max-machines",
    type=Whole(min=1),
    help="Together with --max-tasks: the padded, fixed-size original of the paper's network.",
)
@click.option("--address", help="Ray cluster to join.  [default: $RAY_ADDRESS, or a local Ray]")
@click.option(
    "--storage",
    metavar="URI",
    help="States on the way; all nodes of a cluster must reach it.  [default: DIR/states]",
)
def command(
    data: str | None,
    problems: str | None,
    out: Path,
    config_file: Path | None,
    resume: bool,
    max_tasks: int | None,
    max_machines: int | None,
    address: str | None,
    storage: str | None,
    **options: Any,
) -> None:
    """Train a network: by policy gradient from its own rollouts, or to imitate a teacher.

    Without --data the problems are generated, and there is no end of them. Of a dataset, sample ids
    ending in 8 are for validation and those ending in 9 are never looked at. The network whose
    decoded schedules are shortest on the validation problems becomes DIR/checkpoint. After Ctrl-C
    or a crash, the same command with --resume goes on, and after the end it does so with more
    --steps or --epochs.
    """
    # Late, as torch and Ray Train take seconds that --help has not.
    loading("torch")
    from deepsched.pipeline.training.plan import finished_training, plan_training

    if data is not None and problems is not None:
        raise InvalidInput("give either --data or --problems")
    check_destination(str(out))
    out = absolute_path(out)
    for name, limit in {"max_tasks": max_tasks, "max_machines": max_machines}.items():
        if limit is not None:
            options["network_options"] = {**(options["network_options"] or {}), name: limit}
    plan = plan_training(
        data, out, storage=storage, config_file=config_file, options=options, resume=resume
    )
    trained = finished_training(plan)
    if trained:
        steps = trained.history[-1]["step"]
        said = f"{out} holds all {steps} steps already"
        if ended_early(trained.history, plan.config.early_stop):
            said = f"{out}: training ended early after step {steps}; a larger --early-stop goes on"
        messages.print(said, markup=False)
    else:
        make_folder(out, f"--out {out}")
        with open_folder(str(out)).locked():
            forget_unfinished(out)
            trained = _train(plan, address)
    results.print(summary(plan, trained), markup=False)


def _train(plan: Plan, address: str | None) -> Trained:
    """Train and show the progress; leave with an exit code where there is no result."""
    from deepsched.pipeline.training.run import TrainingFailed, run_training, train_here

    last = Status()
    try:
        with ExitStack() as stack:
            here = plan.config.workers == 0
            if not here:
                stack.enter_context(ray_session(address=address, num_cpus=_cpus(plan)))
            show = stack.enter_context(_progress(plan))

            def watch(status: Status) -> None:
                nonlocal last
                last = status
                show(status)

            if here:
                return train_here(plan, on_status=watch)
            return run_training(plan, on_status=watch, grows=named_cluster(address))
    except KeyboardInterrupt:
        failures.print(
            f"interrupted after step {last.step}; the same command with --resume goes on from the "
            "last checkpoint"
        )
        raise click.exceptions.Exit(EXIT_INTERRUPTED) from None
    except TrainingFailed as error:
        failures.print(f"deepsched: {error}; --resume goes on", markup=False)
        raise click.exceptions.Exit(EXIT_FAILED) from None


def _cpus(plan: Plan) -> int:
    """Return the CPUs of a local Ray: all, and as many as have to run at once at the least."""
    config = plan.config
    return max(os.cpu_count() or 1, (config.workers or 1) + config.rollout_workers)


def summary(plan: Plan, trained: Trained) -> str:
    """Return what was learned, in some lines."""
    config = plan.config
    best, last = best_record(trained.history), trained.history[-1]
    learned = str(config.objective)
    if learned == "imitation":
        learned = f"imitates {config.teacher}"
    if config.imitation_steps:
        learned += f" after {config.imitation_steps} steps of imitation of {config.teacher}"
    samples = "generated" if plan.data is None else f"{plan.n_train} to train on"
    lines = {
        "network": f"{config.network}, {learned}",
        "problems": f"{samples}, {plan.n_val} for validation",
        "steps": f"{last['step']}, the best is {best['step']}",
        "validation": validation_text(best),
    }
    if "train_accuracy" in best:
        accuracy, by_chance = best["train_accuracy"], best["train_chance"]
        lines["accuracy"] = (
            f"{accuracy:.1%} of the teacher's machines in training, {accuracy / by_chance:.1f} "
            f"times the chance of {by_chance:.1%}"
        )
    lines["time"] = (
        f"{last['seconds']:.1f} s in steps, {last['tasks_per_second']:,.0f} tasks/s, "
        f"{last['shares'].get('data', 0.0):.1%} of it waiting for data"
    )
    lines["checkpoint"] = str(trained.checkpoint)
    return "\n".join(f"{name:<11} {text}" for name, text in lines.items())


@contextmanager
def _progress(plan: Plan) -> Iterator[Callable[[Status], None]]:
    """Give what shows the progress of a training."""
    from deepsched.pipeline.training.course import make_course

    show = _Progress(make_course(plan.data, plan.config).steps.total, plan.config.max_failures)
    with ExitStack() as stack:
        if messages.is_terminal:
            show.bar = stack.enter_context(progress_bar())
        else:
            stack.enter_context(every(LINE_SECONDS, show.line))
        yield show.status


class _Progress:
    """Lines of validations; below them a bar, or without a terminal a line now and then."""

    def __init__(self, total: int, max_failures: int) -> None:
        self.bar: Progress | None = None
        self._task: TaskID | None = None
        self._total, self._max_failures = total, max_failures
        self._last = Status()
        self._shown, self._attempts = -1, 1
        self._notes: Counter[str] = Counter()
        self._lock = threading.Lock()

    def status(self, status: Status) -> None:
        """Show what is new."""
        with self._lock:
            # Several write notes, so that a new one need not be the last.
            for note in (Counter(status.notes) - self._notes).elements():
                messages.print(note, markup=False)
            self._notes |= Counter(status.notes)
            if status.attempt > self._attempts:
                self._attempts = status.attempt
                grown = status.world > self._last.world
                why = "there is room for more" if grown else "a training process died"
                if not grown and status.died_of:
                    why += f" ({status.died_of})"
                messages.print(
                    f"{why}: {status.world} go on from step {status.begun} (restart "
                    f"{self._attempts - 1}; at most {self._max_failures} crashes within an hour)",
                    markup=False,
                )
            if self._shown < 0 and status.attempt:
                self._shown = sum(record["step"] <= status.begun for record in status.history)
            for record in status.history[max(self._shown, 0) :]:
                messages.print(record_line(record, self._total), markup=False)
            self._shown = max(self._shown, len(status.history))
            if self.bar:
                if self._task is None:
                    self._task = self.bar.add_task("starting", total=self._total)
                if status.attempt:
                    self.bar.update(
                        self._task, completed=status.step, description=pace(status) or "training"
                    )
            self._last = status

    def line(self) -> None:
        """Show how far it is, in one line."""
        with self._lock:
            status = self._last
            parts = [f"{name} {value:.4f}" for name, value in list(status.measures.items())[:1]]
            if not status.attempt:
                parts = ["starting"]
            elif not parts:
                parts = ["the first step is under way"]
            if status.steps_per_second:
                left = (self._total - status.step) / status.steps_per_second
                parts += [pace(status), f"about {duration(left)} left"]
            text = f"step {status.step}/{self._total}: {', '.join(parts)}"
            messages.print(text, markup=False)


def pace(status: Status) -> str:
    """Return how many tasks a second are learned from; empty while that is not known."""
    return f"{status.tasks_per_second:,.0f} tasks/s" if status.tasks_per_second else ""


def duration(seconds: float) -> str:
    """Return a time in hours, minutes or seconds, whichever tells most in few digits."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    if seconds < 100 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


def record_line(record: Record, total: int) -> str:
    """Return one validation in one line."""
    measures = [
        f"{name.removeprefix('train_')} {value:.4f}"
        for name, value in record.items()
        if name.startswith("train_")
    ]
    text = f"step {record['step']}/{total}, {record['seconds']:.0f} s: {', '.join(measures[:1])}"
    return f"{text}; {validation_text(record)}"


def validation_text(record: Record) -> str:
    """Return how the decoded schedules of the validation problems compare with HEFT's."""
    if record["val_makespan"] is None:
        return "nothing to validate on; the training decided"
    parts = [
        f"{name} {record[f'val_{name}']:.4f} (guarded {record[f'val_{name}_guarded']:.4f})"
        for name in ("makespan", "turnaround")
    ]
    return f"x HEFT in validation: {', '.join(parts)}"
