"""The methods that `quality` compares, each run on a problem, checked and timed."""

from __future__ import annotations

import functools
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from deepsched.baselines.bounds import enough, lower_bound
from deepsched.baselines.generate import GeneratorSpec, generate
from deepsched.baselines.genetic import genetic
from deepsched.baselines.heft import heft
from deepsched.baselines.metrics import makespan, mean_turnaround
from deepsched.baselines.peft import peft
from deepsched.baselines.registry import SCHEDULERS, teacher_rng
from deepsched.baselines.schedule import violations
from deepsched.baselines.timing import warm_up
from deepsched.model.networks.deepsched.concurrency import thread_count
from deepsched.model.networks.deepsched.decode import OUTPUTS, decode_schedule
from deepsched.model.networks.deepsched.features import decoder_view
from deepsched.model.networks.deepsched.scheduler import DeepSchedScheduler
from deepsched.model.networks.deepsched.search import hill_climb
from deepsched.pipeline.benchmarks.quality_controls import CONSTANTS, Averaged, BestConstants

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from deepsched.baselines.problem import Problem
    from deepsched.baselines.schedule import Schedule

SAMPLES = 32
TOPK = "deepsched topk, no guard"
ONCE, AVERAGED = "one decode, guarded", "one decode, outputs averaged, guarded"
MOST_TURNED = 2_000  # tasks; above them the mean turnaround is that of one pass only
BEST = "best known"  # the reference where there is an optimum, or the best schedule known
SOLVED_BUDGET = 1.0  # s


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """One problem: each method's makespan or turnaround and its seconds, the reference's too.

    Attributes
    ----------
    cell : the part of the held-out benchmark it belongs to.
    values : method to the objective, s.
    seconds : method to the time of scheduling, s.
    """

    cell: str
    values: dict[str, float] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)


class Runner:
    """Runs every method on a problem and checks what comes out."""

    def __init__(self, checkpoint: Path | None) -> None:
        self._load: Callable[..., DeepSchedScheduler] = functools.partial(
            DeepSchedScheduler.load, checkpoint, samples=1
        )
        self._one = self._load(guard=False)
        self._guarded = self._load()
        self._topk = self._load(guard=False, decode="topk")
        self._many = self._load(samples=SAMPLES)
        self._zeroed = self._load(samples=SAMPLES).without_network()
        self._search = self._load(samples=SAMPLES, budget=SOLVED_BUDGET)
        self._turnaround = self._load(objective="turnaround")
        self._turnaround_many = self._load(objective="turnaround", samples=SAMPLES)
        self.networks = {
            "makespan": self._one.meta,
            "topk": self._topk.meta,
            "turnaround": self._turnaround.meta,
        }

    def warm_up(self) -> None:
        """Run everything once on small problems, so that no time holds a compilation."""
        for network in (self._one, self._topk):  # what only large problems need, too
            warm_up(network)
        for family in ("layered", "independent"):
            problem = generate(GeneratorSpec(family=family, tasks=40, machines=4), 0)
            self.run("", problem)
            self.turnaround("", problem)
            self.anytime("", problem, 0.01)

    def run(self, cell: str, problem: Problem) -> Outcome:
        """Schedule a problem by everything."""
        found = Outcome(cell=cell)
        reference = self._timed(found, "heft", problem, heft)
        own = self._timed(found, "deepsched, no guard", problem, self._one)
        self._timed(found, "deepsched", problem, self._guarded)
        self._once(found, own, reference)
        self._timed(found, AVERAGED, problem, Averaged(self._one))
        self._timed(found, f"best of {len(CONSTANTS)} constants", problem, BestConstants(self._one))
        self._timed(found, f"deepsched, {SAMPLES} samples", problem, self._many)
        self._timed(found, TOPK, problem, self._topk)
        self._timed(found, "peft", problem, peft)
        self._timed(found, "min-min", problem, SCHEDULERS["min-min"])
        budget = found.seconds[f"deepsched, {SAMPLES} samples"]
        self._timed(found, f"zeroed, {SAMPLES} samples", problem, self._zeroed)
        self._timed(found, "search, equal time", problem, Search(budget))
        self._timed(found, "ga, equal time", problem, EqualTimeGA(budget))
        found.values["lower bound"] = lower_bound(problem, "strong")
        return found

    def network(self, cell: str, problem: Problem, *, search: bool = False) -> Outcome:
        """Compare the network with HEFT only, which takes a tenth of the time; or search, too."""
        found = Outcome(cell=cell)
        self._timed(found, "heft", problem, heft)
        self._timed(found, "deepsched", problem, self._guarded)
        self._timed(found, f"deepsched, {SAMPLES} samples", problem, self._many)
        if search:
            self._timed(found, f"deepsched, {SOLVED_BUDGET:g} s", problem, self._search)
        return found

    def turnaround(self, cell: str, problem: Problem) -> Outcome:
        """Do the same for the mean turnaround; one pass guarded, and with samples if small."""
        found = Outcome(cell=cell)
        measure = mean_turnaround
        self._timed(found, "heft", problem, heft, measure)
        self._timed(found, "deepsched", problem, self._turnaround, measure)
        if problem.n_tasks <= MOST_TURNED:
            many = self._turnaround_many
            self._timed(found, f"deepsched, {SAMPLES} samples", problem, many, measure)
        return found

    def large(self, cell: str, problem: Problem) -> Outcome:
        """Compare one pass with HEFT; each is run twice and the second run timed."""
        found = Outcome(cell=cell)
        for _ in range(2):
            self._timed(found, "heft", problem, heft)
            self._timed(found, "deepsched, no guard", problem, self._one)
            self._timed(found, "deepsched", problem, self._guarded)
            self._timed(found, TOPK, problem, self._topk)
        found.values["lower bound"] = lower_bound(problem, "strong")
        return found

    def solved(self, cell: str, problem: Problem, best: float) -> Outcome:
        """Compare with an optimum, or with the best schedule known."""
        found = Outcome(cell=cell)
        found.values[BEST] = best
        for name in ("heft", "min-min", "sufferage"):
            self._timed(found, name, problem, SCHEDULERS[name])
        self._timed(found, "deepsched", problem, self._guarded)
        self._timed(found, f"deepsched, {SAMPLES} samples", problem, self._many)
        return found

    def solved_in_time(self, cell: str, problem: Problem, best: float) -> Outcome:
        """Do the same, and search for a while."""
        found = self.solved(cell, problem, best)
        self._timed(found, f"deepsched, {SOLVED_BUDGET:g} s", problem, self._search)
        self._timed(found, f"search, {SOLVED_BUDGET:g} s", problem, Search(SOLVED_BUDGET))
        return found

    def anytime(self, cell: str, problem: Problem, budget: float) -> Outcome:
        """Compare search from the network's outputs with search from HEFT at equal time.

        The control `zeroed` is the same search with the network's outputs at 0, samples and
        forward-backward improvement included; `search` is hill climbing alone.
        """
        found = Outcome(cell=cell)
        self._timed(found, "heft", problem, heft)
        own = self._load(samples=SAMPLES, budget=budget)
        self._timed(found, "deepsched", problem, own)
        self._timed(found, "zeroed", problem, own.without_network())
        self._timed(found, "search", problem, Search(budget))
        return found

    def _timed(
        self,
        found: Outcome,
        name: str,
        problem: Problem,
        scheduler: Callable[[Problem, np.random.Generator], Schedule],
        measure: Callable[[Problem, Schedule], float] = makespan,
    ) -> Schedule:
        rng = teacher_rng(0, 0, name)
        begin = time.perf_counter()
        schedule = scheduler(problem, rng)
        found.seconds[name] = time.perf_counter() - begin
        broken = violations(problem, schedule)
        if broken:
            raise RuntimeError(f"{name} made an invalid schedule of {problem.name}: {broken[0]}")
        found.values[name] = measure(problem, schedule)
        return schedule

    def _once(self, found: Outcome, own: Schedule, reference: Schedule) -> None:
        """Note the shorter of one decode's schedule and HEFT's: what `AVERAGED` is held against."""
        found.values[ONCE] = min(own.makespan, reference.makespan)
        found.seconds[ONCE] = found.seconds["heft"] + found.seconds["deepsched, no guard"]


class Search:
    """Perturbation search around HEFT: the scheduler's hill climbing without a network."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def __call__(self, problem: Problem, rng: np.random.Generator) -> Schedule:
        """Return the best schedule found in the time given, HEFT's at worst."""
        begin = time.perf_counter()
        view = decoder_view(problem)
        start = np.zeros((problem.n_tasks, len(OUTPUTS)), np.float32)
        value = heft(problem).makespan
        left = self._seconds - (time.perf_counter() - begin)
        seed = int(rng.integers(2**63))
        least = enough(lower_bound(problem))
        best, _ = hill_climb(problem, view, start, value, left, seed, thread_count(), least)
        return decode_schedule(problem, view, best, "search")


class EqualTimeGA:
    """The seeded genetic algorithm with as many generations as fit into a time.

    How many do is measured first, in short runs that count for nothing.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def __call__(self, problem: Problem, rng: np.random.Generator) -> Schedule:
        """Return its schedule; at least one generation is made."""

        def run(generations: int) -> Schedule:
            return genetic(
                problem,
                rng,
                generations=generations,
                fitness="makespan",
                seeded=True,
                mutations=2.0,
                elite=2,
            )

        generations = 4
        for _ in range(2):
            begin = time.perf_counter()
            run(generations)
            share = self._seconds / (time.perf_counter() - begin)
            # The second time drawing the first individuals counts for little.
            generations = max(1, int(generations * min(share, 50.0)))
        return run(generations)
