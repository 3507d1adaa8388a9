"""What has been measured: a small file a cell, so that a run goes on where it was stopped."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from deepsched.baselines.atomic import write_text
from deepsched.baselines.errors import InvalidInput
from deepsched.pipeline.common.provenance import provenance
from deepsched.pipeline.common.strict_json import json_text

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One training, or what all schedulers make of one problem.

    Attributes
    ----------
    name : its own, also that of its file.
    settings : all that decides what comes out, as JSON has it.
    make : measures it; may keep more in the folder it is given, under the cell's name.
    """

    name: str
    settings: Mapping[str, Any]
    make: Callable[[Path], dict[str, Any]]


def result(cell: Cell, folder: Path) -> dict[str, Any]:
    """Return what a cell's file says, measuring it first where there is no file.

    Raises
    ------
    InvalidInput
        If the file cannot be read, or is of other settings.
    """
    found = stored(cell, folder)
    if found is None:
        begin = time.perf_counter()
        found = cell.make(folder)
        document = {
            "cell": cell.name,
            "settings": cell.settings,
            "seconds": round(time.perf_counter() - begin, 2),
            "provenance": provenance(),
            "result": found,
        }
        write_text(path_of(cell, folder), json_text(document) + "\n")
    return found


def stored(cell: Cell, folder: Path) -> dict[str, Any] | None:
    """Return what a cell's file says; None where there is none.

    Raises
    ------
    InvalidInput
        As :func:`result`.
    """
    path = path_of(cell, folder)
    if not path.exists():
        return None
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        settings, found = document["settings"], document["result"]
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise InvalidInput(f"{path}: cannot be read ({error}); remove it") from None
    if settings != json.loads(json.dumps(cell.settings)):
        raise InvalidInput(f"{path}: was measured with other settings; give another --out")
    kept: dict[str, Any] = found
    return kept


def path_of(cell: Cell, folder: Path) -> Path:
    """Return where the cell's file is."""
    return folder / f"{cell.name}.json"
