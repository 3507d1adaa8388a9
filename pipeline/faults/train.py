"""`deepsched chaos train`: train while things break, and compare the weights with others."""

from __future__ import annotations

import functools
from types import MappingProxyType
from typing import TYPE_CHECKING

import click

from deepsched.pipeline.common.numbers import SEED, Whole
from deepsched.pipeline.faults import train_clusters as clusters
from deepsched.pipeline.faults import train_drivers as drivers
from deepsched.pipeline.faults.command import (
    check_names,
    described,
    json_option,
    out_option,
    run_scenarios,
    scenario_option,
)
from deepsched.pipeline.faults.train_trial import TrainTrial, undisturbed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

SCENARIOS: Mapping[str, Callable[[TrainTrial], None]] = MappingProxyType(
    {
        "workers": clusters.killed_workers,
        "nodes": clusters.killed_nodes,
        "elastic": clusters.changing_cluster,
        "drivers": drivers.killed_drivers,
        "ray-drivers": clusters.killed_drivers_on_ray,
        "writes": drivers.killed_writes,
        "world": clusters.other_worlds,
    }
)

HELP = f"""Train while things break, and compare the weights bit for bit with an undisturbed run's.

Every Ray that is hurt was started by this command, on this machine. Compared are the result's
weights, the last state and the history. Exit code 1: one of them differs, a promise was not kept,
or nothing was disturbed. What this system does not allow is said to be "not run".

\b
Scenarios:
{described(SCENARIOS)}
"""


@click.command(context_settings={"help_option_names": ["-h", "--help"]}, help=HELP)
@scenario_option
@click.option(
    "--steps",
    type=Whole(min=5),
    default=60,
    show_default=True,
    help="Of a training; some hundredths of a second each.",
)
@click.option(
    "--rounds",
    type=Whole(min=1),
    default=10,
    show_default=True,
    help="How often drivers are killed; training processes a third, nodes and drivers on Ray a "
    "fifth as often.",
)
@click.option(
    "--seed",
    type=SEED,
    default=0,
    show_default=True,
    help="Of training and moments.",
)
@out_option("trainings")
@json_option
def command(
    names: tuple[str, ...],
    steps: int,
    rounds: int,
    seed: int,
    out: Path | None,
    json_path: Path | None,
) -> int:
    """Run the scenarios and print what they found."""
    check_names(names, SCENARIOS)

    def make(folder: Path) -> Callable[..., TrainTrial]:
        return functools.partial(TrainTrial, steps=steps, reference=undisturbed(folder))

    return run_scenarios(
        "chaos train",
        SCENARIOS,
        names or SCENARIOS,
        make,
        seed=seed,
        rounds=rounds,
        out=out,
        json_path=json_path,
        size={"steps": steps},
    )
