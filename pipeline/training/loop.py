"""Training itself: global steps over planned micro-batches, alone or with peers; no Ray."""

from __future__ import annotations

import contextlib
import functools
import math
import time
from collections import defaultdict
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, Self

import numpy as np
import torch
from torch import nn

from deepsched.baselines.errors import InvalidInput
from deepsched.model.networks import get_network, network_config
from deepsched.model.threads import one_thread
from deepsched.pipeline.labelling.sources import stream
from deepsched.pipeline.training.items import MEASURES
from deepsched.pipeline.training.peers import Peers
from deepsched.pipeline.training.state import State, new_state
from deepsched.pipeline.training.steps import dealt
from deepsched.pipeline.training.validation import SCORE, validated

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from deepsched.baselines.arrays import FloatArray
    from deepsched.model.learning import Learner, RolloutJob
    from deepsched.model.network import Network
    from deepsched.pipeline.training.config import TrainConfig
    from deepsched.pipeline.training.items import Items
    from deepsched.pipeline.training.state import History, Record
    from deepsched.pipeline.training.steps import Steps

    Rollouts = Callable[[Sequence[RolloutJob]], Sequence[FloatArray]]

LEAST_RATE = 0.02  # share of the learning rate that is left at the end
DIVERGED = 2.0  # times as long as an untrained network's schedules: so bad is no training


class Diverged(InvalidInput):
    """The training no longer learns: a number that is none, or schedules that only get worse."""


class Reporter(Protocol):
    """Who wants to know how a training goes."""

    def step(self, step: int, measures: Mapping[str, float]) -> None:
        """Take note of a finished step."""

    def wants_checkpoint(self) -> bool:
        """Return whether it is time for a checkpoint; the first process decides for all."""
        ...

    def checkpoint(self, record: Record | None, save: Callable[[Path], None]) -> None:
        """Take note of a state worth keeping; `record`: of a validation, if there was one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Course:
    """All that decides a training, the same in every process."""

    config: TrainConfig
    items: Items
    steps: Steps


def fit(
    course: Course,
    *,
    reporter: Reporter,
    peers: Peers | None = None,
    start: Path | None = None,
    meta: dict[str, Any] | None = None,
    rollouts: Rollouts | None = None,
) -> History:
    """Train a network from `start`, or from random weights, to the last step.

    Every process calls it alike. On CPUs the weights do not depend on how many there are, nor on
    interruptions: bit for bit.

    Parameters
    ----------
    start : a folder that `State.save` wrote.
    meta : kept in the checkpoint.
    rollouts : runs them; default here, one after the other.

    Returns
    -------
    One record a validation: step, epoch, seconds; the learner's measures, means since the last
    validation, as train_...; the mean ratios to HEFT on the validation problems, val_makespan and
    val_turnaround, each also _guarded; `score`, by which the best one is chosen; and `shares`, of
    the first process's time since it started, see `Stopwatch`.

    Raises
    ------
    Diverged
        Naming the step and the samples: a gradient that is no number, or schedules far from HEFT's.
    InvalidInput
        If `start` is beyond the last step, and was not validated.
    """
    peers, config = peers or Peers(), course.config
    row = get_network(config.network)
    state = new_state(config, peers.device) if start is None else State.load(start, config, peers)
    if state.step >= course.steps.total and state.last_validated != state.step:
        raise InvalidInput(f"{state.step} steps are done already; give more --steps or --epochs")
    watch = Stopwatch()
    runner = _Runner(course, peers, rollouts or _here, watch)
    validation = course.items.validation()
    began, before = time.monotonic(), state.seconds
    with one_thread(), runner:
        if not state.step:
            first = validated(_scheduler(row, config, state), validation, config, peers)
            ratios = {f"val_{name}": first[f"val_{name}"] for name in MEASURES}
            state.begun = {name: ratio for name, ratio in ratios.items() if ratio is not None}
        while state.step < course.steps.total:
            measures = runner.step(state)
            state.step += 1
            state.seconds = before + time.monotonic() - began
            reporter.step(state.step, measures)
            record = None
            if course.steps.checked(state.step - 1):
                record = {
                    "step": state.step,
                    "epoch": round(course.steps.epoch(state.step - 1), 4),
                    "seconds": round(state.seconds, 2),
                    **state.means(),
                    **validated(_scheduler(row, config, state), validation, config, peers),
                    "shares": watch.shares(),
                }
                _check(record, state)
                state.note(record)
            if record is not None or runner.checkpoint_due(reporter):
                reporter.checkpoint(record, functools.partial(state.save, config, meta or {}))
    return state.history


def best_record(history: History) -> Record:
    """Return the record of the validation with the least score, the earlier one on a tie."""
    best: Record = min(history, key=lambda record: record[SCORE])
    return best


class Stopwatch:
    """Where the time of the training thread goes.

    Parts: waiting for data (drawing, reading and encoding it, which another thread does ahead),
    rollouts, forward, backward, waiting for the peers, optimiser.
    """

    def __init__(self) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)

    @contextlib.contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Count the time of the block for a part."""
        begin = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] += time.perf_counter() - begin

    def shares(self) -> dict[str, float]:
        """Return each part's share of all parts."""
        total = sum(self.seconds.values()) or 1.0
        return {name: round(value / total, 4) for name, value in self.seconds.items()}


class _Runner:
    """Takes steps: this process's share of the gradients, everybody's sum, one optimiser step.

    The problems of the next step are drawn or read, and encoded, in a thread of their own.
    """

    def __init__(self, course: Course, peers: Peers, rollouts: Rollouts, watch: Stopwatch) -> None:
        config = course.config
        self._course, self._peers, self._watch = course, peers, watch
        self._rollouts = rollouts
        self._reader = ThreadPoolExecutor(1)
        self._ahead: dict[int, Future[dict[int, list[Any]]]] = {}
        row = get_network(config.network)
        settings = network_config(config.network, config.network_options)
        options = {"rollouts": config.rollouts, "mse_weight": config.mse_weight}
        self._learners = {name: make(settings, **options) for name, make in row.objectives.items()}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._reader.shutdown(wait=False, cancel_futures=True)

    def learner(self, step: int) -> tuple[str, Learner]:
        """Return the objective of a step and its learner."""
        config = self._course.config
        name = "imitation" if step < config.imitation_steps else str(config.objective)
        return name, self._learners[name]

    def step(self, state: State) -> dict[str, float]:
        """Take one; return the means of the learner's measures."""
        course, config = self._course, self._course.config
        batches = course.steps.micro_batches(state.step)
        _, learner = self.learner(state.step)
        size = sum(parameter.numel() for parameter in state.network.parameters())
        with self._watch.part("data"):
            encoded = self._encoded(state.step)
        rows = {k: self._micro_batch(state, learner, batches[k], own) for k, own in encoded.items()}
        width = size + 1 + len(learner.measures)
        with self._watch.part("peers"):
            # In the plan's order: the last bits of a sum depend on it.
            total = self._peers.together(rows, len(batches), width).sum(axis=0)
        weight, measures = total[size], total[size + 1 :]
        if not np.isfinite(total).all():
            samples = ", ".join(str(k) for batch in batches for k in batch[:3])
            raise Diverged(
                f"training diverged in step {state.step + 1} (samples {samples}, …): the gradient "
                "is no number; lower the learning rate"
            )
        with self._watch.part("optimiser"):
            _apply(state, config, total[:size] / weight, course.steps.total)
        means = dict(zip(learner.measures, (measures / weight).tolist(), strict=True))
        state.add(means)
        return means

    def _encoded(self, step: int) -> dict[int, list[Any]]:
        """Return this process's micro-batches of a step, and have those of the next one made."""
        for number in (step, step + 1):
            if number not in self._ahead and number < self._course.steps.total:
                self._ahead[number] = self._reader.submit(self._encode, number)
        return self._ahead.pop(step).result()

    def _encode(self, step: int) -> dict[int, list[Any]]:
        steps, items = self._course.steps, self._course.items
        name, learner = self.learner(step)
        ranks = dealt(steps.costs(step), self._peers.world)
        return {
            k: [learner.encode(items.item(one, imitated=name == "imitation")) for one in batch]
            for k, batch in enumerate(steps.micro_batches(step))
            if ranks[k] == self._peers.rank
        }

    def _run_rollouts(self, jobs: Sequence[RolloutJob]) -> Sequence[FloatArray]:
        with self._watch.part("rollouts"):
            return self._rollouts(jobs)

    def _micro_batch(
        self, state: State, learner: Learner, batch: Sequence[int], encoded: Sequence[Any]
    ) -> np.ndarray:
        """Return gradient, weight and sums of a micro-batch as one vector."""
        config = self._course.config
        streams = [
            np.random.default_rng([config.seed, state.step, k, stream("rollouts")]) for k in batch
        ]
        state.network.train()
        state.network.zero_grad(set_to_none=True)
        before = self._watch.seconds["rollouts"]
        with self._watch.part("forward"):
            loss = learner.loss(state.network, encoded, streams, self._run_rollouts)
        self._watch.seconds["forward"] -= self._watch.seconds["rollouts"] - before
        with self._watch.part("backward"):
            loss.total.backward()  # type: ignore[no-untyped-call]
        gradient = [
            np.zeros(parameter.numel())
            if parameter.grad is None
            else parameter.grad.detach().cpu().double().numpy().ravel()
            for parameter in state.network.parameters()
        ]
        sums = [loss.sums[measure] for measure in learner.measures]
        return np.concatenate([*gradient, [loss.weight], sums])

    def checkpoint_due(self, reporter: Reporter) -> bool:
        """Return what the first process says, so that all report equally often."""
        mine = {0: np.array([float(reporter.wants_checkpoint())])} if not self._peers.rank else {}
        return bool(self._peers.together(mine, 1, 1)[0, 0])


def _apply(state: State, config: TrainConfig, gradient: np.ndarray, steps: int) -> None:
    first = 0
    for parameter in state.network.parameters():
        part = gradient[first : first + parameter.numel()].reshape(tuple(parameter.shape))
        parameter.grad = torch.from_numpy(part.astype(np.float32)).to(parameter.device)
        first += parameter.numel()
    if config.gradient_clip:
        nn.utils.clip_grad_norm_(state.network.parameters(), config.gradient_clip)
    rate = float(config.learning_rate or 0) * _share(str(config.schedule), state.step / steps)
    for group in state.optimizer.param_groups:
        group["lr"] = rate
    state.optimizer.step()
    with torch.no_grad():
        for mean, newest in zip(state.mean.parameters(), state.network.parameters(), strict=True):
            mean.lerp_(newest, float(config.ema or 1))


def _share(schedule: str, done: float) -> float:
    """Return the share of the learning rate that is left after a share of the steps."""
    if schedule == "root":
        return max(math.sqrt(1.0 - done), LEAST_RATE)
    if schedule == "cosine":
        return max(0.5 * (1.0 + math.cos(math.pi * done)), LEAST_RATE)
    return 1.0


def _scheduler(row: Network, config: TrainConfig, state: State) -> Callable[..., Any]:
    settings = network_config(config.network, config.network_options)
    return functools.partial(row.from_module, state.mean.eval(), settings)


def _check(record: Record, state: State) -> None:
    """Stop a training whose schedules, of either objective, are far worse than at the start."""
    for name, begun in state.begun.items():
        ratio = record[name]
        if not ratio <= DIVERGED * begun:
            what = name.removeprefix("val_")
            raise Diverged(
                f"training diverged by step {state.step}: on the validation problems the {what} is "
                f"{ratio:.3g} times HEFT's, and was {begun:.3g} times at the start; lower the "
                "learning rate"
            )


def _here(jobs: Sequence[RolloutJob]) -> Sequence[FloatArray]:
    return [job.decode(job) for job in jobs]
