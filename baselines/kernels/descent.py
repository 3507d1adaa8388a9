"""A few steps of re-insertion in one compiled call, which small problems spend no time around."""

from __future__ import annotations

import numpy as np

from deepsched.baselines.kernels.placement import append_schedule
from deepsched.baselines.kernels.reinsertion import (
    anneal,
    anneal_turnaround,
    empty_plan,
    empty_scratch,
    fill,
    times_of,
)
from deepsched.baselines.kernels.structures import jit


@jit
def descent(
    order,
    proc,
    steps,
    temperature,
    pull,
    kicks,
    turnaround,
    state,
    etc,
    arrival,
    preds,
    succs,
    links,
):
    """Take so many steps from a schedule: tasks in `order` on their machines.

    Writes the best one into `order` and `proc`, and returns its AST and AFT. `turnaround` says
    whether it is the mean turnaround that is made short; see `anneal` for the others.
    """
    n, p = etc.shape
    times = times_of(etc, arrival, preds, succs, links)
    plan, scratch = empty_plan(n, p), empty_scratch(n, p)
    fill(order, proc, etc, plan)
    stop = np.zeros(1, np.bool_)
    known = (proc, order, np.inf, steps, temperature, temperature)
    if turnaround:
        anneal_turnaround(*known, state, -np.inf, stop, times, plan, scratch)
    else:
        saved = empty_plan(n, p) if kicks > 0.0 else plan
        ends = (state, -np.inf, stop, times, plan, saved, scratch)
        anneal(*known, pull, kicks, *ends)
    return append_schedule(order, proc, etc, arrival, preds, links)
