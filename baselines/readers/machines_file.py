"""Machine files: the paper's machines.csv, or JSON with a list of machines and maybe their links.

CSV columns `machine_id,num_cores,core_freq,mem_cap`: cores, MHz, MB. JSON
`{"machines": [{"id", "cores", "frequency", "memory"}], "bandwidth", "latency"}` as in the explicit
problem format; memory, bandwidth and latency are optional. Or a network of SAGA, see `saga`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from deepsched.baselines.errors import InvalidInput
from deepsched.baselines.machines import Machines, make_machines
from deepsched.baselines.readers._csv import cell_place, parse_table, unique_ids
from deepsched.baselines.readers._tasks import check_keys, parse_machines
from deepsched.baselines.readers._values import Rule, an_object, decimal, naming
from deepsched.baselines.readers.files import decode, parse_json, read_bytes, shown_path
from deepsched.baselines.readers.packed import plain_name
from deepsched.baselines.readers.saga import network_machines

if TYPE_CHECKING:
    from os import PathLike

COLUMNS = ("machine_id", "num_cores", "core_freq", "mem_cap")
RULES = {"num_cores": Rule.POSITIVE, "core_freq": Rule.POSITIVE, "mem_cap": Rule.COST}


def read_machines(path: str | PathLike[str]) -> Machines:
    """Return the machines of a file, CSV or JSON, plain or packed.

    Raises
    ------
    InvalidInput, InvalidProblem
        Naming the file and the line or the JSON path.
    """
    where = shown_path(path)
    text = decode(read_bytes(path), where)
    if plain_name(where).endswith(".json") or text.lstrip().startswith(("{", "[")):
        document = an_object(parse_json(text, where), f"{where}: the document")
        if "machines" not in document and "nodes" in document and "edges" in document:
            return network_machines(document, where, parent="")
        check_keys([document], ("machines", "bandwidth", "latency"), lambda _: where)
        return parse_machines(document, where, speeds_needed="the machine model needs it")
    table = parse_table(text, COLUMNS, where)
    if not table.lines:
        raise InvalidInput(f"{where}: there is no machine below the header")
    cores, frequency, memory = (
        [
            decimal(field, rule, cell_place(name, line, field, where))
            for line, field in zip(table.lines, table.columns[name], strict=True)
        ]
        for name, rule in RULES.items()
    )
    with naming(where):
        return make_machines(
            len(table.lines),
            ids=unique_ids(table, "machine_id", where),
            cores=cores,
            frequency=frequency,
            memory=memory,
        )
