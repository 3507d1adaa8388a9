"""The problems that `deepsched` trains on: generated, of all shapes but the held-out ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from deepsched.baselines.generate import GeneratorSpec, generate
from deepsched.baselines.problem import make_problem
from deepsched.baselines.ranks import mean_execution_cost
from deepsched.pipeline.labelling.sources import stored_bytes, stream

if TYPE_CHECKING:
    from deepsched.baselines.problem import Problem

NAME = "training"
TASKS = (20, 500)
SAMPLES = 2_000  # if the user does not say
# The generator's other families are held out (pipeline/benchmarks/quality.json).
FAMILIES = ("grown", "layered", "fork-join", "in-tree", "out-tree", "erdos-renyi", "independent")
SHARES = (0.4, 0.28, 0.06, 0.06, 0.06, 0.11, 0.03)
MACHINES = (2, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 188)
# Seeds of the generator: those of the held-out benchmark are below 2**40.
TRAINING_SEEDS = (2**40, 2**41)
DEVELOPMENT_SEEDS = (2**41, 2**42)


def draw_problem(
    rng: np.random.Generator,
    tasks: tuple[int, int],
    seeds: tuple[int, int] = TRAINING_SEEDS,
) -> Problem:
    """Draw a problem with log-uniform size, width, degree and communication.

    Parameters
    ----------
    tasks : least and most.
    seeds : least of the generator's, and the first beyond.
    """
    family, n, p = _draw_size(rng, tasks)
    width = int(np.clip(_log_uniform(rng, p / 8, 8 * p), 1, max(n // 3, 1)))
    degree = _log_uniform(rng, 1.2, 8.0)
    options: dict[str, Any] = {}
    if family == "layered":
        options["width"] = width
    if family in ("layered", "erdos-renyi", "in-tree", "out-tree"):
        options["out_degree"] = degree
    ccr = _log_uniform(rng, 0.05, 15.0)
    spec = GeneratorSpec(
        family="independent" if family == "grown" else family,
        tasks=n,
        machines=p,
        ccr=ccr,
        heterogeneity=float(rng.choice([1.0, 2.0, 4.0, 16.0])),
        noise=float(rng.choice([0.0, 0.2, 0.5])),
        link_spread=float(rng.choice([1.0, 1.0, 1.0, 4.0])),
        latency=float(rng.choice([0.0, 0.0, 0.2])),
        arrival_spread=float(rng.choice([0.0, 0.0, 0.0, 0.0, 0.5])),
        **options,
    )
    problem = generate(spec, int(rng.integers(*seeds)))
    return _with_edges(problem, width, degree, ccr, rng) if family == "grown" else problem


@dataclass(frozen=True, kw_only=True)
class TrainingSource:
    """The problems as a source of samples: endless, each from (seed, sample_id) alone.

    Attributes
    ----------
    tasks : least and most of a problem.
    development : those that no training sees, for choosing among networks.
    """

    seed: int
    tasks: tuple[int, int] = TASKS
    development: bool = False

    def problem(self, sample_id: int) -> Problem:
        """Draw the sample's problem."""
        seeds = DEVELOPMENT_SEEDS if self.development else TRAINING_SEEDS
        return draw_problem(self._rng(sample_id), self.tasks, seeds)

    @property
    def shared_machines(self) -> None:
        """None: each sample draws its own."""
        return

    def size(self, sample_id: int) -> int:
        """Return about how many bytes the stored problem has."""
        _, n, p = _draw_size(self._rng(sample_id), self.tasks)
        return stored_bytes(n, p, matrix=True)

    def label(self, sample_id: int) -> str:
        """Return the preset and the family."""
        return f"{NAME}/{_draw_size(self._rng(sample_id), self.tasks)[0]}"

    def document(self) -> dict[str, Any]:
        """Return the preset's name and all that decides the problems."""
        return {
            "preset": NAME,
            "seed": self.seed,
            "tasks": list(self.tasks),
            "development": self.development,
            "version": 1,
        }

    def _rng(self, sample_id: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, sample_id, stream(NAME), int(self.development)])


def _draw_size(rng: np.random.Generator, tasks: tuple[int, int]) -> tuple[str, int, int]:
    """Draw the family, the tasks and the machines: the first draws of a problem."""
    family = str(rng.choice(FAMILIES, p=SHARES))
    return family, max(round(_log_uniform(rng, *tasks)), 8), int(rng.choice(MACHINES))


def _with_edges(
    problem: Problem, width: int, degree: float, ccr: float, rng: np.random.Generator
) -> Problem:
    """Let a graph grow: each task hears some of the last `width`, or the hub that opened them.

    It has what the families do not: edges of all lengths, tasks that many others wait for, and
    tasks that wait for many.
    """
    n = problem.n_tasks
    recent, hubs, joins = rng.uniform(1, 3), rng.choice([0.0, 0.2, 0.8]), rng.choice([0.0, 0.5])
    fresh = rng.choice([0.0, 0.05])
    pairs: set[tuple[int, int]] = set()
    for i in range(1, n):
        if rng.random() < fresh:
            continue
        wanted = 1 + int(rng.poisson(degree - 1))
        if i % width == 0 and rng.random() < joins:
            wanted += width // 2
        for u in rng.random(min(wanted, i)):
            back = 1 + int(min(width, i) * u**recent * (1 - 1e-9))
            parent = (i - 1) // width * width if rng.random() < hubs else i - back
            pairs.add((max(parent, 0), i))
    edges = np.array(sorted(pairs), dtype=np.int64).reshape(-1, 2)
    latency, per_byte = problem.machines.mean_transfer()
    data = np.exp(rng.standard_normal(len(edges)))
    if len(edges):
        seconds = max(ccr * float(mean_execution_cost(problem).mean()) - latency, 0.0)
        data *= seconds / (max(per_byte, 1e-12) * data.mean())
    return make_problem(
        machines=problem.machines,
        work=problem.work,
        noise=problem.noise,
        edges=(edges[:, 0], edges[:, 1], data),
        arrival=problem.arrival,
        name=f"grown-{n}x{problem.n_machines}",
    )


def _log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))
