"""Training itself: global steps over planned micro-batches, alone or with peers; no Ray."""

from __future__ import annotations

import contextlib
import functools
import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch

from deepsched.baselines.errors import InvalidInput
from deepsched.baselines.objectives import MEASURES
from deepsched.model.learning import RolloutLearner
from deepsched.model.networks import get_network, network_config
from deepsched.model.threads import one_thread
from deepsched.pipeline.training.ahead import Ahead
from deepsched.pipeline.training.gradients import Gradients, Ordered, Summed
from deepsched.pipeline.training.history import ended_early
from deepsched.pipeline.training.peers import Peers
from deepsched.pipeline.training.rollouts import rollout_streams, run_here
from deepsched.pipeline.training.schedule import take_step
from deepsched.pipeline.training.stale import Rolled, StaleRollouts
from deepsched.pipeline.training.state import State, new_state
from deepsched.pipeline.training.stopwatch import Stopwatch
from deepsched.pipeline.training.validation import validated

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from deepsched.baselines.arrays import FloatArray
    from deepsched.model.learning import Learner, Proposal, RolloutJob
    from deepsched.model.network import Network
    from deepsched.pipeline.training.ahead import Encoded
    from deepsched.pipeline.training.config import TrainConfig
    from deepsched.pipeline.training.gradients import Look
    from deepsched.pipeline.training.history import History, Record
    from deepsched.pipeline.training.items import Items
    from deepsched.pipeline.training.reporter import Reporter
    from deepsched.pipeline.training.rollouts import Rollouts
    from deepsched.pipeline.training.steps import MicroBatch, Steps

DIVERGED = 2.0  # times as long as an untrained network's schedules: so bad is no training
LARGEST = 1e4  # of a weight; the best of several heads may look passable with weights beyond it
LOST = 10.0  # times the first step's loss: so bad is no imitation
IMITATION, LOSS = "imitation", "train_loss"
NAMED = 20  # samples in a message


class Diverged(InvalidInput):
    """The training no longer learns: a number that is none, or schedules that only get worse."""


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
    start: Mapping[str, bytes] | None = None,
    meta: dict[str, Any] | None = None,
    rollouts: Rollouts | None = None,
) -> History:
    """Train a network from `start`, or from random weights, to the last step.

    Every process calls it alike. On CPUs the weights do not depend on how many there are, nor on
    interruptions: bit for bit.

    Parameters
    ----------
    start : the files of a state, see `State.files`.
    meta : kept in the checkpoint.
    rollouts : runs them; default here, one after the other.

    Returns
    -------
    One record a validation: step, epoch, seconds; the learner's measures, means since the last
    validation, as train_...; the mean ratios to HEFT on the validation problems, val_makespan and
    val_turnaround, each also _guarded; `score`, by which the best one is chosen; tasks_per_second;
    `busy`, the mean share of time in which processes did not wait for each other; and `shares`, of
    the first process's time since it started, see `Stopwatch`.

    Raises
    ------
    Diverged
        Naming the step and the samples: a gradient that is no number, or schedules far from HEFT's.
        The reporter has a state of before, if there was any step before.
    InvalidInput
        If `start` is beyond the last step, and was not validated.
    """
    peers, config = peers or Peers(), course.config
    row = get_network(config.network)
    state = State.load(start, config, peers) if start else new_state(config, peers.device)
    if state.step >= course.steps.total and state.last_validated != state.step:
        raise InvalidInput(f"{state.step} steps are done already; give more --steps or --epochs")
    watch = Stopwatch()
    validation = course.items.validation()
    with (
        one_thread(),
        _Runner(course, peers, rollouts or run_here, watch, state, meta or {}) as runner,
    ):
        began, before = time.monotonic(), state.seconds
        if not state.step:
            first, _ = validated(_scheduler(row, config, state), validation, config, peers)
            ratios = {f"val_{name}": first[f"val_{name}"] for name in MEASURES}
            state.begun = {name: ratio for name, ratio in ratios.items() if ratio is not None}
        while state.step < course.steps.total and not ended_early(state.history, config.early_stop):
            checked = course.steps.checked(state.step)
            imitates = runner.learner(state.step)[0] == IMITATION
            first_loss = imitates and LOSS not in state.begun
            look = runner.step(state, reporter, look=checked or first_loss)
            state.step += 1
            if look and first_loss:
                state.begun[LOSS] = look.measures["loss"] / look.steps
            state.seconds = before + time.monotonic() - began
            if look:
                means = {name: total / look.steps for name, total in look.measures.items()}
                reporter.step(state.step, means, state.tasks)
            record = None
            if checked:
                found, worst = validated(_scheduler(row, config, state), validation, config, peers)
                record = {
                    "step": state.step,
                    "epoch": round(course.steps.epoch(state.step - 1), 4),
                    "seconds": round(state.seconds, 2),
                    **state.means(),
                    **found,
                    "tasks_per_second": round(state.tasks / state.seconds, 1),
                    "busy": round(_busy(watch, peers), 4),
                    "shares": watch.shares(),
                }
                _check(record, state, worst, reporter, imitates=imitates)
                state.note(record)
            if record is not None or (look and look.flagged):
                reporter.checkpoint(state.step, record, runner.files(state))
    return state.history


def make_learner(config: TrainConfig, objective: str) -> Learner:
    """Return the learner of one of a network's objectives."""
    settings = network_config(config.network, config.network_options)
    make = get_network(config.network).objectives[objective]
    return make(settings, rollouts=config.rollouts, mse_weight=config.mse_weight)


class _Runner:
    """Takes steps: this process's share of the gradients, everybody's sum, one optimiser step."""

    def __init__(
        self,
        course: Course,
        peers: Peers,
        rollouts: Rollouts,
        watch: Stopwatch,
        state: State,
        meta: dict[str, Any],
    ) -> None:
        config = course.config
        self._course, self._peers, self._watch = course, peers, watch
        self._rollouts, self._meta = rollouts, meta
        row = get_network(config.network)
        self._learners = {name: make_learner(config, name) for name in row.objectives}
        self._device = torch.device(peers.device)
        gpu = self._device.type == "cuda"
        self._gradients: Gradients = (Summed if gpu else Ordered)(state.network, peers)
        self._half = config.precision == "bf16" or (config.precision is None and gpu)
        self._stack = contextlib.ExitStack()
        self._ahead = Ahead(course.items, course.steps, self.learner, peers, state.step)
        self._stack.callback(self._ahead.close)
        self._stale: StaleRollouts | None = None
        if config.staleness:
            self._stale = StaleRollouts(
                config.staleness, self._propose, rollouts, state, course.steps.total
            )
            self._stack.callback(self._stale.close)
        if config.compile:
            row.compile_parts(state.network)
        if config.deterministic and gpu:
            self._stack.enter_context(_deterministic())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def learner(self, step: int) -> tuple[str, Learner]:
        """Return the objective of a step and its learner."""
        config = self._course.config
        name = IMITATION if step < config.imitation_steps else str(config.objective)
        return name, self._learners[name]

    def files(self, state: State) -> Callable[[], dict[str, bytes]]:
        """Return what makes the files of a state."""
        return functools.partial(state.files, self._course.config, self._meta)

    def step(self, state: State, reporter: Reporter, *, look: bool) -> Look | None:
        """Take one; return what the host sees of it and those before, if it looks."""
        course, config = self._course, self._course.config
        batches = course.steps.micro_batches(state.step)
        _, learner = self.learner(state.step)
        state.network.train()
        for one in self._micro_batches(state):
            with self._watch.part("forward"):
                loss = self._loss(state, learner, batches[one.batch.k], one)
            with self._watch.part("backward"):
                self._gradients.add(one.batch.k, loss, one.batch.tasks)
        flag = not self._peers.rank and reporter.wants_checkpoint()
        # Another objective has other measures, and imitation may end with this step.
        last = self.learner(state.step + 1)[1] is not learner
        with self._watch.part("peers"):
            found = self._gradients.together(
                len(batches), learner.measures, flag=flag, look=look or last
            )
        if found and found.broken:
            self._give_up(state, found, reporter)
        with self._watch.part("optimiser"):
            take_step(state, config, course.steps.total)
        if found:
            state.add(found.measures, found.steps, found.tasks)
        return found

    def _micro_batches(self, state: State) -> Iterator[Rolled]:
        """Yield this process's micro-batches of a step."""
        if self._stale:
            with self._watch.part("data"):
                rolled = self._stale.take(state)
            yield from rolled
            return
        for k in self._ahead.mine(state.step):
            with self._watch.part("data"):
                batch = self._ahead.take(state.step, k)
            yield Rolled(batch=batch)

    def _loss(self, state: State, learner: Learner, batch: MicroBatch, one: Rolled) -> Any:
        with self._autocast():
            if one.proposal is not None and one.values is not None:
                assert isinstance(learner, RolloutLearner)
                with self._watch.part("rollouts"):
                    values = one.values.result()
                return learner.learn(state.network, one.batch.data, one.proposal, values)
            streams = rollout_streams(self._course.config, state.step, batch)
            return learner.loss(state.network, one.batch.data, streams, self._run_rollouts)

    def _propose(
        self, step: int, network: torch.nn.Module
    ) -> list[tuple[Encoded, Proposal | None]]:
        batches = self._course.steps.micro_batches(step)
        _, learner = self.learner(step)
        found: list[tuple[Encoded, Proposal | None]] = []
        for k in self._ahead.mine(step):
            batch, proposal = self._ahead.take(step, k), None
            if isinstance(learner, RolloutLearner):
                with self._watch.part("forward"), self._autocast():
                    streams = rollout_streams(self._course.config, step, batches[k])
                    proposal = learner.propose(network, batch.data, streams)
            found.append((batch, proposal))
        return found

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self._device.type, torch.bfloat16, enabled=self._half)

    def _run_rollouts(self, jobs: Sequence[RolloutJob]) -> Sequence[FloatArray]:
        with self._watch.part("rollouts"):
            return self._rollouts(jobs)

    def _give_up(self, state: State, look: Look, reporter: Reporter) -> None:
        """Say where a gradient is no number; the state before it is kept where it is still good."""
        assert look.broken
        first, rows = look.broken
        step = state.step - (look.steps - 1) + first
        batches = self._course.steps.micro_batches(step)
        named = [str(k) for row in rows for k in batches[row]]
        samples = ", ".join(named[:NAMED]) + (
            f" and {len(named) - NAMED} more" if len(named) > NAMED else ""
        )
        if look.steps == 1 and step:  # nothing has come of it yet
            reporter.checkpoint(state.step, None, self.files(state))
        raise Diverged(
            f"training diverged in step {step + 1} (samples {samples}): the gradient is no number; "
            "lower the learning rate"
        )


@contextlib.contextmanager
def _deterministic() -> Iterator[None]:
    """Let the GPU's kernels add up in a fixed order."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # or cuBLAS picks as it likes
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)


def _scheduler(row: Network, config: TrainConfig, state: State) -> Callable[..., Any]:
    settings = network_config(config.network, config.network_options)
    return functools.partial(row.from_module, state.mean.eval(), settings)


def _largest(state: State) -> float:
    """Return the largest weight, whatever its sign."""
    return max(float(weight.detach().abs().max()) for weight in state.network.parameters())


def _busy(watch: Stopwatch, peers: Peers) -> float:
    """Return the mean share of time in which processes did not wait for each other."""
    own = {peers.rank: np.array([1.0 - watch.shares().get("peers", 0.0)])}
    return float(peers.together(own, peers.world, 1).mean())


def _check(
    record: Record, state: State, worst: Mapping[str, int], reporter: Reporter, *, imitates: bool
) -> None:
    """Stop a training that gets far worse than its start in what it learns.

    That is the loss while it imitates: who imitates better may well make worse schedules, as long
    as one wrong machine in twenty holds up all that wait. Else it is the schedules of either
    objective.
    """
    said = ""
    if imitates:
        loss, begun = record[LOSS], state.begun[LOSS]
        if not loss <= LOST * begun:
            said = f"the loss is {loss:.3g}, and was {begun:.3g} in the first step"
    elif (largest := _largest(state)) > LARGEST:
        said = f"a weight is as large as {largest:.3g}"
    else:
        for name, begun in state.begun.items():
            if name != LOSS and not record[name] <= DIVERGED * begun:
                said = (
                    f"on the validation problems the {name.removeprefix('val_')} is "
                    f"{record[name]:.3g} times HEFT's, most on sample {worst[name]}, and was "
                    f"{begun:.3g} times at the start"
                )
                break
    if said:
        reporter.discard(state.last_validated)
        raise Diverged(f"training diverged by step {state.step}: {said}; lower the learning rate")
