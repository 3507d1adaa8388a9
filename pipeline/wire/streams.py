"""Arrow IPC streams of strangers: read without trust and without a copy, or refused by one line."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from deepsched.baselines.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

CONTENT_TYPE = "application/vnd.apache.arrow.stream"
END = b"\xff\xff\xff\xff\x00\x00\x00\x00"  # a writer closes a stream with it
LONGEST_NAME = 40  # characters of a stranger's column name that are repeated


def write_stream(rows: Sequence[Mapping[str, Any]], schema: pa.Schema) -> bytes:
    """Return rows as an Arrow IPC stream of one batch; what a row lacks is null."""
    columns = [pa.array([row.get(field.name) for row in rows], type=field.type) for field in schema]
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, schema) as writer:
        writer.write_batch(pa.RecordBatch.from_arrays(columns, schema=schema))
    data: bytes = sink.getvalue().to_pybytes()
    return data


def read_stream(
    data: bytes | memoryview, schema: pa.Schema, where: str, most_rows: int
) -> Iterator[dict[str, pa.Scalar]]:
    """Yield the rows of an Arrow IPC stream, a scalar a column; they share the memory of `data`.

    The stream has the columns of `schema` in any order, lists of 32 or 64 bits; no dictionaries and
    no compression, with which few bytes could ask for much memory.

    Raises
    ------
    InvalidInput
        Naming `where` and the column, if the stream is truncated, damaged, of other columns, or has
        more than `most_rows` rows.
    """
    source = pa.BufferReader(data)
    read = 0
    try:
        messages = pa.ipc.MessageReader.open_stream(source)
        batches = _batches(messages, schema, where)
        for number, batch in enumerate(batches):
            read += batch.num_rows
            if read > most_rows or number >= most_rows:
                rows = "row" if most_rows == 1 else "rows"
                raise InvalidInput(f"{where}: more than {most_rows} {rows} in one request")
            batch.validate(full=True)
            columns = {name: batch.column(name) for name in schema.names}
            for row in range(batch.num_rows):
                yield {name: column[row] for name, column in columns.items()}
        if source.tell() != len(data) or bytes(data[-len(END) :]) != END:
            raise InvalidInput(f"{where}: the Arrow stream does not stop where it ends; truncated?")
    except (pa.ArrowException, OSError, UnicodeDecodeError, struct.error) as error:
        raise InvalidInput(f"{where}: no whole Arrow IPC stream: {_first_line(error)}") from None


def _batches(
    messages: pa.ipc.MessageReader, schema: pa.Schema, where: str
) -> Iterator[pa.RecordBatch]:
    found = None
    while True:
        try:
            message = messages.read_next_message()
        except StopIteration:
            break
        if found is None:
            if message.type != "schema":
                raise InvalidInput(f"{where}: an Arrow IPC stream begins with a schema")
            found = pa.ipc.read_schema(message)
            _check_columns(found, schema, where)
            continue
        if message.type != "record batch":
            raise InvalidInput(f"{where}: {message.type} in the Arrow stream; send plain columns")
        if _is_compressed(message.metadata):
            raise InvalidInput(f"{where}: compressed Arrow buffers; send them plain, gzip the body")
        yield pa.ipc.read_record_batch(message, found)
    if found is None:
        raise InvalidInput(f"{where}: an Arrow IPC stream without a schema")


def _check_columns(found: pa.Schema, schema: pa.Schema, where: str) -> None:
    names = [name[:LONGEST_NAME] for name in found.names]
    for kind, wrong in (
        ("is missing", [name for name in schema.names if name not in names]),
        ("is not known", [name for name in names if name not in schema.names]),
        ("is given twice", [name for k, name in enumerate(names) if name in names[:k]]),
    ):
        if wrong:
            known = f"; the columns are {', '.join(schema.names)}" if kind == "is not known" else ""
            raise InvalidInput(f"{where}: column {wrong[0]!r} {kind}{known}")
    for field in schema:
        given = found.field(field.name).type
        if not _same_type(given, field.type):
            text = str(given)[:LONGEST_NAME]
            raise InvalidInput(f"{where}: column {field.name} has type {text}, not {field.type}")


def _same_type(given: pa.DataType, expected: pa.DataType) -> bool:
    if _is_list(expected):
        return _is_list(given) and bool(given.value_type == expected.value_type)
    return bool(given == expected)


def _is_list(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind))


def _is_compressed(metadata: pa.Buffer) -> bool:
    """Return whether a record batch's message names a compression.

    pyarrow tells it of no message, and allocates what a compressed buffer says it unpacks to. So
    the two tables are walked here: field 2 of a `Message` is its `RecordBatch`, field 3 of that its
    `BodyCompression` (format/Message.fbs of Arrow). pyarrow has verified the flatbuffer.
    """
    view = memoryview(metadata)
    (root,) = struct.unpack_from("<I", view, 0)
    header = _field_at(view, root, 2)
    if header is None:
        return False
    (step,) = struct.unpack_from("<I", view, header)
    return _field_at(view, header + step, 3) is not None


def _field_at(view: memoryview, table: int, field: int) -> int | None:
    """Return where a field of a flatbuffer's table lies; None where it is not set."""
    (back,) = struct.unpack_from("<i", view, table)
    vtable = table - back
    (size,) = struct.unpack_from("<H", view, vtable)
    entry = 4 + 2 * field
    if entry >= size:
        return None
    (offset,) = struct.unpack_from("<H", view, vtable + entry)
    return table + offset if offset else None


def array_of(values: pa.Array) -> NDArray[Any]:
    """Return the numbers of a list without a null, read-only and in the stream's own memory."""
    array: NDArray[Any] = values.to_numpy(zero_copy_only=True)
    # Only a stream made by hand has odd offsets; compiled loops take aligned numbers alone.
    return array if array.flags.aligned else array.copy()


def _first_line(error: BaseException) -> str:
    return str(error).partition("\n")[0][:200] or type(error).__name__
