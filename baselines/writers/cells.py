"""More tasks than a picture has room for, as the cells of a grid."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from deepsched.baselines.arrays import FloatArray, IntArray
    from deepsched.baselines.schedule import Schedule

# How much of a cell must be busy to be drawn at all, and then in a stronger shade. The least is
# beyond what rounding leaves in an idle cell.
SHADES = (0.02, 0.35, 0.7)


class Runs(NamedTuple):
    """Neighbouring cells of a row that look the same, by row and then column.

    Attributes
    ----------
    columns : how many the grid has.
    row, first, length : (n_runs,) row, first column, number of columns.
    kind, shade : (n_runs,) the kind of task that is busiest there (ties: the lower), and how busy
        the cells are, 1 to `len(SHADES)`.
    """

    columns: int
    row: IntArray
    first: IntArray
    length: IntArray
    kind: IntArray
    shade: IntArray


def busy_runs(
    schedules: Sequence[Schedule],
    kind: NDArray[np.uint8],
    row_of: IntArray,
    span: float,
    columns: int,
    most: int,
    origin: float = 0.0,
) -> list[Runs]:
    """Return when which rows of machines are busy, with what, in grids of one size.

    Parameters
    ----------
    schedules : of one problem.
    kind : (n_tasks,) of each task.
    row_of : (n_machines,) row of each machine; several may share one.
    span : s, from the first column's left to the last one's right end.
    columns : of each grid at first; halved until `most` runs are enough for all, or one is left.
    origin : s, the time at the first column's left end.
    """
    while True:
        found = [_runs(_busy(own, kind, row_of, span, columns, origin)) for own in schedules]
        if sum(runs.row.size for runs in found) <= most or columns == 1:
            return found
        columns //= 2


def _busy(
    schedule: Schedule,
    kind: NDArray[np.uint8],
    row_of: IntArray,
    span: float,
    columns: int,
    origin: float,
) -> FloatArray:
    """Return (n_rows, n_kinds, columns) shares of a cell that tasks of a kind take, 0 to 1."""
    rows, kinds = int(row_of.max()) + 1, int(kind.max()) + 1
    line = (row_of[schedule.proc] * kinds + kind) * (columns + 2)
    change = np.zeros(rows * kinds * (columns + 2))
    for times, sign in ((schedule.ast, 1.0), (schedule.aft, -1.0)):
        at = np.clip((times - origin) / span, 0.0, 1.0) * columns
        before = np.floor(at)
        part = at - before
        place = line + before.astype(np.int64)
        # Busy from here on: in this column for what is left of it, wholly from the next one.
        change += np.bincount(place, sign * (1 - part), change.size)
        change += np.bincount(place + 1, sign * part, change.size)
    busy = np.cumsum(change.reshape(rows, kinds, columns + 2), axis=2)[:, :, :columns]
    shares: FloatArray = busy / np.bincount(row_of)[:, None, None]
    return shares


def _runs(busy: FloatArray) -> Runs:
    rows, _, columns = busy.shape
    shade = np.digitize(busy.sum(axis=1), SHADES)
    look = np.where(shade > 0, busy.argmax(axis=1) * (len(SHADES) + 1) + shade, 0)
    edge = np.ones((rows, columns + 1), dtype=bool)
    edge[:, 1:-1] = look[:, 1:] != look[:, :-1]
    row, first = np.nonzero(edge[:, :-1])
    last = np.nonzero(edge[:, 1:])[1]
    found = look[row, first]
    drawn = found > 0
    kind, level = np.divmod(found[drawn], len(SHADES) + 1)
    return Runs(columns, row[drawn], first[drawn], (last - first + 1)[drawn], kind, level)
