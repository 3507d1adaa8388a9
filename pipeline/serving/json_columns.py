"""Large plain JSON documents of our own format, read as columns: no object a task or an edge.

Arrow's parser reads them. It takes some texts that are no JSON, and loses some differences that
matter: a document where it might is not plain, and is left to the parser of all others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from pyarrow import compute, json

from deepsched.baselines.readers.columns import TASK_RULES, EdgeColumns, TaskColumns
from deepsched.baselines.readers.explicit import TITLE, task_place

if TYPE_CHECKING:
    from deepsched.baselines.arrays import FloatArray

LEAST = 5_000  # objects and lists; documents of fewer are parsed as fast otherwise
MOST = 2**31 - 2  # bytes, as Arrow counts them
# Escapes, which can spell what no name may hold; what Arrow takes for the end of the text; and what
# it does not tell from an absent key.
UNUSUAL = (b"\\", b"\0", b"null")
_NUMBER, _NAME = pa.float64(), pa.string()
_MACHINE_NUMBERS, _LINKS = ("cores", "frequency", "memory"), ("bandwidth", "latency")


def _objects(names: tuple[str, ...], numbers: tuple[str, ...]) -> pa.DataType:
    """Return the type of a list of objects with these keys."""
    fields = [(key, _NAME) for key in names] + [(key, _NUMBER) for key in numbers]
    return pa.list_(pa.struct(fields))


# What else a document may hold makes it another one's: times, slots, rows of links.
SCHEMA = pa.schema(
    {
        "format": _NAME,
        "tasks": _objects(("id",), tuple(TASK_RULES)),
        "machines": _objects(("id", "node"), _MACHINE_NUMBERS),
        "edges": _objects(("from", "to"), ("bytes",)),
        **dict.fromkeys(_LINKS, _NUMBER),
    }
)


class _NotPlainError(Exception):
    """Others read the document, or say what is wrong with it."""


def read_columns(data: bytes, where: str) -> dict[str, Any] | None:
    """Return a document whose tasks and edges are columns; None where it is not plain.

    No object of it may have a key twice.
    """
    try:
        row = _row(data)
        tasks, edges, machines = (row[key].flatten() for key in ("tasks", "edges", "machines"))
        read = {"tasks": _tasks(tasks, where), "edges": _edges(edges, tasks.field("id"))}
        return _rest(row, machines) | read
    except MemoryError:  # which is one of Arrow's errors, too
        raise
    except (pa.ArrowException, _NotPlainError):
        return None


def _row(data: bytes) -> pa.RecordBatch:
    """Return the document as one row."""
    # Arrow checks no UTF-8, and skips a byte order mark.
    _plain(len(data) <= MOST and data.isascii() and not any(part in data for part in UNUSUAL))
    table = json.read_json(
        pa.BufferReader(data),
        json.ReadOptions(use_threads=False, block_size=len(data) + 1),
        json.ParseOptions(explicit_schema=SCHEMA, unexpected_field_behavior="error"),
    )
    _plain(len(table) == 1)  # it reads document after document
    [row] = table.to_batches()
    _plain(row["format"][0].as_py() == TITLE and row["edges"].null_count == 0)
    return row


def _tasks(tasks: pa.StructArray, where: str) -> TaskColumns:
    _plain(len(tasks) > 0 and tasks.field("work").null_count == 0)
    ids = tasks.field("id").to_pylist()
    different = set(ids)
    _plain(len(different) == len(ids) and different.isdisjoint((None, "")))
    found = TaskColumns(
        ids=ids,
        etc=[],
        timed=np.zeros(len(ids), dtype=bool),
        **{key: _numbers(tasks.field(key)) for key in TASK_RULES},
        place=task_place(where),
    )
    _plain(found.legal())
    return found


def _edges(edges: pa.StructArray, ids: pa.StringArray) -> EdgeColumns:
    _plain(edges.field("bytes").null_count == 0)
    ends = compute.index_in(
        pa.chunked_array([edges.field("from"), edges.field("to")]), value_set=ids
    )
    _plain(ends.null_count == 0)
    parents, children = ends.to_numpy().astype(np.int64).reshape(2, -1)
    found = EdgeColumns(parents=parents, children=children, size=_numbers(edges.field("bytes")))
    _plain(found.legal())
    return found


def _rest(row: pa.RecordBatch, machines: pa.StructArray) -> dict[str, Any]:
    """Return the keys beside tasks and edges, as any parser would."""
    for column in (*map(machines.field, _MACHINE_NUMBERS), *map(row.column, _LINKS)):
        _numbers(column)
    [document] = row.select(["format", "machines", *_LINKS]).to_pylist()
    found = _given(document)
    if "machines" in found:
        found["machines"] = [_given(machine) for machine in found["machines"]]
    return found


def _given(values: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value is not None}


def _numbers(column: pa.DoubleArray) -> FloatArray:
    """Return the numbers, 0 where there is none."""
    values: FloatArray = column.fill_null(0.0).to_numpy()
    # Arrow reads NaN and Infinity; and -0 as a float, where it is a whole number, which has no -0.
    _plain(np.isfinite(values).all() and not np.signbit(values[values == 0]).any())
    return values


def _plain(holds: bool | np.bool_) -> None:
    if not holds:
        raise _NotPlainError
