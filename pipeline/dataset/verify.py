"""Check a dataset's files against its manifest: what is missing, damaged, foreign, or odd.

The parts themselves are checked shard by shard: `verify_shard`.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa

from deepsched.baselines.atomic import is_temporary
from deepsched.baselines.errors import InvalidInput
from deepsched.pipeline.dataset.files import LOCK, open_folder
from deepsched.pipeline.dataset.lease import LEASE
from deepsched.pipeline.dataset.manifest import (
    LABEL_FOLDER,
    MANIFEST,
    OLD_MANIFESTS,
    PROBLEM_FOLDER,
    RECORD_FOLDER,
    SAMPLE_FOLDER,
    SPEC,
    TOP_FILES,
    Manifest,
    parse_document,
    read_manifest,
)
from deepsched.pipeline.dataset.samples import (
    SPLIT_NAMES,
    read_sample_table,
    sample_file,
    sample_tables,
)
from deepsched.pipeline.dataset.storage import Dataset
from deepsched.pipeline.dataset.stores import UnreadableStore

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from deepsched.pipeline.dataset.files import Folder

PART_NAME = re.compile(
    rf"(?:{PROBLEM_FOLDER}|{LABEL_FOLDER}/(?P<teacher>[^/]+))/part-\d{{5,}}(?:-g\d+)?\.parquet"
)


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that is wrong, or only odd.

    Attributes
    ----------
    file : from the top of the dataset.
    text : a line that names the file as the user would, and says what is wrong with it.
    warning : the data are good all the same.
    """

    file: str
    text: str
    warning: bool = False


def verify_top(uri: str) -> tuple[Dataset | None, list[Finding]]:
    """Check what is no part of a shard: the manifests, spec, shared machines and foreign files.

    Files that only an older generation lists are known, but not read.

    Returns
    -------
    The dataset, to check its shards; None where its manifest cannot be used.

    Raises
    ------
    InvalidInput
        If there is no finished dataset.
    UnreadableStore
        If the place cannot be read.
    """
    folder = open_folder(uri)
    there = folder.size(MANIFEST) is not None
    try:
        dataset = Dataset(folder=folder, manifest=read_manifest(folder))
    except InvalidInput as error:
        if not there:
            raise
        return None, [Finding(file=MANIFEST, text=str(error))]
    findings = [*_spec_findings(dataset), *_machine_findings(dataset)]
    names = folder.names()
    known, old = _known_files(dataset, names)
    findings += old
    findings += [_foreign(dataset, name) for name in names if not _belongs(name, known)]
    return dataset, findings


def _machine_findings(dataset: Dataset) -> Iterator[Finding]:
    try:
        machines = dataset.machines
    except InvalidInput as error:
        assert dataset.manifest.machines is not None
        yield Finding(file=dataset.manifest.machines.file, text=str(error))
    else:
        assert (machines is None) == (dataset.manifest.machines is None)


def _spec_findings(dataset: Dataset) -> Iterator[Finding]:
    where = dataset.folder.where(SPEC)
    try:
        spec = json.loads(dataset.folder.read(SPEC).to_pybytes())
    except FileNotFoundError:
        text = f"{where} is missing; the dataset cannot be added to"
    except UnreadableStore as error:
        text = str(error)
    except ValueError as error:
        text = f"{where} is not JSON: {error}"
    else:
        if spec == dataset.manifest.spec:
            return
        text = f"{where} is not what the manifest says the dataset was made from"
    yield Finding(file=SPEC, text=text, warning=True)


def sample_findings(dataset: Dataset) -> Iterator[Finding]:
    """Compare the tables of the splits with the parts, whose own faults have no place here.

    A dataset of an earlier version may have none of them.
    """
    names = set(dataset.folder.names(SAMPLE_FOLDER))
    there = {split: sample_file(split) for split in SPLIT_NAMES}
    if names.isdisjoint(there.values()):
        return
    expected = sample_tables(dataset.folder, dataset.manifest)
    for split, name in there.items():
        where = dataset.folder.where(name)
        if name not in names:
            if split in expected:
                yield Finding(file=name, text=f"{where} is missing", warning=True)
            continue
        try:
            table = read_sample_table(dataset.folder, split)
        except (pa.ArrowException, OSError) as error:
            yield Finding(file=name, text=f"{where} cannot be read: {error}", warning=True)
            continue
        if split not in expected or not table.equals(expected[split]):
            text = f"{where} is not what the parts of the dataset hold"
            yield Finding(file=name, text=text, warning=True)


def _known_files(dataset: Dataset, names: Iterable[str]) -> tuple[set[str], list[Finding]]:
    """Return the files that belong to the dataset, and what is wrong with older manifests."""
    known = {LOCK, LEASE, *TOP_FILES, *map(sample_file, SPLIT_NAMES)}
    known |= {*(part.file for part in dataset.manifest.parts())}
    findings = []
    for name in names:
        if name.startswith(f"{OLD_MANIFESTS}/") and name.endswith(".json"):
            known.add(name)
            try:
                old = _old_manifest(dataset.folder, name)
            except (UnreadableStore, InvalidInput) as error:
                findings.append(Finding(file=name, text=str(error)))
            else:
                known |= {part.file for part in old.parts()}
    return known, findings


def _old_manifest(folder: Folder, name: str) -> Manifest:
    return parse_document(folder.read(name), Manifest, folder.where(name))


def _belongs(name: str, known: set[str]) -> bool:
    return name in known or is_temporary(name) or name.startswith(f"{RECORD_FOLDER}/")


def _foreign(dataset: Dataset, name: str) -> Finding:
    """Name a file that nothing lists; parts of a run that has not finished do no harm."""
    where = dataset.folder.where(name)
    if PART_NAME.fullmatch(name):
        text = f"{where} is in no manifest: made by a run that was not finished"
        return Finding(file=name, text=text, warning=True)
    return Finding(file=name, text=f"{where} is no file of this dataset")
