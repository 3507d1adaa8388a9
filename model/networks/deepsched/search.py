"""More than one schedule from one forward pass: samples around the outputs, and hill climbing.

All of it works with any centre: with zeros in place of a network's outputs it is a perturbation
search around HEFT.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np

from deepsched.baselines.memory import check_memory
from deepsched.model.networks.deepsched import _decode_kernels
from deepsched.model.networks.deepsched.concurrency import pool
from deepsched.model.networks.deepsched.decode import kernel_arguments
from deepsched.model.networks.deepsched.options import OBJECTIVES, SAMPLING_NOISE

if TYPE_CHECKING:
    from collections.abc import Callable

    from deepsched.baselines.arrays import BoolArray, FloatArray
    from deepsched.baselines.problem import Problem
    from deepsched.model.networks.deepsched.features import DecoderView, Float32Array

CHUNK = 4  # samples decoded together
FEW = 64_000  # samples x tasks x machines up to which threads cost more than they bring
SLICE = 0.02  # s, after which hill-climbing threads go on from the best of all


def sample(
    problem: Problem,
    view: DecoderView,
    centre: Float32Array,
    hidden: Float32Array | None,
    count: int,
    keep: int,
    seed: int,
    threads: int,
    enough: float = -np.inf,
    stop: BoolArray | None = None,
) -> list[Float32Array]:
    """Return the best `keep` of the centre and `count` - 1 samples around it, the best first.

    The result does not depend on the threads. Samples after the first few that reach `enough`, s,
    are left out.

    Parameters
    ----------
    centre : (n, outputs).
    hidden : (n, w) what noise that like tasks share is made of; None: none is shared.
    stop : (1,) set by somebody else, it leaves out what is not begun.
    """
    objective = OBJECTIVES.index(view.objective)
    check_memory(2 * keep * centre.nbytes, f"{keep:,} samples of {len(centre):,} tasks")
    nothing = np.zeros((0, len(centre)), np.float32)
    level = nothing if hidden is None else np.ascontiguousarray(_normalised(hidden).T)
    noise = (SAMPLING_NOISE.own, SAMPLING_NOISE.shared, SAMPLING_NOISE.common)
    seeds = np.random.SeedSequence(seed).generate_state(count, np.uint64)
    seeds[0] = 0
    arguments = kernel_arguments(problem, view)
    many = threads > 1 and count * problem.etc.size > FEW
    size = CHUNK if many else count
    parts = range(0, count, size)
    last = count  # the first part known to reach `enough`: nobody asks for later ones
    lowest = np.full(keep, np.inf)

    def run(first: int) -> FloatArray | None:
        nonlocal last, lowest
        if first > last or (first and stop is not None and stop[0]):
            return None
        own = seeds[first : first + size]
        # The best of other parts end hopeless decodes early, and change nothing that is kept.
        values: FloatArray = _decode_kernels.sampled(
            centre, level, *noise, own, lowest.copy(), objective, enough, *arguments
        )
        lowest = np.sort(np.concatenate([lowest, values]))[:keep]
        if values.min() <= enough:
            last = min(last, first)
        return values

    found: list[FloatArray] = []
    # In order, whichever is ready first.
    for values in pool(threads).map(run, parts) if many else map(run, parts):
        if values is None:
            break
        found.append(values)
        if values.min() <= enough:
            break
    best = np.argsort(np.concatenate(found), kind="stable")[:keep]
    kept = []
    for k in best:
        outputs = np.empty_like(centre)
        _decode_kernels.perturbed(centre, level, *noise, seeds[k], outputs)
        kept.append(outputs)
    return kept


def hill_climb(
    problem: Problem,
    view: DecoderView,
    start: Float32Array,
    value: float,
    seconds: float,
    seed: int,
    threads: int,
    enough: float = -np.inf,
    stop: BoolArray | None = None,
    improved: Callable[[float], None] | None = None,
) -> tuple[Float32Array, float]:
    """Return outputs that are no worse than `start`, whose value is `value`, after so many seconds.

    Each thread perturbs outputs at random and keeps what is no worse; now and then all go on
    from the best. At least one perturbation is tried, unless the value is at most `enough`, s,
    which ends the search. How many fit in depends on the machine.

    Parameters
    ----------
    stop : (1,) set by somebody else, it ends the search too.
    improved : told each better value, s, some twenty milliseconds after it was found at most.
    """
    deadline = time.perf_counter() + seconds
    objective = OBJECTIVES.index(view.objective)
    states = [
        np.array([word | 1], dtype=np.uint64)
        for word in np.random.SeedSequence(seed).generate_state(threads, np.uint64)
    ]
    best, steps = start.copy(), 1  # until the speed is known
    stop = np.zeros(1, dtype=np.bool_) if stop is None else stop

    def run(state: np.ndarray) -> tuple[float, Float32Array]:
        own = best.copy()
        terms = view.terms._replace(weights=np.empty_like(view.terms.weights))
        found = _decode_kernels.hill_climb(
            own,
            value,
            objective,
            steps,
            state,
            enough,
            stop,
            *kernel_arguments(problem, view, terms),
        )
        return float(found), own

    with ThreadPoolExecutor(threads) as pool:
        while True:
            begin, before = time.perf_counter(), value
            for found, own in pool.map(run, states):
                if found <= value:
                    best, value = own, found
            if improved is not None and value < before:
                improved(value)
            now = time.perf_counter()
            if now >= deadline or value <= enough or stop[0]:
                return best, value
            rate = steps / max(now - begin, 1e-6)
            steps = max(1, min(int(rate * min(SLICE, deadline - now)), 4 * steps))


def _normalised(hidden: Float32Array) -> Float32Array:
    centred = hidden - hidden.mean(axis=1, keepdims=True)
    level: Float32Array = centred / np.sqrt((centred**2).mean(axis=1, keepdims=True) + 1e-5)
    return level
