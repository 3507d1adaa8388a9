"""Draw the numbers of a problem: costs, machines, links, data, arrivals, memory."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

import numpy as np

from deepsched.baselines.generate.families import FAMILIES
from deepsched.baselines.generate.spec import check_count
from deepsched.baselines.kernels import costs as costs_kernels
from deepsched.baselines.machines import (
    DEFAULT_BANDWIDTH,
    REFERENCE_FREQUENCY,
    execution_times,
    make_machines,
)
from deepsched.baselines.memory import check_problem_memory
from deepsched.baselines.problem import Problem, make_problem

if TYPE_CHECKING:
    from deepsched.baselines.arrays import FloatArray
    from deepsched.baselines.generate.spec import GeneratorSpec

MEDIAN_WORK = 60.0  # work units: seconds on a machine of speed 1
WORK_SIGMA = 1.0  # of the lognormal work of a task
BYTES_SIGMA = 1.0  # of the lognormal bytes of an edge
MACHINE_MEMORY = (4_096.0, 65_536.0)  # MB; log-uniform


def generate(spec: GeneratorSpec, seed: int) -> Problem:
    """Return the problem of this specification and seed, the same one on every machine.

    Tasks are in topological order. Work and noise factors are kept beside the ETC matrix they make.
    Graph, work, noise, ... each have their own random stream: changing `ccr` alone, say, changes
    bytes and latencies and nothing else.

    Raises
    ------
    InvalidProblem
        If the seed is not a whole number of at least 0.
    InvalidInput
        If there is no memory for so many tasks on so many machines.

    Examples
    --------
    >>> from deepsched.baselines.generate import GeneratorSpec
    >>> problem = generate(GeneratorSpec(family="cholesky", tasks=20, machines=3), seed=1)
    >>> problem.name, problem.n_edges
    ('cholesky-20x3-seed1', 30)
    """
    check_count("seed", seed, 0)
    check_problem_memory(spec.tasks, spec.machines, noise=spec.noise > 0)
    n, parents, children = FAMILIES[spec.family].graph(spec.shape(), _stream(seed, "graph"))
    p = spec.machines
    work = MEDIAN_WORK * _lognormal((n,), WORK_SIGMA, _stream(seed, "work"))
    noise = None
    if spec.noise > 0:
        noise = _lognormal((n, p), spec.noise, _stream(seed, "noise"))
        noise.flags.writeable = False  # then the problem keeps it without a copy
    speed = _speeds(p, spec.heterogeneity, _stream(seed, "speed"))
    need, limit = _memory(n, p, spec.memory, _stream(seed, "memory"))
    cost = costs_kernels.mean_over_finite(execution_times(work, speed, noise, need, limit))

    transfer = spec.ccr * float(cost.mean())  # s, the mean over edges that is to come out
    bandwidth, lag = _links(p, spec.link_spread, _stream(seed, "links"))
    latency = _rounded_number(spec.latency * transfer / _mean_of_pairs(lag)) * lag
    data = _lognormal((parents.size,), BYTES_SIGMA, _stream(seed, "bytes"))
    if data.size:
        per_byte = _mean_of_pairs(1 / bandwidth)  # s
        data *= _rounded_number((1 - spec.latency) * transfer / (per_byte * float(data.mean())))
    horizon = _rounded_number(spec.arrival_spread * float(cost.sum()) / p)
    return make_problem(
        machines=make_machines(
            p,
            frequency=speed * REFERENCE_FREQUENCY,
            memory=limit,
            bandwidth=bandwidth,
            latency=latency,
        ),
        work=work,
        noise=noise,
        edges=(parents, children, data),
        arrival=horizon * np.sort(_stream(seed, "arrival").random(n)),
        memory=need,
        name=f"{spec.family}-{n}x{p}-seed{seed}",
    )


def _stream(seed: int, part: str) -> np.random.Generator:
    return np.random.default_rng([int(seed), zlib.crc32(part.encode())])


def _rounded(values: FloatArray) -> FloatArray:
    """Keep 24 bits: the last bits of exp differ between types of CPU, problems must not."""
    return values.astype(np.float32).astype(np.float64)


def _rounded_number(value: float) -> float:
    return float(np.float32(value))


def _lognormal(shape: tuple[int, ...], sigma: float, rng: np.random.Generator) -> FloatArray:
    """Return factors of median 1."""
    factors = rng.standard_normal(shape)
    factors *= sigma
    return _rounded(np.exp(factors, out=factors))


def _log_uniform(
    shape: int | tuple[int, int], ratio: float, rng: np.random.Generator
) -> FloatArray:
    return _rounded(np.exp(np.log(ratio) * (rng.random(shape) - 0.5)))


def _speeds(p: int, ratio: float, rng: np.random.Generator) -> FloatArray:
    if p == 1:
        return np.ones(1)
    speed = _log_uniform(p, ratio, rng)
    speed[rng.permutation(p)[:2]] = _rounded(np.sqrt([1 / ratio, ratio]))
    return speed


def _memory(
    n: int, p: int, share: float, rng: np.random.Generator
) -> tuple[FloatArray, FloatArray]:
    """Return what the tasks need and the machines have, (n,) and (p,) MB."""
    if share == 0:
        return np.zeros(n), np.full(p, np.inf)
    low, high = MACHINE_MEMORY
    limit = np.sqrt(low * high) * _log_uniform(p, high / low, rng)
    ladder = np.concatenate(([0.0], np.sort(limit)))
    # Step k holds the needs that fit on the k-th smallest machine, not on the one before.
    step = np.ones(n, dtype=np.int64)
    if p > 1:
        large = rng.permutation(n)[: round(share * n)]
        step[large] = rng.integers(2, p + 1, large.size)
    below, above = ladder[step - 1], ladder[step]
    return above - (above - below) * rng.random(n), limit


def _links(p: int, spread: float, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
    """Return bandwidth in bytes/s and relative latency, both (p, p)."""
    if spread == 1:
        return np.full((p, p), DEFAULT_BANDWIDTH), np.ones((p, p))
    return (
        DEFAULT_BANDWIDTH * _log_uniform((p, p), spread, rng),
        _log_uniform((p, p), spread, rng),
    )


def _mean_of_pairs(matrix: FloatArray) -> float:
    """Return the mean over pairs of different machines; with one machine, its only entry."""
    p = matrix.shape[0]
    if p == 1:
        return float(matrix[0, 0])
    return float(matrix[~np.eye(p, dtype=bool)].mean())
