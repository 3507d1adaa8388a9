"""One part of a dataset as it grows: its rows, and the record of what they are."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

from deepsched.pipeline.dataset.card import count_row
from deepsched.pipeline.dataset.files import sha256
from deepsched.pipeline.dataset.manifest import Failure, Part, Record, record_of, write_document
from deepsched.pipeline.dataset.schema import OK, Row, RowWriter

if TYPE_CHECKING:
    import pyarrow as pa

    from deepsched.pipeline.dataset.files import Folder

MAX_ERROR = 500  # characters of an error that are kept


class PartMaker:
    """Collects the rows of a part and what its record says about them."""

    def __init__(self, schema: pa.Schema) -> None:
        self._writer = RowWriter(schema)
        self._status: Counter[str] = Counter()
        self._tasks = 0
        self._counts: Counter[str] = Counter()
        self._seconds: list[float | None] = []
        self._failures: list[Failure] = []

    def add(self, row: Row, n_tasks: int, seconds: float | None) -> None:
        """Append a row of a sample with that many tasks."""
        self._writer.add(row)
        self._status[row["status"]] += 1
        self._seconds.append(seconds)
        if row["status"] == OK:
            self._tasks += n_tasks
            if "n_tasks" in row:
                count_row(self._counts, row)
        else:
            failure = {name: row[name] for name in ("sample_id", "status", "error")}
            self._failures.append(Failure(**failure))

    def gained(self, before: Record) -> bool:
        """Return whether more rows hold what they should than before."""
        return self._status[OK] > before.part.status.get(OK, 0)

    def publish(self, folder: Folder, name: str, problems: str | None) -> Record:
        """Write the part, then the record that says it is there."""
        data = self._writer.finish()
        record = Record(
            part=Part(
                file=name,
                rows=self._status.total(),
                bytes=data.size,
                sha256=sha256(data),
                status=dict(sorted(self._status.items())),
            ),
            problems=problems,
            tasks=self._tasks,
            counts=dict(sorted(self._counts.items())),
            seconds=() if problems is None else tuple(self._seconds),
            failures=tuple(self._failures),
        )
        folder.write(name, data)
        write_document(folder, record_of(name), record)
        return record


def reason(error: Exception) -> str:
    """Return an error as one line that is the same in every run."""
    kind = type(error).__name__
    return line(f"{kind}: {error}" if str(error) else kind)


def line(text: str) -> str:
    """Return a text as one line that is the same in every run."""
    # Addresses differ from run to run, and the line is part of a file with a hash.
    steady = re.sub(r"\b0x[0-9a-f]{6,}\b", "0x...", " ".join(text.split()))
    return steady.encode(errors="backslashreplace").decode()[:MAX_ERROR]
