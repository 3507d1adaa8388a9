"""From the network's outputs to schedules, compiled: one, many, and a search around them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from deepsched.baselines.kernels.placement import Limit, PlacementTerms, insertion_schedule
from deepsched.baselines.kernels.random_numbers import nearly_normal, normal, uniform
from deepsched.baselines.kernels.ranks import ready_order
from deepsched.baselines.kernels.structures import jit
from deepsched.model.networks.deepsched._candidate_kernels import candidate_schedule

if TYPE_CHECKING:
    from deepsched.baselines.arrays import FloatArray, IntArray
    from deepsched.baselines.kernels.structures import EdgeRows, Links


class Known(NamedTuple):
    """What the decoder takes of a problem and its view, beside tables and candidates."""

    rank: FloatArray  # (n,) s, upward rank
    step: float  # s, what an output of 1 shifts it by
    topo_index: IntArray  # (n,)
    etc: FloatArray  # (n, p) s
    arrival: FloatArray  # (n,) s
    preds: EdgeRows
    links: Links


# What an output of 1 means: so many steps of the upward rank, and weights of the placement rule.
UNITS = (1.0, 0.5, 0.5, 0.5)
LARGEST = np.finfo(np.float32).max


@jit
def _number(output):
    """Return 0 for NaN, and else the nearest finite number."""
    return min(max(output, -LARGEST), LARGEST) if output == output else np.float32(0)


@jit
def limit_of(most, terms, links):
    """Return what ends the placing of tasks whose makespan will exceed `most`, s."""
    # The table is a sum of at most so many float32 as tasks lie on a path.
    rounded = terms.through.shape[0] * np.finfo(np.float32).eps
    return Limit(most if links.uniform else np.inf, terms.through, terms.unit * (1.0 - rounded))


@jit
def decode(outputs, most, terms, candidates, known):
    """Return machine, AST and AFT of each task; overwrites the weights of `terms`.

    Where the makespan will exceed `most`, s, each AFT may be inf: the work is not finished.
    """
    n = known.rank.size
    priority = np.empty(n)
    weights = terms.weights
    for i in range(n):
        priority[i] = known.rank[i] + known.step * _number(outputs[i, 0])
        for k in range(3):
            weights[i, k] = UNITS[k + 1] * _number(outputs[i, k + 1])
    order = ready_order(priority, known.topo_index, terms.succs, known.preds.ptr)
    placed = (order, known.etc, known.arrival, known.preds, known.links)
    if candidates is None:
        limit = limit_of(most, terms, known.links)
        return insertion_schedule(*placed, None, None, terms, limit)
    return candidate_schedule(*placed, terms, candidates)


@jit
def best_decode(heads, stretches, objective, terms, candidates, known):
    """Return the outputs (n, outputs) whose schedule is the best, and that schedule.

    They are one of `heads` (heads, n, outputs), the first of equals; or the best so far times one
    of `stretches` (k, outputs), which are tried one after the other.
    """
    least, best = np.inf, heads[0]
    proc, ast, aft = np.empty(0, np.int64), np.empty(0), np.empty(0)
    for k in range(heads.shape[0] + stretches.shape[0]):
        tried = heads[k] if k < heads.shape[0] else best * stretches[k - heads.shape[0]]
        host, start, finish = decode(
            tried, least if objective == 0 else np.inf, terms, candidates, known
        )
        value = (finish - known.arrival).mean() if objective == 1 else finish.max()
        if k == 0 or value < least:
            least, best, proc, ast, aft = value, tried, host, start, finish
    return best, proc, ast, aft


@jit
def own_weights(terms):
    """Return the decoder's tables with room of their own for weights."""
    return PlacementTerms(
        np.empty(terms.weights.shape),
        terms.through,
        terms.unit,
        terms.least_optimistic,
        terms.least_cost,
        terms.succs,
        terms.mean_comm,
    )


@jit
def first_finish(constants, order, terms, candidates, known):
    """Return the mean AFT, s, of the second half of tasks in `order`, which are placed alone.

    `constants` (3,) are all tasks' outputs but the priority.
    """
    room = own_weights(terms)
    for i in order:
        for k in range(3):
            room.weights[i, k] = UNITS[k + 1] * _number(constants[k])
    placed = (order, known.etc, known.arrival, known.preds, known.links)
    if candidates is None:
        limit = limit_of(np.inf, room, known.links)
        _, _, aft = insertion_schedule(*placed, None, None, room, limit)
    else:
        _, _, aft = candidate_schedule(*placed, room, candidates)
    return aft[order[order.size // 2 :]].mean()


@jit
def values(centre, perturbations, terms, candidates, known):
    found = np.empty((perturbations.shape[0], 2))
    room = own_weights(terms)
    for k in range(perturbations.shape[0]):
        outputs = centre + perturbations[k]
        _, _, aft = decode(outputs, np.inf, room, candidates, known)
        found[k, 0] = aft.max()
        found[k, 1] = (aft - known.arrival).mean()
    return found


@jit
def perturbed(centre, level, own, shared, common, seed, found):
    """Fill `found` (n, outputs) with the centre and noise; for seed 0 without noise.

    `level` (w, n) is what noise that like tasks share is made of. `own`, `shared` and `common` are
    standard deviations.
    """
    n, outputs = centre.shape
    found[:] = centre
    if seed == 0:
        return
    state = np.array([seed | np.uint64(1)])
    width = level.shape[0]
    more = np.empty(n, np.float32)
    for k in range(outputs):
        more[:] = np.float32(common * normal(state))
        for c in range(width):
            draw = np.float32(shared / np.sqrt(width) * normal(state))
            for i in range(n):
                more[i] += draw * level[c, i]
        for i in range(n):
            found[i, k] += more[i]
    for i in range(n):
        for k in range(outputs):
            found[i, k] += np.float32(own * nearly_normal(state))


@jit
def sampled(
    centre, level, own, shared, common, seeds, lowest, objective, enough, terms, candidates, known
):
    """Return (k,) the objective, s, of the centre perturbed by each of k seeds.

    `lowest` (kept,) are the best values known, ascending; what is above the last of them, or of
    those found since, may be inf. After one that is at most `enough`, s, none is tried: inf.
    """
    found = np.full(seeds.size, np.inf)
    outputs = np.empty_like(centre)
    room = own_weights(terms)
    for k in range(seeds.size):
        perturbed(centre, level, own, shared, common, seeds[k], outputs)
        _, _, aft = decode(
            outputs, lowest[-1] if objective == 0 else np.inf, room, candidates, known
        )
        found[k] = (aft - known.arrival).mean() if objective == 1 else aft.max()
        at = lowest.size - 1
        if found[k] < lowest[at]:
            while at > 0 and found[k] < lowest[at - 1]:
                lowest[at] = lowest[at - 1]
                at -= 1
            lowest[at] = found[k]
        if found[k] <= enough:
            break
    return found


@jit
def perturb(outputs, state):
    """Perturb outputs in place: those of some tasks, of all a little, or one for all alike."""
    n, width = outputs.shape
    kind = uniform(state)
    if kind < 0.6:
        # How many is uniform on a logarithmic scale.
        count = int(np.exp(uniform(state) * np.log(max(n / 4.0, 2.0))))
        for _ in range(count):
            i = int(uniform(state) * n)
            for k in range(width):
                outputs[i, k] += 0.7 * normal(state)
    elif kind < 0.9:
        size = 0.3 * uniform(state)
        for i in range(n):
            for k in range(width):
                outputs[i, k] += size * normal(state)
    else:
        k = int(uniform(state) * width)
        shift = 0.3 * normal(state)
        for i in range(n):
            outputs[i, k] += shift


@jit
def hill_climb(best, value, objective, steps, state, enough, stop, terms, candidates, known):
    """Perturb `best` (n, outputs) again and again, keep what is no worse; return its value, s.

    It ends before `steps` where the value is at most `enough`, s, or where `stop[0]` is set, which
    is looked at before each step. `terms` hold weights of its own for each thread.
    """
    for _ in range(steps):
        if value <= enough or stop[0]:
            break
        tried = best.copy()
        perturb(tried, state)
        _, _, aft = decode(tried, value if objective == 0 else np.inf, terms, candidates, known)
        found = (aft - known.arrival).mean() if objective == 1 else aft.max()
        if found <= value:
            value = found
            best[:] = tried
    return value
