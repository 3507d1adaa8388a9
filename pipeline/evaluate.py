#!/usr/bin/env python3
"""`deepsched evaluate`: all schedulers side by side on seen and unseen problems, and a report."""

from __future__ import annotations

if __name__ == "__main__":  # run as a file, maybe from a checkout that is not installed
    import runpy
    from pathlib import Path

    runpy.run_path(str(Path(__file__).resolve().parent / "common/as_file.py"))["run_file"](__file__)

from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from deepsched.baselines.plugins import register_named
from deepsched.baselines.registry import SCHEDULERS
from deepsched.baselines.waiting import loading
from deepsched.model.load import PRETRAINED
from deepsched.pipeline.common.cli import messages, progress_bar, results
from deepsched.pipeline.common.numbers import SEED, Whole
from deepsched.pipeline.common.options import CONTEXT_SETTINGS, split_names
from deepsched.pipeline.common.outputs import check_destination, make_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from rich.progress import TaskID


@click.command(context_settings=CONTEXT_SETTINGS)
@click.option("--data", metavar="URI", required=True, help="Dataset that `deepsched label` made.")
@click.option(
    "--checkpoint",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Folder of the trained network.  [default: the pretrained one]",
)
@click.option(
    "--out",
    metavar="DIR",
    type=click.Path(path_type=Path),
    required=True,
    help="Folder for report.html and evaluation.json.",
)
@click.option(
    "--schedulers",
    metavar="NAMES",
    default=",".join((PRETRAINED, *SCHEDULERS)),
    show_default=True,
    help="Whom to compare with the network, separated by commas; heft is always there, deepsched "
    "is the pretrained network, or the one of --checkpoint if that is such a network. One of your "
    "own is FILE.py:function or module:function.",
)
@click.option(
    "--split",
    type=click.Choice(["test", "val"]),
    default="test",
    show_default=True,
    help="Samples that count as unseen; the seen ones are of the training split.",
)
@click.option(
    "--unseen",
    metavar="URI|PRESET",
    help="A third group, of another kind: a dataset, or a preset of generated problems.",
)
@click.option(
    "--seed",
    type=SEED,
    default=1,
    show_default=True,
    help="Seed of the problems of that preset.",
)
@click.option(
    "--history",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="The training's history.json.  [default: the one beside the checkpoint folder]",
)
@click.option(
    "--limit",
    type=Whole(min=1),
    default=200,
    show_default=True,
    help="Samples per group, spread evenly over it.",
)
@click.option(
    "--workers",
    type=Whole(min=0),
    help="Parallel Ray tasks; 0 runs without Ray.  [default: all CPUs]",
)
@click.option(
    "--address",
    help="Ray cluster to join, whose nodes see the same files.  [default: $RAY_ADDRESS, or a local "
    "Ray]",
)
@click.option(
    "--resume",
    is_flag=True,
    help="Keep what --out holds if it is this very comparison, of the same data and network.",
)
def command(out: Path, schedulers: str, resume: bool, address: str | None, **options: Any) -> None:
    """Compare the network with all schedulers and write report.html.

    Every scheduler gets the same problems: samples that the network was trained on (seen), samples
    of the same dataset that it was not (unseen), and with --unseen problems of another kind.
    Schedules that the dataset holds are read, the others are made now.

    The samples on which the network is best and worst get Gantt charts beside HEFT's, in DIR/gantt.

    A network that was trained on generated problems has seen no dataset: it gets no seen group.
    """
    # Late, as torch takes seconds that --help has not.
    loading("torch")
    from deepsched.pipeline.evaluation.document import EvaluationSpec
    from deepsched.pipeline.evaluation.run import evaluate, finished_evaluation, write_report

    arguments = {"out": out, "schedulers": schedulers, **options}
    words = [f"--{name} {value}" for name, value in arguments.items() if value is not None]
    spec = EvaluationSpec(
        schedulers=tuple(register_named(name) for name in split_names(schedulers)),
        command=" ".join([click.get_current_context().command_path, *words]),
        **options,
    )
    check_destination(str(out))
    make_folder(out, f"--out {out}")
    document = finished_evaluation(out, spec) if resume else None
    if document is None:
        with _progress() as on_done:
            document = evaluate(spec, address, charts=out, on_done=on_done)
        write_report(out, document)
    else:
        messages.print(f"{out} holds this comparison already", markup=False)
    print_summary(out, document)


@contextmanager
def _progress() -> Iterator[Callable[[int, int], None]]:
    """Show a bar as soon as there is something to do."""
    bar = progress_bar()
    tasks: list[TaskID] = []
    with ExitStack() as stack:

        def on_done(done: int, total: int) -> None:
            if not tasks:
                stack.enter_context(bar)
                tasks.append(bar.add_task("evaluating", total=total))
            bar.update(tasks[0], completed=done)

        yield on_done


def print_summary(out: Path, document: Mapping[str, Any]) -> None:
    """Print the comparison tables, what they say, and where the report lies."""
    from deepsched.pipeline.evaluation.run import PAGE
    from deepsched.pipeline.evaluation.terminal import comparison_table

    for group in document["groups"]:
        results.print(comparison_table(group))
        for sentence in group["verdicts"]:
            results.print(sentence, markup=False)
        results.print()
    results.print(f"report: {(out / PAGE).absolute()}", markup=False)
