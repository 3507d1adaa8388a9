"""Machines that are sent once, and named by their hash afterwards."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from deepsched.baselines.errors import InvalidInput, InvalidProblem
from deepsched.baselines.readers.files import as_text, parse_json
from deepsched.pipeline.dataset.schema import machines_document, machines_from_document

if TYPE_CHECKING:
    from collections.abc import Callable

    from deepsched.baselines.machines import Machines

NUMBERS = ("machine_cores", "machine_frequency", "machine_memory", "bandwidth", "latency")
NAMES = ("machine_id", "machine_node")  # null where they are the defaults


def machines_bytes(machines: Machines) -> bytes:
    """Return the document of machines, which `PUT /v1/machines` takes; equal ones, equal bytes.

    Raises
    ------
    InvalidInput
        If a name holds half of a surrogate pair: there is no telling whether it would be read back.
    """
    try:
        "".join((*machines.ids, *machines.nodes)).encode()
    except UnicodeEncodeError:
        raise InvalidInput(
            "a name of a machine holds half of a surrogate pair, which UTF-8 cannot hold"
        ) from None
    return machines_document(machines)


def machines_hash(data: bytes) -> str:
    """Return the name of a machines document: its SHA-256, in hex."""
    return hashlib.sha256(data).hexdigest()


def same_machines(one: Machines, other: Machines) -> bool:
    """Return whether two are the same machines, name by name and bit by bit."""
    if one is other:
        return True
    if (one.ids, one.nodes) != (other.ids, other.nodes):
        return False
    columns = ("cores", "frequency", "memory", "bandwidth", "latency")
    return all(getattr(one, name).tobytes() == getattr(other, name).tobytes() for name in columns)


def machines_from_bytes(data: bytes, where: str, *, check: Callable[[int], None]) -> Machines:
    """Rebuild the machines of a document.

    Parameters
    ----------
    where : names the document in messages.
    check : raises for a number of machines that is too many, before anything is built.

    Raises
    ------
    InvalidInput
        Naming the key, if the document holds no legal machines.
    """
    document = parse_json(as_text(data, where), where)
    if not isinstance(document, dict) or "n_machines" not in document:
        raise InvalidInput(f"{where}: a machines document is an object with n_machines")
    n = document["n_machines"]
    if type(n) is not int or n < 1:
        raise InvalidInput(f"{where}: n_machines must be a whole number of at least 1")
    check(n)
    for name in (*NUMBERS, *NAMES):
        _check_list(document, name, n, where)
    try:
        return machines_from_document(data)
    except InvalidProblem as error:
        raise InvalidInput(f"{where}: {error}") from None
    except (ValueError, OverflowError):  # a whole number beyond the floats
        raise InvalidInput(f"{where}: a number is out of range") from None


def _check_list(document: dict[str, Any], name: str, n: int, where: str) -> None:
    if name not in document:
        raise InvalidInput(f"{where}: {name} is missing")
    values = document[name]
    is_name = name in NAMES
    if is_name and values is None:
        return
    said = "names" if is_name else "numbers (null: no limit)"
    kinds: tuple[type, ...] = (str,) if is_name else (int, float, type(None))
    lengths = (1, n * n) if name in ("bandwidth", "latency") else (n,)
    if not isinstance(values, list) or len(values) not in lengths:
        expected = " or ".join(str(length) for length in dict.fromkeys(lengths))
        raise InvalidInput(f"{where}: {name} must be a list of {expected} {said}")
    # bool is a whole number to Python, and to nobody who writes JSON.
    if not all(isinstance(value, kinds) and not isinstance(value, bool) for value in values):
        raise InvalidInput(f"{where}: {name} must hold {said} only")
