#!/usr/bin/env python3
"""`deepsched improve`: a network that starts as HEFT and learns from its own trials."""

from __future__ import annotations

if __name__ == "__main__":  # run as a file, maybe from a checkout that is not installed
    import runpy
    from pathlib import Path

    runpy.run_path(str(Path(__file__).resolve().parent / "common/as_file.py"))["run_file"](__file__)

from pathlib import Path

import click

from deepsched.model.networks.deepsched.config import DeepSchedConfig
from deepsched.model.networks.deepsched.options import DECODES
from deepsched.pipeline.common.cli import EXIT_INTERRUPTED, messages, progress_bar, results
from deepsched.pipeline.common.options import CONTEXT_SETTINGS
from deepsched.pipeline.common.outputs import check_destination, make_folder
from deepsched.pipeline.dataset.files import open_folder
from deepsched.pipeline.improving.spec import CHECKPOINT, ImproveSpec, StepSpec

STEP = StepSpec(network=DeepSchedConfig())
SPEC = ImproveSpec(step=STEP)


@click.command(context_settings=CONTEXT_SETTINGS)
@click.option(
    "--out",
    metavar="DIR",
    required=True,
    type=click.Path(path_type=Path),
    help="Folder for checkpoint/ (the best network), history.json and what --resume needs.",
)
@click.option(
    "--steps", type=click.IntRange(min=1), default=SPEC.steps, show_default=True, help="Steps."
)
@click.option(
    "--micro-batches",
    type=click.IntRange(min=1),
    default=SPEC.micro_batches,
    show_default=True,
    help="Micro-batches a step, which run in parallel; more make each step surer.",
)
@click.option(
    "--problems",
    type=click.IntRange(min=1),
    default=STEP.problems,
    show_default=True,
    help="New generated problems a micro-batch.",
)
@click.option(
    "--rollouts",
    type=click.IntRange(min=2),
    default=STEP.rollouts,
    show_default=True,
    help="Perturbed decodes of the network's outputs on each problem; even.",
)
@click.option(
    "--tasks",
    type=click.IntRange(min=8),
    nargs=2,
    default=STEP.tasks,
    show_default=True,
    metavar="LEAST MOST",
    help="Tasks of a problem, log-uniform.",
)
@click.option(
    "--turnaround",
    type=click.FloatRange(0, 1),
    default=STEP.turnaround,
    show_default=True,
    help="Share of the problems whose mean turnaround is to be short, not their makespan.",
)
@click.option(
    "--width",
    type=click.IntRange(1, 1024),
    default=STEP.network.width,
    show_default=True,
    help="Channels of the network.",
)
@click.option(
    "--rounds",
    type=click.IntRange(0, 16),
    default=STEP.network.rounds,
    show_default=True,
    help="Rounds of messages along the edges.",
)
@click.option(
    "--decode",
    type=click.Choice(DECODES[:2]),
    default=STEP.network.decode,
    show_default=True,
    help="Machines looked at for a task: all, or a few promising ones.",
)
@click.option(
    "--imitation-steps",
    type=click.IntRange(min=0),
    default=STEP.imitation_steps,
    show_default=True,
    help="Steps at the start in which the network imitates a teacher; then it learns by trials.",
)
@click.option(
    "--teacher",
    type=click.Choice(("best-of", "heft")),
    default=STEP.teacher,
    show_default=True,
    help="Of --imitation-steps; its schedules have short makespans, whatever the objective.",
)
@click.option(
    "--learning-rate",
    type=click.FloatRange(min=0, min_open=True),
    default=SPEC.learning_rate,
    show_default=True,
    help="Of Adam, at the start.",
)
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Of the problems and perturbations that are drawn.",
)
@click.option(
    "--check-every",
    type=click.IntRange(min=1),
    default=SPEC.check_every,
    show_default=True,
    help="Steps between two measurements on development problems; then all is saved.",
)
@click.option(
    "--workers",
    type=click.IntRange(min=0),
    help="Micro-batches at once, as Ray tasks; 0: in this process.  [default: all of a step]",
)
@click.option("--address", help="Ray cluster to join.  [default: $RAY_ADDRESS, or a local Ray]")
@click.option("--resume", is_flag=True, help="Go on with the improvement that --out holds, if any.")
def command(
    out: Path,
    steps: int,
    micro_batches: int,
    problems: int,
    rollouts: int,
    tasks: tuple[int, int],
    turnaround: float,
    width: int,
    rounds: int,
    decode: str,
    imitation_steps: int,
    teacher: str,
    learning_rate: float,
    seed: int,
    check_every: int,
    workers: int | None,
    address: str | None,
    resume: bool,
) -> None:
    """Train the network deepsched by policy gradient, on nothing but generated problems.

    Each step draws new problems, decodes the network's outputs on them under random perturbations
    (rollouts), and moves the network towards those that made schedules shorter. It begins as HEFT,
    or with --imitation-steps at what a teacher does.
    The network that does best on the development problems becomes DIR/checkpoint, which the
    commands `schedule`, `evaluate` and `serve` take with --checkpoint.

    \b
    Examples:
      deepsched improve --out runs/improve
      deepsched improve --out runs/improve --resume --workers 2
    """  # noqa: D301 - click needs the backspace
    from deepsched.pipeline.improving.run import (
        improve,  # late, as torch takes seconds that --help has not
    )

    if rollouts % 2:
        raise click.BadParameter(f"--rollouts {rollouts}: must be even, each is tried both ways")
    if tasks[0] > tasks[1]:
        raise click.BadParameter(f"--tasks {tasks[0]} {tasks[1]}: the least comes first")
    check_destination(str(out))
    out = out.expanduser().absolute()
    spec = ImproveSpec(
        step=StepSpec(
            network=DeepSchedConfig(
                width=width,
                rounds=rounds,
                decode=decode,
            ),
            seed=seed,
            problems=problems,
            rollouts=rollouts,
            tasks=tasks,
            turnaround=turnaround,
            imitation_steps=imitation_steps,
            teacher=teacher,
        ),
        steps=steps,
        micro_batches=micro_batches,
        learning_rate=learning_rate,
        check_every=check_every,
    )
    make_folder(out, f"--out {out}")
    done = 0
    try:
        with open_folder(str(out)).locked(), progress_bar() as bar:
            task = bar.add_task("improving", total=steps)

            def on_step(step: int) -> None:
                nonlocal done
                done = step
                bar.update(task, completed=step)

            def on_check(record: dict[str, float]) -> None:
                results.print(
                    f"step {record['step']:.0f}, {record['seconds']:.0f} s: x HEFT in training "
                    f"{record['training']:.4f}, development makespan {record['makespan']:.4f} "
                    f"(guarded {record['makespan_guarded']:.4f}), turnaround "
                    f"{record['turnaround']:.4f} (guarded {record['turnaround_guarded']:.4f})",
                    markup=False,
                )

            improve(
                out,
                spec,
                workers=workers,
                address=address,
                resume=resume,
                on_step=on_step,
                on_check=on_check,
            )
    except KeyboardInterrupt:
        messages.print(
            f"interrupted{f' after step {done} of {steps}' if done else ''}; the same command with "
            "--resume goes on from the last check"
        )
        raise click.exceptions.Exit(EXIT_INTERRUPTED) from None
    results.print(f"checkpoint {out / CHECKPOINT}", markup=False)
