"""Run the shards of a dataset, in this process or as Ray tasks, and publish the manifest."""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from deepsched.baselines.cp_sat import NAME as CP_SAT
from deepsched.pipeline.common.interrupts import lasting_interrupts
from deepsched.pipeline.common.provenance import versions
from deepsched.pipeline.common.ray_room import check_room
from deepsched.pipeline.common.ray_session import ray_session
from deepsched.pipeline.common.ray_tasks import ray_map
from deepsched.pipeline.dataset.files import open_folder
from deepsched.pipeline.dataset.manifest import VERSION, Manifest, Part
from deepsched.pipeline.labelling.publish import prepare, publish, spec_document, store_machines
from deepsched.pipeline.labelling.shard import label_shard, warm_up
from deepsched.pipeline.labelling.spec import LabelSpec, Shard, ShardReport, plan_shards
from deepsched.pipeline.labelling.stuck import forget_stuck

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

log = logging.getLogger(__name__)

QUEUED = 2  # tasks for each that can run, so that a worker finds the next one waiting
LEAST_QUEUED = 8  # so that a cluster without CPUs yet sees a demand to grow for


@dataclass(frozen=True, kw_only=True)
class Workers:
    """Where and how shards are made.

    Attributes
    ----------
    count : shards at a time; 0: one after the other in this process, without Ray; None: as many as
        the cluster has room for, also when it grows.
    address : a Ray cluster to join.
    cpus, resources : what Ray sets aside for one shard.
    """

    count: int | None = None
    address: str | None = None
    cpus: float = 1.0
    resources: Mapping[str, float] = field(default_factory=dict)

    def wanted(self) -> dict[str, float]:
        """Return all that a shard needs, by Ray's names."""
        return {"CPU": self.cpus, **self.resources}


IN_THIS_PROCESS = Workers(count=0)


def label(
    spec: LabelSpec,
    workers: Workers = IN_THIS_PROCESS,
    *,
    force: bool = False,
    retry_failed: bool = False,
    order: Sequence[int] | None = None,
    on_report: Callable[[ShardReport], None] = lambda report: None,
    on_wait: Callable[[str], None] = lambda line: None,
) -> Manifest:
    """Make a dataset, or what is missing of it, and publish its manifest.

    Teachers whose labels are there already stay in the dataset, named in `spec` or not.

    Parameters
    ----------
    force : begin anew where a dataset made in another way lies.
    retry_failed : try labels that failed once more; if one succeeds, the manifest published is of
        the next generation, and the one before is kept.
    order : of the shards; None: those with the largest problems first, so that none of them holds
        the end. It decides nothing but the time.
    on_report : called after each shard.
    on_wait : told when no node of a cluster has room for a shard yet.

    Raises
    ------
    InvalidInput
        If `spec.out` holds something else.
    UnwritableOutput
        If it cannot be written, or another run writes there.
    """
    folder = open_folder(spec.out)
    with folder.locked():
        before = prepare(folder, spec, force=force)
        if before is not None:
            spec = replace(spec, teachers=tuple(dict.fromkeys([*before.labels, *spec.teachers])))
        shards = _shards(spec, before, retry_failed=retry_failed)
        if retry_failed:
            forget_stuck(folder)
        if order is None:
            order = sorted(range(len(shards)), key=lambda k: -shards[k].largest)
        problems: dict[int, Part] = {}
        labels: dict[str, dict[int, Part]] = {teacher: {} for teacher in spec.teachers}
        counts: Counter[str] = Counter()

        def keep(report: ShardReport) -> None:
            log.info("shard %d: %d rows", report.shard, report.problems.part.rows)
            # Of the records no more than the parts: memory must not grow with the samples.
            problems[report.shard] = report.problems.part
            counts.update(report.problems.counts)
            for teacher, record in report.labels.items():
                labels[teacher][report.shard] = record.part
            on_report(report)

        todo = [shards[k] for k in order]
        if workers.count == 0:
            with lasting_interrupts() as check:
                for shard in todo:
                    keep(label_shard(shard, spec))
                    check()
        else:
            _label_on_ray(spec, todo, workers, keep, on_wait)
        manifest = Manifest(
            format="deepsched-dataset",
            version=VERSION,
            generation=1,
            spec=spec_document(spec),
            samples=spec.samples,
            machines=store_machines(folder, spec),
            problems=_in_order(problems),
            labels={teacher: _in_order(parts) for teacher, parts in labels.items()},
            made_with=versions(_made_with(spec.teachers)),
        )
        return publish(folder, manifest, before, counts)


def _made_with(teachers: Iterable[str]) -> tuple[str, ...]:
    needed = ("ortools",) if CP_SAT in teachers else ()
    return ("deepsched", "numpy", "numba", "pyarrow", *needed)


def _shards(spec: LabelSpec, before: Manifest | None, *, retry_failed: bool) -> list[Shard]:
    shards = plan_shards(spec.source, spec.samples, spec.shard_bytes)
    if before is None:
        return shards
    retry = before.generation + 1 if retry_failed else None
    return [
        replace(
            shard,
            files={teacher: parts[shard.index].file for teacher, parts in before.labels.items()},
            retry=retry,
        )
        for shard in shards
    ]


def _in_order(parts: Mapping[int, Part]) -> tuple[Part, ...]:
    return tuple(parts[shard] for shard in sorted(parts))


def _label_on_ray(
    spec: LabelSpec,
    shards: Sequence[Shard],
    workers: Workers,
    on_report: Callable[[ShardReport], None],
    on_wait: Callable[[str], None],
) -> None:
    # One process fills numba's cache; workers that filled it at once could damage it.
    for teacher in spec.teachers:
        warm_up(teacher)
    with ray_session(address=workers.address, num_cpus=workers.count):
        check_room("a shard", workers.wanted(), workers.address, on_wait)
        # A crash of a worker or a node is retried for ever: a shard made twice is the same shard.
        reports = ray_map(
            label_shard,
            shards,
            spec,
            room=lambda: _window(workers),
            max_retries=-1,
            num_cpus=workers.cpus,
            resources=dict(workers.resources),
        )
        for report in reports:
            on_report(report)


def _window(workers: Workers) -> int:
    """Return how many tasks may be with Ray at once; follows a cluster that grows."""
    if workers.count is not None:
        return workers.count
    import ray

    there = ray.cluster_resources()
    fits = min(int(there.get(name, 0) / n) for name, n in workers.wanted().items())
    return max(LEAST_QUEUED, QUEUED * fits)
