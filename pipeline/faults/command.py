"""What the commands of `deepsched chaos` share: options, running scenarios, the table."""

from __future__ import annotations

import contextlib
import random
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.table import Table

from deepsched.baselines.atomic import write_text
from deepsched.baselines.errors import InvalidInput, UnknownName
from deepsched.pipeline.common.cli import EXIT_FAILED, results
from deepsched.pipeline.common.strict_json import json_text
from deepsched.pipeline.faults.trial import Broken, Different, NotPossible, Trial

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

SAME, NOT_RUN = "same", "not run"

scenario_option = click.option(
    "--scenario",
    "names",
    metavar="NAME",
    multiple=True,
    help="Only this; repeat it.  [default: all]",
)
json_option = click.option(
    "--json", "json_path", type=click.Path(path_type=Path, dir_okay=False), help="Results, too."
)


def out_option(what: str) -> Callable[[Any], Any]:
    """Return the option for the folder of what is made."""
    return click.option(
        "--out",
        type=click.Path(path_type=Path, file_okay=False),
        help=f"Keep {what} and logs in this new or empty folder.  [default: a temporary one]",
    )


def described(scenarios: Mapping[str, Callable[[Any], None]]) -> str:
    """Return a line for each scenario, for the help."""
    return "\n".join(f"  {name:<12} {found.__doc__}" for name, found in scenarios.items())


def check_names(names: tuple[str, ...], scenarios: Mapping[str, object]) -> None:
    """Raise `UnknownName` for the first name that is no scenario."""
    for name in names:
        if name not in scenarios:
            raise UnknownName("scenario", name, scenarios)


def run_scenarios(
    title: str,
    scenarios: Mapping[str, Callable[[Any], None]],
    names: Iterable[str],
    make: Callable[[Path], Callable[..., Trial]],
    *,
    seed: int,
    rounds: int,
    out: Path | None,
    json_path: Path | None,
    size: Mapping[str, int],
    good: str = SAME,
) -> int:
    """Run scenarios one after the other, print what they found, and return the exit code.

    Parameters
    ----------
    title : of the table.
    make : returns, for the folder where all lies, what makes a scenario's trial of the attributes
        of a `Trial`.
    size : of what is made, for the JSON file.
    good : what is said of a scenario in which nothing broke.

    Raises
    ------
    InvalidInput
        If there is something in `out`.
    """
    with _scratch(out) as folder:
        trial = make(folder)
        found = [
            _run_scenario(
                scenarios[name], name, trial, folder=folder, seed=seed, rounds=rounds, good=good
            )
            for name in dict.fromkeys(names)
        ]
    results.print_table(_table(title, found))
    if json_path is not None:
        write_text(json_path, json_text({**size, "scenarios": found}) + "\n")
    held = all(row["outcome"].startswith((good, NOT_RUN)) for row in found)
    return 0 if held else EXIT_FAILED


def _run_scenario(
    scenario: Callable[[Any], None],
    name: str,
    make: Callable[..., Trial],
    *,
    folder: Path,
    seed: int,
    rounds: int,
    good: str,
) -> dict[str, Any]:
    """Run one scenario and return its name, outcome, seconds and events."""
    begin = time.perf_counter()

    def say(text: str) -> None:
        moment = f"{time.strftime('%H:%M:%S')} {time.perf_counter() - begin:6.1f} s"
        results.print(f"{moment}  {name}: {text}", markup=False)

    rng = random.Random(f"{seed} {name}")
    trial = make(folder=folder / name, seed=seed, rounds=rounds, rng=rng, say=say)
    say(scenario.__doc__ or "")
    outcome = good
    try:
        scenario(trial)
    except NotPossible as error:
        outcome = f"{NOT_RUN}: {error}"
    except Broken as error:
        outcome = f"FAILED: {error}"
    except Different as error:
        outcome = f"DIFFERENT: {error}"
    finally:
        trial.close()
    if outcome == good and not any(event.hit for event in trial.events):
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


def _table(title: str, found: list[dict[str, Any]]) -> Table:
    table = Table("scenario", "disturbed", "at work", "seconds", "outcome", title=title)
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
