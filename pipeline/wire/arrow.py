"""Problems and answers as Arrow IPC streams, one row each, bit for bit."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np
import pyarrow as pa

from deepsched.baselines.errors import DeepSchedError, InvalidInput, InvalidProblem
from deepsched.pipeline.dataset.schema import PROBLEMS, problem_from_row, problem_row
from deepsched.pipeline.wire.machines import same_machines
from deepsched.pipeline.wire.models import Timing
from deepsched.pipeline.wire.streams import array_of, read_stream, write_stream

if TYPE_CHECKING:
    from deepsched.baselines.machines import Machines
    from deepsched.baselines.problem import Problem

MOST_ROWS = 256  # problems in one request

# What a dataset says of a sample is nothing that a request has to say.
PROBLEM_COLUMNS = pa.schema(
    [field for field in PROBLEMS if field.name not in ("sample_id", "source", "status", "error")]
)
TIMES = tuple(Timing.model_fields)  # columns of an answer, together its `timing`
ANSWER_COLUMNS = pa.schema(
    [
        ("status", pa.int32()),
        ("error", pa.string()),
        *((name, pa.string()) for name in ("scheduler", "winner", "model", "model_version")),
        *((name, pa.float64()) for name in ("makespan", "mean_turnaround", "mean_waiting")),
        *((name, pa.float64()) for name in ("lower_bound", "heft_makespan", "seconds")),
        *((name, pa.float64()) for name in TIMES),
        ("proc", pa.list_(pa.int32())),
        ("ast", pa.list_(pa.float64())),
        ("aft", pa.list_(pa.float64())),
    ]
)
ARRAYS = ("proc", "ast", "aft")
MAY_BE_NULL = ("model", "model_version", "network", "decode")  # of an answer with a schedule

Check: TypeAlias = Callable[[int, int, int], None]


class Counts(NamedTuple):
    """What a row says of its size, before anything is built."""

    tasks: int
    machines: int
    edges: int


# How long each list of a row may be.
LENGTHS: Mapping[str, Callable[[Counts], tuple[int, ...]]] = {
    **dict.fromkeys(
        ("task_id", "work", "arrival", "priority", "memory"), lambda counts: (counts.tasks,)
    ),
    **dict.fromkeys(("noise", "etc"), lambda counts: (counts.tasks * counts.machines,)),
    **dict.fromkeys(("edge_parent", "edge_child", "edge_bytes"), lambda counts: (counts.edges,)),
    **dict.fromkeys(
        ("machine_id", "machine_cores", "machine_frequency", "machine_memory", "machine_node"),
        lambda counts: (counts.machines,),
    ),
    **dict.fromkeys(("bandwidth", "latency"), lambda counts: (1, counts.machines**2)),
}
OF_MACHINES = tuple(name for name in LENGTHS if name.startswith(("machine_", "bandw", "latency")))
NAMES = ("machine_id", "machine_node")  # null where they are the defaults


def problems_to_stream(problems: Sequence[Problem], *, shared: Machines | None = None) -> bytes:
    """Return problems as an Arrow IPC stream, a row each.

    Parameters
    ----------
    shared : machines that the reader has; a problem on the same leaves them out.

    Raises
    ------
    InvalidInput
        If a name holds half of a surrogate pair, which Arrow cannot hold.
    """
    return write_stream([_row(problem, shared) for problem in problems], PROBLEM_COLUMNS)


def _row(problem: Problem, shared: Machines | None) -> Mapping[str, Any]:
    left_out = shared is not None and same_machines(problem.machines, shared)
    try:
        return problem_row(0, "", problem, problem.machines if left_out else None)
    except UnicodeEncodeError:
        raise InvalidInput(
            "a name of the problem holds half of a surrogate pair, which UTF-8 cannot hold"
        ) from None


def problems_from_stream(
    data: bytes | memoryview,
    shared: Machines | None,
    where: str,
    *,
    check: Check,
    most_rows: int = MOST_ROWS,
) -> list[Problem | DeepSchedError]:
    """Rebuild the problems of a stream; a wrong row is the error in its place.

    The problems' arrays lie in `data` where they can, which lives as long as they do.

    Parameters
    ----------
    shared : machines of the rows whose machine columns are null.
    where : names the stream in messages.
    check : raises for (n_tasks, n_machines, n_edges) that are too many; called before anything is
        built from a row.

    Raises
    ------
    InvalidInput
        If the stream itself is wrong: truncated, damaged, of other columns, without a row, or of
        more than `most_rows` rows.
    """
    found: list[Problem | DeepSchedError] = []
    for number, cells in enumerate(read_stream(data, PROBLEM_COLUMNS, where, most_rows)):
        try:
            found.append(_problem(cells, shared, f"{where}: row {number}", check))
        except DeepSchedError as error:
            found.append(error)
    if not found:
        raise InvalidInput(f"{where}: no row in the Arrow stream; a problem is a row")
    return found


def _problem(
    cells: Mapping[str, pa.Scalar], shared: Machines | None, place: str, check: Check
) -> Problem:
    counts = Counts(*(_count(cells, name, place) for name in ("n_tasks", "n_machines", "n_edges")))
    if not (counts.tasks and counts.machines):
        which = "n_machines" if counts.tasks else "n_tasks"
        raise InvalidInput(f"{place}: {which} is 0; there must be at least one")
    check(*counts)
    row: dict[str, Any] = {name: _list(cells, name, counts, place) for name in LENGTHS}
    row |= {"n_tasks": counts.tasks, "n_machines": counts.machines}
    row["name"] = cells["name"].as_py() or "problem"
    row["alpha"] = _alpha(cells, row, place)
    for name in ("arrival", "priority", "memory"):
        row[name] = 0.0 if row[name] is None else row[name]
    if (row["work"] is None) == (row["etc"] is None):
        which = "neither" if row["etc"] is None else "both"
        raise InvalidInput(f"{place}: give work or etc, not {which}")
    if row["noise"] is not None and row["work"] is None:
        raise InvalidInput(f"{place}: noise is given, but no work; it is a factor of work")
    for name in ("edge_parent", "edge_child", "edge_bytes"):
        if row[name] is None:
            if counts.edges:
                raise InvalidInput(f"{place}: {name} is null; {counts.edges} edges are declared")
            row[name] = ()
    _check_machines(row, shared, place)
    try:
        return problem_from_row(row, shared)
    except InvalidProblem as error:
        raise InvalidInput(f"{place}: {error}") from None


def _count(cells: Mapping[str, pa.Scalar], name: str, place: str) -> int:
    value = cells[name].as_py()
    if value is None or value < 0:
        shown = "null" if value is None else value
        raise InvalidInput(f"{place}: {name} is {shown}; it must be a count")
    return int(value)


def _alpha(cells: Mapping[str, pa.Scalar], row: Mapping[str, Any], place: str) -> float:
    value = cells["alpha"].as_py()
    if value is None and row["work"] is not None:
        raise InvalidInput(f"{place}: alpha is null; with work it must be a number")
    if value is not None and not math.isfinite(value):
        raise InvalidInput(f"{place}: alpha is {value:g}; it must be a finite number")
    return 0.0 if value is None else float(value)


def _list(cells: Mapping[str, pa.Scalar], name: str, counts: Counts, place: str) -> Any:
    """Return a list of a row, of the length its counts demand: texts, an array, or None."""
    values = cells[name].values
    if values is None:
        return None
    allowed = LENGTHS[name](counts)
    if len(values) not in allowed:
        expected = " or ".join(str(length) for length in dict.fromkeys(allowed))
        raise InvalidInput(f"{place}: {name} has {len(values)} values; {expected} expected")
    if values.null_count:
        raise InvalidInput(f"{place}: {name} holds a null; every value must be given")
    return values.to_pylist() if pa.types.is_string(values.type) else array_of(values)


def _check_machines(row: Mapping[str, Any], shared: Machines | None, place: str) -> None:
    numbers = [name for name in OF_MACHINES if name not in NAMES]
    if all(row[name] is None for name in OF_MACHINES):
        if shared is None:
            raise InvalidInput(
                f"{place}: machine_cores and the other machine columns are null, and no machines "
                "are named by machines_sha256"
            )
        if len(shared) != row["n_machines"]:
            raise InvalidInput(
                f"{place}: n_machines is {row['n_machines']}; the shared ones are {len(shared)}"
            )
        return
    missing = [name for name in numbers if row[name] is None]
    if missing:
        raise InvalidInput(f"{place}: {missing[0]} is null beside other machine columns")


def answers_to_stream(answers: Sequence[Mapping[str, Any]]) -> bytes:
    """Return answers as an Arrow IPC stream, a row each.

    Parameters
    ----------
    answers : values by column; `timing` may be a mapping of its own, and `status` is 200 where it
        is not given. A fault has `status` and `error` alone.

    Examples
    --------
    >>> data = answers_to_stream([{"status": 400, "error": "there is no task"}])
    >>> answers_from_stream(data)
    [{'status': 400, 'error': 'there is no task'}]
    """
    rows = [{"status": 200, **answer, **answer.get("timing", {})} for answer in answers]
    return write_stream(rows, ANSWER_COLUMNS)


def answers_from_stream(
    data: bytes | memoryview, where: str = "answer", *, most_rows: int = MOST_ROWS
) -> list[dict[str, Any]]:
    """Read answers back: what :func:`answers_to_stream` was given, with arrays for lists.

    Returns
    -------
    A dict a row: `status`, `error` of a fault; else all columns but `error`, the times as a dict
    `timing`, and proc, ast, aft as read-only arrays of one length.

    Raises
    ------
    InvalidInput
        If the stream is wrong, or a row holds no answer.
    """
    rows = enumerate(read_stream(data, ANSWER_COLUMNS, where, most_rows))
    return [_answer(cells, f"{where}: row {number}") for number, cells in rows]


def _answer(cells: Mapping[str, pa.Scalar], place: str) -> dict[str, Any]:
    row: dict[str, Any] = {name: cell.as_py() for name, cell in cells.items() if name not in ARRAYS}
    if row["status"] is None:
        raise InvalidInput(f"{place}: status is null")
    if row["status"] != 200:
        return {"status": row["status"], "error": row["error"] or "no reason is given"}
    del row["error"]
    for name in ARRAYS:
        values = cells[name].values
        if values is not None and values.null_count == 0:
            row[name] = array_of(values)
    for name in ANSWER_COLUMNS.names[2:]:
        if name not in MAY_BE_NULL and row.get(name) is None:
            raise InvalidInput(f"{place}: {name} is null or holds one")
    if len({row[name].size for name in ARRAYS}) > 1:
        raise InvalidInput(f"{place}: proc, ast and aft differ in length")
    if not np.all(np.isfinite(row["ast"]) & np.isfinite(row["aft"])):
        raise InvalidInput(f"{place}: a time is not finite")
    row["timing"] = {name: row.pop(name) for name in TIMES}
    return row
