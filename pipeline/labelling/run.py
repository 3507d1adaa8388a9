"""Run the shards of a dataset, in this process or as Ray tasks, and publish the manifest."""

from __future__ import annotations

import json
from dataclasses import replace
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import ray

from baselines.errors import DeepSchedError, InvalidInput
from pipeline.dataset.files import LOCK, TEMPORARY, Folder, open_folder
from pipeline.dataset.manifest import (
    FORMAT,
    LABEL_FOLDER,
    MANIFEST,
    PROBLEM_FOLDER,
    RECORD_FOLDER,
    SPEC,
    VERSION,
    Manifest,
    read_manifest,
    write_document,
)
from pipeline.labelling.shard import LabelSpec, ShardReport, label_shard, warm_up
from pipeline.ray_session import ray_session

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

QUEUED_PER_CPU = 2  # tasks, so that a worker finds the next one waiting
_MADE_WITH = ("deepsched", "numpy", "numba", "pyarrow")


def label(
    spec: LabelSpec,
    *,
    workers: int | None = None,
    address: str | None = None,
    force: bool = False,
    on_report: Callable[[ShardReport], None] = lambda report: None,
) -> Manifest:
    """Make a dataset, or what is missing of it, and publish its manifest.

    Teachers whose labels are there already stay in the dataset, named in `spec` or not.

    Parameters
    ----------
    workers : shards at a time; 0: one after the other in this process, without Ray; None: as many
        as there are CPUs.
    address : a Ray cluster to join.
    force : begin anew where a dataset made in another way lies.
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
        spec = _prepare(folder, spec, force=force)
        reports: dict[int, ShardReport] = {}

        def keep(report: ShardReport) -> None:
            reports[report.shard] = report
            on_report(report)

        if workers == 0:
            for shard in range(spec.n_shards):
                keep(label_shard(shard, spec))
        else:
            _label_on_ray(spec, workers, address, keep)
        manifest = _manifest(spec, [reports[shard] for shard in range(spec.n_shards)])
        write_document(folder, MANIFEST, manifest)
    return manifest


def spec_document(spec: LabelSpec) -> dict[str, Any]:
    """Return what decides a dataset's problems; another document means another dataset."""
    return {
        "format": FORMAT,
        "version": VERSION,
        "samples": spec.samples,
        "shard_size": spec.shard_size,
        **spec.source.document(),
    }


def _prepare(folder: Folder, spec: LabelSpec, *, force: bool) -> LabelSpec:
    """Refuse a place with other content, clear what a killed run left, note what is being made."""
    names = folder.names()
    found = [name for name in names if name != LOCK and not _is_temporary(name)]
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
        ours = [name for name in found if name in (SPEC, MANIFEST) or _is_part(name)]
        for name in sorted(ours, key=lambda name: (name == SPEC, name != MANIFEST)):
            folder.delete(name)
        names = [name for name in names if name not in ours]
    elif there != document:
        raise InvalidInput(
            f"{folder.uri} was made by another command: {'; '.join(_differences(there, document))}"
            "; give another --out, or --force to replace it"
        )
    for name in names:
        if _is_temporary(name):
            folder.delete(name)
    if SPEC not in names:
        write_document(folder, SPEC, document)
    if MANIFEST not in names:
        return spec
    before = read_manifest(folder).labels
    return replace(spec, teachers=tuple(dict.fromkeys([*before, *spec.teachers])))


def _is_part(name: str) -> bool:
    return name.split("/")[0] in (PROBLEM_FOLDER, LABEL_FOLDER, RECORD_FOLDER)


def _is_temporary(name: str) -> bool:
    last = name.rsplit("/", 1)[-1]
    return last.startswith(".") and last.endswith(TEMPORARY)


def _read_spec(folder: Folder) -> Any:
    try:
        return json.loads(folder.read(SPEC).to_pybytes())
    except ValueError as error:
        raise InvalidInput(f"{folder.where(SPEC)} is not JSON: {error}") from None


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
    workers: int | None,
    address: str | None,
    on_report: Callable[[ShardReport], None],
) -> None:
    # One process fills numba's cache; workers that filled it at once could damage it.
    for teacher in spec.teachers:
        warm_up(teacher)
    with ray_session(address=address, num_cpus=workers):
        # A crash of a worker or a node is retried for ever: a shard made twice is the same shard.
        task = ray.remote(max_retries=-1)(label_shard)
        shared = ray.put(spec)
        todo = iter(range(spec.n_shards))
        running: dict[ray.ObjectRef[ShardReport], int] = {}
        try:
            while True:
                for shard in _take(todo, _window(workers) - len(running)):
                    running[task.remote(shard, shared)] = shard
                if not running:
                    return
                done, _ = ray.wait(list(running), num_returns=1)
                for ref in done:
                    del running[ref]
                    on_report(_result(ref))
        finally:
            for ref in running:
                ray.cancel(ref)


def _window(workers: int | None) -> int:
    """Return how many tasks may be with Ray at once; follows a cluster that grows."""
    if workers is not None:
        return workers
    return max(1, QUEUED_PER_CPU * int(ray.cluster_resources().get("CPU", 1)))


def _take(todo: Iterator[int], n: int) -> Iterator[int]:
    for _ in range(n):
        shard = next(todo, None)
        if shard is None:
            return
        yield shard


def _result(ref: ray.ObjectRef[ShardReport]) -> ShardReport:
    try:
        report: ShardReport = ray.get(ref)
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, DeepSchedError):
            raise error.cause from None
        raise
    return report


def _manifest(spec: LabelSpec, reports: list[ShardReport]) -> Manifest:
    return Manifest(
        format="deepsched-dataset",
        version=1,
        spec=spec_document(spec),
        samples=spec.samples,
        shard_size=spec.shard_size,
        problems=tuple(report.problems.part for report in reports),
        labels={
            teacher: tuple(report.labels[teacher].part for report in reports)
            for teacher in spec.teachers
        },
        made_with={name: version(name) for name in _MADE_WITH},
    )
