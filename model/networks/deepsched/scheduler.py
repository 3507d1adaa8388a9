"""The network `deepsched` as a scheduler on a CPU; torch is not needed."""

from __future__ import annotations

import copy
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import safetensors.numpy

from deepsched.baselines.balancing import applies, balanced
from deepsched.baselines.bounds import enough
from deepsched.baselines.errors import InvalidInput
from deepsched.baselines.forward_backward import forward_backward_improvement
from deepsched.baselines.objectives import BOUNDS, MEASURES
from deepsched.baselines.reinsertion import KICKS, anneal, descend
from deepsched.baselines.reversal import mirrored, reversed_problem
from deepsched.baselines.settings import parse_settings
from deepsched.model.checkpoint_files import CONFIG, WEIGHTS, read_files
from deepsched.model.networks.deepsched.concurrency import (
    Done,
    Pending,
    beside,
    in_background,
    thread_count,
)
from deepsched.model.networks.deepsched.constants import best_constants, constants_of, is_large
from deepsched.model.networks.deepsched.decode import (
    OUTPUTS,
    decode_best,
    decode_schedule,
    heft_within,
)
from deepsched.model.networks.deepsched.features import decoder_view, task_costs
from deepsched.model.networks.deepsched.forward import ALL, expected_shapes, forward_pass, layers_of
from deepsched.model.networks.deepsched.options import (
    DECODES,
    NAME,
    DeepSchedOptions,
    default_samples,
)
from deepsched.model.networks.deepsched.report import Report
from deepsched.model.networks.deepsched.search import hill_climb, sample

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from deepsched.baselines.arrays import BoolArray
    from deepsched.baselines.problem import Problem
    from deepsched.baselines.schedule import Schedule
    from deepsched.model.networks.deepsched.features import (
        DecoderView,
        Float32Array,
        GraphView,
        TaskCosts,
    )

PRETRAINED = Path(__file__).parent / "pretrained"  # trained on generated graphs only
PRETRAINED_TOPK, PRETRAINED_TURNAROUND = PRETRAINED / "topk", PRETRAINED / "turnaround"
# One in so many samples is improved, in the time of so many others: by a forward-backward pass, and
# up to `MOST_LARGER` tasks by re-insertions.
SAMPLES_PER_PUSHED, SAMPLES_OF_PUSHED = 8, 2
SAMPLES_PER_DESCENT, SAMPLES_OF_DESCENT = 32, 12
STEPS_AFTER_SAMPLES, LEAST_STEPS = 120, 15
# Up to `MOST_ALL_HEADS` tasks a sample takes the time of two or three re-insertions, not of ten:
# more of them, fewer of these, and one head from the end are better.
STEPS_OF_FEW, SAMPLES_OF_FEW = 90, 20
MOST_DESCENDED, LEAST_SAMPLES = 400, 4
# Of the reversed problem so many heads are decoded; the network on it costs like some samples.
BACKWARD_HEADS, SAMPLES_OF_SIDE = 2, 5
# The best head's outputs are also decoded this many times as large, one after the other.
STRETCHES = np.array([[5, 1, 1, 1], [3, 3, 3, 3], [0.5, 0.5, 0.5, 0.5]], np.float32)
FEW_STRETCHES = 2
# To try constants on the first tasks, and to decode the best; at either end.
SAMPLES_OF_CONSTANTS = 2
# A sample; those of the mean turnaround take less. One pass has those of so many samples.
TURNAROUND_STEPS, TURNAROUND_SAMPLES = 13, 6
# One pass over up to `MOST_ALL_HEADS` tasks decodes all heads, and re-insertions follow; over more
# the first ones, and beyond `MOST_DESCENDED` come a forward-backward pass and re-insertions without
# kicks. Guarded, it sees both ends of up to `MOST_SEEN_TWICE` tasks. Over more than
# `MOST_DESCENDED` on over `FEW_MACHINES` it is one decode up to `MOST_QUICK` tasks: the paper's
# smallest problem has 486 on 188, and is to take a millisecond.
LARGER_HEADS, LARGER_BACKWARD = 2, 1
FEW_STEPS, STEPS_OF_TASKS, PLAIN_STEPS, FIXED_STEPS = 10, 500, 16, 32
MOST_ALL_HEADS, MOST_QUICK, MOST_SEEN_TWICE, MOST_LARGER = 100, 500, 1_000, 10_000
FEW_MACHINES = 64
LEAST_SHARED = 2_000  # tasks x machines from which on another thread is asked
WARM_UP = 0.05  # s
# Of a search so much is hill climbing, and at most half; the rest anneals.
CLIMB, CLIMB_SHARE = 0.05, 0.05  # s, and of the time there is


def pretrained_folder(decode: str | None, objective: str) -> Path:
    """Return the checkpoint of the package that was made for a decoding and an objective."""
    if decode not in (None, "full"):
        return PRETRAINED_TOPK
    return PRETRAINED_TURNAROUND if objective == "turnaround" else PRETRAINED


def _one_head(n: int, p: int) -> bool:
    """Return whether one pass over so many tasks and machines has time for one head only."""
    return n > MOST_DESCENDED and (p > FEW_MACHINES or n > MOST_LARGER)


def _fixed(problem: Problem) -> bool:
    """Return whether each task has one machine that can hold it, as in a job shop."""
    # The first task says no of nearly all others, in no time.
    for etc in (problem.etc[:1], problem.etc):
        if np.count_nonzero(np.isfinite(etc)) > len(etc):
            return False
    return problem.n_machines > 1


class Effort(NamedTuple):
    """What is done beyond one decode of the network's outputs.

    Attributes
    ----------
    stretches : how many of `STRETCHES` are tried at each end.
    backward : heads that are decoded for the reversed problem.
    borrowed : whether they are the problem's own, averaged over its tasks; else the network is
        asked again.
    samples : decodes around the best of them.
    improved : how many of the best are improved.
    pushed : whether by a forward-backward pass.
    steps : and by how many re-insertions.
    kicks : of these so large a share moves several tasks.
    """

    stretches: int = 0
    backward: int = 0
    borrowed: bool = False
    samples: int = 1
    improved: int = 0
    pushed: bool = False
    steps: int = 0
    kicks: float = KICKS


class Side(NamedTuple):
    """A problem seen from its beginning or from its end, and what the network says of it.

    Attributes
    ----------
    whole : the problem of which schedules are wanted.
    problem : the one that is decoded: the same, or reversed.
    view : of it, for the decoder.
    heads : (heads, n, outputs), of those that are decoded.
    hidden : (n, w) the last hidden state; None where no network was asked.
    seconds : s for the view and the outputs.
    """

    whole: Problem
    problem: Problem
    view: DecoderView
    heads: Float32Array
    hidden: Float32Array | None
    seconds: float

    def decoded(self, outputs: Float32Array) -> Schedule:
        """Return the schedule of `problem` that outputs mean."""
        return decode_schedule(self.problem, self.view, outputs, NAME)

    def ahead(self, decoded: Schedule) -> Schedule:
        """Return the schedule of `whole` that one of `problem` means."""
        return decoded if self.problem is self.whole else mirrored(self.whole, decoded)

    def best(self, stretches: Float32Array) -> tuple[Float32Array, Schedule]:
        """Return the outputs of the best head, as they are or stretched, and their schedule."""
        return decode_best(self.problem, self.view, self.heads, NAME, stretches)


class Decoded(NamedTuple):
    """The best head of a side.

    Attributes
    ----------
    outputs : of this head.
    start : the schedule of the whole problem that they mean.
    value : the objective, s, of the schedule of the side's problem that they mean.
    once : s that one decode takes at most, about.
    """

    side: Side
    outputs: Float32Array
    start: Schedule
    value: float
    once: float


class DeepSchedScheduler:
    """A trained network and its decoder, called like any other scheduler.

    Attributes
    ----------
    name : `deepsched`.
    meta : what was saved with the network.
    options : how it schedules.
    """

    def __init__(
        self,
        weights: Mapping[str, Float32Array],
        options: DeepSchedOptions | None = None,
        *,
        meta: Mapping[str, Any] | None = None,
    ) -> None:
        """Prepare a scheduler.

        Parameters
        ----------
        weights : of `DeepSchedNetwork`, by name.
        options : default: as many samples as the size allows, guarded, for the makespan, all
            machines being candidates. For the makespan a part of the samples' work goes into the
            best of them: forward-backward improvement, and where tasks are few re-insertions.
        """
        self.name = NAME
        self.meta = dict(meta or {})
        self._weights = dict(weights)
        self._layers = layers_of(weights)
        self._speaks = bool(self._layers.leave.any() or self._layers.leave_bias.any())
        self._constants = constants_of(self.meta)
        self._choose(options or DeepSchedOptions())

    def _choose(self, options: DeepSchedOptions) -> None:
        self.options = options
        self._decode = options.decode or DECODES[0]
        self._threads = options.threads or thread_count()

    @classmethod
    def load(cls, folder: Path | str | None = None, **options: Any) -> DeepSchedScheduler:
        """Read a checkpoint.

        Parameters
        ----------
        folder : default: of the three that come with the package the one made for the decoding and
            the objective.
        options : fields of `DeepSchedOptions`.

        Raises
        ------
        InvalidInput
            Naming the option that is unknown or out of range, or the file: missing, damaged, of
            another network or an older version of this one.
        """
        chosen = parse_settings(DeepSchedOptions, options, f"options of {NAME}")
        folder = Path(folder or pretrained_folder(chosen.decode, chosen.objective))
        document, data = read_files(folder)
        if document["network"] != NAME:
            raise InvalidInput(f"{folder}: network {document['network']!r}; {NAME!r} expected")
        try:
            weights = safetensors.numpy.load(data)
        except safetensors.SafetensorError as error:
            raise InvalidInput(f"{folder / WEIGHTS}: not a safetensors file: {error}") from None
        if {key: value.shape for key, value in weights.items()} != expected_shapes(weights):
            raise InvalidInput(f"{folder / WEIGHTS}: of another version of the network")
        for key, value in weights.items():
            if not np.isfinite(value).all():
                raise InvalidInput(
                    f"{folder / WEIGHTS}: tensor {key!r} holds NaN or infinite values"
                )
        decode = chosen.decode or document["config"].get("decode", DECODES[0])
        if decode not in DECODES:
            raise InvalidInput(
                f"{folder / CONFIG}: decode is {decode!r}; one of: {', '.join(DECODES)}"
            )
        try:
            return cls(weights, replace(chosen, decode=decode), meta=document["meta"])
        except InvalidInput as error:
            raise InvalidInput(f"{folder / CONFIG}: {error}") from None

    def with_options(self, **options: Any) -> DeepSchedScheduler:
        """Return a scheduler of the same network with other values of some options.

        Raises
        ------
        InvalidInput
            Naming the option that is unknown or out of range.
        """
        now = {name: getattr(self.options, name) for name in self.options.__dataclass_fields__}
        found = copy.copy(self)  # a service asks for it with each request
        found._choose(  # noqa: SLF001 - our own
            parse_settings(DeepSchedOptions, now | options, f"options of {NAME}")
        )
        return found

    def shortened(self) -> DeepSchedScheduler:
        """Return the same scheduler with a search that is over soon, to be compiled by.

        It tries constants on problems of any size.
        """
        return self.with_options(budget=min(self.options.budget, WARM_UP), compiling=True)

    def without_network(self) -> DeepSchedScheduler:
        """Return the same decoder and search with one head, whose outputs are 0: the control."""
        weights = {
            key: np.zeros_like(value[: len(OUTPUTS)]) if key.startswith("leave.") else value
            for key, value in self._weights.items()
        }
        return DeepSchedScheduler(weights, self.options)

    def schedule_batch(
        self, problems: Sequence[Problem], rngs: Sequence[np.random.Generator] | None = None
    ) -> list[Schedule]:
        """Schedule problems one after the other: compiled, it gains nothing from batches."""
        streams = [None] * len(problems) if rngs is None else rngs
        return [self(problem, rng) for problem, rng in zip(problems, streams, strict=True)]

    def agreement(self, problem: Problem, target: Schedule) -> None:
        """Return None: the network biases a rule, it predicts no schedule."""

    def forward(
        self, problem: Problem, heads: slice = ALL, costs: TaskCosts | None = None
    ) -> tuple[GraphView, Float32Array, Float32Array]:
        """Return a problem's view for the decoder, some heads' outputs, and the last hidden state.

        They are (heads, n, outputs) and (n, w).

        Parameters
        ----------
        costs : of the problem's ETC matrix, if they are known.
        """
        objective, decode = self.options.objective, self._decode
        return forward_pass(self._layers, problem, objective, decode, heads, costs)

    def samples_for(self, problem: Problem) -> int:
        """Return how many schedules are decoded from one forward pass."""
        return self.options.samples or default_samples(problem.n_tasks, problem.n_machines)

    def heads_for(self, problem: Problem) -> slice:
        """Return which of the network's heads are decoded: of large problems one or two."""
        heads = self._layers.heads
        n, p = problem.etc.shape
        if self._descends(problem):
            short, single = self.options.objective == "makespan", self.samples_for(problem) == 1
            fewer = self._hurries(problem) or (short and single and n > MOST_ALL_HEADS)
            return slice(0, min(heads, LARGER_HEADS) if fewer else heads)
        return slice(0, 1 if _one_head(n, p) else min(heads, LARGER_HEADS))

    def __call__(
        self,
        problem: Problem,
        rng: np.random.Generator | None = None,
        *,
        stop: BoolArray | None = None,
        report: Report | None = None,
    ) -> Schedule:
        """Schedule one problem; independent tasks are also balanced by moves and swaps.

        Deterministic for a given `rng` and no budget; without `rng` its seed is 0. Samples and
        search end where the lower bound on what is made short is reached.

        Parameters
        ----------
        stop : (1,) set by somebody else, it ends samples and search within milliseconds; the best
            so far is returned.
        report : is told what the run finds, and where its time goes.
        """
        begin = time.perf_counter()
        report = report or Report(heft_wanted=False)
        found = self._scheduled(problem, rng, stop, report, begin)
        report.decode = time.perf_counter() - begin - (report.network or 0.0)
        return found

    def _scheduled(
        self,
        problem: Problem,
        rng: np.random.Generator | None,
        stop: BoolArray | None,
        report: Report,
        begin: float,
    ) -> Schedule:
        options = self.options
        samples = self.samples_for(problem)
        stop = np.zeros(1, dtype=np.bool_) if stop is None else stop
        effort = self._effort(problem, samples)
        measure = MEASURES[options.objective]
        front, head, heft = self._both_ends(problem, effort, report)
        side, outputs, start, value = head.side, head.outputs, head.start, head.value
        seed = 0 if rng is None else int(rng.integers(2**63))
        least = -np.inf
        if samples > 1 or options.budget > 0:
            bound = BOUNDS[options.objective](problem)
            report.bound = bound if options.objective == "makespan" else None
            least = enough(bound)
        drawn, drawn_from = [outputs], side
        if effort.samples > 1:
            drawn = sample(
                side.problem,
                side.view,
                outputs,
                side.hidden,
                effort.samples,
                max(effort.improved, 1),
                seed,
                self._threads,
                least,
                stop,
            )
            outputs, decoded = drawn[0], side.decoded(drawn[0])
            value = measure(side.problem, decoded)
            start = min(start, side.ahead(decoded), key=lambda one: measure(problem, one))
        if heft is not None and measure(problem, heft) < measure(problem, start):
            start = replace(heft, scheduler=NAME, winner=heft.scheduler)
            if self._decode == "full":
                # Zeros are HEFT itself: the search goes on from there.
                side, outputs = front.side, np.zeros_like(outputs)
                value = measure(problem, heft)
        report.better(measure(problem, start))
        if measure(problem, start) <= least:
            return start
        few = drawn[: effort.improved]
        best = self._improved(drawn_from, start, few, effort, seed, stop)
        report.better(measure(problem, best))
        if measure(problem, best) <= least or stop[0]:
            return best
        left = options.budget - (time.perf_counter() - begin)
        if options.objective == "makespan" and applies(problem):
            return balanced(problem, best, left, seed, self._threads, stop, improved=report.better)
        # After a search its result is decoded, and improved like that of samples.
        left -= front.once * (3 if effort.pushed else 1)
        if left > 0:
            deadline = time.perf_counter() + left
            outputs, _ = hill_climb(
                side.problem,
                side.view,
                outputs,
                value,
                min(left / 2, CLIMB + CLIMB_SHARE * left),
                seed,
                self._threads,
                least,
                stop,
                report.better,
            )
            found = side.ahead(side.decoded(outputs))
            if effort.pushed:
                found = forward_backward_improvement(problem, found)
            if measure(problem, found) <= measure(problem, best):
                best = found
            left = deadline - time.perf_counter()
            if left > 0 and measure(problem, best) > least and not stop[0]:
                best = anneal(
                    problem,
                    best,
                    left,
                    seed,
                    self._threads,
                    least,
                    stop,
                    report.better,
                    options.objective,
                )
        return best

    def _both_ends(
        self, problem: Problem, effort: Effort, report: Report
    ) -> tuple[Decoded, Decoded, Schedule | None]:
        """Return the best head from the beginning, that of all ends that are seen, and HEFT's."""
        costs = task_costs(problem.etc)
        n, p = problem.etc.shape
        shared = self._threads > 1 and n * p >= LEAST_SHARED
        alone = self._constants_alone(problem)
        if alone and effort.backward:
            # Without network a thread has enough to do at one end; at the other it is ready first,
            # and has time for HEFT.
            apart = n if shared else 0
            end = in_background(apart, self._other_end, problem, None, effort, costs)
            side = self._side(problem, problem, effort, costs)
            guard = in_background(apart, self._heft, problem, side.view, end, report)
            front = self._decoded(side, STRETCHES[: effort.stretches])
        else:
            side = self._side(problem, problem, effort, costs)
            if effort.backward:
                other = (problem, side, effort, costs)
                end = beside(self._other_end, *other) if shared else Done(self._other_end(*other))
            front = self._decoded(side, STRETCHES[: effort.stretches])
            guard = Done(self._heft(problem, side.view, Done(front), report))
        back = end.result() if effort.backward else None
        report.network = front.side.seconds
        if back is not None and not (alone and shared):  # there it was meanwhile
            report.network += back.side.seconds
        measure = MEASURES[self.options.objective]
        if back is not None and measure(problem, back.start) < front.value:
            return front, back, guard.result()
        return front, front, guard.result()

    def _heft(
        self, problem: Problem, view: DecoderView, known: Pending, report: Report
    ) -> Schedule | None:
        """Return HEFT's schedule, where it may be better than the one of the end that is known."""
        if not self.options.guard:
            return None
        most = np.inf
        # Longer ones are of no use but to be told of.
        if self.options.objective == "makespan" and not report.heft_wanted:
            most = known.result().start.makespan
        found = heft_within(problem, view, most)
        report.heft = None if found is None else found.makespan
        return found

    def _other_end(
        self, problem: Problem, side: Side | None, effort: Effort, costs: TaskCosts
    ) -> Decoded:
        """Decode the reversed problem; `side` is the problem from its beginning."""
        turned, stretches = reversed_problem(problem), STRETCHES[: effort.stretches]
        if side is None or not effort.borrowed:
            return self._decoded(self._side(problem, turned, effort, costs), stretches)
        begin = time.perf_counter()
        view = decoder_view(turned, self.options.objective, self._decode, costs)
        same = side.heads[: effort.backward].mean(axis=1, keepdims=True)
        heads = np.repeat(same, problem.n_tasks, axis=1)
        seconds = time.perf_counter() - begin
        return self._decoded(Side(problem, turned, view, heads, None, seconds), stretches)

    def _decoded(self, side: Side, stretches: Float32Array) -> Decoded:
        """Decode the heads of a side, and the best of them stretched."""
        begin = time.perf_counter()
        outputs, schedule = side.best(stretches)
        # Most stretches end early: a decode to the end takes up to so long.
        once = (time.perf_counter() - begin) / len(side.heads)
        value = MEASURES[self.options.objective](side.problem, schedule)
        return Decoded(side, outputs, side.ahead(schedule), value, once)

    def _side(self, whole: Problem, problem: Problem, effort: Effort, costs: TaskCosts) -> Side:
        """Look at a problem, which is the whole one or that from its end."""
        begin = time.perf_counter()
        view, heads, hidden = self._said(whole, problem, effort, costs)
        return Side(whole, problem, view, heads, hidden, time.perf_counter() - begin)

    def _said(
        self, whole: Problem, problem: Problem, effort: Effort, costs: TaskCosts
    ) -> tuple[DecoderView, Float32Array, Float32Array | None]:
        ends = problem is not whole
        if self._constants_alone(problem):
            assert self._constants is not None
            # From the end those without optimistic cost do, which need no table, and few machines.
            few = self._constants[self._constants[:, 0] == 0]
            lean = ends and len(few) > 0
            decode, constants = ("topk", few) if lean else (self._decode, self._constants)
            view = decoder_view(problem, self.options.objective, decode, costs)
            return view, best_constants(problem, view, constants, self._threads)[None], None
        wanted = slice(0, effort.backward) if ends else self.heads_for(problem)
        seen, said, hidden = self.forward(problem, wanted, costs)
        if self._constants is not None and self._asks_constants(problem):
            more = best_constants(problem, seen, self._constants, self._threads)
            said = np.concatenate([said, more[None]])
        return seen, said, hidden

    def _asks_constants(self, problem: Problem) -> bool:
        """Return whether constants are tried, beside the network or in its place."""
        short, several = self.options.objective == "makespan", self._decode != "argmax"
        if self._constants is None or not short or not several:
            return False
        if self.options.compiling:
            return True
        return is_large(problem) and (not self._once(problem) or problem.n_tasks > MOST_LARGER)

    def _constants_alone(self, problem: Problem) -> bool:
        """Return whether there is no time for what the network says."""
        return self._asks_constants(problem) and self._once(problem) and not self.options.compiling

    def _once(self, problem: Problem) -> bool:
        return self.samples_for(problem) == 1 and not self.options.budget

    def _descends(self, problem: Problem) -> bool:
        """Return whether re-insertions may follow, and one pass has time for some heads."""
        if self.options.objective != "makespan":
            return True
        most = MOST_DESCENDED if self.samples_for(problem) == 1 else MOST_LARGER
        return problem.n_tasks <= most

    def _hurries(self, problem: Problem) -> bool:
        """Return whether re-insertions and both ends take the time of all samples there are."""
        if self.options.objective != "makespan":
            return False
        few = 1 < self.samples_for(problem) < SAMPLES_PER_DESCENT
        return few and MOST_DESCENDED < problem.n_tasks <= MOST_LARGER

    def _effort(self, problem: Problem, samples: int) -> Effort:
        """Return what is done beyond one decode, in little more time or in that of samples."""
        short, full = self.options.objective == "makespan", self._decode == "full"
        n, p = problem.etc.shape
        descends = self._descends(problem)
        wanted = self.heads_for(problem)
        heads = wanted.stop - wanted.start
        # Without edges both ends look alike; where tasks arrive, one would have to meet deadlines.
        turns = problem.n_edges > 0 and not problem.arrival.any()
        if self._constants_alone(problem):
            return Effort(backward=int(turns))
        backward = min(heads, BACKWARD_HEADS) if full and short and turns else 0
        # Zeros, as of a network that is not trained, stay what they are.
        stretches = FEW_STRETCHES if full and self._speaks else 0
        if samples == 1:
            single = _one_head(n, p)
            if not full or not self.options.guard or (single and (not short or n <= MOST_QUICK)):
                return Effort()
            if not short:
                steps = TURNAROUND_STEPS * TURNAROUND_SAMPLES
                return Effort(stretches=stretches, improved=1, steps=steps)
            if n > MOST_SEEN_TWICE:
                return Effort()
            usual = Effort(stretches, min(backward, LARGER_BACKWARD), borrowed=True)
            if _fixed(problem):
                # Only the order is open: stretched outputs bring less than moves in it.
                return usual._replace(
                    stretches=0, improved=1, pushed=True, steps=FIXED_STEPS, kicks=0.0
                )
            if n <= MOST_ALL_HEADS:
                steps = max(FEW_STEPS, STEPS_OF_TASKS // n)
                return Effort(stretches, backward, borrowed=True, improved=1, steps=steps)
            if n <= MOST_DESCENDED:
                return usual._replace(stretches=len(STRETCHES) if stretches else 0)
            steps = PLAIN_STEPS // 2 if single else PLAIN_STEPS
            return usual._replace(improved=1, pushed=True, steps=steps, kicks=0.0)
        if not short:
            improved, spent, steps = 1, TURNAROUND_SAMPLES, TURNAROUND_STEPS * samples
        elif descends:
            improved = max(1, samples // SAMPLES_PER_DESCENT)
            share = min(1.0, samples / SAMPLES_PER_DESCENT)
            spent = improved * round(share * SAMPLES_OF_DESCENT)
            steps = STEPS_AFTER_SAMPLES
            if n <= MOST_ALL_HEADS:
                steps, backward = STEPS_OF_FEW, min(backward, LARGER_BACKWARD)
                spent -= improved * round(share * SAMPLES_OF_FEW)
            steps = max(LEAST_STEPS, round(share * steps))
        else:
            improved = max(1, samples // SAMPLES_PER_PUSHED)
            spent, steps = improved * SAMPLES_OF_PUSHED, 0
        spent += heads - 1 + stretches
        if backward:
            spent += backward + stretches + SAMPLES_OF_SIDE
        if self._asks_constants(problem):
            spent += SAMPLES_OF_CONSTANTS * (2 if backward else 1)
        return Effort(
            stretches=stretches,
            backward=backward,
            samples=max(
                samples - spent, 1 if self._hurries(problem) else min(samples, LEAST_SAMPLES)
            ),
            improved=improved,
            pushed=short,
            steps=steps,
        )

    def _improved(
        self,
        side: Side,
        start: Schedule,
        drawn: list[Float32Array],
        effort: Effort,
        seed: int,
        stop: BoolArray,
    ) -> Schedule:
        """Return the best of the start, and of it and further samples improved."""
        problem, measure = side.whole, MEASURES[self.options.objective]
        best = start
        for k, outputs in enumerate(drawn):
            if stop[0]:
                break
            found = start if k == 0 else side.ahead(side.decoded(outputs))
            if effort.pushed:
                found = forward_backward_improvement(problem, found)
            if effort.steps:
                found = descend(
                    problem,
                    found,
                    effort.steps,
                    seed,
                    self.options.objective,
                    kicks=effort.kicks,
                )
            best = min(best, found, key=lambda one: measure(problem, one))
        return best
