"""What a labelling run tells its user: progress, what failed, and what was made."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pipeline.cli import messages, progress_bar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from pipeline.dataset.manifest import Manifest
    from pipeline.labelling.shard import LabelSpec, ShardReport

PROGRESS_EVERY = 10.0  # s, between lines of progress where there is no terminal
SHOWN = 5  # failures and left-out files named on the screen; the rest are counted


def summary(spec: LabelSpec, manifest: Manifest, reports: list[ShardReport], seconds: float) -> str:
    """Return what was made, in a few lines."""
    tasks = sum(report.problems.tasks for report in reports)
    size = sum(part.bytes for _, part in manifest.parts())
    kept = sum(len(report.kept) for report in reports)
    parts = sum(1 for _ in manifest.parts())
    rate = manifest.samples / seconds
    lines = {
        "dataset": spec.out,
        "samples": f"{manifest.samples}, {tasks} tasks in all",
        "teachers": ", ".join(manifest.labels),
        "files": f"{parts} of {size / 1e6:.1f} MB in all; {kept} of them were there already",
        "sha256": manifest.digest(),
        "time": f"{seconds:.1f} s, {rate:.1f} samples/s",
    }
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


def list_some(lines: Sequence[str], what: str) -> None:
    """Print the first few lines and how many more there are."""
    for line in lines[:SHOWN]:
        messages.print(f"{what}: {line}", markup=False)
    if len(lines) > SHOWN:
        messages.print(f"{what}: ... and {len(lines) - SHOWN} more")
