"""How problems and schedules lie in Parquet rows, and back again, bit for bit."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from deepsched.baselines.machines import DEFAULT_BANDWIDTH, DEFAULT_LATENCY, Machines, make_machines
from deepsched.baselines.metrics import METRICS
from deepsched.baselines.problem import Problem, default_task_ids, make_problem
from deepsched.baselines.schedule import Schedule, make_schedule
from deepsched.pipeline.dataset.checksum import UNSEALED, check_seal, sealed

if TYPE_CHECKING:
    from deepsched.baselines.arrays import FloatArray

Row: TypeAlias = Mapping[str, Any]

OK = "ok"  # status of a row that holds what it should
_TIMES = pa.list_(pa.float64())
_MATRIX = pa.large_list(pa.float64())  # row-major; may pass 2^31 values a row group
_INDEX = pa.list_(pa.int32())

# A failed sample keeps its row: everything after `error` is null. Names are null where they are
# the defaults t0, t1, ... and m0, m1, ..., and nodes where each machine is its own. A bandwidth or
# latency of one value holds for every link between nodes.
# Where all samples share their machines, those lie in a file and their columns are null.
PROBLEMS = pa.schema(
    [
        ("sample_id", pa.int64()),
        ("source", pa.string()),
        ("status", pa.string()),
        ("error", pa.string()),
        ("name", pa.string()),
        ("n_tasks", pa.int64()),
        ("n_machines", pa.int64()),
        ("n_edges", pa.int64()),
        ("task_id", pa.list_(pa.string())),
        ("work", _TIMES),
        ("alpha", pa.float64()),
        ("noise", _MATRIX),
        ("etc", _MATRIX),
        ("arrival", _TIMES),
        ("priority", _TIMES),
        ("memory", _TIMES),
        ("edge_parent", _INDEX),
        ("edge_child", _INDEX),
        ("edge_bytes", _TIMES),
        ("machine_id", pa.list_(pa.string())),
        ("machine_cores", _TIMES),
        ("machine_frequency", _TIMES),
        ("machine_memory", _TIMES),
        ("machine_node", pa.list_(pa.string())),
        ("bandwidth", _TIMES),
        ("latency", _TIMES),
    ]
)
MEASURES = ("makespan", "mean_turnaround", "mean_waiting")
LABELS = pa.schema(
    [
        ("sample_id", pa.int64()),
        ("status", pa.string()),
        ("error", pa.string()),
        ("proc", _INDEX),
        ("ast", _TIMES),
        ("aft", _TIMES),
        *((measure, pa.float64()) for measure in MEASURES),
    ]
)
ROW_GROUP_BYTES = 4 << 20  # of arrays before compression; what a reader holds at a time


def problem_row(
    sample_id: int, source: str, problem: Problem, shared: Machines | None = None
) -> Row:
    """Return the row of a problem: its factors where it has any, else its ETC matrix.

    Parameters
    ----------
    shared : machines that are stored once for the dataset; a problem on them leaves them out.

    Raises
    ------
    UnicodeEncodeError
        If a name holds half of a surrogate pair, which JSON can write and UTF-8 cannot.
    """
    machines = problem.machines
    "".join((source, problem.name, *problem.task_ids, *machines.ids, *machines.nodes)).encode()
    parents, children, data = problem.edge_list()
    factored = problem.work is not None
    return {
        "sample_id": sample_id,
        "source": source,
        "status": OK,
        "name": problem.name,
        "n_tasks": problem.n_tasks,
        "n_machines": problem.n_machines,
        "n_edges": problem.n_edges,
        "task_id": None
        if problem.task_ids == default_task_ids(problem.n_tasks)
        else problem.task_ids,
        "work": problem.work,
        "alpha": problem.alpha,
        "noise": None if problem.noise is None else problem.noise.reshape(-1),
        "etc": None if factored else problem.etc.reshape(-1),
        "arrival": problem.arrival,
        "priority": problem.priority,
        "memory": problem.memory,
        "edge_parent": parents,
        "edge_child": children,
        "edge_bytes": data,
        **({} if machines is shared else _machine_columns(machines)),
    }


def _machine_columns(machines: Machines) -> dict[str, Any]:
    return {
        "machine_id": _machine_names(machines),
        "machine_cores": machines.cores,
        "machine_frequency": machines.frequency,
        "machine_memory": machines.memory,
        "machine_node": None if machines.nodes == machines.ids else machines.nodes,
        "bandwidth": _links(machines, machines.bandwidth, DEFAULT_BANDWIDTH),
        "latency": _links(machines, machines.latency, DEFAULT_LATENCY),
    }


def machines_document(machines: Machines) -> bytes:
    """Return machines as JSON, a list for each column of the rows; null stands for inf."""
    columns = _machine_columns(machines)
    names = {name: columns.pop(name) for name in ("machine_id", "machine_node")}
    plain = {name: _finite(values) for name, values in columns.items()}
    text = json.dumps({"n_machines": len(machines), **names, **plain}, indent=1, allow_nan=False)
    return (text + "\n").encode()


def machines_from_document(data: bytes) -> Machines:
    """Rebuild machines from JSON.

    Raises
    ------
    InvalidProblem, ValueError, KeyError
        If the document holds no legal machines.
    """
    plain = json.loads(data)
    columns = {
        name: np.array([np.inf if v is None else v for v in plain[name]], dtype=np.float64)
        for name in (*(f"machine_{column}" for column in COLUMNS), "bandwidth", "latency")
    }
    names = {name: plain[name] for name in ("machine_id", "machine_node")}
    return _machines(plain["n_machines"], {**columns, **names})


COLUMNS = ("cores", "frequency", "memory")


def _finite(values: FloatArray) -> list[float | None]:
    return [None if np.isinf(v) else v for v in values.tolist()]


def _machines(p: int, row: Row) -> Machines:
    return make_machines(
        p,
        ids=row["machine_id"],
        **{column: row[f"machine_{column}"] for column in COLUMNS},
        bandwidth=_matrix(row["bandwidth"], p),
        latency=_matrix(row["latency"], p),
        nodes=row["machine_node"],
    )


def problem_from_row(row: Row, shared: Machines | None = None) -> Problem:
    """Rebuild the problem of a row, checked as any other; its arrays equal the stored ones' bits.

    Parameters
    ----------
    shared : the dataset's machines, for a row that has none of its own.

    Raises
    ------
    InvalidProblem, ValueError
        If the row holds no legal problem.
    """
    n, p = row["n_tasks"], row["n_machines"]
    if row["machine_cores"] is not None:
        machines = _machines(p, row)
    elif shared is None:
        raise ValueError("the row has no machines and the dataset shares none")
    else:
        machines = shared
    noise, etc = row["noise"], row["etc"]
    return make_problem(
        machines=machines,
        etc=None if etc is None else etc.reshape(n, p),
        work=row["work"],
        alpha=row["alpha"],
        noise=None if noise is None else noise.reshape(n, p),
        edges=(row["edge_parent"], row["edge_child"], row["edge_bytes"]),
        task_ids=row["task_id"],
        arrival=row["arrival"],
        priority=row["priority"],
        memory=row["memory"],
        name=row["name"],
    )


def label_row(sample_id: int, problem: Problem, schedule: Schedule) -> Row:
    """Return the row of a valid schedule."""
    return {
        "sample_id": sample_id,
        "status": OK,
        "proc": schedule.proc,
        "ast": schedule.ast,
        "aft": schedule.aft,
        **{measure: METRICS[measure](problem, schedule) for measure in MEASURES},
    }


def schedule_from_row(row: Row, teacher: str) -> Schedule:
    """Rebuild the schedule of a row."""
    return make_schedule(teacher, row["proc"], row["ast"], row["aft"])


def failed_row(sample_id: int, status: str, error: str, source: str | None = None) -> Row:
    """Return the row of a sample that could not be made or scheduled."""
    return {"sample_id": sample_id, "source": source, "status": status, "error": error}


class RowWriter:
    """Writes rows to a Parquet file in memory, a row group at a time.

    The bytes depend on the rows alone (and on the version of pyarrow): not on the time, the machine
    or on how the rows came.
    """

    def __init__(self, schema: pa.Schema) -> None:
        self._schema = schema
        self._sink = pa.BufferOutputStream()
        self._writer = pq.ParquetWriter(
            self._sink,
            schema,
            compression="zstd",
            use_dictionary=False,
            write_statistics=["sample_id", "n_tasks", "n_machines"],
            write_page_checksum=True,
        )
        self._rows: list[Row] = []
        self._bytes = 0

    def add(self, row: Row) -> None:
        """Append a row."""
        self._rows.append(row)
        self._bytes += sum(v.nbytes for v in row.values() if isinstance(v, np.ndarray))
        if self._bytes >= ROW_GROUP_BYTES:
            self._flush()

    def finish(self) -> pa.Buffer:
        """Return the whole file."""
        self._flush()
        self._writer.add_key_value_metadata(UNSEALED)
        self._writer.close()
        return sealed(self._sink.getvalue())

    def _flush(self) -> None:
        if self._rows:
            columns = [
                pa.array([row.get(field.name) for row in self._rows], type=field.type)
                for field in self._schema
            ]
            self._writer.write_batch(pa.RecordBatch.from_arrays(columns, schema=self._schema))
            self._rows, self._bytes = [], 0


def read_rows(
    data: pa.Buffer, schema: pa.Schema, columns: Sequence[str] | None = None
) -> Iterator[Row]:
    """Yield the rows of a Parquet file, one row group in memory at a time.

    Numeric lists come as read-only numpy arrays. The checksum of the file and those of its pages
    are verified.

    Raises
    ------
    pyarrow.ArrowException, OSError, ValueError
        If the file is damaged or has another schema.
    """
    check_seal(data)
    with pq.ParquetFile(pa.BufferReader(data), page_checksum_verification=True) as parquet:
        if not parquet.schema_arrow.equals(schema):
            raise ValueError("its columns are not those of this version")
        for group in range(parquet.num_row_groups):
            table = parquet.read_row_group(group, columns=columns)
            cells = {name: _cells(table.column(name)) for name in table.column_names}
            for k in range(table.num_rows):
                yield {name: values[k] for name, values in cells.items()}


def _cells(column: pa.ChunkedArray) -> Sequence[Any]:
    array = pa.concat_arrays(column.chunks)
    is_list = pa.types.is_list(array.type) or pa.types.is_large_list(array.type)
    if not is_list or pa.types.is_string(array.type.value_type):
        cells: Sequence[Any] = array.to_pylist()
        return cells
    # Slices of the one buffer: to_pylist would make a Python object of every number.
    offsets, values = array.offsets.to_numpy(), array.values.to_numpy(zero_copy_only=True)
    present = array.is_valid().to_pylist()
    return [values[offsets[k] : offsets[k + 1]] if present[k] else None for k in range(len(array))]


def _machine_names(machines: Machines) -> Sequence[str] | None:
    return None if all(name == f"m{k}" for k, name in enumerate(machines.ids)) else machines.ids


def _links(machines: Machines, matrix: FloatArray, default: float) -> FloatArray:
    """Return the links row by row, or one value if all between nodes have the same bits."""
    values = matrix[machines.node[:, None] != machines.node]
    if values.size == 0:
        return np.array([default])
    bits = values.view(np.int64)
    return values[:1] if (bits == bits[0]).all() else matrix.reshape(-1)


def _matrix(values: FloatArray, p: int) -> FloatArray | float:
    return float(values[0]) if values.size == 1 else values.reshape(p, p)
