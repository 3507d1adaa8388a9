"""The files of a checkpoint, read and checked without torch."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from deepsched.baselines.errors import InvalidInput

if TYPE_CHECKING:
    from pathlib import Path

FORMAT = "deepsched-checkpoint/1"
WEIGHTS, CONFIG = "model.safetensors", "config.json"


def read_files(folder: Path) -> tuple[dict[str, Any], bytes]:
    """Return what `config.json` holds, and the weights it was saved with as safetensors.

    Raises
    ------
    InvalidInput
        Naming the file and the reason: missing, not JSON, of another format, or weights that are
        not those of the settings.
    """
    document = _read_document(folder / CONFIG)
    weights = _read(folder / WEIGHTS)
    if hashlib.sha256(weights).hexdigest() != document["weights_sha256"]:
        raise InvalidInput(
            f"{folder / WEIGHTS}: the weights are damaged or not those {CONFIG} was saved with "
            "(SHA-256 differs)"
        )
    return document, weights


def _read_document(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(_read(path))
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise InvalidInput(f"{path}: not JSON: {error}") from None
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        found = document.get("format") if isinstance(document, dict) else type(document).__name__
        raise InvalidInput(f"{path}: format is {found!r}; {FORMAT!r} expected")
    for key, kind in (("network", str), ("config", dict), ("meta", dict), ("weights_sha256", str)):
        if not isinstance(document.get(key), kind):
            raise InvalidInput(f"{path}: {key!r} is missing or not a {kind.__name__}")
    return document


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        inside = path.parent / "checkpoint"
        hint = f"; give {inside}" if (inside / path.name).exists() else ""
        raise InvalidInput(f"{path}: cannot read the checkpoint: {error.strerror}{hint}") from None
