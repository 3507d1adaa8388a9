#!/usr/bin/env python3
"""`deepsched compile`: compile schedulers and learners now, so that no first use waits for it."""

from __future__ import annotations

if __name__ == "__main__":  # run as a file, maybe from a checkout that is not installed
    import runpy
    from pathlib import Path

    runpy.run_path(str(Path(__file__).resolve().parent / "common/as_file.py"))["run_file"](__file__)

import importlib.util
import time
from typing import TYPE_CHECKING

import click
import numpy as np

from deepsched.baselines.bounds import critical_path, lower_bound
from deepsched.baselines.generate import GeneratorSpec, generate
from deepsched.baselines.heft import heft
from deepsched.baselines.registry import SCHEDULERS
from deepsched.baselines.timing import timed
from deepsched.model.networks import NETWORKS
from deepsched.model.networks.deepsched.options import DECODES
from deepsched.model.networks.deepsched.scheduler import DeepSchedScheduler
from deepsched.pipeline.common.cli import progress_bar, results
from deepsched.pipeline.common.options import CONTEXT_SETTINGS

if TYPE_CHECKING:
    from deepsched.baselines.problem import Problem

SAMPLES, BUDGET = 8, 0.01  # of the network's scheduler, so that its search is compiled too


@click.command(context_settings=CONTEXT_SETTINGS)
def command() -> None:
    """Compile all schedulers now, and what training runs, so that no first use waits for it.

    What is compiled lies in $NUMBA_CACHE_DIR, beside the source files, in the user's cache folder
    or in a private temporary folder: the first of these that can be written to. It is used until a
    source file changes. Useful in the recipe of an image, and on
    each node of a cluster before many workers start. `make` does it when it installs.
    """
    begin = time.perf_counter()
    # A graph, twice since what is compiled uses up the budget of the search, and tasks that are
    # balanced by moves and swaps.
    problems = [
        generate(GeneratorSpec(family=family, tasks=12, machines=2), 0)
        for family in ("layered", "layered", "independent")
    ]
    networks = [
        DeepSchedScheduler.load(decode=decode, samples=SAMPLES, budget=BUDGET).shortened()
        for decode in DECODES
    ]
    networks += [
        DeepSchedScheduler.load(samples=1),
        DeepSchedScheduler.load(objective="turnaround", samples=SAMPLES, budget=BUDGET),
    ]
    with progress_bar() as bar:
        for scheduler in bar.track([*SCHEDULERS.values(), *networks], description="compiling"):
            for problem in problems:
                timed(scheduler, problem, lambda: np.random.default_rng(0))
    lower_bound(problems[0], "strong")
    critical_path(problems[0])
    what = "all schedulers"
    if importlib.util.find_spec("torch"):
        _learn(problems[0])
        what += " and learners"
    results.print(f"{what} are compiled ({time.perf_counter() - begin:.1f} s)")


def _learn(problem: Problem) -> None:
    """Take the gradient of every network by every objective."""
    from deepsched.model.learning import TrainingItem

    taught = heft(problem)
    item = TrainingItem(
        sample_id=0,
        problem=problem,
        objective="makespan",
        reference=taught.makespan,
        target=taught,
    )
    for network in NETWORKS.values():
        config = network.config()
        for make in network.objectives.values():
            learner = make(config, rollouts=4, mse_weight=1.0)
            loss = learner.loss(
                network.build(config),
                learner.encode([item]),
                [np.random.default_rng(0)],
                lambda jobs: [job.decode(job) for job in jobs],
            )
            loss.total.backward()  # type: ignore[no-untyped-call]
