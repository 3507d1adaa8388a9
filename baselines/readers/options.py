"""What a user may add to a file: machines, links and noise for a source that brings none."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from deepsched.baselines.errors import InvalidInput
from deepsched.baselines.machines import (
    DEFAULT_BANDWIDTH,
    DEFAULT_LATENCY,
    DEFAULT_MACHINES,
    Machines,
    draw_machines,
    make_machines,
)
from deepsched.baselines.memory import check_problem_memory
from deepsched.baselines.problem import NO_EDGES, Edges, Problem, make_problem
from deepsched.baselines.readers._values import echo, naming
from deepsched.baselines.readers.packed import plain_name

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from deepsched.baselines.arrays import FloatArray


@dataclass(frozen=True, kw_only=True, slots=True)
class ReadOptions:
    """How to complete a source that gives one runtime or work figure a task.

    Attributes
    ----------
    machines : run on these. Or else:
    trace_machines : run on the nodes that the file says it was recorded on. Or else:
    machine_seed, n_machines : draw this many with that seed, as `draw_machines` does; without a
        number, `DEFAULT_MACHINES` of them. STG takes equal machines of speed 1 instead.
    noise, noise_seed : sigma of the lognormal factor (median 1) of each task on each node, and
        its seed; 0 is no noise.
    bandwidth, latency : bytes/s and s of every link, in place of what the source or the machines
        say.
    format : name of the format, one of `FORMATS`, in place of the one found by content.
    runtime : s, of each task for which the source has no runtime; without it that is an error.
    delimiter : one character between the fields of a CSV file, in place of the one found.

    Raises
    ------
    InvalidInput
        If a value is out of range, or machines are given in both ways.
    """

    machines: Machines | None = None
    trace_machines: bool = False
    machine_seed: int = 0
    n_machines: int | None = None
    noise: float = 0.0
    noise_seed: int = 0
    bandwidth: float | None = None
    latency: float | None = None
    format: str | None = None
    runtime: float | None = None
    delimiter: str | None = None

    def __post_init__(self) -> None:
        if self.machines is not None and self.n_machines is not None:
            raise InvalidInput("give either the machines themselves or their number, not both")
        if self.trace_machines and (self.machines is not None or self.n_machines is not None):
            raise InvalidInput("give either machines or those of the trace, not both")
        if self.n_machines is not None and self.n_machines < 1:
            raise InvalidInput(f"{self.n_machines} machines: there must be at least one")
        for label, seed in (("machine", self.machine_seed), ("noise", self.noise_seed)):
            if seed < 0:
                raise InvalidInput(f"{label} seed {seed}: it must be at least 0")
        if not (math.isfinite(self.noise) and self.noise >= 0):
            raise InvalidInput(f"noise {self.noise:g}: it must be a finite number of at least 0")
        if self.bandwidth is not None and not self.bandwidth > 0:
            raise InvalidInput(f"bandwidth {self.bandwidth:g}: it must be positive")
        if self.latency is not None and not (math.isfinite(self.latency) and self.latency >= 0):
            raise InvalidInput(
                f"latency {self.latency:g}: it must be a finite number of at least 0"
            )
        if self.runtime is not None and not (math.isfinite(self.runtime) and self.runtime >= 0):
            raise InvalidInput(
                f"runtime {self.runtime:g}: it must be a finite number of at least 0"
            )
        if self.delimiter is not None and (len(self.delimiter) != 1 or self.delimiter in '"\r\n'):
            raise InvalidInput(f"delimiter {echo(self.delimiter)}: it must be one character")


def chosen_machines(
    options: ReadOptions, *, tasks: int | None = None, equal: bool = False
) -> Machines:
    """Return the machines for a source that brings none.

    Parameters
    ----------
    tasks : how many the source has; what they need on these machines must be free.
    equal : all of them have speed 1.

    Raises
    ------
    InvalidInput
        If there is too little memory.
    """
    n = (
        options.n_machines or DEFAULT_MACHINES
        if options.machines is None
        else len(options.machines)
    )
    check_problem_memory(tasks, n, noise=bool(options.noise))
    if options.machines is not None:
        return with_links(options.machines, options)
    bandwidth = DEFAULT_BANDWIDTH if options.bandwidth is None else options.bandwidth
    latency = DEFAULT_LATENCY if options.latency is None else options.latency
    if equal:
        return make_machines(n, bandwidth=bandwidth, latency=latency, origin="equal, of speed 1")
    return draw_machines(n, options.machine_seed, bandwidth=bandwidth, latency=latency)


def own_machines(machines: Machines, options: ReadOptions, where: str) -> Machines:
    """Return the machines of a source that brings them, with the links of the options.

    Raises
    ------
    InvalidInput
        If the options ask for other machines.
    """
    if options.machines is not None:
        raise InvalidInput(f"{where}: the file brings its own machines; no others can be given")
    if options.n_machines not in (None, len(machines)):
        raise InvalidInput(
            f"{where}: the file brings its own {len(machines)} machines; "
            f"{options.n_machines} cannot be asked for"
        )
    found = with_links(machines, options)
    return found if found.origin else replace(found, origin="the file's own")


def with_links(machines: Machines, options: ReadOptions) -> Machines:
    """Return the machines with the bandwidth and latency that the options give, if any."""
    if options.bandwidth is None and options.latency is None:
        return machines
    return make_machines(
        len(machines),
        ids=machines.ids,
        cores=machines.cores,
        frequency=machines.frequency,
        memory=machines.memory,
        bandwidth=machines.bandwidth if options.bandwidth is None else options.bandwidth,
        latency=machines.latency if options.latency is None else options.latency,
        nodes=machines.nodes,
        origin=machines.origin,
    )


def refuse_noise(options: ReadOptions, where: str) -> None:
    """Raise where the source gives a time per machine, so that noise has nothing to act on."""
    if options.noise:
        raise InvalidInput(
            f"{where}: the file gives a time per machine; noise is for files that give one figure"
        )


def modelled_problem(
    *,
    work: FloatArray,
    alpha: float,
    machines: Machines,
    options: ReadOptions,
    where: str,
    task_ids: list[str],
    edges: Edges = NO_EDGES,
    arrival: ArrayLike = 0.0,
    priority: ArrayLike = 0.0,
    memory: ArrayLike = 0.0,
    name: str | None = None,
    ratios: FloatArray | None = None,
) -> Problem:
    """Put a problem together whose ETC follows from work, machine speeds and drawn noise.

    Parameters
    ----------
    ratios : (n_tasks, n_machines) seconds on each machine / work, in place of the machines' speeds.
    """
    factors = None
    if options.noise:
        rng = np.random.default_rng(options.noise_seed)
        factors = rng.lognormal(0.0, options.noise, (work.size, machines.n_nodes))
        if machines.n_nodes < len(machines):  # slots of one node are alike, whatever the task
            factors = np.take(factors, machines.node, axis=1)
    etc = None
    if ratios is not None:
        etc = work[:, None] * ratios * (1.0 if factors is None else factors)
    with naming(where):
        return make_problem(
            machines=machines,
            etc=etc,
            work=work if etc is None else None,
            alpha=alpha,
            noise=factors if etc is None else None,
            edges=edges,
            task_ids=task_ids,
            arrival=arrival,
            priority=priority,
            memory=memory,
            name=source_name(where) if name is None else name,
        )


# A backslash may also be how `shown_path` writes a byte of a name that is not UTF-8.
SEPARATOR = re.compile(r"/|\\(?!udc[0-9a-f]{2})")
SUFFIXES = (
    ".json",
    ".stg",
    ".csv",
    ".tsv",
    ".txt",
    ".dot",
    ".gv",
    ".gml",
    ".graphml",
    ".dax",
    ".xml",
    ".yaml",
    ".yml",
    ".tgff",
    ".jsp",
)


def source_name(where: str) -> str:
    """Return the file's name without its folders and known suffixes; other places as they are."""
    name = plain_name(SEPARATOR.split(where)[-1])
    for suffix in SUFFIXES:
        name = name.removesuffix(suffix)
    return name or where
