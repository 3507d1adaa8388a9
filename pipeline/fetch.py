#!/usr/bin/env python3
"""`deepsched fetch`: public workflow files, downloaded and verified."""

from __future__ import annotations

if __name__ == "__main__":  # run as a file, maybe from a checkout that is not installed
    import runpy
    from pathlib import Path

    runpy.run_path(str(Path(__file__).resolve().parent / "common/as_file.py"))["run_file"](__file__)

import shlex
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import click

from deepsched.baselines.errors import InvalidInput
from deepsched.pipeline.common.cli import EXIT_FAILED, failures, messages, progress_bar, results
from deepsched.pipeline.common.numbers import Whole
from deepsched.pipeline.common.options import CONTEXT_SETTINGS, DATA_FOLDER, DATA_VARIABLE, TRACES
from deepsched.pipeline.fetching.place import is_right
from deepsched.pipeline.fetching.run import Outcome, fetch_all
from deepsched.pipeline.fetching.sources import (
    DEFAULT_BASE,
    Source,
    check_base,
    load_sources,
    notices,
    select,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_JOBS = 64
ABSENT = ("failed", "not tried")


@click.command(context_settings=CONTEXT_SETTINGS)
@click.argument("groups", metavar="GROUP...", nargs=-1, required=True)
@click.option(
    "--out",
    metavar="DIR",
    default=DATA_FOLDER,
    show_default=True,
    help="Folder for the files, one folder a group.",
)
@click.option(
    "--base-url",
    metavar="URL",
    default=DEFAULT_BASE,
    show_default=True,
    help="Where the files come from: a mirror with the same layout, "
    "URL/owner/repository/commit/path.",
)
@click.option(
    "--jobs",
    type=Whole(1, MAX_JOBS),
    default=8,
    show_default=True,
    help="Files downloaded at once.",
)
@click.option("--dry-run", is_flag=True, help="List what is missing, with its size; fetch nothing.")
def command(groups: tuple[str, ...], out: str, base_url: str, jobs: int, dry_run: bool) -> int:
    """Download public workflow files; each is pinned to a commit and verified by its SHA-256.

    \b
    GROUP is one or more of:
      wfinstances  98 real workflow executions (83 MB, stored as 3 MB), which the demo uses
      stg          180 graphs of the Standard Task Graph set, and their optimal makespans (1.1 MB)
      jsp          63 job shops (0.1 MB)
      hcsp         12 instances of independent tasks, and their best known schedules (1.3 MB)
      all          all of these

    Files that are there, whole and right, are kept. The same command again goes on where it was
    stopped. Exit code 1: some files could not be fetched; the others are there.

    \b
    Examples:
      deepsched fetch wfinstances
      deepsched fetch all --out inputs --dry-run
    """  # noqa: D301 - click needs the backspace
    if "://" in out:
        raise InvalidInput(f"--out {out} must be a local folder")
    sources = select(load_sources(), groups)
    base, folder = check_base(base_url), Path(out)
    if dry_run:
        results.print(plan(sources, folder, base), markup=False)
        return 0
    begin = time.perf_counter()
    with progress_bar() as bar:
        task = bar.add_task("fetching", total=len(sources))
        outcomes = fetch_all(
            sources, folder, base, jobs=jobs, on_outcome=lambda outcome: bar.advance(task)
        )
    results.print(summary(outcomes, folder, time.perf_counter() - begin), markup=False)
    return tell_problems(outcomes)


def plan(sources: Sequence[Source], out: Path, base: str) -> str:
    """Return a line for each file that is missing or wrong, and their sum."""
    missing = [source for source in sources if not is_right(out / source.here, source)]
    lines = [f"{source.size:>9,}  {out / source.here}  {source.url(base)}" for source in missing]
    kept = len(sources) - len(missing)
    size = sum(source.size for source in missing)
    return "\n".join(
        [
            *lines,
            f"to fetch: {len(missing)} files of {size / 1e6:.1f} MB; {kept} are there already",
            *notices(sources),
        ]
    )


def summary(outcomes: Sequence[Outcome], out: Path, seconds: float) -> str:
    """Return what there is now, whose it is, and how to use it."""
    number = Counter(outcome.status for outcome in outcomes)
    new = [outcome for outcome in outcomes if outcome.status in ("fetched", "replaced")]
    size = sum(outcome.source.size for outcome in new)
    lines = {
        "folder": str(out),
        "files": f"{len(outcomes)}: {len(new)} fetched, {number['kept']} kept",
        "fetched": f"{size / 1e6:.1f} MB in {seconds:.1f} s",
    }
    text = [f"{name:<9} {value}" for name, value in lines.items()]
    there = [outcome.source for outcome in outcomes if outcome.status not in ABSENT]
    text += notices(there)
    if len(there) == len(outcomes):
        text.append(f"Use them: {usage(there, out)}")
    return "\n".join(text)


def usage(sources: Sequence[Source], out: Path) -> str:
    """Return a command that uses the files: the demo where it can, else scheduling the first."""
    if any(source.group == TRACES for source in sources):
        return f"{DATA_VARIABLE}={shlex.quote(str(out))} make demo"
    return f"deepsched schedule {shlex.quote(str(out / sources[0].here))}"


def tell_problems(outcomes: Sequence[Outcome]) -> int:
    """Name the files that were replaced or could not be fetched; return the exit code."""
    for outcome in outcomes:
        if outcome.status == "replaced":
            text = "replaced, since it was not the file of the list"
            messages.print(f"{outcome.source.here}: {text}", markup=False)
    failed = [outcome for outcome in outcomes if outcome.status == "failed"]
    for outcome in failed:
        failures.print(f"not fetched: {outcome.source.here}: {outcome.reason}", markup=False)
    skipped = sum(outcome.status == "not tried" for outcome in outcomes)
    if skipped:
        failures.print(f"not tried: {skipped} more, since the server could not be reached")
    if failed:
        failures.print("The same command again tries these alone.")
    return EXIT_FAILED if failed else 0
