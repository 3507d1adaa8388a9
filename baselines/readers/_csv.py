"""Tables with a header line, as lists of columns with line numbers."""

from __future__ import annotations

import csv
import difflib
import re
from dataclasses import dataclass

from deepsched.baselines.errors import InvalidInput
from deepsched.baselines.readers._values import echo, is_number, text_lines

DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}
COMMENT = "#"
SIMILAR = 0.6  # difflib's ratio above which another column is said to be near
DECIMAL_COMMA = re.compile(r"[+-]?\d*,\d+", re.ASCII)


@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """The wanted columns of a CSV file: `columns[name][k]` stands in line `lines[k]`."""

    columns: dict[str, list[str]]
    lines: list[int]


def header_of(text: str, wanted: tuple[str, ...], delimiter: str | None = None) -> set[str]:
    """Return which of the wanted columns the first line names that is not a comment."""
    line = next((line for line in text_lines(text) if not _skipped(line)), "")
    chosen = delimiter or _delimiter(line, wanted)
    return set(wanted) & {_column_name(cell) for cell in _cells(line, chosen)}


def parse_table(
    text: str, wanted: tuple[str, ...], where: str, delimiter: str | None = None
) -> Table:
    """Return the wanted columns, in whatever order and case the file has them, without others.

    Lines that are blank or begin with # are skipped, blanks around a field and empty fields behind
    the last column are dropped. Fields are separated by what separates most column names in the
    header, if `delimiter` does not say it.

    Raises
    ------
    InvalidInput
        If a column is missing or named twice, or a row has more or fewer fields than the header.
    """
    first = next((line for line in text_lines(text) if not _skipped(line)), "")
    chosen = delimiter or _delimiter(first, wanted)
    rows = _rows(text, chosen, where)
    if not rows:
        raise InvalidInput(f"{where}: there is no header line")
    line, header = rows[0]
    header = [_column_name(cell) for cell in header]
    while header and not header[-1]:
        header.pop()
    for name in wanted:
        if name not in header:
            raise InvalidInput(
                f"{where}: line {line}: the header has no column {name!r}"
                f"{_hint(name, header, wanted)}; needed: {','.join(wanted)}"
                f"{_separators(first, chosen, wanted)}"
            )
        if header.count(name) > 1:
            raise InvalidInput(f"{where}: line {line}: the header names column {name!r} twice")
    places = {name: header.index(name) for name in wanted}
    for line, fields in rows[1:]:
        while len(fields) > len(header) and not fields[-1]:
            fields.pop()
        if len(fields) != len(header):
            raise InvalidInput(
                f"{where}: line {line}: {len(fields)} fields for {len(header)} columns; fields are "
                f"separated by {_said(chosen)}, and numbers need a decimal point"
            )
    return Table(
        columns={name: [fields[k] for _, fields in rows[1:]] for name, k in places.items()},
        lines=[line for line, _ in rows[1:]],
    )


def cell_place(name: str, line: int, field: str, where: str) -> str:
    """Return how a message calls a cell; it says so where the cell has a decimal comma."""
    place = f"{where}: line {line}: {name}"
    if DECIMAL_COMMA.fullmatch(field):
        point = field.replace(",", ".")
        return f"{place} has a decimal comma (write {point}) and"
    return place


def unique_ids(table: Table, column: str, where: str) -> list[str]:
    """Return the names in a column, all different.

    Numbers that are the same, such as 1 and 1.0, are the same name: a spreadsheet or pandas has
    written them.
    """
    first: dict[str, int] = {}
    numbers: dict[float, str] = {}
    for line, name in zip(table.lines, table.columns[column], strict=True):
        place = f"{where}: line {line}"
        if not name:
            raise InvalidInput(f"{place}: {column} is empty")
        if name in first:
            raise InvalidInput(
                f"{place}: {column} {echo(name)} is given twice, first in line {first[name]}"
            )
        if is_number(name):
            other = numbers.setdefault(float(name), name)
            if other != name:
                raise InvalidInput(
                    f"{place}: {column} {echo(name)} is the same number as {echo(other)} in line "
                    f"{first[other]}"
                )
        first[name] = line
    return table.columns[column]


def _skipped(line: str) -> bool:
    found = line.strip().lstrip("\ufeff")
    return not found.strip(" ,;|\t") or found.startswith(COMMENT)


def _rows(text: str, delimiter: str, where: str) -> list[tuple[int, list[str]]]:
    lines = (f"{line}\n" for line in text_lines(text))
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    rows: list[tuple[int, list[str]]] = []
    try:
        for row in reader:
            fields = [field.strip() for field in row]
            if not any(fields):
                continue
            if not fields[0].startswith(COMMENT):
                rows.append((reader.line_num, fields))
            elif rows and len(fields) == len(rows[0][1]):
                raise InvalidInput(
                    f"{where}: line {reader.line_num}: a comment, or a row whose first field "
                    f"begins with {COMMENT}? Remove the line or the {COMMENT}"
                )
    except csv.Error as error:
        raise InvalidInput(f"{where}: line {reader.line_num}: not CSV: {error}") from None
    return rows


def _cells(line: str, delimiter: str) -> list[str]:
    try:
        return next(csv.reader([line], delimiter=delimiter), [])
    except csv.Error:
        return []


def _column_name(cell: str) -> str:
    return cell.strip().strip('"').strip().lower()


def _delimiter(header: str, wanted: tuple[str, ...]) -> str:
    def count(delimiter: str) -> int:
        return len(set(wanted) & {_column_name(cell) for cell in _cells(header, delimiter)})

    # Of those that find as many columns the one that makes most fields; the comma, at last.
    return max(DELIMITERS, key=lambda delimiter: (count(delimiter), len(_cells(header, delimiter))))


def _said(delimiter: str) -> str:
    return f"a {DELIMITERS[delimiter]}" if delimiter in DELIMITERS else echo(delimiter)


def _hint(name: str, header: list[str], wanted: tuple[str, ...]) -> str:
    close = difflib.get_close_matches(name, [c[:60] for c in header if c not in wanted], 1, SIMILAR)
    return f" ({echo(close[0])} is near)" if close else ""


def _separators(header: str, chosen: str, wanted: tuple[str, ...]) -> str:
    if set(wanted) & {_column_name(cell) for cell in _cells(header, chosen)}:
        return ""
    blanks = set(wanted) & {cell.lower() for cell in header.split()}
    if blanks:
        return "; fields seem to be separated by blanks, which no CSV is"
    return f"; fields are taken to be separated by {_said(chosen)}"
