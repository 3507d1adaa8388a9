"""Progress of a labelling run as Ray metrics, for dashboards."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from deepsched.baselines.text import plain
from deepsched.pipeline.dataset.stores import without_secret

if TYPE_CHECKING:
    from ray.util import metrics

    from deepsched.pipeline.labelling.spec import LabelSpec, ShardReport


class Metrics:
    """Counters `ray_deepsched_label_{samples,tasks,files,failures}`, by dataset.

    Without effect where no Ray runs.
    """

    def __init__(self, spec: LabelSpec) -> None:
        self._tags = {"dataset": plain(without_secret(spec.out))}
        self._counters: dict[str, metrics.Counter] = {}

    def add(self, report: ShardReport) -> None:
        """Count what a shard has added; parts that were there before count as samples too."""
        ray = sys.modules.get("ray")  # half a second, where nothing has needed it before
        if ray is None or not ray.is_initialized():
            return
        from ray.util import metrics

        amounts = {
            "samples": report.problems.part.rows,
            "tasks": report.problems.tasks,
            "files": 1 + len(report.labels) - len(report.kept),
            "failures": sum(1 for _ in report.failures),
        }
        for name, amount in amounts.items():
            if name not in self._counters:
                self._counters[name] = metrics.Counter(
                    f"deepsched_label_{name}", f"{name} done", tag_keys=("dataset",)
                )
            if amount:
                self._counters[name].inc(amount, tags=self._tags)
