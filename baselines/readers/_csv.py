"""Tables with a header line, as lists of columns with line numbers."""

from __future__ import annotations

import csv
from dataclasses import dataclass

from deepsched.baselines.errors import InvalidInput
from deepsched.baselines.readers._values import echo, text_lines


@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """The wanted columns of a CSV file: `columns[name][k]` stands in line `lines[k]`."""

    columns: dict[str, list[str]]
    lines: list[int]


def parse_table(text: str, wanted: tuple[str, ...], where: str) -> Table:
    """Return the wanted columns, in whatever order the file has them; others are ignored.

    Blank lines are skipped, blanks around a field are dropped.

    Raises
    ------
    InvalidInput
        If a column is missing or named twice, or a row has more or fewer fields than the header.
    """
    reader = csv.reader((f"{line}\n" for line in text_lines(text)), strict=True)
    rows: list[tuple[int, list[str]]] = []
    try:
        for row in reader:
            fields = [field.strip() for field in row]
            if any(fields):
                rows.append((reader.line_num, fields))
    except csv.Error as error:
        raise InvalidInput(f"{where}: line {reader.line_num}: not CSV: {error}") from None
    if not rows:
        raise InvalidInput(f"{where}: there is no header line")
    line, header = rows[0]
    for name in wanted:
        if name not in header:
            raise InvalidInput(
                f"{where}: line {line}: the header has no column {name!r}; "
                f"needed: {','.join(wanted)}"
            )
        if header.count(name) > 1:
            raise InvalidInput(f"{where}: line {line}: the header names column {name!r} twice")
    for line, fields in rows[1:]:
        if len(fields) != len(header):
            raise InvalidInput(
                f"{where}: line {line}: {len(fields)} fields for {len(header)} columns"
            )
    places = {name: header.index(name) for name in wanted}
    return Table(
        columns={name: [fields[k] for _, fields in rows[1:]] for name, k in places.items()},
        lines=[line for line, _ in rows[1:]],
    )


def unique_ids(table: Table, column: str, where: str) -> list[str]:
    """Return the names in a column, all different."""
    first: dict[str, int] = {}
    for line, name in zip(table.lines, table.columns[column], strict=True):
        if not name:
            raise InvalidInput(f"{where}: line {line}: {column} is empty")
        if name in first:
            raise InvalidInput(
                f"{where}: line {line}: {column} {echo(name)} is given twice, "
                f"first in line {first[name]}"
            )
        first[name] = line
    return table.columns[column]
