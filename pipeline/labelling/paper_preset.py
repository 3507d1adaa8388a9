"""Preset `paper`: problems of the size and kind that the paper labels, on its 188 machines.

What the paper says: 100,000 samples of 486 to 84,654 tasks on 188 machines, task lengths from the
GoCJ data set. What it leaves open follows the layout of its released inputs: the values and shares
below were counted in its `machines.csv` (123 machines) and three `jobs_*.csv` (1,083 jobs).
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from deepsched.baselines.generate.families import FAMILIES, Shape
from deepsched.baselines.machines import (
    DEFAULT_BANDWIDTH,
    GOCJ_MI_PER_SECOND,
    Machines,
    make_machines,
)
from deepsched.baselines.problem import Problem, make_problem
from deepsched.pipeline.labelling.sources import pick, sample_rng, stored_bytes, stream

if TYPE_CHECKING:
    from deepsched.baselines.arrays import FloatArray

NAME = "paper"
SAMPLES = 100_000
TASKS = (486, 84_654)  # log-uniform between them
N_MACHINES = 188

# Machines: each value with the same chance, as in `machines.csv`, where each is about as frequent.
CORES = (4, 6, 8, 10, 16, 32, 64)
FREQUENCY = (500, 1000, 1500, 2000, 2500, 3000)  # MHz
MACHINE_MEMORY = (500, 1000, 2000, 4000, 8000, 16_000)  # MB

# Task lengths of GoCJ: least and greatest million instructions of a class, and its share. Hussain,
# Aleem (2018), doi:10.3390/data3040038.
LENGTHS = (
    (15_000, 55_000, 0.20),
    (59_000, 99_000, 0.40),
    (101_000, 135_000, 0.30),
    (150_000, 337_500, 0.04),
    (525_000, 900_000, 0.06),
)
ALPHA = 1.0  # of the cores in a machine's speed: GoCJ jobs are parallel

# Of `jobs_*.csv`: memory in MB, about equally frequent; priorities with their shares.
TASK_MEMORY = (10, 50, 75, 100, 250, 500, 1000)
PRIORITY = (0, 2, 4, 10)
PRIORITY_SHARE = (0.840, 0.139, 0.005, 0.016)
BATCH = 28  # jobs that arrive in the same second, in the mean
HORIZON = (452.0, 14_267.0)  # s within which all arrive; log-uniform between the files' own

# Families that have exactly the tasks asked for; the paper does not say which graphs it used.
GRAPHS = (
    "layered",
    "fork-join",
    "in-tree",
    "out-tree",
    "series-parallel",
    "erdos-renyi",
    "independent",
)
CCR = (0.1, 0.5, 1.0, 5.0)
BYTES_SIGMA = 1.0  # of the lognormal bytes of an edge


@dataclass(frozen=True, kw_only=True)
class PaperSource:
    """The paper's database: one set of machines, each sample drawn from (seed, sample_id).

    `tasks` are the least and the most that a sample has, log-uniform between them.
    """

    seed: int
    tasks: tuple[int, int] = TASKS

    @property
    def shared_machines(self) -> Machines:
        """The machines that all samples share."""
        return paper_machines(self.seed)

    def size(self, sample_id: int) -> int:
        """Return about how many bytes the stored problem has."""
        n_tasks = self._draw_tasks(sample_rng(self.seed, sample_id))
        return stored_bytes(n_tasks, N_MACHINES, matrix=False)

    def problem(self, sample_id: int) -> Problem:
        """Draw the sample's graph, tasks and data."""
        rng = sample_rng(self.seed, sample_id)
        n = self._draw_tasks(rng)
        family = pick(rng, GRAPHS)
        ccr = pick(rng, CCR)
        range_ = FAMILIES[family].out_degree
        shape = Shape(tasks=n, width=None, depth=None, out_degree=range_[1] if range_ else 0.0)
        n, parents, children = FAMILIES[family].graph(shape, rng)
        work = _lengths(n, rng) / GOCJ_MI_PER_SECOND
        memory = rng.choice(TASK_MEMORY, n).astype(np.float64)
        factors = np.exp(BYTES_SIGMA * rng.standard_normal(parents.size))
        # 24 bits: the last ones of exp differ between types of CPU, problems must not.
        data = factors.astype(np.float32).astype(np.float64)
        if data.size:
            transfer = ccr * _mean_cost(work, memory, self.shared_machines)
            data *= float(np.float32(transfer * DEFAULT_BANDWIDTH / data.mean()))
        return make_problem(
            machines=self.shared_machines,
            work=work,
            alpha=ALPHA,
            edges=(parents, children, data),
            arrival=_arrivals(n, rng),
            priority=rng.choice(PRIORITY, n, p=PRIORITY_SHARE).astype(np.float64),
            memory=memory,
            name=f"{NAME}-{family}-{n}-sample{sample_id}",
        )

    def label(self, sample_id: int) -> str:
        """Return the preset and the family."""
        rng = sample_rng(self.seed, sample_id)
        self._draw_tasks(rng)
        return f"{NAME}/{pick(rng, GRAPHS)}"

    def document(self) -> dict[str, Any]:
        """Return the preset's name and everything it draws from."""
        return {
            "preset": NAME,
            "seed": self.seed,
            "tasks": list(self.tasks),
            "machines": N_MACHINES,
            "graphs": list(GRAPHS),
            "ccr": list(CCR),
        }

    def _draw_tasks(self, rng: np.random.Generator) -> int:
        low, high = self.tasks
        return min(int(np.exp(rng.uniform(np.log(low), np.log(high + 1)))), high)


@functools.lru_cache(maxsize=4)
def paper_machines(seed: int) -> Machines:
    """Return the 188 machines of a seed."""
    rng = np.random.default_rng([seed, stream("machines")])
    return make_machines(
        N_MACHINES,
        cores=rng.choice(CORES, N_MACHINES),
        frequency=rng.choice(FREQUENCY, N_MACHINES),
        memory=rng.choice(MACHINE_MEMORY, N_MACHINES),
    )


def _lengths(n: int, rng: np.random.Generator) -> FloatArray:
    """Return (n,) million instructions, whole thousands but for the class borders."""
    least, most, share = (np.array(column) for column in zip(*LENGTHS, strict=True))
    kind = rng.choice(len(LENGTHS), n, p=share)
    drawn = least[kind] + (most - least)[kind] * rng.random(n)
    lengths: FloatArray = np.clip(np.round(drawn, -3), least[kind], most[kind])
    return lengths


def _arrivals(n: int, rng: np.random.Generator) -> FloatArray:
    """Return (n,) whole seconds, increasing: batches within the horizon, the first one at 0."""
    low, high = HORIZON
    horizon = low * (high / low) ** rng.random()
    begins = rng.random(n) < 1 / BATCH  # a batch, with this task
    begins[0] = False
    batch = np.cumsum(begins)
    times = np.floor(horizon * np.sort(rng.random(int(batch[-1]) + 1)))
    times[0] = 0
    arrivals: FloatArray = times[batch]
    return arrivals


def _mean_cost(work: FloatArray, memory: FloatArray, machines: Machines) -> float:
    """Return the mean seconds of a task over the machines that can hold it."""
    slowness = 1 / machines.speed(ALPHA)
    needs, kind = np.unique(memory, return_inverse=True)
    mean = np.array([slowness[machines.memory >= need].mean() for need in needs])
    return float((work * mean[kind]).mean())
