"""The network `deepsched` as a scheduler on a CPU; torch is not needed."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import safetensors.numpy

from baselines.errors import InvalidInput
from baselines.heft import heft
from baselines.metrics import makespan, mean_turnaround
from baselines.schedule import make_schedule
from model.checkpoint_files import CONFIG, WEIGHTS, read_files
from model.guided.balance import applies, balanced
from model.guided.decode import guided_schedule
from model.guided.forward import expected_shapes, seen
from model.guided.graph import DECODES, OBJECTIVES
from model.guided.justify import justified
from model.guided.search import climb, sample, thread_count

if TYPE_CHECKING:
    from collections.abc import Mapping

    from baselines.problem import Problem
    from baselines.schedule import Schedule
    from model.guided.graph import Float32Array

NAME = "deepsched"
PRETRAINED = Path(__file__).parent / "pretrained"  # trained on generated graphs only
PRETRAINED_FEW, PRETRAINED_TURNAROUND = PRETRAINED / "topk", PRETRAINED / "turnaround"
A_PUSH = 8  # one in so many samples is pushed to and fro, in the time of two others
MEASURES = dict(zip(OBJECTIVES, (makespan, mean_turnaround), strict=True))


class GuidedScheduler:
    """A trained network and its decoder, called like any other scheduler.

    Attributes
    ----------
    name : `deepsched`.
    meta : what was saved with the network.
    """

    name = NAME

    def __init__(
        self,
        weights: Mapping[str, Float32Array],
        *,
        meta: Mapping[str, Any] | None = None,
        decode: str = "full",
        objective: str = "makespan",
        samples: int = 1,
        budget: float = 0.0,
        guard: bool = True,
        threads: int | None = None,
    ) -> None:
        """Prepare a scheduler.

        Parameters
        ----------
        weights : of `DeepSchedNetwork`, by name.
        decode : one of `DECODES`, how many machines are looked at for a task.
        objective : one of `OBJECTIVES`, what is to be short.
        samples : schedules decoded from one forward pass; the best is kept. For the makespan a
            quarter of that work pushes an eighth of them, the best, to and fro.
        budget : s for everything, of which what is left after the samples is spent on a search from
            the best of them; 0: no search. What takes longer without one takes longer with it.
        guard : HEFT is run too, and the better schedule returned.
        threads : that decode; default: one a CPU.
        """
        if objective not in OBJECTIVES:
            raise ValueError(f"objective {objective!r}; one of: {', '.join(OBJECTIVES)}")
        if decode not in DECODES:
            raise ValueError(f"decode {decode!r}; one of: {', '.join(DECODES)}")
        if samples < 1 or budget < 0:
            raise ValueError("samples ≥ 1, budget ≥ 0")
        self.meta = dict(meta or {})
        self._weights = dict(weights)
        self._objective, self._decode = objective, decode
        self._samples, self._budget, self._guard = samples, budget, guard
        self._threads = threads or thread_count()

    @classmethod
    def load(
        cls, folder: Path | str | None = None, *, decode: str | None = None, **options: Any
    ) -> GuidedScheduler:
        """Read a checkpoint, to be decoded as it was trained if nothing is said.

        Parameters
        ----------
        folder : default: of the three that come with the package the one made for the decoding and
            the objective.

        Raises
        ------
        InvalidInput
            Naming the file: missing, damaged, of another network or an older version of this one.
        """
        if folder is None:
            folder = PRETRAINED
            if decode not in (None, "full"):
                folder = PRETRAINED_FEW
            elif options.get("objective") == "turnaround":
                folder = PRETRAINED_TURNAROUND
        folder = Path(folder)
        document, data = read_files(folder)
        if document["network"] != NAME:
            raise InvalidInput(f"{folder}: network {document['network']!r}; {NAME!r} expected")
        try:
            weights = safetensors.numpy.load(data)
        except safetensors.SafetensorError as error:
            raise InvalidInput(f"{folder / WEIGHTS}: not a safetensors file: {error}") from None
        if {key: value.shape for key, value in weights.items()} != expected_shapes(weights):
            raise InvalidInput(f"{folder / WEIGHTS}: of another version of the network")
        decode = decode or document["config"].get("decode", "full")
        if decode not in DECODES:
            raise InvalidInput(
                f"{folder / CONFIG}: decode is {decode!r}; one of: {', '.join(DECODES)}"
            )
        return cls(weights, meta=document["meta"], decode=decode, **options)

    def with_options(self, **options: Any) -> GuidedScheduler:
        """Return a scheduler of the same network and decoding, with options as in `__init__`."""
        return GuidedScheduler(self._weights, meta=self.meta, decode=self._decode, **options)

    def without_network(self) -> GuidedScheduler:
        """Return the same decoder and search with all outputs of the network 0: the control."""
        weights = {
            key: np.zeros_like(value) if key.startswith(("leave.", "machine_leave.")) else value
            for key, value in self._weights.items()
        }
        return GuidedScheduler(
            weights,
            decode=self._decode,
            objective=self._objective,
            samples=self._samples,
            budget=self._budget,
            guard=self._guard,
            threads=self._threads,
        )

    def __call__(self, problem: Problem, rng: np.random.Generator | None = None) -> Schedule:
        """Schedule one problem; independent tasks are also balanced by moves and swaps.

        Deterministic for a given `rng` and no budget; without `rng` its seed is 0.
        """
        begin = time.perf_counter()
        view, outputs, hidden = seen(self._weights, problem, self._objective, self._decode)
        seed = 0 if rng is None else int(rng.integers(2**63))
        measure = MEASURES[self._objective]
        pushed = self._samples // A_PUSH if self._objective == "makespan" else 0
        drawn = [outputs]
        if self._samples > 1:
            drawn = sample(
                problem, view, outputs, hidden, self._samples - 2 * pushed, seed, self._threads
            )
        outputs = drawn[0]
        once = time.perf_counter()
        start = guided_schedule(problem, view, outputs, NAME)
        once = time.perf_counter() - once
        value = measure(problem, start)
        if self._guard:
            other = heft(problem)
            if measure(problem, other) < value:
                start = _renamed(other)
                if self._decode == "full":
                    # Zeros are HEFT itself: a climb goes on from there.
                    outputs, value = np.zeros_like(outputs), measure(problem, other)
        best = start
        for k in range(pushed):
            own = start if k == 0 else guided_schedule(problem, view, drawn[k], NAME)
            best = min(best, justified(problem, own), key=_makespan)
        left = self._budget - (time.perf_counter() - begin)
        if self._objective == "makespan" and applies(problem):
            return balanced(problem, best, left, seed, self._threads)
        # After a search its result is decoded, and pushed back and forth like that of samples.
        left -= once * (3 if pushed else 1)
        if left > 0:
            outputs, _ = climb(problem, view, outputs, value, left, seed, self._threads)
            found = guided_schedule(problem, view, outputs, NAME)
            if pushed:
                found = justified(problem, found)
            if measure(problem, found) <= measure(problem, best):
                best = found
        return best


def _makespan(schedule: Schedule) -> float:
    return schedule.makespan


def _renamed(schedule: Schedule) -> Schedule:
    return make_schedule(NAME, schedule.proc, schedule.ast, schedule.aft)
