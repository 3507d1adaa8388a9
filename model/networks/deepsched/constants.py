"""Outputs for large problems: the same for all tasks, the best of some on the first tasks.

Where machines have many tasks each, a network that learned on few brings no more, and constants
come without a forward pass. Which of some suit a problem shows soon: they are tried on the first
tasks of HEFT's order, of which the second half tells, machines being busy by then; the least mean
AFT wins.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from deepsched.baselines.errors import InvalidInput
from deepsched.baselines.ranks import heft_order
from deepsched.model.networks.deepsched import _decode_kernels
from deepsched.model.networks.deepsched.concurrency import pool
from deepsched.model.networks.deepsched.decode import OUTPUTS, kernel_arguments

if TYPE_CHECKING:
    from collections.abc import Mapping

    from deepsched.baselines.problem import Problem
    from deepsched.model.networks.deepsched.features import DecoderView, Float32Array

# Constants are tried on more tasks than this, where each machine has so many.
LARGE, PER_MACHINE = 1_000, 100
# They are tried on this share of the tasks, and no more than so many.
FIRST_SHARE, FIRST = 0.2, 4_000
KEPT_AS = "constants"  # in a checkpoint's `meta`


def constants_of(meta: Mapping[str, Any]) -> Float32Array | None:
    """Return (k, outputs - 1), the constants that were kept with a network; None if none were.

    They are optimistic cost, cost and affinity: a priority alike for all tasks changes nothing.

    Raises
    ------
    InvalidInput
        If they are not rows of so many finite numbers.
    """
    if meta.get(KEPT_AS) is None:
        return None
    width = len(OUTPUTS) - 1
    try:
        found = np.array(meta[KEPT_AS], np.float32)
    except (TypeError, ValueError, OverflowError):
        found = np.zeros(0, np.float32)
    if found.ndim != 2 or found.shape[1] != width or not found.size or not np.isfinite(found).all():
        raise InvalidInput(f"meta.{KEPT_AS}: not rows of {width} numbers each")
    return found


def is_large(problem: Problem) -> bool:
    """Return whether constants suit a problem about as well as what a network says of it."""
    n, p = problem.etc.shape
    return n > LARGE and n >= PER_MACHINE * p


def best_constants(
    problem: Problem, view: DecoderView, constants: Float32Array, threads: int
) -> Float32Array:
    """Return (n, outputs): for all tasks the constants that suit the first of them best.

    The result does not depend on the threads.

    Parameters
    ----------
    constants : (k, outputs - 1), of all outputs but the priority.
    """
    n = problem.n_tasks
    first = heft_order(problem, view.rank)[: max(1, min(FIRST, round(FIRST_SHARE * n)))]
    arguments = kernel_arguments(problem, view)

    def run(weights: Float32Array) -> float:
        return float(_decode_kernels.first_finish(weights, first, *arguments))

    found = list(pool(threads).map(run, constants) if threads > 1 else map(run, constants))
    outputs = np.zeros((n, len(OUTPUTS)), np.float32)
    outputs[:, 1:] = constants[int(np.argmin(found))]
    return outputs
