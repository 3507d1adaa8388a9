"""One row a sample, in a file for each split: what tools that know no `sample_id` read first.

Parts hold samples of all splits, and whole files are all that a dataset card can select. These are
derived from the parts, so they are in no hash; row k of the parts together is sample k.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from deepsched.pipeline.dataset.manifest import SAMPLE_FOLDER
from deepsched.pipeline.dataset.schema import MEASURES
from deepsched.pipeline.dataset.storage import in_split

if TYPE_CHECKING:
    from collections.abc import Sequence

    from deepsched.pipeline.dataset.files import Folder
    from deepsched.pipeline.dataset.manifest import Manifest, Part

# What others call a split, and what it is called here.
SPLIT_NAMES = {"train": "train", "validation": "val", "test": "test"}
OF_PROBLEMS = ("sample_id", "source", "status", "name", "n_tasks", "n_machines", "n_edges")
OF_LABELS = ("status", *MEASURES)


def sample_file(split: str) -> str:
    """Return the file name of a split, by one of `SPLIT_NAMES`."""
    return f"{SAMPLE_FOLDER}/{split}.parquet"


def present_splits(n_samples: int) -> list[str]:
    """Return which of `SPLIT_NAMES` a dataset of so many samples has."""
    return [
        name
        for name, split in SPLIT_NAMES.items()
        if any(in_split(k, split) for k in range(min(n_samples, 10)))
    ]


def sample_tables(folder: Folder, manifest: Manifest) -> dict[str, pa.Table]:
    """Return the rows of each split that has any, from the small columns of the parts.

    Columns are those of the problem, and for each teacher its `TEACHER_status` and measures.
    """
    table = _columns(folder, manifest.problems, OF_PROBLEMS)
    for teacher, parts in manifest.labels.items():
        labels = _columns(folder, parts, OF_LABELS)
        for name in OF_LABELS:
            table = table.append_column(f"{teacher}_{name}", labels[name])
    ids = table["sample_id"].to_pylist()
    return {
        name: table.filter(pa.array([in_split(k, SPLIT_NAMES[name]) for k in ids]))
        for name in present_splits(manifest.samples)
    }


def write_sample_tables(folder: Folder, manifest: Manifest) -> None:
    """Write the file of each split."""
    for name, table in sample_tables(folder, manifest).items():
        sink = pa.BufferOutputStream()
        pq.write_table(table, sink, compression="zstd", write_page_checksum=True)
        folder.write(sample_file(name), sink.getvalue())


def read_sample_table(folder: Folder, split: str) -> pa.Table:
    """Read the file of a split, one of `SPLIT_NAMES`."""
    return _read(folder, sample_file(split), None)


def _columns(folder: Folder, parts: Sequence[Part], columns: Sequence[str]) -> pa.Table:
    return pa.concat_tables([_read(folder, part.file, columns) for part in parts])


def _read(folder: Folder, name: str, columns: Sequence[str] | None) -> pa.Table:
    with (
        folder.open_input(name) as file,
        pq.ParquetFile(file, page_checksum_verification=True) as parquet,
    ):
        table = parquet.read(columns=None if columns is None else list(columns))
    return table.replace_schema_metadata(None)
