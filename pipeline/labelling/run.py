"""Run the shards of a dataset, in this process or as Ray tasks, and publish the manifest."""

from __future__ import annotations

import json
import os
from collections import Counter
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from deepsched.baselines.atomic import is_temporary
from deepsched.baselines.cp_sat import NAME as CP_SAT
from deepsched.baselines.errors import InvalidInput
from deepsched.pipeline.common.cli import messages
from deepsched.pipeline.common.interrupts import lasting_interrupts
from deepsched.pipeline.common.ray_session import ray_session
from deepsched.pipeline.common.ray_tasks import ray_map
from deepsched.pipeline.dataset.card import dataset_card
from deepsched.pipeline.dataset.files import LOCK, Folder, open_folder, sha256
from deepsched.pipeline.dataset.lease import LEASE
from deepsched.pipeline.dataset.manifest import (
    CARD,
    FORMAT,
    LABEL_FOLDER,
    MACHINES,
    MANIFEST,
    OLD_MANIFESTS,
    PROBLEM_FOLDER,
    RECORD_FOLDER,
    SPEC,
    TOP_FILES,
    VERSION,
    File,
    Manifest,
    Part,
    read_manifest,
    write_document,
)
from deepsched.pipeline.dataset.schema import machines_document
from deepsched.pipeline.labelling.shard import (
    LabelSpec,
    Shard,
    ShardReport,
    label_shard,
    plan_shards,
    warm_up,
)
from deepsched.pipeline.labelling.stuck import forget_stuck

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

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

    Raises
    ------
    InvalidInput
        If `spec.out` holds something else.
    UnwritableOutput
        If it cannot be written, or another run writes there.
    """
    folder = open_folder(spec.out)
    with folder.locked():
        before = _prepare(folder, spec, force=force)
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
            _label_on_ray(spec, todo, workers, keep)
        manifest = Manifest(
            format="deepsched-dataset",
            version=2,
            generation=1,
            spec=spec_document(spec),
            samples=spec.samples,
            machines=_shared_machines(folder, spec),
            problems=_in_order(problems),
            labels={teacher: _in_order(parts) for teacher, parts in labels.items()},
            made_with={name: version(name) for name in _made_with(spec.teachers)},
        )
        return _publish(folder, manifest, before, counts)


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


def _shared_machines(folder: Folder, spec: LabelSpec) -> File | None:
    if spec.source.shared_machines is None:
        return None
    data = machines_document(spec.source.shared_machines)
    if folder.size(MACHINES) is None:
        folder.write(MACHINES, data)
    return File(file=MACHINES, bytes=len(data), sha256=sha256(data))


def _in_order(parts: Mapping[int, Part]) -> tuple[Part, ...]:
    return tuple(parts[shard] for shard in sorted(parts))


def _publish(
    folder: Folder, manifest: Manifest, before: Manifest | None, counts: Mapping[str, int]
) -> Manifest:
    """Write the manifest last of all; keep the old one where it lists other files of old labels."""
    if before is not None:
        replaced = any(manifest.labels[name] != parts for name, parts in before.labels.items())
        generation = before.generation + 1 if replaced else before.generation
        manifest = manifest.model_copy(update={"generation": generation})
        if manifest == before:
            return before
        if replaced:
            write_document(folder, f"{OLD_MANIFESTS}/{before.generation}.json", before)
    for name in folder.names():  # what killed workers left
        if is_temporary(name):
            folder.delete(name)
    folder.write(CARD, dataset_card(manifest, counts).encode())
    write_document(folder, MANIFEST, manifest)
    return manifest


def spec_document(spec: LabelSpec) -> dict[str, Any]:
    """Return what decides a dataset's problems; another document means another dataset."""
    return {
        "format": FORMAT,
        "version": VERSION,
        "samples": spec.samples,
        "shard_bytes": spec.shard_bytes,
        **spec.source.document(),
    }


def _prepare(folder: Folder, spec: LabelSpec, *, force: bool) -> Manifest | None:
    """Refuse a place with other content, clear what a killed run left, note what is being made.

    Returns
    -------
    The manifest of the finished dataset that is there, if one is.
    """
    names = folder.names()
    found = [name for name in names if name not in (LOCK, LEASE) and not is_temporary(name)]
    if found and SPEC not in names:
        # Nothing says what those files are, so nothing here may be kept or deleted.
        raise InvalidInput(
            f"{folder.uri} is not empty and holds no dataset: there is {found[0]} but no {SPEC}; "
            "give --out a new or empty folder"
        )
    document = spec_document(spec)
    there = _read_spec(folder) if SPEC in names else document
    if force:
        # The manifest first, the spec last: a half-deleted dataset is never taken for a whole one.
        ours = [name for name in found if name in TOP_FILES or _is_part(name)]
        for name in sorted(ours, key=lambda name: (name == SPEC, name != MANIFEST)):
            folder.delete(name)
        names = [name for name in names if name not in ours]
    elif there != document:
        raise InvalidInput(
            f"{folder.uri} was made by another command: {'; '.join(_differences(there, document))}"
            "; give another --out, or --force to replace it"
        )
    for name in names:
        if is_temporary(name):
            folder.delete(name)
    if SPEC not in names:
        write_document(folder, SPEC, document)
    return read_manifest(folder) if MANIFEST in names else None


def _is_part(name: str) -> bool:
    return name.split("/")[0] in (PROBLEM_FOLDER, LABEL_FOLDER, RECORD_FOLDER, OLD_MANIFESTS)


def _read_spec(folder: Folder) -> Any:
    try:
        return json.loads(folder.read(SPEC).to_pybytes())
    except ValueError as error:
        raise InvalidInput(f"{folder.where(SPEC)} is not JSON: {error}") from None
    except OSError as error:
        raise InvalidInput(f"{folder.where(SPEC)} cannot be read: {error}") from None


def _differences(there: Any, here: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    if not isinstance(there, dict):
        yield f"{prefix or SPEC} is {_short(there)} there, {_short(here)} now"
        return
    for key in sorted({*there, *here}):
        old, new = there.get(key), here.get(key)
        if old != new:
            if isinstance(old, dict) and isinstance(new, dict):
                yield next(_differences(old, new, f"{prefix}{key}."))
            else:
                yield f"{prefix}{key} is {_short(old)} there, {_short(new)} now"


def _short(value: Any) -> str:
    text = "absent" if value is None else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _label_on_ray(
    spec: LabelSpec,
    shards: Sequence[Shard],
    workers: Workers,
    on_report: Callable[[ShardReport], None],
) -> None:
    # One process fills numba's cache; workers that filled it at once could damage it.
    for teacher in spec.teachers:
        warm_up(teacher)
    with ray_session(address=workers.address, num_cpus=workers.count):
        _check_feasible(workers)
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


def _check_feasible(workers: Workers) -> None:
    """Say when no node has room for a shard; Ray would wait for one in silence.

    Raises
    ------
    InvalidInput
        If a cluster was named by nobody, so that none will grow.
    """
    import ray

    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    wanted = workers.wanted()
    if any(all(node.get(name, 0) >= n for name, n in wanted.items()) for node in nodes):
        return
    needs = ", ".join(f"{name} {n:g}" for name, n in wanted.items())
    if not (workers.address or os.environ.get("RAY_ADDRESS")):
        there = ", ".join(f"{name} {nodes[0].get(name, 0):g}" for name in wanted)
        raise InvalidInput(f"a shard needs {needs}; this machine has {there}")
    messages.print(f"no node of the cluster has {needs} yet; waiting for one", markup=False)


def _window(workers: Workers) -> int:
    """Return how many tasks may be with Ray at once; follows a cluster that grows."""
    if workers.count is not None:
        return workers.count
    import ray

    there = ray.cluster_resources()
    fits = min(int(there.get(name, 0) / n) for name, n in workers.wanted().items())
    return max(LEAST_QUEUED, QUEUED * fits)
