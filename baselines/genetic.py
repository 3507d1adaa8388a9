"""The paper's genetic algorithm over machine assignments, and a stronger variant of it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import TYPE_CHECKING, Literal

import numpy as np

from deepsched.baselines.bounds import enough, lower_bound, mean_waiting_bound
from deepsched.baselines.heft import heft
from deepsched.baselines.kernels import genetic as kernels
from deepsched.baselines.list_schedule import append_in_order, replay_order
from deepsched.baselines.memory import check_memory
from deepsched.baselines.ranks import heft_order, release_order

if TYPE_CHECKING:
    from collections.abc import Callable

    from deepsched.baselines.arrays import FloatArray, IntArray
    from deepsched.baselines.problem import Problem
    from deepsched.baselines.schedule import Schedule

POPULATION = 64
GENERATIONS = 100
GENE_BYTES = 24  # at the most: of two generations, of what they are drawn from, and of finish times


def genetic(
    problem: Problem,
    rng: np.random.Generator,
    *,
    population: int = POPULATION,
    generations: int = GENERATIONS,
    fitness: Literal["waiting", "makespan"] = "waiting",
    seeded: bool = False,
    order: Literal["release", "rank"] = "release",
    mutations: float = 0.0,
    elite: int = 0,
    workers: int = 1,
    name: str = "ga",
) -> Schedule:
    """Evolve machine assignments; tasks run in a fixed order, appending.

    A chromosome names a machine per task. Parents are chosen by binary tournament, children made by
    one-point crossover along the order. With the defaults this is the paper's algorithm: random
    start, crossover only, fitness = mean waiting time. The best individual ever met is returned;
    one that reaches the lower bound on the fitness ends the search.

    Parameters
    ----------
    fitness : what is made small: the mean waiting time, or the makespan.
    seeded : one first individual is HEFT's assignment and the order is that of HEFT's starts, in
        which appending reproduces HEFT's schedule.
    order : of the tasks otherwise: by release, see `release_order`, or by upward rank, in which a
        task that arrives late holds up all that come after it on its machine.
    mutations : expected number of genes redrawn in each child.
    elite : best individuals copied unchanged into the next generation.
    workers : threads that evaluate the population; the result does not depend on it.

    References
    ----------
    The fitness is eq. 1 of the paper that this project implements; the scheme is that of Hou,
    Ansari, Ren (1994), doi:10.1109/71.265940.
    """
    if population < 2 or generations < 0 or not 0 <= elite < population or mutations < 0:
        raise ValueError("population ≥ 2, generations ≥ 0, 0 ≤ elite < population, mutations ≥ 0")
    n = problem.n_tasks
    check_memory(n * population * GENE_BYTES, f"{n:,} tasks x a population of {population:,}")
    genes = np.int16 if problem.n_machines <= np.iinfo(np.int16).max else np.int32
    start = heft(problem) if seeded else None
    if start is not None:
        sequence = replay_order(problem, start)
    else:
        sequence = release_order(problem) if order == "release" else heft_order(problem)
    people = np.empty((n, population), dtype=genes)
    kernels.draw_machines(rng.random((n, population)), sequence, problem.etc, people)
    if start is not None:
        people[:, 0] = start.proc[sequence]
    children = np.empty_like(people)
    best, best_value = people[:, 0].copy(), np.inf
    bound = lower_bound if fitness == "makespan" else mean_waiting_bound
    least = enough(bound(problem))
    with ThreadPoolExecutor(workers) as pool:
        evaluate = _evaluator(problem, sequence, population, fitness, workers, pool)
        for generation in range(generations + 1):
            value = evaluate(people)
            leader = int(value.argmin())
            if value[leader] < best_value:
                best, best_value = people[:, leader].copy(), float(value[leader])
            if generation == generations or best_value <= least:
                break
            rivals = rng.integers(0, population, 4 * population).reshape(4, population)
            cut = rng.integers(1, max(n, 2), population)
            if elite:
                children[:, :elite] = people[:, np.argsort(value, kind="stable")[:elite]]
            kernels.breed(people, value, rivals, cut, children, elite)
            if mutations > 0:
                _mutate(problem, sequence, children, mutations, elite, rng)
            people, children = children, people
    proc = np.empty(n, dtype=np.int64)
    proc[sequence] = best
    return append_in_order(problem, sequence, proc, name)


def genetic_makespan(problem: Problem, rng: np.random.Generator) -> Schedule:
    """Improve HEFT's schedule by seeded genetic search on the makespan; never longer than HEFT's.

    References
    ----------
    As :func:`genetic`; seeding the population with a list heuristic follows Omara, Arafa (2010),
    doi:10.1016/j.jpdc.2009.09.009.
    """
    return genetic(
        problem,
        rng,
        fitness="makespan",
        seeded=True,
        mutations=2.0,
        elite=2,
        name="ga-makespan",
    )


def _evaluator(
    problem: Problem,
    order: IntArray,
    population: int,
    fitness: str,
    workers: int,
    pool: ThreadPoolExecutor,
) -> Callable[[np.ndarray], FloatArray]:
    """Return the function that maps a population (n, k) to its (k,) fitness values."""
    place = np.empty(problem.n_tasks, dtype=np.int64)
    place[order] = np.arange(problem.n_tasks)
    preds = problem.predecessors._replace(task=place[problem.pred])
    aft = np.empty((problem.n_tasks, population))
    waiting, makespan = np.empty(population), np.empty(population)
    bounds = np.linspace(0, population, min(workers, population) + 1).astype(int).tolist()

    def run(first: int, last: int, people: np.ndarray) -> None:
        kernels.evaluate(
            first,
            last,
            people,
            order,
            problem.etc,
            problem.arrival,
            preds,
            problem.machines.links,
            aft,
            waiting,
            makespan,
        )

    def evaluate(people: np.ndarray) -> FloatArray:
        if len(bounds) == 2:
            run(0, population, people)
        else:
            parts = [pool.submit(run, a, b, people) for a, b in pairwise(bounds)]
            for part in parts:
                part.result()
        return waiting if fitness == "waiting" else makespan

    return evaluate


def _mutate(
    problem: Problem,
    order: IntArray,
    children: np.ndarray,
    mutations: float,
    elite: int,
    rng: np.random.Generator,
) -> None:
    n, population = children.shape
    # Draw how many genes change, then which: cheaper than one draw a gene, and as independent.
    counts = rng.binomial(n, min(mutations / n, 1.0), population - elite)
    columns = np.repeat(np.arange(elite, population), counts)
    rows = rng.integers(0, n, columns.size)
    uniform = rng.random(rows.size)
    kernels.mutate(children, columns, rows, uniform, order, problem.etc)
