"""What a micro-batch of a training costs: measured on problems of the preset `paper`, and fitted.

A fit says seconds = a + b · tasks + c · pairs (+ d · longest problem), no coefficient negative.
"""

from __future__ import annotations

import itertools
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from deepsched.baselines.heft import heft
from deepsched.baselines.machines import Machines, make_machines
from deepsched.model.threads import one_thread
from deepsched.pipeline.labelling.paper_preset import N_MACHINES, PaperSource, paper_machines
from deepsched.pipeline.training.items import make_item
from deepsched.pipeline.training.loop import make_learner
from deepsched.pipeline.training.rollouts import rollout_streams, run_here
from deepsched.pipeline.training.state import new_state

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from torch import nn

    from deepsched.baselines.arrays import FloatArray
    from deepsched.baselines.problem import Problem
    from deepsched.model.learning import Learner, Loss, TrainingItem
    from deepsched.pipeline.training.config import TrainConfig
    from deepsched.pipeline.training.rollouts import Rollouts
    from deepsched.pipeline.training.steps import MicroBatch

COLUMNS = ("micro-batch", "tasks", "pairs", "longest")
CLEARLY = 0.8  # of the error without the longest problem: so small it must be to be counted

RUNGS = 32  # micro-batches of all sizes, each with a like factor more tasks in its largest problem
LEAST_RUNGS = 8  # that many are measured however little time there is
# What is measured in turn: machines, and whether all problems of the micro-batch or the first one
# alone. On the preset's machines alone, tasks could not be told from pairs.
KINDS = ((N_MACHINES, False), (N_MACHINES // 8, False), (N_MACHINES, True), (N_MACHINES // 2, True))


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class CostFit:
    """Seconds of a micro-batch, by its size.

    Attributes
    ----------
    coefficients : (len(COLUMNS),) s.
    tasks : (n,) of each measured micro-batch.
    ratios : (n,) measured / predicted seconds of each, by the fit to all the others.
    """

    coefficients: FloatArray
    tasks: FloatArray
    ratios: FloatArray

    def seconds(self, sizes: FloatArray) -> FloatArray:
        """Return (n,) s of micro-batches (n, len(COLUMNS))."""
        predicted: FloatArray = sizes @ self.coefficients
        return predicted

    @property
    def errors(self) -> FloatArray:
        """(n,) relative errors of the predictions, without sign."""
        found: FloatArray = np.abs(1.0 / self.ratios - 1.0)
        return found


def size_row(problems: Iterable[tuple[int, int]]) -> list[float]:
    """Return COLUMNS of a micro-batch of problems, (tasks, machines) each."""
    sizes = list(problems)
    tasks = [n for n, _ in sizes]
    return [1.0, float(sum(tasks)), float(sum(n * p for n, p in sizes)), float(max(tasks))]


def fitted(sizes: FloatArray, seconds: FloatArray) -> CostFit:
    """Return the non-negative least squares of relative errors.

    The longest problem is counted only where that makes the median error clearly smaller.

    Parameters
    ----------
    sizes : (n, len(COLUMNS)); n is at least 3.
    seconds : (n,) measured.
    """
    plain, long = (_fitted(sizes, seconds, width) for width in (3, 4))
    clearly = np.median(long.errors) < CLEARLY * np.median(plain.errors)
    return long if clearly else plain


def _fitted(sizes: FloatArray, seconds: FloatArray, width: int) -> CostFit:
    """Fit the first columns only."""
    rows = sizes / seconds[:, None]

    def solved(kept: FloatArray) -> FloatArray:
        return np.pad(_non_negative(kept[:, :width]), (0, len(COLUMNS) - width))

    apart = [rows[k] @ solved(np.delete(rows, k, axis=0)) for k in range(len(rows))]
    ratios = 1.0 / np.maximum(apart, 1e-9)
    return CostFit(coefficients=solved(rows), tasks=sizes[:, 1], ratios=ratios)


def _non_negative(rows: FloatArray) -> FloatArray:
    """Return x >= 0 for which rows @ x is closest to 1: the best of all sets of columns."""
    best, least = np.zeros(rows.shape[1]), np.inf
    for count in range(1, rows.shape[1] + 1):
        for chosen in map(list, itertools.combinations(range(rows.shape[1]), count)):
            own, *_ = np.linalg.lstsq(rows[:, chosen], np.ones(len(rows)))
            left = float(((rows[:, chosen] @ own - 1.0) ** 2).sum())
            if (own >= 0).all() and left < least * (1 - 1e-9):
                best, least = np.zeros(rows.shape[1]), left
                best[chosen] = own
    return best


def take(
    network: nn.Module,
    learner: Learner,
    encoded: Any,
    streams: Sequence[np.random.Generator],
    run: Rollouts = run_here,
) -> Loss:
    """Compute the loss and the gradient of a micro-batch, as a training does."""
    network.train()
    network.zero_grad(set_to_none=True)
    loss = learner.loss(network, encoded, streams, run)
    loss.total.backward()  # type: ignore[no-untyped-call]
    return loss


@dataclass(frozen=True, kw_only=True)
class FewerMachines(PaperSource):
    """The preset `paper` on its first machines only."""

    machines: int = N_MACHINES

    @property
    def shared_machines(self) -> Machines:
        """The machines that all problems share."""
        whole = paper_machines(self.seed)
        if self.machines == N_MACHINES:
            return whole
        return make_machines(
            self.machines,
            cores=whole.cores[: self.machines],
            frequency=whole.frequency[: self.machines],
            memory=whole.memory[: self.machines],
        )


def measured(
    config: TrainConfig,
    batches: Sequence[tuple[int, MicroBatch]],
    limit: float,
    *,
    on_time: Callable[[float], None] = lambda _: None,
) -> tuple[FloatArray, FloatArray]:
    """Measure loss and gradient of micro-batches from the smallest on, as far as the time allows.

    Encoding is left out, which another thread does ahead. CPU seconds are counted, on one thread,
    so that whoever else shares the machine disturbs little.

    Parameters
    ----------
    batches : tasks of the largest problem, and the samples (numbers of the preset `paper`).
    limit : s that it may take, about; at least `LEAST_RUNGS` micro-batches are measured.
    on_time : called with the seconds so far.

    Returns
    -------
    (n, len(COLUMNS)) sizes and (n,) s.
    """
    learner, network = make_learner(config, str(config.objective)), new_state(config, "cpu").network
    begin = time.monotonic()
    rows: list[list[float]] = []
    seconds: list[float] = []
    with one_thread():
        for rung, (longest, batch) in enumerate(_ladder(batches)):
            # What a task took at most decides whether the next micro-batch is begun.
            expected = longest * max(
                (s / row[1] for s, row in zip(seconds, rows, strict=True)), default=0.0
            )
            if rung >= LEAST_RUNGS and time.monotonic() - begin + expected > limit:
                break
            machines, alone = KINDS[rung % len(KINDS)]
            source = FewerMachines(seed=0, machines=machines)
            kept = batch[:1] if alone else batch
            items = [_item(config, k, source.problem(k)) for k in kept]
            encoded = learner.encode(items)
            if not rows:  # the first one compiles, and fills caches
                take(network, learner, encoded, rollout_streams(config, 0, kept))
            before = time.process_time()
            take(network, learner, encoded, rollout_streams(config, 0, kept))
            seconds.append(max(time.process_time() - before, 1e-9))
            rows.append(size_row((k.problem.n_tasks, k.problem.n_machines) for k in items))
            on_time(time.monotonic() - begin)
    return np.array(rows), np.array(seconds)


def _item(config: TrainConfig, sample_id: int, problem: Problem) -> TrainingItem:
    schedule = heft(problem)
    return make_item(config, sample_id, problem, schedule, schedule)


def _ladder(batches: Sequence[tuple[int, MicroBatch]]) -> Sequence[tuple[int, MicroBatch]]:
    """Return micro-batches from the smallest to the largest problem, each a like factor larger."""
    ordered = sorted(batches)
    longest = np.array([n for n, _ in ordered])
    wanted = np.geomspace(longest[0], longest[-1], RUNGS)
    # The ends of a geometric series are not exact.
    return [ordered[k] for k in np.searchsorted(longest, wanted * (1 - 1e-9))]
