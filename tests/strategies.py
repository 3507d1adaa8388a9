"""Hypothesis strategies shared by the tests."""

from __future__ import annotations

import itertools
from typing import NamedTuple

import numpy as np
from hypothesis import strategies as st

from deepsched.baselines.machines import make_machines
from deepsched.baselines.problem import Problem, make_problem


class Kind(NamedTuple):
    """What a drawn problem is like; the first of all options is the plainest."""

    whole: bool  # small whole numbers, which make ties
    longest: float  # s
    free: bool  # some costs are 0
    density: float  # of edges
    shuffled: bool  # tasks are not listed topologically
    largest: float  # of the transfers, bytes
    unequal: bool  # bandwidths that differ by direction
    latency: bool
    memory: bool
    arrivals: bool
    strange: bool  # names that no place takes as they are
    slots: bool  # some machines are slots of one node


# One draw instead of ten: each costs hypothesis as much time as many a scheduler takes.
KINDS = st.sampled_from(
    [
        Kind(*options)
        for options in itertools.product(
            (False, True),
            (3.0, 20.0, 1e6),
            (False, True),
            (0.0, 0.1, 0.3, 0.8),
            (False, True),
            (0.0, 5.0, 200.0),
            (False, True),
            (False, True),
            (False, True),
            (False, True),
            (False, True),
            (False, True),
        )
    ]
)
SEEDS = st.integers(0, 2**32 - 1)

# Of names: what others take for markup, ends of lines, directions, formulas, or for no text.
PARTS = (
    "task", "1", "", " ", "\n", "\r", "\t", "\0", "\x1b[31m", "\x07", "\x7f", "\x85", "\u2028",
    "\u200f", "\u202e", "\u2066", "\ufeff", "\ufffe", "=1+1", "+", "-", "@", "'", '"', "\\", "\\n",
    ",", ";", "<b>", "&amp;", "</script>", "]]>", "{", "}", "->", "[bold]", "%s", "__proto__", "é",
    "e\u0301", "☃", "🦀", "ا", "x" * 5_000,
)  # fmt: skip
HALF = "\ud800"  # of a surrogate pair: JSON spells it, UTF-8 has no bytes for it


def strange_names(rng: np.random.Generator, n: int, *, halves: bool = True) -> list[str]:
    """Draw different names of a few parts each; with `halves`, some have half a surrogate pair."""
    parts = [*PARTS, HALF] if halves else list(PARTS)
    found: dict[str, None] = {}
    while len(found) < n:
        name = "".join(parts[k] for k in rng.integers(0, len(parts), int(rng.integers(1, 4))))
        if name:  # readers take no empty ones
            found.setdefault(name if len(found) % 4 else f"{name}{len(found)}")
    return list(found)


def problems(
    max_tasks: int = 24, max_machines: int = 6, *, halves: bool = False
) -> st.SearchStrategy[Problem]:
    """Draw small problems that cover what schedulers trip over.

    Memory limits, arrivals, asymmetric links, latency, zero costs, several entries and exits, one
    machine, nodes of several slots, no edges, tasks not listed topologically, small whole numbers,
    which make ties, and strange names. Those with half a surrogate pair, which no file can hold,
    only where asked for.
    """
    return st.builds(
        _problem,
        st.integers(1, max_tasks),
        st.integers(1, max_machines),
        KINDS,
        SEEDS,
        st.just(halves),
    )


def _problem(n: int, p: int, kind: Kind, seed: int, halves: bool) -> Problem:
    rng = np.random.default_rng(seed)

    def numbers(shape: tuple[int, ...], high: float) -> np.ndarray:
        values = rng.uniform(0, high, shape)
        return np.floor(values) if kind.whole else values

    etc = numbers((n, p), kind.longest)
    if kind.free:
        etc[rng.random((n, p)) < 0.2] = 0.0
    hidden = rng.permutation(n) if kind.shuffled else np.arange(n)
    early, late = np.triu_indices(n, 1)
    kept = rng.random(early.size) < kind.density
    bytes_ = numbers((int(kept.sum()),), kind.largest)
    bandwidth = 1.0 + numbers((p, p), 4.0) if kind.unequal else 1.0
    latency = numbers((p, p), 6.0) if kind.latency else 0.0
    memory, capacity = 0.0, np.inf
    if kind.memory:
        memory = numbers((n,), 8.0)
        capacity = numbers((p,), 12.0)
        capacity[int(rng.integers(p))] = 8.0
    arrival = numbers((n,), 30.0) if kind.arrivals else 0.0
    ids, hosts = None, None
    if kind.strange:
        ids, hosts = (strange_names(rng, count, halves=halves) for count in (n, p))
    return make_problem(
        task_ids=ids,
        machines=make_machines(
            p,
            ids=hosts,
            memory=capacity,
            bandwidth=bandwidth,
            latency=latency,
            nodes=[f"node{k}" for k in rng.integers(0, 3, p)] if kind.slots else None,
        ),
        etc=etc,
        edges=(hidden[early[kept]], hidden[late[kept]], bytes_),
        arrival=arrival,
        memory=memory,
        priority=numbers((n,), 5.0),
    )


def extreme_problems(max_tasks: int = 6, max_machines: int = 3) -> st.SearchStrategy[Problem]:
    """Draw small problems whose numbers lie at the edges of floats, one alone or side by side.

    Costs, arrivals, latencies, bytes, bandwidths, memory and priorities from 1e-300 on, up to what
    keeps all sums within `MAX_HORIZON`; zeros, one task, one machine, and strange names.
    """
    return st.builds(
        _extreme, st.integers(1, max_tasks), st.integers(1, max_machines), SEEDS, st.booleans()
    )


EXPONENTS = (-320, -300, -200, -100, -30, -12, -6, 0, 6, 12, 15, 18, 30, 100, 200, 290)


def _extreme(n: int, p: int, seed: int, mixed: bool) -> Problem:
    rng = np.random.default_rng(seed)
    one = float(rng.choice(EXPONENTS))

    def numbers(shape: tuple[int, ...], most: float = 290) -> np.ndarray:
        exponent = rng.choice(EXPONENTS, shape) if mixed else np.full(shape, one)
        values = rng.uniform(1, 9, shape) * 10.0 ** np.minimum(exponent, most)
        return np.where(rng.random(shape) < 0.1, 0.0, values)

    def some(shape: tuple[int, ...]) -> np.ndarray | float:
        return numbers(shape) if rng.random() < 0.5 else 0.0

    early, late = np.triu_indices(n, 1)
    kept = rng.random(early.size) < 0.4
    strange = bool(rng.random() < 0.3)
    memory = some((n,))
    return make_problem(
        machines=make_machines(
            p,
            ids=strange_names(rng, p) if strange else None,
            memory=np.maximum(memory, 1.0).max(),  # type: ignore[union-attr]
            bandwidth=np.maximum(numbers((p, p)), 1e-5),
            latency=some((p, p)),
        ),
        etc=numbers((n, p)),
        edges=(early[kept], late[kept], numbers((int(kept.sum()),), 280)),
        task_ids=strange_names(rng, n) if strange else None,
        arrival=some((n,)),
        memory=memory,
        priority=some((n,)),
    )
