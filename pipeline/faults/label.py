"""`deepsched chaos label`: make a dataset while things break, and compare it with another one."""

from __future__ import annotations

import contextlib
import json
import random
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import click
from rich.table import Table

from deepsched.baselines.atomic import write_text
from deepsched.baselines.errors import InvalidInput, UnknownName
from deepsched.pipeline.common.cli import EXIT_FAILED, results
from deepsched.pipeline.faults import clusters, drivers
from deepsched.pipeline.faults.trial import Broken, Different, NotPossible, Trial, undisturbed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from deepsched.pipeline.labelling.spec import LabelSpec

SCENARIOS: Mapping[str, Callable[[Trial], None]] = MappingProxyType(
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
SAME, NOT_RUN = "same", "not run"


def _lines() -> str:
    return "\n".join(f"  {name:<12} {found.__doc__}" for name, found in SCENARIOS.items())


HELP = f"""Make a dataset while things break, and compare its SHA-256 with an undisturbed one's.

Every Ray that is hurt was started by this command, on this machine. With --address it runs on
that cluster, where it hurts only workers and drivers of its own. Exit code 1: a dataset differs,
a promise was not kept, or nothing was disturbed. What this system does not allow is said to be
"not run".

\b
Scenarios:
{_lines()}
"""


@click.command(context_settings={"help_option_names": ["-h", "--help"]}, help=HELP)
@click.option(
    "--scenario",
    "names",
    metavar="NAME",
    multiple=True,
    help="Only this; repeat it.  [default: all]",
)
@click.option(
    "--samples",
    type=click.IntRange(min=12),
    default=300,
    show_default=True,
    help="Of a dataset; nodes takes three times, disk, full-disk, order and counts a sixth.",
)
@click.option(
    "--rounds",
    type=click.IntRange(min=1),
    default=20,
    show_default=True,
    help="How often drivers are killed.",
)
@click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of data and moments."
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    help="Keep datasets and logs in this new or empty folder.  [default: a temporary one]",
)
@click.option(
    "--address",
    help="Ray cluster to run on; --out must then be a folder that all its nodes share. Only "
    f"{' and '.join(ANYWHERE)} can run there.  [default: clusters of its own]",
)
@click.option(
    "--json", "json_path", type=click.Path(path_type=Path, dir_okay=False), help="Results, too."
)
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
    for name in names:
        if name not in SCENARIOS:
            raise UnknownName("scenario", name, SCENARIOS)
        if address is not None and name not in ANYWHERE:
            raise InvalidInput(f"{name} breaks more than its own; it runs without --address only")
    if address is not None and out is None:
        raise InvalidInput("--address needs --out, a folder that all nodes of the cluster share")
    with _scratch(out) as folder:
        reference = undisturbed(folder)
        found = [
            run_scenario(name, folder / name, samples, rounds, seed, reference, address)
            for name in dict.fromkeys(names or (ANYWHERE if address else SCENARIOS))
        ]
    results.print(_table(found))
    if json_path is not None:
        write_text(json_path, json.dumps({"samples": samples, "scenarios": found}, indent=1) + "\n")
    good = all(row["outcome"].startswith((SAME, NOT_RUN)) for row in found)
    return 0 if good else EXIT_FAILED


def run_scenario(
    name: str,
    folder: Path,
    samples: int,
    rounds: int,
    seed: int,
    reference: Callable[[LabelSpec], str],
    address: str | None = None,
) -> dict[str, Any]:
    """Run one scenario and return its name, outcome, seconds and events."""
    begin = time.perf_counter()

    def say(text: str) -> None:
        moment = f"{time.strftime('%H:%M:%S')} {time.perf_counter() - begin:6.1f} s"
        results.print(f"{moment}  {name}: {text}", markup=False)

    trial = Trial(
        folder=folder,
        samples=samples,
        seed=seed,
        rounds=rounds,
        rng=random.Random(f"{seed} {name}"),
        say=say,
        reference=reference,
        address=address,
    )
    say(SCENARIOS[name].__doc__ or "")
    outcome = SAME
    try:
        SCENARIOS[name](trial)
    except NotPossible as error:
        outcome = f"{NOT_RUN}: {error}"
    except Broken as error:
        outcome = f"FAILED: {error}"
    except Different as error:
        outcome = f"DIFFERENT: {error}"
    finally:
        trial.close()
    if outcome == SAME and not any(event.hit for event in trial.events):
        outcome = "FAILED: nothing was disturbed"
    say(outcome)
    seconds = round(time.perf_counter() - begin, 1)
    events = [asdict(event) for event in trial.events]
    return {"scenario": name, "outcome": outcome, "seconds": seconds, "events": events}


@contextlib.contextmanager
def _scratch(out: Path | None) -> Iterator[Path]:
    if out is None:
        with tempfile.TemporaryDirectory(prefix="deepsched-chaos-") as folder:
            yield Path(folder)
    else:
        out.mkdir(parents=True, exist_ok=True)
        if any(out.iterdir()):
            raise InvalidInput(f"{out} is not empty; give --out a new or empty folder")
        yield out.resolve()


def _table(found: list[dict[str, Any]]) -> Table:
    table = Table("scenario", "disturbed", "at work", "seconds", "outcome", title="chaos label")
    for row in found:
        hits = sum(event["hit"] for event in row["events"])
        table.add_row(
            row["scenario"],
            str(len(row["events"])),
            str(hits),
            f"{row['seconds']:.1f}",
            row["outcome"],
        )
    return table
