"""Hypothesis strategies shared by the tests."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from baselines.machines import make_machines
from baselines.problem import Problem, make_problem


@st.composite
def problems(draw: st.DrawFn, max_tasks: int = 24, max_machines: int = 6) -> Problem:
    """Draw small problems that cover what schedulers trip over.

    Memory limits, arrivals, asymmetric links, latency, zero costs, several entries and exits, one
    machine, no edges, tasks not listed topologically, and small whole numbers, which make ties.
    """
    n = draw(st.integers(1, max_tasks))
    p = draw(st.integers(1, max_machines))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    whole = draw(st.booleans())

    def numbers(shape: tuple[int, ...], high: float) -> np.ndarray:
        values = rng.uniform(0, high, shape)
        return np.floor(values) if whole else values

    etc = numbers((n, p), draw(st.sampled_from([3.0, 20.0, 1e6])))
    if draw(st.booleans()):
        etc[rng.random((n, p)) < 0.2] = 0.0
    density = draw(st.sampled_from([0.0, 0.1, 0.3, 0.8]))
    hidden = rng.permutation(n) if draw(st.booleans()) else np.arange(n)
    early, late = np.triu_indices(n, 1)
    kept = rng.random(early.size) < density
    bytes_ = numbers((int(kept.sum()),), draw(st.sampled_from([0.0, 5.0, 200.0])))
    links = draw(st.sampled_from(["equal", "asymmetric", "latency", "both"]))
    bandwidth = 1.0 if links in ("equal", "latency") else 1.0 + numbers((p, p), 4.0)
    latency = 0.0 if links in ("equal", "asymmetric") else numbers((p, p), 6.0)
    memory, capacity = 0.0, np.inf
    if draw(st.booleans()):
        memory = numbers((n,), 8.0)
        capacity = numbers((p,), 12.0)
        capacity[int(rng.integers(p))] = 8.0
    arrival = numbers((n,), 30.0) if draw(st.booleans()) else 0.0
    return make_problem(
        machines=make_machines(p, memory=capacity, bandwidth=bandwidth, latency=latency),
        etc=etc,
        edges=(hidden[early[kept]], hidden[late[kept]], bytes_),
        arrival=arrival,
        memory=memory,
        priority=numbers((n,), 5.0),
    )
