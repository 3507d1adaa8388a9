"""What a labelling run tells its user: progress, what failed, and what was made."""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from deepsched.pipeline.common.cli import messages, progress_bar
from deepsched.pipeline.dataset.stores import without_secret

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from deepsched.pipeline.dataset.manifest import Manifest
    from deepsched.pipeline.labelling.shard import LabelSpec, ShardReport

PROGRESS_EVERY = 10.0  # s, between lines of progress where there is no terminal
SHOWN = 5  # failures and left-out files named on the screen; the rest are counted


@dataclass
class Totals:
    """What a run has done so far; grows with the shards' failures only up to a few lines."""

    tasks: int = 0
    kept: int = 0
    failed: int = 0
    failures: list[tuple[int, str]] = field(default_factory=list)

    def add(self, report: ShardReport) -> None:
        """Count a shard."""
        self.tasks += report.problems.tasks
        self.kept += len(report.kept)
        lines = list(report.failures)
        self.failed += len(lines)
        # The first ones by shard, whatever the order they came in.
        self.failures += [(report.shard, line) for line in lines[:SHOWN]]
        self.failures = sorted(self.failures, key=lambda found: found[0])[:SHOWN]


def summary(spec: LabelSpec, manifest: Manifest, totals: Totals, seconds: float) -> str:
    """Return what was made, in a few lines."""
    parts = list(manifest.parts())
    size = sum(part.bytes for part in parts)
    again = f", generation {manifest.generation}" if manifest.generation > 1 else ""
    lines = {
        "dataset": without_secret(spec.out) + again,
        "samples": f"{manifest.samples}, {totals.tasks} tasks in all",
        "teachers": ", ".join(manifest.labels),
        "files": f"{len(parts)} of {size / 1e6:.1f} MB in all; {totals.kept} of them were there "
        "already",
        "sha256": manifest.digest(),
        "time": f"{seconds:.1f} s, {manifest.samples / seconds:.1f} samples/s",
    }
    if totals.failed:
        lines["failed"] = f"{totals.failed} labels are missing; --retry-failed tries them again"
    return "\n".join(f"{name:<9} {text}" for name, text in lines.items())


@contextmanager
def progress(spec: LabelSpec) -> Iterator[Callable[[int], None]]:
    """Show samples done and an estimate: a bar on a terminal, a line now and then in a log."""
    if messages.is_terminal:
        with progress_bar() as bar:
            task = bar.add_task("labelling", total=spec.samples)
            yield lambda samples: bar.advance(task, samples)
        return
    begin = said = time.perf_counter()
    done = first = 0

    def advance(samples: int) -> None:
        nonlocal begin, said, done, first
        done += samples
        now = time.perf_counter()
        if first == 0:  # Ray's start and compilation say nothing about the rate
            begin, first = now, done
        elif now - said >= PROGRESS_EVERY or done == spec.samples:
            said, rate = now, (done - first) / (now - begin)
            messages.print(
                f"labelling: {done}/{spec.samples} samples, {rate:.1f}/s, "
                f"{(spec.samples - done) / rate:.0f} s left"
            )

    yield advance


def list_some(lines: Sequence[str], what: str, count: int | None = None) -> None:
    """Print the first few lines and how many more of `count` there are."""
    for line in lines[:SHOWN]:
        messages.print(f"{what}: {line}", markup=False)
    more = (len(lines) if count is None else count) - SHOWN
    if more > 0:
        messages.print(f"{what}: ... and {more} more")
