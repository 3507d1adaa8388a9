"""The problems that `deepsched` learns on: generated, of all shapes but those kept for the exam."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from baselines.generate import GeneratorSpec, generate

if TYPE_CHECKING:
    from baselines.problem import Problem

# The other families of the generator are the exam's (pipeline/benchmarks/quality.json).
FAMILIES = ("layered", "fork-join", "in-tree", "out-tree", "erdos-renyi", "independent")
SHARES = (0.6, 0.08, 0.08, 0.08, 0.13, 0.03)
MACHINES = (2, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 188)
# Seeds of the generator: those of the exam are below 2**40.
TRAINING_SEEDS = (2**40, 2**41)
DEVELOPMENT_SEEDS = (2**41, 2**42)


def draw_problem(
    rng: np.random.Generator,
    tasks: tuple[int, int],
    seeds: tuple[int, int] = TRAINING_SEEDS,
) -> Problem:
    """Draw a problem with log-uniform size, width and communication.

    Parameters
    ----------
    tasks : least and most.
    seeds : least of the generator's, and the first beyond.
    """
    family = str(rng.choice(FAMILIES, p=SHARES))
    n = round(_log_uniform(rng, *tasks))
    p = int(rng.choice(MACHINES))
    options = {}
    if family == "layered":
        options["width"] = int(np.clip(_log_uniform(rng, p / 8, 8 * p), 1, max(n // 3, 1)))
    spec = GeneratorSpec(
        family=family,
        tasks=max(n, 8),
        machines=p,
        ccr=_log_uniform(rng, 0.05, 15.0),
        heterogeneity=float(rng.choice([1.0, 2.0, 4.0, 16.0])),
        noise=float(rng.choice([0.0, 0.2, 0.5])),
        link_spread=float(rng.choice([1.0, 1.0, 1.0, 4.0])),
        latency=float(rng.choice([0.0, 0.0, 0.2])),
        arrival_spread=float(rng.choice([0.0, 0.0, 0.0, 0.0, 0.5])),
        **options,
    )
    return generate(spec, int(rng.integers(*seeds)))


def development_problems(count: int, tasks: tuple[int, int]) -> list[Problem]:
    """Return problems that no training sees: always the same ones."""
    rng = np.random.default_rng([2, count])
    return [draw_problem(rng, tasks, DEVELOPMENT_SEEDS) for _ in range(count)]


def _log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))
