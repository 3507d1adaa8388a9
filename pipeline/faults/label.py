"""`deepsched chaos label`: make a dataset while things break, and compare it with another one."""

from __future__ import annotations

import functools
from types import MappingProxyType
from typing import TYPE_CHECKING

import click

from deepsched.baselines.errors import InvalidInput
from deepsched.pipeline.common.numbers import SEED, Whole
from deepsched.pipeline.faults import label_clusters as clusters
from deepsched.pipeline.faults import label_drivers as drivers
from deepsched.pipeline.faults.command import (
    check_names,
    described,
    json_option,
    out_option,
    run_scenarios,
    scenario_option,
)
from deepsched.pipeline.faults.label_trial import LabelTrial, undisturbed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

SCENARIOS: Mapping[str, Callable[[LabelTrial], None]] = MappingProxyType(
    {
        "workers": clusters.killed_workers,
        "nodes": clusters.killed_nodes,
        "rpc": clusters.lost_messages,
        "head": clusters.killed_head,
        "drivers": drivers.killed_drivers,
        "ray-drivers": clusters.killed_drivers_on_ray,
        "ctrl-c": drivers.interrupted_drivers,
        "two-drivers": drivers.two_drivers,
        "disk": drivers.failing_disk,
        "full-disk": drivers.full_disk,
        "order": drivers.shuffled_order,
        "counts": clusters.worker_counts,
    }
)
# They hurt nothing but workers and drivers of this command, so any cluster may be their place.
ANYWHERE = ("workers", "ray-drivers")

HELP = f"""Make a dataset while things break, and compare its SHA-256 with an undisturbed one's.

Every Ray that is hurt was started by this command, on this machine. With --address it runs on
that cluster, where it hurts only workers and drivers of its own. Exit code 1: a dataset differs,
a promise was not kept, or nothing was disturbed. What this system does not allow is said to be
"not run".

\b
Scenarios:
{described(SCENARIOS)}
"""


@click.command(context_settings={"help_option_names": ["-h", "--help"]}, help=HELP)
@scenario_option
@click.option(
    "--samples",
    type=Whole(min=12),
    default=300,
    show_default=True,
    help="Of a dataset; nodes takes three times, disk, full-disk, order and counts a sixth.",
)
@click.option(
    "--rounds",
    type=Whole(min=1),
    default=20,
    show_default=True,
    help="How often drivers are killed.",
)
@click.option("--seed", type=SEED, default=0, show_default=True, help="Of data and moments.")
@out_option("datasets")
@click.option(
    "--address",
    help="Ray cluster to run on; --out must then be a folder that all its nodes share. Only "
    f"{' and '.join(ANYWHERE)} can run there.  [default: clusters of its own]",
)
@json_option
def command(
    names: tuple[str, ...],
    samples: int,
    rounds: int,
    seed: int,
    out: Path | None,
    address: str | None,
    json_path: Path | None,
) -> int:
    """Run the scenarios and print what they found."""
    check_names(names, SCENARIOS)
    for name in names:
        if address is not None and name not in ANYWHERE:
            raise InvalidInput(f"{name} breaks more than its own; it runs without --address only")
    if address is not None and out is None:
        raise InvalidInput("--address needs --out, a folder that all nodes of the cluster share")

    def make(folder: Path) -> Callable[..., LabelTrial]:
        reference = undisturbed(folder)
        return functools.partial(LabelTrial, samples=samples, reference=reference, address=address)

    return run_scenarios(
        "chaos label",
        SCENARIOS,
        names or (ANYWHERE if address else SCENARIOS),
        make,
        seed=seed,
        rounds=rounds,
        out=out,
        json_path=json_path,
        size={"samples": samples},
    )
