"""Large plain JSON documents of our own format, read as columns: no object a task or an edge.

A document is plain, or `parse_body` reads it or says what is wrong. What is read here is JSON, and
means the same: the lists of tasks and edges are read more strictly than JSON, and what is around
them goes through the same parser as any other document.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import orjson

from deepsched.baselines.readers.columns import EdgeColumns, TaskColumns
from deepsched.baselines.readers.explicit import TITLE, task_place
from deepsched.pipeline.serving import _column_kernels as kernels
from deepsched.pipeline.serving._json_kernels import WITHIN
from deepsched.pipeline.serving.json_bodies import SEED, count_json

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from deepsched.baselines.arrays import BoolArray, FloatArray, IntArray
    from deepsched.pipeline.serving.settings import ServeArgs

LEAST, MOST = 8_000, 2**31 - 1  # bytes; smaller documents are parsed as fast
SHORTEST_TASK, SHORTEST_EDGE = 20, 32  # bytes, with their commas
# Room for numbers is as the first bytes have commas, and more by a share; few of them are hard.
SAMPLE, SPARE, HARD_SHARE, LEAST_HARD = 65_536, 1.5, 1 / 4, 64
EMPTY_LIST = b"[]"
BITS = {
    "work": kernels.HAS_WORK,
    "arrival": kernels.HAS_ARRIVAL,
    "priority": kernels.HAS_PRIORITY,
    "memory": kernels.HAS_MEMORY,
}


class _Tasks(NamedTuple):
    """The list of tasks, as the kernel reads it."""

    ids: NDArray[np.uint8]
    id_at: IntArray
    hashes: NDArray[np.uint64]
    timed: BoolArray
    numbers: FloatArray
    bits: NDArray[np.int8]
    owners: NDArray[np.int32]
    hard: NDArray[np.int32]
    width: int = 0
    nulls: int = 0

    def columns(self, data: bytes, where: str) -> TaskColumns | None:
        """Return the tasks; None where a number or a name is not legal."""
        _fill(self.numbers, self.hard, data)
        etc = self.numbers[self.bits == kernels.HAS_ETC]
        # An entry that is infinite stands for null, or is too large.
        if not (etc >= 0).all() or np.isinf(etc).sum() > self.nulls:
            return None
        try:
            ids = self.ids[: self.id_at[-1] - 1].tobytes().decode().split("\n")
        except UnicodeDecodeError:
            return None
        given = {key: np.zeros(len(ids)) for key in BITS}
        for key, bit in BITS.items():
            chosen = self.bits == bit
            given[key][self.owners[chosen]] = self.numbers[chosen]
        etc.flags.writeable = False
        rows = etc.reshape(-1, self.width or 1)
        found = TaskColumns(ids=ids, etc=rows, timed=self.timed, place=task_place(where), **given)
        return found if found.legal() else None


class _Edges(NamedTuple):
    """The list of edges, as the kernel reads it: (edges, 2) where the names of both ends begin."""

    name_at: IntArray
    hashes: NDArray[np.uint64]
    size: FloatArray
    hard: NDArray[np.int32]

    def columns(self, data: bytes, tasks: _Tasks) -> EdgeColumns | None:
        """Return the edges; None where a number is not legal, or a name unknown or given twice."""
        _fill(self.size, self.hard, data)
        table = np.full(1 << (2 * len(tasks.timed)).bit_length(), -1, np.int32)
        named = (tasks.ids, tasks.id_at, tasks.hashes, table)
        ends = np.empty(self.name_at.size, np.int64)
        text = np.frombuffer(data, np.uint8)
        if not kernels.enter(*named) or not kernels.look_up(
            text, self.name_at.reshape(-1), self.hashes.reshape(-1), *named, ends
        ):
            return None
        found = EdgeColumns(parents=ends[::2], children=ends[1::2], size=self.size)
        return found if found.legal() else None


def _fill(numbers: FloatArray, hard: NDArray[np.int32], data: bytes) -> None:
    """Put in what the kernels left to Python, NaN by now: numbers whose float is hard to tell."""
    if len(hard):
        numbers[np.isnan(numbers)] = [float(data[begin:end]) for begin, end in hard.tolist()]


def parse_columns(data: bytes, where: str, args: ServeArgs) -> dict[str, Any] | None:
    """Return a document whose tasks and edges are columns; None where it is small or not plain.

    None too where it is above a limit: then it is for others to say above which.
    """
    if not LEAST <= len(data) <= MOST:
        return None
    text = np.frombuffer(data, np.uint8)
    tasks = edges = None
    rest, begin, depth = [], 0, 0
    while begin >= 0:
        place, key, depth = kernels.find(text, begin, depth)
        if key == kernels.NO_KEY:
            break
        rest += [data[begin:place], EMPTY_LIST]
        if key == kernels.TASKS and tasks is None:
            begin, tasks = _read_tasks(data, place, args)
        elif key == kernels.EDGES and edges is None:
            begin, edges = _read_edges(data, place, args)
        else:
            return None
    if begin < 0 or place < 0 or tasks is None or edges is None:
        return None
    document = _parsed(b"".join([*rest, data[begin:]]), tasks, edges, args)
    if document is None:
        return None
    columns = tasks.columns(data, where), edges.columns(data, tasks)
    if columns[0] is None or columns[1] is None:
        return None
    document["tasks"], document["edges"] = columns
    return document


def _parsed(rest: bytes, tasks: _Tasks, edges: _Edges, args: ServeArgs) -> dict[str, Any] | None:
    """Return the document without its tasks and edges, if all of it is within the limits."""
    counts = count_json(rest, args)
    n, timed, m = len(tasks.timed), np.count_nonzero(tasks.timed), len(edges.name_at)
    # As the same kernel counts: each list and object, and each comma.
    objects = counts.objects + n + timed + m
    values = counts.values + 2 * n - 1 + timed + len(tasks.numbers) + max(4 * m - 1, 0)
    if values > args.max_values or objects > args.max_objects:
        return None
    if counts.suspect or counts.verdict != WITHIN:
        return None
    try:
        document = orjson.loads(rest)
    except orjson.JSONDecodeError:
        return None
    return document if isinstance(document, dict) and document.get("format") == TITLE else None


def _read_tasks(data: bytes, begin: int, args: ServeArgs) -> tuple[int, _Tasks]:
    size = len(data) - begin
    most = min(args.max_tasks, size // SHORTEST_TASK + 1)
    commas = data.count(b",", begin, begin + SAMPLE)
    if size > SAMPLE:
        commas = int(commas * SPARE * size / SAMPLE)
    numbers = min(args.max_values, commas)  # a task has as many commas, at least
    room = _Tasks(
        ids=np.empty(size, np.uint8),
        id_at=np.empty(most + 1, np.int64),
        hashes=np.empty(most, np.uint64),
        timed=np.empty(most, np.bool_),
        numbers=np.empty(numbers),
        bits=np.empty(numbers, np.int8),
        owners=np.empty(numbers, np.int32),
        hard=_room_for_hard(numbers),
    )
    text = np.frombuffer(data, np.uint8)
    end, n, width, nulls, n_numbers, n_hard = kernels.tasks(text, begin, SEED, *room[:8])
    found = room._replace(
        id_at=room.id_at[: n + 1],
        hashes=room.hashes[:n],
        timed=room.timed[:n],
        numbers=room.numbers[:n_numbers],
        bits=room.bits[:n_numbers],
        owners=room.owners[:n_numbers],
        hard=room.hard[:n_hard],
        width=width,
        nulls=nulls,
    )
    return end, found


def _read_edges(data: bytes, begin: int, args: ServeArgs) -> tuple[int, _Edges]:
    size = len(data) - begin
    most = min(args.max_edges, size // SHORTEST_EDGE + 1)
    room = _Edges(
        name_at=np.empty((most, 2), np.int64),
        hashes=np.empty((most, 2), np.uint64),
        size=np.empty(most),
        hard=_room_for_hard(most),
    )
    text = np.frombuffer(data, np.uint8)
    end, m, n_hard = kernels.edges(text, begin, SEED, *room)
    return end, _Edges(room.name_at[:m], room.hashes[:m], room.size[:m], room.hard[:n_hard])


def _room_for_hard(numbers: int) -> NDArray[np.int32]:
    return np.empty((int(numbers * HARD_SHARE) + LEAST_HARD, 2), np.int32)
