"""Moves and swaps between machines, for independent tasks."""

from __future__ import annotations

import numpy as np

from deepsched.baselines.kernels.random_numbers import uniform
from deepsched.baselines.kernels.structures import jit


@jit
def balance(etc, proc, load, work):
    """Move or swap independent tasks off the fullest machine while that makes it less full.

    Each step takes the change that leaves the least larger load of the two machines, of those that
    there was time to look at. `proc` (n,) and `load` (p,) s change in place; `work` pairs of tasks
    are looked at, and at most those of one task more. Returns the rest.
    """
    n, p = etc.shape
    while work > 0 and p > 1:
        full = 0
        for q in range(p):
            if load[q] > load[full]:
                full = q
        # Strictly better by more than rounding, or sums could turn in circles.
        best, task, other, machine = load[full] * (1.0 - 1e-12), -1, -1, -1
        for i in range(n):
            if work <= 0:
                break
            if proc[i] != full:
                continue
            without = load[full] - etc[i, full]
            work -= n + p
            for q in range(p):
                level = max(without, load[q] + etc[i, q])
                if q != full and level < best:
                    best, task, other, machine = level, i, -1, q
            for j in range(n):
                q = proc[j]
                if q != full:
                    level = max(without + etc[j, full], load[q] - etc[j, q] + etc[i, q])
                    if level < best:
                        best, task, other, machine = level, i, j, q
        if task < 0:
            return work
        load[full] -= etc[task, full]
        load[machine] += etc[task, machine]
        proc[task] = machine
        if other >= 0:
            load[machine] -= etc[other, machine]
            load[full] += etc[other, full]
            proc[other] = full
    return work


@jit
def rebalance(etc, proc, rounds, work, state, enough, stop):
    """Kick a few tasks to other machines and balance again; keep what is no worse, in place.

    It ends before `rounds` where the largest load is at most `enough`, s, or where `stop[0]` is
    set, which is looked at before each round. Returns the largest load, s.
    """
    n, p = etc.shape
    load = np.zeros(p)
    for i in range(n):
        load[proc[i]] += etc[i, proc[i]]
    balance(etc, proc, load, work)
    value = load.max()
    for _ in range(rounds):
        if value <= enough or stop[0]:
            break
        tried = proc.copy()
        for _ in range(2 + int(4 * uniform(state))):
            i, q = int(uniform(state) * n), int(uniform(state) * p)
            # The better of two machines, or all kicks would be far too dear.
            r = int(uniform(state) * p)
            q = r if etc[i, r] < etc[i, q] else q
            if etc[i, q] != np.inf:
                tried[i] = q
        load[:] = 0.0
        for i in range(n):
            load[tried[i]] += etc[i, tried[i]]
        balance(etc, tried, load, work)
        if load.max() <= value:
            value = load.max()
            proc[:] = tried
    return value
