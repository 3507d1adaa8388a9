"""Machines, the links between them, and how work turns into seconds on them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from deepsched.baselines.arrays import FloatArray, IntArray, freeze, frozen_float, frozen_int
from deepsched.baselines.errors import InvalidProblem
from deepsched.baselines.kernels import costs as costs_kernels
from deepsched.baselines.kernels.structures import Links
from deepsched.baselines.memory import check_problem_memory

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike

    from deepsched.baselines.arrays import BoolArray

REFERENCE_FREQUENCY = 2000.0  # MHz; a machine of this frequency and one core has speed 1
DEFAULT_BANDWIDTH = 125e6  # bytes/s, one gigabit a second
DEFAULT_LATENCY = 0.0  # s
SPEED_RANGE = (0.5, 2.0)  # drawn machines; log-uniform
DEFAULT_MACHINES = 16  # where a source has no machines and none are asked for
GOCJ_MI_PER_SECOND = 1000.0  # one core at 2000 MHz


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Machines:
    """What the tasks run on. Build it with :func:`make_machines`, which checks it.

    Attributes
    ----------
    ids : names, unique.
    cores, frequency, memory : (n_machines,) count, MHz, MB (inf: no limit).
    bandwidth : (n_machines, n_machines) bytes/s from row to column; inf on the diagonal.
    latency : (n_machines, n_machines) s from row to column; 0 on the diagonal.
    uniform : every pair of machines on different nodes has the same bandwidth and latency.
    zero_latency : every latency is 0.
    nodes : the node of each machine, by name; a machine that is no slot of a node is its own.
    node : (n_machines,) the same by number, nodes counted from 0 as they come.
    origin : where they came from, for summaries; "" where nobody said.
    links : the links as compiled kernels take them.

    Between machines of one node bandwidth is inf and latency 0, as on the diagonal.
    """

    ids: tuple[str, ...]
    cores: FloatArray
    frequency: FloatArray
    memory: FloatArray
    bandwidth: FloatArray
    latency: FloatArray
    uniform: bool
    zero_latency: bool
    nodes: tuple[str, ...]
    node: IntArray
    origin: str = ""
    links: Links = field(init=False, repr=False)
    _mean_transfer: tuple[float, float] | None = field(default=None, init=False, repr=False)
    _turned: Machines | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        elsewhere = self.node != self.node[0]
        # The last machine, if it can be: the first has no node in common with most others.
        last = len(self) - 1
        far = last if elsewhere[last] or not elsewhere.any() else int(elsewhere.argmax())
        links = Links(
            self.latency,
            self.bandwidth,
            self.uniform,
            self.zero_latency,
            self.node,
            self.n_nodes < len(self),
            far,
        )
        object.__setattr__(self, "links", links)

    def __len__(self) -> int:
        return len(self.ids)

    def __repr__(self) -> str:
        return f"Machines({len(self)})"

    @property
    def n_nodes(self) -> int:
        """The number of nodes; that of the machines where each is its own."""
        return int(self.node.max()) + 1

    def mean_transfer(self) -> tuple[float, float]:
        """Return the mean latency (s) and mean inverse bandwidth (s/byte) over pairs of machines.

        The pairs are ordered, and on different nodes; without any, both means are 0.
        """
        if self._mean_transfer is None:
            slots = np.bincount(self.node)
            pairs = len(self) ** 2 - int((slots**2).sum())
            # Within a node they are 0 and 1/inf = 0: plain sums run over different nodes only.
            sums = (self.latency, 1.0 / self.bandwidth) if pairs else ()
            means = tuple(float(values.sum()) / pairs for values in sums) or (0.0, 0.0)
            object.__setattr__(self, "_mean_transfer", means)
        assert self._mean_transfer is not None
        return self._mean_transfer

    def turned(self) -> Machines:
        """Return the same machines with each link in the other's place: themselves, where alike."""
        if self._turned is None:
            ways = (self.bandwidth, self.latency)
            alike = self.uniform or all(np.array_equal(way, way.T) for way in ways)
            found = self
            if not alike:
                found = replace(self, bandwidth=freeze(ways[0].T), latency=freeze(ways[1].T))
            object.__setattr__(self, "_turned", found)
        assert self._turned is not None
        return self._turned

    def described(self) -> str:
        """Return how many there are and where they came from, such as `16, drawn with seed 0`."""
        count = f"{len(self)}"
        if self.n_nodes < len(self):
            count = f"{len(self)} slots of {self.n_nodes} node{'s' if self.n_nodes > 1 else ''}"
        return f"{count}, {self.origin}" if self.origin else count

    def speed(self, alpha: float) -> FloatArray:
        """Return (n_machines,) work units a second: (frequency / 2000 MHz) · cores^alpha."""
        # cores ** 0.0 is exactly 1, so alpha 0 leaves the frequency ratio untouched.
        return (self.frequency / REFERENCE_FREQUENCY) * self.cores**alpha


def make_machines(
    n: int,
    *,
    ids: Sequence[str] | None = None,
    cores: ArrayLike = 1.0,
    frequency: ArrayLike = REFERENCE_FREQUENCY,
    memory: ArrayLike = np.inf,
    bandwidth: ArrayLike = DEFAULT_BANDWIDTH,
    latency: ArrayLike = DEFAULT_LATENCY,
    nodes: Sequence[str] | None = None,
    origin: str = "",
) -> Machines:
    """Return `n` checked machines; scalars hold for every machine, or for every link.

    Parameters
    ----------
    nodes : the node of each machine; machines of one node are its slots, between which transfers
        take nothing, whatever the links say. None: each machine is a node of its own.
    origin : where the machines came from.

    Raises
    ------
    InvalidProblem
        If there is no machine, names repeat, shapes disagree, or a number is out of range; the
        message names the machine or the link.
    InvalidInput
        If there is no memory for so many.
    """
    if n < 1:
        raise InvalidProblem("there is no machine; give at least one")
    check_problem_memory(None, n)
    names = tuple(f"m{k}" for k in range(n)) if ids is None else tuple(ids)
    if len(names) != n:
        raise InvalidProblem(f"{len(names)} machine ids for {n} machines")
    if len(set(names)) != n:
        raise InvalidProblem(f"machine id {first_duplicate(names)!r} is given twice")
    columns = {}
    for label, values, may_be_inf in (
        ("cores", cores, False),
        ("frequency", frequency, False),
        ("memory", memory, True),
    ):
        column = checked_vector(values, n, label, names, "machine", may_be_inf=may_be_inf)
        if label != "memory" and (column <= 0).any():
            k = int(np.flatnonzero(column <= 0)[0])
            raise InvalidProblem(f"machine {names[k]!r}: {label} {column[k]:g} must be positive")
        columns[label] = column
    hosts = names if nodes is None else tuple(nodes)
    if len(hosts) != n:
        raise InvalidProblem(f"{len(hosts)} nodes for {n} machines")
    numbers = {name: k for k, name in enumerate(dict.fromkeys(hosts))}
    node = frozen_int([numbers[name] for name in hosts])
    together = node[:, None] == node
    links = {}
    for label, values in (("bandwidth", bandwidth), ("latency", latency)):
        links[label] = _checked_links(values, n, label, names, together)
    uniform = all(
        v.size == 0 or np.ptp(np.where(np.isinf(v), np.finfo(float).max, v)) == 0
        for v in (links[label][~together] for label in links)
    )
    return Machines(
        ids=names,
        **columns,
        **links,
        uniform=bool(uniform),
        zero_latency=not links["latency"].any(),
        nodes=hosts,
        node=node,
        origin=origin,
    )


def draw_machines(
    n: int, seed: int, *, bandwidth: ArrayLike = DEFAULT_BANDWIDTH, latency: ArrayLike = 0.0
) -> Machines:
    """Return `n` one-core machines without a memory limit, speeds log-uniform over [0.5, 2]."""
    if n < 1:
        raise InvalidProblem("there is no machine; give at least one")
    check_problem_memory(None, n)
    low, high = np.log(SPEED_RANGE[0]), np.log(SPEED_RANGE[1])
    speed = np.exp(np.random.default_rng(seed).uniform(low, high, n))
    return make_machines(
        n,
        frequency=speed * REFERENCE_FREQUENCY,
        bandwidth=bandwidth,
        latency=latency,
        origin=f"drawn with seed {seed}",
    )


def execution_times(
    work: FloatArray,
    speed: FloatArray,
    noise: FloatArray | None = None,
    memory: FloatArray | float = 0.0,
    limit: FloatArray | float = np.inf,
) -> FloatArray:
    """Rebuild the ETC matrix from its factors: work / speed · noise, inf where a task does not fit.

    This is version 1 of the rule that defines stored problems; another order of operations would
    change labels in their last bit and needs a new dataset schema version.

    Parameters
    ----------
    work, speed : (n_tasks,) and (n_machines,).
    noise : (n_tasks, n_machines) factors.
    memory, limit : MB that each task needs and each machine has.

    Returns
    -------
    (n_tasks, n_machines) seconds.
    """
    return times_and_range(work, speed, noise, memory, limit)[0]


def times_and_range(
    work: FloatArray,
    speed: FloatArray,
    noise: FloatArray | None,
    memory: FloatArray | float,
    limit: FloatArray | float,
) -> tuple[FloatArray, int, float]:
    """Return the times of :func:`execution_times`, and what `costs.cost_range` says of them."""
    # Of numpy, whose large arrays lie in huge pages: those of compiled code take twice as long.
    etc = np.empty((work.size, speed.size))
    stuck, longest = costs_kernels.execution_times(
        work,
        speed,
        _NO_NOISE if noise is None else noise,
        np.broadcast_to(np.asarray(memory, dtype=np.float64), work.shape),
        np.broadcast_to(np.asarray(limit, dtype=np.float64), speed.shape),
        etc,
    )
    return etc, stuck, longest


_NO_NOISE = np.empty((0, 0))
_NO_NOISE.flags.writeable = False


def checked_vector(
    values: ArrayLike,
    n: int,
    label: str,
    names: Sequence[str],
    kind: str,
    *,
    may_be_inf: bool = False,
    may_be_negative: bool = False,
) -> FloatArray:
    """Return `values` as a read-only (n,) vector, or say which entry is not a legal number."""
    try:
        raw = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InvalidProblem(f"{label} of the {kind}s is not numeric: {error}") from None
    if raw.ndim > 1 or (raw.ndim == 1 and raw.shape != (n,)):
        raise InvalidProblem(f"{label} has shape {raw.shape} for {n} {kind}s")
    vector = frozen_float(raw, (n,))
    bad = np.isnan(vector)
    if not may_be_inf:
        bad |= np.isinf(vector)
    if not may_be_negative:
        bad |= vector < 0
    if bad.any():
        k = int(np.flatnonzero(bad)[0])
        raise InvalidProblem(f"{kind} {names[k]!r}: {label} is {vector[k]:g}; {RANGE_RULE}")
    return vector


RANGE_RULE = "it must be a finite number of at least 0"


def _checked_links(
    values: ArrayLike, n: int, label: str, names: Sequence[str], together: BoolArray
) -> FloatArray:
    try:
        raw = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InvalidProblem(f"{label} is not numeric: {error}") from None
    if raw.shape not in ((), (n, n)):
        raise InvalidProblem(f"{label} has shape {raw.shape}; give one number or {n} x {n}")
    matrix = np.array(np.broadcast_to(raw, (n, n)), dtype=np.float64)
    # Within a node nothing is transferred: bytes / inf is exactly 0, so kernels need no branch.
    matrix[together] = np.inf if label == "bandwidth" else 0.0
    bad = np.isnan(matrix) | (matrix < 0)
    bad |= (matrix == 0) if label == "bandwidth" else np.isinf(matrix)
    if bad.any():
        p, q = (int(k) for k in np.argwhere(bad)[0])
        rule = "positive" if label == "bandwidth" else "finite and at least 0"
        raise InvalidProblem(
            f"{label} from {names[p]!r} to {names[q]!r} is {matrix[p, q]:g}; it must be {rule}"
        )
    return freeze(matrix)


def first_duplicate(names: Sequence[str]) -> str:
    """Return the first name that stands a second time."""
    seen: set[str] = set()
    for name in names:
        if name in seen:
            return name
        seen.add(name)
    raise ValueError("no name is given twice")
