"""Measuring training: what a step costs and where its time goes, and how evenly many share it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click
import numpy as np
from rich.table import Table

from deepsched.baselines.atomic import write_text
from deepsched.baselines.errors import InvalidInput
from deepsched.model.networks import NETWORKS
from deepsched.pipeline.common.cli import progress_bar, results
from deepsched.pipeline.common.numbers import AMOUNT, Whole
from deepsched.pipeline.common.options import CONTEXT_SETTINGS
from deepsched.pipeline.common.provenance import provenance
from deepsched.pipeline.common.strict_json import json_text
from deepsched.pipeline.training.config import complete, make_config

if TYPE_CHECKING:
    from collections.abc import Mapping

    from deepsched.pipeline.benchmarks.training_costs import CostFit
    from deepsched.pipeline.training.plan import Plan, Trained

WORLDS = (1, 2, 8, 16, 64)
NOTIONS = {
    "plan": "by the plan's costs",
    "fit": "by the measured fit",
    "disturbed": "with the fit's error",
}


@click.command(name="train", context_settings=CONTEXT_SETTINGS)
@click.option(
    "--network",
    type=click.Choice(list(NETWORKS), case_sensitive=False),
    default="deepsched",
    show_default=True,
    help="Network whose training is measured.",
)
@click.option("--steps", type=Whole(min=2), default=50, show_default=True, help="Steps to time.")
@click.option(
    "--simulate",
    is_flag=True,
    help="How evenly many processes share the steps on the preset `paper`, by measured costs.",
)
@click.option(
    "--compare",
    is_flag=True,
    help="Such a simulation beside a real training in two processes, on a small dataset.",
)
@click.option(
    "--seconds",
    type=AMOUNT,
    default=60.0,
    show_default=True,
    help="For which costs are measured, and the real training lasts, about.",
)
@click.option(
    "--samples",
    type=Whole(min=1),
    default=20_000,
    show_default=True,
    help="Samples of the simulated training.",
)
@click.option(
    "--micro-batches",
    type=Whole(min=1),
    default=128,
    show_default=True,
    help="Micro-batches of a simulated step.",
)
@click.option("--json", "json_out", metavar="FILE", help="Write every figure to FILE, too.")
def command(
    network: str,
    steps: int,
    simulate: bool,
    compare: bool,
    seconds: float,
    samples: int,
    micro_batches: int,
    json_out: str | None,
) -> None:
    """Time the steps of a training in this process, and show where the time goes.

    Problems are generated, and scheduled by HEFT for the ratios, or as the teacher of `paper`. What
    the forward and backward passes achieve is held against the machine's roofline, rollouts against
    the compiled decoder alone; all on one thread.

    With --simulate an epoch over samples of the preset `paper` is planned and dealt to 1 to 64
    processes. Micro-batches of all sizes are measured for about a minute, and their seconds fitted
    to tasks, pairs and, where that helps, the longest problem; a step takes as long as its slowest
    process. --compare shows how far that is from a training in two processes.
    """
    if simulate and compare:
        raise InvalidInput("give either --simulate or --compare")
    options: dict[str, Any] = {"network": network}
    if simulate:
        figures = _simulated({**options, "micro_batches": micro_batches}, samples, seconds)
    elif compare:
        figures = _compared(options, seconds)
    else:
        figures = _timed(options, steps)
    if json_out is not None:
        document = {"provenance": provenance(network=network), "figures": figures}
        write_text(json_out, json_text(document) + "\n")


def _simulated(options: dict[str, Any], samples: int, seconds: float) -> dict[str, Any]:
    from deepsched.pipeline.benchmarks.training_simulation import (
        fit_of_plan,
        paper_plan,
        paper_sizes,
        simulated,
    )

    config = complete(make_config({**options, "epochs": 1}, where="benchmark"), generated=False)
    found = paper_sizes(samples)
    plan, sizes = paper_plan(found, config), {size.sample_id: size for size in found}
    with progress_bar() as bar:
        task = bar.add_task("measuring, s", total=round(seconds))
        fit = fit_of_plan(
            plan,
            sizes,
            config,
            seconds,
            on_time=lambda spent: bar.update(task, completed=round(spent)),
        )
    simulation = simulated(plan, sizes, fit)
    busy = {str(world): simulation.busy(world) for world in WORLDS}
    _print_fit(fit)
    table = Table("processes", *NOTIONS.values(), title="busy share")
    for world, shares in busy.items():
        table.add_row(world, *(f"{shares[name]:.3f}" for name in NOTIONS))
    results.print_table(table)
    return {"fit": _document(fit), "busy": busy}


def _compared(options: dict[str, Any], seconds: float) -> dict[str, Any]:
    from deepsched.pipeline.benchmarks.training_comparison import WORLD, compared
    from deepsched.pipeline.common.ray_session import ray_session
    from deepsched.pipeline.training.run import run_training

    with progress_bar() as bar, ray_session(num_cpus=WORLD):
        measuring = bar.add_task("measuring, s", total=round(seconds))

        def train(plan: Plan) -> Trained:
            task = bar.add_task("training, steps", total=plan.config.steps)
            return run_training(
                plan, on_status=lambda status: bar.update(task, completed=status.step)
            )

        fit, found = compared(
            options,
            seconds,
            train,
            on_time=lambda spent: bar.update(measuring, completed=round(spent)),
        )
    _print_fit(fit)
    table = Table("two processes", "busy", "simulated - real, points")
    table.add_row(
        f"real, {found['steps']:.0f} steps in {found['seconds']:.0f} s", f"{found['real']:.3f}"
    )
    for name, label in NOTIONS.items():
        points = 100 * (found[name] - found["real"])
        table.add_row(label, f"{found[name]:.3f}", f"{points:+.1f}")
    results.print_table(table)
    return {"fit": _document(fit), **found}


def _timed(options: dict[str, Any], steps: int) -> dict[str, Any]:
    from deepsched.pipeline.benchmarks.training_timing import timed

    with progress_bar() as bar:
        task = bar.add_task("training", total=steps)
        figures = timed(options, steps, on_step=lambda step: bar.update(task, completed=step))
    results.print(
        f"{figures['steps/s']:.3g} steps/s, {figures['tasks/s']:.3g} tasks/s; the training thread, "
        f"where it did not wait, had a CPU for {figures['cpu']:.0%} of the time",
        markup=False,
    )
    shares = Table("part", "share of the time")
    for name, share in figures["shares"].items():
        shares.add_row("waiting for " + name if name in ("data", "peers") else name, f"{share:.3f}")
    for name, share in figures["reading"].items():
        shares.add_row(f"beside it, {name} ahead: CPU s / s", f"{share:.3f}")
    results.print_table(shares)
    rates = Table("in a CPU second", "a step has", "achieved", "attainable", "ratio")
    flops, rollouts = figures["flops"], figures.get("rollouts")
    _add_rate(rates, "forward, backward: GFLOP", flops, 1e9)
    if rollouts:
        _add_rate(rates, "rollouts: M tasks", rollouts, 1e6)
    results.print_table(rates)
    results.print(
        f"One thread here: {flops['peak'] / 1e9:.3g} GFLOP/s in products of matrices, "
        f"{flops['bandwidth'] / 1e9:.3g} GB/s; {flops['step'] / flops['bytes']:.2g} FLOP a byte"
    )
    return figures


def _add_rate(table: Table, name: str, rate: Mapping[str, float], unit: float) -> None:
    values = (rate[key] / unit for key in ("step", "achieved", "attainable"))
    ratio = rate["achieved"] / rate["attainable"]
    table.add_row(name, *(f"{value:.3g}" for value in values), f"{ratio:.2f}")


def _print_fit(fit: CostFit) -> None:
    units = zip(("", " · tasks", " · pairs", " · longest problem"), fit.coefficients, strict=True)
    terms = " + ".join(f"{seconds:.2g}{unit}" for unit, seconds in units if seconds)
    results.print(
        f"seconds of a micro-batch = {terms}\n"
        f"measured: {len(fit.tasks)}, {fit.tasks.min():,.0f} to {fit.tasks.max():,.0f} tasks; each "
        f"by the fit to the others: off by {np.median(fit.errors):.0%} (median), "
        f"{fit.errors.max():.0%} (most)",
        markup=False,
    )


def _document(fit: CostFit) -> dict[str, Any]:
    from deepsched.pipeline.benchmarks.training_costs import COLUMNS

    return {
        "coefficients": dict(zip(COLUMNS, fit.coefficients.tolist(), strict=True)),
        "micro_batches": len(fit.tasks),
        "tasks": [float(fit.tasks.min()), float(fit.tasks.max())],
        "median_error": float(np.median(fit.errors)),
        "largest_error": float(fit.errors.max()),
    }
