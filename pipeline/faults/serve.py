"""`deepsched chaos serve`: play hostile clients, and see that others are answered as ever."""

from __future__ import annotations

import functools
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

import click

from deepsched.pipeline.benchmarks.serving_service import own_service, running_service
from deepsched.pipeline.common.numbers import SEED, Real, Whole
from deepsched.pipeline.common.ray_session import ROOT
from deepsched.pipeline.faults.command import (
    check_names,
    described,
    json_option,
    out_option,
    run_scenarios,
    scenario_option,
)
from deepsched.pipeline.faults.serve_bodies import mutated_bodies
from deepsched.pipeline.faults.serve_gone import clients_that_leave
from deepsched.pipeline.faults.serve_openapi import described_requests
from deepsched.pipeline.faults.serve_slow import slow_clients
from deepsched.pipeline.faults.serve_trial import ServeTrial

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

SCENARIOS: Mapping[str, Callable[[ServeTrial], None]] = MappingProxyType(
    {
        "bodies": mutated_bodies,
        "slow": slow_clients,
        "gone": clients_that_leave,
        "openapi": described_requests,
    }
)
HELD = "held"
# All deadlines are as they are for any service, but shorter, so that each is seen to end something.
NARROW = ("--header-timeout", "3", "--body-timeout", "3", "--idle-timeout", "5", "--job-ttl", "60")

HELP = f"""Play hostile clients of the service, and see that it holds.

It starts a service of its own with short deadlines, or hurts the one at --url. Exit code 1: an
answer was none that it should give, a client that stood still held it up, or something was left.
Figures say how busy the machine was: compare those of one run.

\b
Scenarios:
{described(SCENARIOS)}
"""


@click.command(context_settings={"help_option_names": ["-h", "--help"]}, help=HELP)
@scenario_option
@click.option("--url", help="A service that runs already.  [default: one is started]")
@click.option("--pid", type=Whole(min=1), help="Its process, to see what it holds; with --url.")
@click.option(
    "--requests",
    type=Whole(min=4),
    default=10_000,
    show_default=True,
    help="Mutated ones; a third as many by /openapi.json.",
)
@click.option(
    "--rounds",
    type=Whole(min=1),
    default=20,
    show_default=True,
    help="How many clients leave, and how many jobs are cancelled.",
)
@click.option(
    "--share",
    type=Real(min=0.005, max=1),
    default=1.0,
    show_default=True,
    help="Of the connections and bytes that slow clients take at most.",
)
@click.option(
    "--examples",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Workflow files to damage, beside drawn problems.  [default: tests/data of a checkout]",
)
@click.option("--seed", type=SEED, default=0, show_default=True, help="Of the damage.")
@out_option("requests that found something")
@json_option
def command(
    names: tuple[str, ...],
    url: str | None,
    pid: int | None,
    requests: int,
    rounds: int,
    share: float,
    examples: Path | None,
    seed: int,
    out: Path | None,
    json_path: Path | None,
) -> int:
    """Run the scenarios and print what they found."""
    check_names(names, SCENARIOS)
    # Late, as torch takes seconds that --help has not.
    from deepsched.pipeline.benchmarks.serving_library import Library

    data = ROOT / "tests" / "data"
    if examples is None and data.is_dir():
        examples = data
    library = Library()
    library.warm_up()
    opened = own_service(NARROW) if url is None else running_service(url, pid)
    with opened as service:

        def make(folder: Path) -> Callable[..., ServeTrial]:
            return functools.partial(
                ServeTrial,
                service=service,
                library=library,
                requests=requests,
                share=share,
                examples=examples,
            )

        return run_scenarios(
            "chaos serve",
            SCENARIOS,
            names or SCENARIOS,
            make,
            seed=seed,
            rounds=rounds,
            out=out,
            json_path=json_path,
            size={"requests": requests, "rounds": rounds},
            good=HELD,
        )
