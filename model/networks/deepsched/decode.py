"""From the network's outputs to schedules: one, or many at once in threads."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from deepsched.baselines.list_schedule import insert_in_order
from deepsched.baselines.ranks import heft_order
from deepsched.baselines.schedule import fresh_schedule
from deepsched.model.networks.deepsched import _decode_kernels
from deepsched.model.networks.deepsched.options import OBJECTIVES

if TYPE_CHECKING:
    from deepsched.baselines.arrays import FloatArray, IntArray
    from deepsched.baselines.kernels.placement import PlacementTerms
    from deepsched.baselines.problem import Problem
    from deepsched.baselines.schedule import Schedule
    from deepsched.model.networks.deepsched.features import DecoderView, Float32Array

OUTPUTS = ("priority", "optimistic cost", "cost", "affinity")
NO_STRETCHES = np.empty((0, len(OUTPUTS)), np.float32)


def decode_schedule(
    problem: Problem, view: DecoderView, outputs: Float32Array, scheduler: str
) -> Schedule:
    """Schedule by HEFT's rule, biased by the outputs; valid whatever they are.

    For outputs of 0 it is HEFT's own where the view was made for all machines.

    Parameters
    ----------
    outputs : (n_tasks, len(OUTPUTS)).
    """
    proc, ast, aft = _decode_kernels.decode(
        np.asarray(outputs, dtype=np.float32),
        np.inf,
        *kernel_arguments(problem, view),
    )
    return fresh_schedule(scheduler, proc, ast, aft)


def decode_best(
    problem: Problem,
    view: DecoderView,
    heads: Float32Array,
    scheduler: str,
    stretches: Float32Array = NO_STRETCHES,
) -> tuple[Float32Array, Schedule]:
    """Return the outputs whose schedule is the best by the view's objective, and that schedule.

    Parameters
    ----------
    heads : (heads, n_tasks, len(OUTPUTS)).
    stretches : (k, len(OUTPUTS)) factors by which the best outputs so far are tried, too, one row
        after the other.
    """
    outputs, proc, ast, aft = _decode_kernels.best_decode(
        heads, stretches, OBJECTIVES.index(view.objective), *kernel_arguments(problem, view)
    )
    return outputs, fresh_schedule(scheduler, proc, ast, aft)


def heft_within(problem: Problem, view: DecoderView, most: float) -> Schedule | None:
    """Return HEFT's schedule; or None, as soon as it is seen that it is longer than `most`, s.

    Nothing is seen early where links differ, or some machines only are looked at.
    """
    limit = None
    if view.candidates is None and most < np.inf:
        limit = _decode_kernels.limit_of(most, view.terms, problem.machines.links)
    found = insert_in_order(problem, heft_order(problem, view.rank), "heft", limit=limit)
    return None if found.makespan == np.inf else found


def decode_values(
    problem: Problem,
    view: DecoderView,
    centre: Float32Array,
    perturbations: Float32Array,
) -> FloatArray:
    """Return (k, 2): makespan and mean turnaround, s, for each of k perturbations of the outputs.

    Parameters
    ----------
    centre : (n_tasks, outputs), as for `decode_schedule`.
    perturbations : (k, n_tasks, outputs), added to it.
    """
    values: FloatArray = _decode_kernels.values(
        centre,
        perturbations,
        *kernel_arguments(problem, view),
    )
    return values


def kernel_arguments(
    problem: Problem, view: DecoderView, terms: PlacementTerms | None = None
) -> tuple[PlacementTerms, IntArray | None, _decode_kernels.Known]:
    """Return what the kernels take of a problem and its view, in their order.

    Parameters
    ----------
    terms : in place of the view's.
    """
    known = _decode_kernels.Known(
        rank=view.rank,
        step=view.step,
        topo_index=problem.topo_index,
        etc=problem.etc,
        arrival=problem.arrival,
        preds=problem.predecessors,
        links=problem.machines.links,
    )
    return view.terms if terms is None else terms, view.candidates, known
