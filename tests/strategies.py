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
        )
    ]
)
SEEDS = st.integers(0, 2**32 - 1)


def problems(max_tasks: int = 24, max_machines: int = 6) -> st.SearchStrategy[Problem]:
    """Draw small problems that cover what schedulers trip over.

    Memory limits, arrivals, asymmetric links, latency, zero costs, several entries and exits, one
    machine, no edges, tasks not listed topologically, and small whole numbers, which make ties.
    """
    return st.builds(
        _problem, st.integers(1, max_tasks), st.integers(1, max_machines), KINDS, SEEDS
    )


def _problem(n: int, p: int, kind: Kind, seed: int) -> Problem:
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
    return make_problem(
        machines=make_machines(p, memory=capacity, bandwidth=bandwidth, latency=latency),
        etc=etc,
        edges=(hidden[early[kept]], hidden[late[kept]], bytes_),
        arrival=arrival,
        memory=memory,
        priority=numbers((n,), 5.0),
    )
