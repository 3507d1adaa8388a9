"""The folder of a dataset before a run and after it: what may lie there, and the manifest.

A spec that is written first says what is being made, so that a run can be continued; the manifest,
which is written last, makes a dataset of it.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from deepsched.baselines.atomic import is_temporary
from deepsched.baselines.errors import DeepSchedError, InvalidInput
from deepsched.pipeline.dataset.card import dataset_card
from deepsched.pipeline.dataset.files import LOCK, Folder, sha256
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
    SAMPLE_FOLDER,
    SPEC,
    TOP_FILES,
    VERSION,
    File,
    Manifest,
    read_manifest,
    write_document,
)
from deepsched.pipeline.dataset.samples import write_sample_tables
from deepsched.pipeline.dataset.schema import machines_document

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from deepsched.pipeline.labelling.spec import LabelSpec


def prepare(folder: Folder, spec: LabelSpec, *, force: bool) -> Manifest | None:
    """Refuse a place with other content, clear what a killed run left, note what is being made.

    Returns
    -------
    The manifest of the finished dataset that is there, if one is.

    Raises
    ------
    InvalidInput
        If something else lies there: no dataset, or without `force` another one.
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


def store_machines(folder: Folder, spec: LabelSpec) -> File | None:
    """Write the machines that all samples share, if they do, unless they are there."""
    if spec.source.shared_machines is None:
        return None
    data = machines_document(spec.source.shared_machines)
    if folder.size(MACHINES) is None:
        folder.write(MACHINES, data)
    return File(file=MACHINES, bytes=len(data), sha256=sha256(data))


def publish(
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
    write_sample_tables(folder, manifest)
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


def _is_part(name: str) -> bool:
    return name.split("/")[0] in (
        PROBLEM_FOLDER,
        LABEL_FOLDER,
        RECORD_FOLDER,
        SAMPLE_FOLDER,
        OLD_MANIFESTS,
    )


def _read_spec(folder: Folder) -> Any:
    try:
        return json.loads(folder.read(SPEC).to_pybytes())
    except DeepSchedError:
        raise
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
