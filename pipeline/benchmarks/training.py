"""Measuring training: what a step costs and where its time goes, and how evenly many share it."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np
from rich.table import Table

from deepsched.baselines.atomic import write_text
from deepsched.model.networks import NETWORKS
from deepsched.pipeline.common.cli import progress_bar, results
from deepsched.pipeline.common.options import CONTEXT_SETTINGS
from deepsched.pipeline.common.provenance import provenance
from deepsched.pipeline.dataset.storage import SampleSize
from deepsched.pipeline.labelling.paper_preset import N_MACHINES, PaperSource
from deepsched.pipeline.labelling.sources import stored_bytes
from deepsched.pipeline.training.config import complete, make_config
from deepsched.pipeline.training.steps import DatasetSteps, dealt

if TYPE_CHECKING:
    from collections.abc import Mapping

WORLDS = (1, 2, 8, 16, 64)
SIMULATED = 20_000  # samples of the preset `paper`
SHARD = 250  # samples in a file


@click.command(name="train", context_settings=CONTEXT_SETTINGS)
@click.option(
    "--network",
    type=click.Choice(list(NETWORKS)),
    default="deepsched",
    show_default=True,
    help="Network whose steps are timed.",
)
@click.option(
    "--steps", type=click.IntRange(min=2), default=100, show_default=True, help="Steps to time."
)
@click.option(
    "--simulate",
    is_flag=True,
    help="Take no step: the share of time in which many processes work, from the plan alone.",
)
@click.option(
    "--micro-batches",
    type=click.IntRange(min=1),
    default=128,
    show_default=True,
    help="Micro-batches of a simulated step.",
)
@click.option("--json", "json_out", metavar="FILE", help="Write every figure to FILE, too.")
def command(
    network: str, steps: int, simulate: bool, micro_batches: int, json_out: str | None
) -> None:
    """Time the steps of a training in this process, and show where the time goes.

    Problems are generated, and scheduled by HEFT for the ratios, or as the teacher of `paper`. With
    --simulate an epoch over 20,000 samples of the preset `paper` is planned and dealt to 1 to 64
    processes; a micro-batch costs what its tasks and pairs say, and a step takes as long as its
    slowest process.
    """
    figures = simulated(micro_batches) if simulate else timed(network, steps)
    table = Table("processes" if simulate else "measure", "busy" if simulate else "value")
    for name, value in figures.items():
        table.add_row(name, f"{value:.3f}")
    results.print(table)
    if json_out is not None:
        document = {"provenance": provenance(network=network), "figures": figures}
        write_text(json_out, json.dumps(document, indent=1) + "\n")


def timed(network: str, steps: int) -> dict[str, float]:
    """Return steps/s, and each part's share of the time."""
    from deepsched.pipeline.training.plan import plan_training
    from deepsched.pipeline.training.run import train_here

    options: dict[str, Any] = {
        "network": network,
        "teacher": "heft",
        "steps": steps,
        "check_every": steps,
        "development": 1,
        "workers": 0,
    }
    with tempfile.TemporaryDirectory() as folder, progress_bar() as bar:
        task = bar.add_task("training", total=steps)
        plan = plan_training(None, Path(folder), options=options)
        trained = train_here(plan, on_status=lambda status: bar.update(task, completed=status.step))
    record: Mapping[str, Any] = trained.history[-1]
    return {"steps/s": steps / record["seconds"], **record["shares"]}


def simulated(micro_batches: int) -> dict[str, float]:
    """Return the mean share of time in which processes work, by their number."""
    config = complete(
        make_config(
            {"network": "paper", "epochs": 1, "micro_batches": micro_batches}, where="benchmark"
        ),
        generated=False,
    )
    source = PaperSource(seed=0)
    per_task = stored_bytes(1, N_MACHINES, matrix=False)
    sizes = [
        SampleSize(
            sample_id=k,
            source="",
            n_tasks=source.size(k) // per_task,
            n_machines=N_MACHINES,
            n_edges=0,
        )
        for k in range(SIMULATED)
    ]
    plan = DatasetSteps(sizes, [k // SHARD for k in range(SIMULATED)], config)
    return {str(world): busy_share(plan, world) for world in WORLDS}


def busy_share(plan: DatasetSteps, world: int) -> float:
    """Return the work of all steps / the time of all processes until each step's slowest ends."""
    work = time = 0.0
    for step in range(plan.total):
        costs = plan.costs(step)
        load = np.bincount(dealt(costs, world), weights=costs, minlength=world)
        work += load.sum()
        time += load.max() * world
    return float(work / time)
