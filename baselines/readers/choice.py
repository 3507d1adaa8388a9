"""What a user says about machines, as the readers take it."""

from __future__ import annotations

import os

from deepsched.baselines.errors import InvalidInput
from deepsched.baselines.machines import Machines
from deepsched.baselines.readers._values import echo
from deepsched.baselines.readers.machines_file import read_machines
from deepsched.baselines.readers.options import ReadOptions

TRACE = "trace"  # of --machines: the nodes that the file was recorded on


def read_options(
    machines: int | str | os.PathLike[str] | Machines | None = None,
    *,
    machine_seed: int = 0,
    noise: float = 0.0,
    noise_seed: int = 0,
    bandwidth: float | None = None,
    latency: float | None = None,
    format: str | None = None,
    runtime: float | None = None,
    delimiter: str | None = None,
    label: str = "machines",
) -> ReadOptions:
    """Return what the readers need to complete a source; see `ReadOptions`.

    Parameters
    ----------
    machines : how many to draw, the path of a machines file, the machines themselves, or "trace":
        the nodes that a WfFormat file was recorded on. A text that is a number is one even where a
        file of that name exists, and so is "trace"; write ./16 or ./trace for the file.
    label : what the machines are called in messages.

    Raises
    ------
    InvalidInput
        If `machines` is neither a positive whole number nor "trace" nor an existing file, the file
        is bad, or another value is out of range.
    """
    table, count = None, None
    if isinstance(machines, Machines):
        table = machines
    elif machines is not None and machines != TRACE:
        try:
            count = int(machines)  # type: ignore[arg-type]
        except (TypeError, ValueError):
            if not isinstance(machines, str | os.PathLike) or not _exists(machines):
                raise InvalidInput(
                    f"{label} {echo(str(machines))} is neither a number of machines, nor "
                    f"{TRACE!r}, nor an existing file"
                ) from None
            table = read_machines(machines)
        if count is not None and (count < 1 or isinstance(machines, float)):
            raise InvalidInput(f"{label} {machines}: there must be at least one machine")
    return ReadOptions(
        machines=table,
        trace_machines=machines == TRACE if isinstance(machines, str) else False,
        machine_seed=machine_seed,
        n_machines=count,
        noise=noise,
        noise_seed=noise_seed,
        bandwidth=bandwidth,
        latency=latency,
        format=format,
        runtime=runtime,
        delimiter=delimiter,
    )


def _exists(path: str | os.PathLike[str]) -> bool:
    return os.path.exists(path)  # noqa: PTH110 - pathlib's fails where the name is too long
