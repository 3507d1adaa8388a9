#!/usr/bin/env python3
"""`deepsched verify`: check a dataset, every file and every schedule of it."""

from __future__ import annotations

if __name__ == "__main__":  # run as a file, maybe from a checkout that is not installed
    import runpy
    from pathlib import Path

    runpy.run_path(str(Path(__file__).resolve().parent / "common/as_file.py"))["run_file"](__file__)

import time
from contextlib import closing
from typing import TYPE_CHECKING

import click

from deepsched.pipeline.common.cli import EXIT_FAILED, progress_bar, results
from deepsched.pipeline.common.numbers import Whole
from deepsched.pipeline.common.options import CONTEXT_SETTINGS
from deepsched.pipeline.common.ray_room import check_room
from deepsched.pipeline.common.ray_session import cluster_cpus, ray_session
from deepsched.pipeline.common.ray_tasks import ray_map
from deepsched.pipeline.dataset.stores import without_secret
from deepsched.pipeline.dataset.verify import sample_findings, verify_top
from deepsched.pipeline.dataset.verify_shard import verify_shard

if TYPE_CHECKING:
    from collections.abc import Generator

    from deepsched.pipeline.dataset.storage import Dataset
    from deepsched.pipeline.dataset.verify import Finding
    from deepsched.pipeline.dataset.verify_shard import ShardCheck

SMALL = 100_000_000  # bytes, for which Ray's start is not worth while
MEGABYTE = 1_000_000


@click.command(context_settings=CONTEXT_SETTINGS)
@click.argument("uri", metavar="DIR")
@click.option("--quick", is_flag=True, help="Sizes, hashes and columns only, no schedule.")
@click.option(
    "--workers",
    type=Whole(min=0),
    help="Shards checked at once, as Ray tasks; 0: in this process.  [default: 0 below "
    f"{SMALL // MEGABYTE} MB, else as many as the cluster has CPUs]",
)
@click.option(
    "--show",
    metavar="N",
    type=Whole(min=0),
    default=50,
    show_default=True,
    help="Findings that are printed; the rest are counted.",
)
@click.option("--address", help="Ray cluster to join.  [default: $RAY_ADDRESS, or a local Ray]")
def command(uri: str, quick: bool, workers: int | None, show: int, address: str | None) -> int:
    """Check the dataset at DIR, a folder or a URI (file://, s3://).

    The manifest, the size and SHA-256 of each file, the columns of each part; row by row that the
    sample is the right one, the problem is legal, the schedule valid, and its measures are those
    computed anew. Each file that is missing, damaged, of another version or not part of the
    dataset is named, with what is wrong with it, a line each. A warning is about what no hash
    covers: the records of how long schedules took, and what an unfinished run left.

    Exit code 1: something is wrong. 2: there is no dataset.

    \b
    Examples:
      deepsched verify runs/data
      deepsched verify s3://bucket/data?region=eu-west-1 --quick
    """  # noqa: D301 - click needs the backspace
    begin = time.perf_counter()
    dataset, findings = verify_top(uri)
    checks: list[ShardCheck] = []
    if dataset is not None:
        if workers is None and sum(part.bytes for part in dataset.manifest.parts()) < SMALL:
            workers = 0
        with (
            progress_bar() as bar,
            closing(shard_checks(dataset, quick=quick, workers=workers, address=address)) as done,
        ):
            task = bar.add_task("verifying", total=dataset.n_shards)
            for check in done:
                checks.append(check)
                bar.advance(task)
    for check in sorted(checks, key=lambda check: check.shard):
        findings += check.findings
    if dataset is not None and not quick and all(finding.warning for finding in findings):
        findings += sample_findings(dataset)  # made from parts, which are good
    # What is wrong before what is only odd; the order is otherwise that of the files.
    findings.sort(key=lambda finding: finding.warning)
    for finding in findings[:show]:
        results.print(f"{'warning: ' * finding.warning}{finding.text}", markup=False)
    if len(findings) > show:
        results.print(f"... and {len(findings) - show} more")
    seconds = time.perf_counter() - begin
    results.print(summary(without_secret(uri), dataset, checks, findings, seconds), markup=False)
    return EXIT_FAILED if any(not finding.warning for finding in findings) else 0


def shard_checks(
    dataset: Dataset, *, quick: bool, workers: int | None, address: str | None = None
) -> Generator[ShardCheck, None, None]:
    """Yield the check of every shard, in the order in which they end."""
    if workers == 0:
        for shard in range(dataset.n_shards):
            yield verify_shard(dataset, shard, quick=quick)
        return
    with ray_session(address=address, num_cpus=workers):
        check_room("the check of a shard", {"CPU": 1}, address)
        # Reading only: a check that dies with its node is made again.
        yield from ray_map(
            _check,
            range(dataset.n_shards),
            (dataset, quick),
            room=lambda: workers or 2 * max(1, cluster_cpus()),
            max_retries=-1,
        )


def _check(shard: int, shared: tuple[Dataset, bool]) -> ShardCheck:
    dataset, quick = shared
    return verify_shard(dataset, shard, quick=quick)


def summary(
    uri: str,
    dataset: Dataset | None,
    checks: list[ShardCheck],
    findings: list[Finding],
    seconds: float,
) -> str:
    """Return what was checked, in a few lines."""
    wrong = sum(not finding.warning for finding in findings)
    odd = len(findings) - wrong
    lines = {"dataset": uri}
    if dataset is not None:
        machines = dataset.manifest.machines
        sizes = [part.bytes for part in dataset.manifest.parts()]
        sizes += [] if machines is None else [machines.bytes]
        again = dataset.manifest.generation
        lines |= {
            "dataset": uri + (f", generation {again}" if again > 1 else ""),
            "files": f"{len(sizes)} of {sum(sizes) / 1e6:.1f} MB",
            "rows": f"{sum(check.rows for check in checks)} read, of {dataset.n_samples} samples",
            "schedules": f"{sum(check.schedules for check in checks)} checked",
            "sha256": dataset.manifest.digest(),
        }
    lines["time"] = f"{seconds:.1f} s"
    lines["result"] = (f"{wrong} problems" if wrong else "all well") + (
        f", {odd} warnings" if odd else ""
    )
    return "\n".join(f"{name:<9} {text}" for name, text in lines.items())
