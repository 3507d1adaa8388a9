"""Machine files: the paper's machines.csv, or JSON with a list of machines and maybe their links.

CSV columns `machine_id,num_cores,core_freq,mem_cap`: cores, MHz, MB, and maybe `slots`. JSON
`{"machines": [{"id", "cores", "frequency", "memory", "slots"}], "bandwidth", "latency"}` as in the
explicit problem format; memory, slots, bandwidth and latency are optional. Or a network of SAGA,
see `saga`. A machine with slots is a node that runs so many tasks at once, each in a slot of its
own.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from deepsched.baselines.errors import InvalidInput
from deepsched.baselines.machines import DEFAULT_BANDWIDTH, DEFAULT_LATENCY, Machines
from deepsched.baselines.readers._csv import cell_place, header_of, parse_table, unique_ids
from deepsched.baselines.readers._slots import expanded, slot_count
from deepsched.baselines.readers._tasks import check_keys, parse_machines
from deepsched.baselines.readers._values import Rule, an_object, decimal
from deepsched.baselines.readers.files import decode, parse_json, read_bytes, shown_path
from deepsched.baselines.readers.packed import plain_name
from deepsched.baselines.readers.saga import network_machines

if TYPE_CHECKING:
    from os import PathLike

COLUMNS = ("machine_id", "num_cores", "core_freq", "mem_cap")
SLOTS = "slots"  # the column that may be there or not
RULES = {"num_cores": Rule.POSITIVE, "core_freq": Rule.POSITIVE, "mem_cap": Rule.COST}


def read_machines(path: str | PathLike[str]) -> Machines:
    """Return the machines of a file, CSV or JSON, plain or packed.

    Raises
    ------
    InvalidInput, InvalidProblem
        Naming the file and the line or the JSON path.
    """
    machines = _read_machines(path)
    return replace(machines, origin=f"from {shown_path(path)}")


def _read_machines(path: str | PathLike[str]) -> Machines:
    where = shown_path(path)
    text = decode(read_bytes(path), where)
    if plain_name(where).endswith(".json") or text.lstrip().startswith(("{", "[")):
        document = an_object(parse_json(text, where), f"{where}: the document")
        if "machines" not in document and "nodes" in document and "edges" in document:
            return network_machines(document, where, parent="")
        check_keys([document], ("machines", "bandwidth", "latency"), lambda _: where)
        return parse_machines(document, where, speeds_needed="the machine model needs it")
    has_slots = SLOTS in header_of(text, (*COLUMNS, SLOTS))
    table = parse_table(text, (*COLUMNS, SLOTS) if has_slots else COLUMNS, where)
    if not table.lines:
        raise InvalidInput(f"{where}: there is no machine below the header")
    cores, frequency, memory = (
        [
            decimal(field, rule, cell_place(name, line, field, where))
            for line, field in zip(table.lines, table.columns[name], strict=True)
        ]
        for name, rule in RULES.items()
    )
    slots = [1] * len(table.lines)
    if has_slots:
        places = [
            cell_place(SLOTS, line, field, where)
            for line, field in zip(table.lines, table.columns[SLOTS], strict=True)
        ]
        slots = [
            slot_count(decimal(field, Rule.POSITIVE, place), place)
            for field, place in zip(table.columns[SLOTS], places, strict=True)
        ]
    return expanded(
        unique_ids(table, "machine_id", where),
        slots,
        where,
        cores=np.array(cores),
        frequency=np.array(frequency),
        memory=np.array(memory),
        bandwidth=DEFAULT_BANDWIDTH,
        latency=DEFAULT_LATENCY,
    )
