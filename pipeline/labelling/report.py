"""What a labelling run tells its user at its end: what was made, and what failed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from deepsched.pipeline.dataset.stores import without_secret

if TYPE_CHECKING:
    from collections.abc import Sequence

    from deepsched.pipeline.dataset.manifest import Manifest
    from deepsched.pipeline.labelling.spec import LabelSpec, ShardReport

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


def first_lines(lines: Sequence[str], what: str, count: int | None = None) -> list[str]:
    """Return the first few lines, each after `what`, and how many more of `count` there are."""
    shown = [f"{what}: {line}" for line in lines[:SHOWN]]
    more = (len(lines) if count is None else count) - SHOWN
    return [*shown, f"{what}: ... and {more} more"] if more > 0 else shown
