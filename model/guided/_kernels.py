"""Compiled loops of the network `deepsched`; see `baselines._kernels` for the conventions."""

from __future__ import annotations

import numpy as np

from baselines import _kernels
from baselines._kernels import finite_mean, jit
from model.guided._candidates import Few, candidate_schedule, cheapest_machines

EPSILON = np.float32(1e-5)  # of torch's LayerNorm
# What an output of 1 means: so many steps of the upward rank, and weights of the placement rule.
UNITS = (1.0, 0.5, 0.5, 0.5)
CODE_UNIT = 0.5  # the same of a product of codes, in steps
LANES = 16
SMALLEST = 1e-300  # s, below which times count as this long where they divide


@jit
def cost_statistics(etc, found, slow, seen):
    """Describe each row's finite costs in one pass over the table.

    Fills `found` (n, 4) with their mean, least, standard deviation and number, and adds to `slow`
    and `seen` (p,) each machine's costs against the tasks' means, and how many it can hold.
    """
    n, p = etc.shape
    for i in range(n):
        row = etc[i]
        centre = finite_mean(row)
        inverse = 1.0 / centre if centre > SMALLEST else 0.0
        squares, low, count = 0.0, np.inf, 0
        for q in range(p):
            cost = row[q]
            fits = cost != np.inf
            off = cost - centre if fits else 0.0
            squares += off * off
            low = min(low, cost)
            count += fits
            slow[q] += cost * inverse if fits else 0.0
            seen[q] += fits
        found[i, 0], found[i, 1] = centre, low
        found[i, 2], found[i, 3] = np.sqrt(squares / count), count


@jit
def downward(topo, mean, succs, comm):
    """Return the downward rank from edges by parent."""
    rank = np.zeros(mean.size)
    for i in topo:
        done = rank[i] + mean[i]
        for e in range(succs.ptr[i], succs.ptr[i + 1]):
            child = succs.task[e]
            rank[child] = max(rank[child], done + comm[e])
    return rank


@jit
def optimistic(topo, etc, succs, comm, unit, table):
    """Fill a table with PEFT's optimistic costs + execution times, / unit; two numbers a task, s.

    These are the least optimistic cost, and the mean of what the others are above it, both over the
    machines that can hold it. The table is (n, p) float32, half the memory to move; `unit`, s,
    keeps it from overflowing. With the sums in it an edge costs one pass over p.
    """
    n, p = etc.shape
    zero, one, infinite = np.float32(0), np.float32(1), np.float32(np.inf)
    row = np.empty(p, np.float32)
    # Reductions run in lanes side by side, which the processor can do at once.
    lows, cheaps = np.empty(LANES, np.float32), np.empty(LANES, np.float32)
    sums, counts = np.empty(LANES, np.float32), np.empty(LANES, np.float32)
    least, regret, cheapest = np.empty(n), np.empty(n), np.empty(n, np.float32)
    inverse = 1.0 / unit
    whole = p - p % LANES
    for k in range(n - 1, -1, -1):
        i = topo[k]
        own, through = etc[i], table[i]
        row[:] = zero
        for e in range(succs.ptr[i], succs.ptr[i + 1]):
            j = succs.task[e]
            child, elsewhere = table[j], cheapest[j] + np.float32(comm[e] * inverse)
            for q in range(p):
                ahead = child[q] if child[q] < elsewhere else elsewhere
                row[q] = ahead if ahead > row[q] else row[q]
        for q in range(p):
            through[q] = row[q] + np.float32(own[q] * inverse)
        lows[:] = infinite
        cheaps[:] = infinite
        sums[:] = zero
        counts[:] = zero
        for first in range(0, p, LANES):
            for c in range(LANES if first < whole else p - whole):
                value, ahead = through[first + c], row[first + c]
                fits = own[first + c] != np.inf
                low = ahead if fits else infinite
                lows[c] = low if low < lows[c] else lows[c]
                cheaps[c] = value if value < cheaps[c] else cheaps[c]
                sums[c] += ahead if fits else zero
                counts[c] += one if fits else zero
        total, count = 0.0, 0.0
        for c in range(LANES):
            total += sums[c]
            count += counts[c]
        low = lows.min()
        least[i], cheapest[i] = low * unit, cheaps.min()
        # Never below 0, as rounded sums can be.
        regret[i] = max(total / count - low, 0.0) * unit
    return least, regret


@jit
def edge_statistics(succs, comm):
    """Return (n, 6): parents, children, mean transfer times in and out, the largest of each, s."""
    n = succs.ptr.size - 1
    found = np.zeros((n, 6))
    for i in range(n):
        for e in range(succs.ptr[i], succs.ptr[i + 1]):
            j = succs.task[e]
            found[j, 0] += 1.0
            found[i, 1] += 1.0
            found[j, 2] += comm[e]
            found[i, 3] += comm[e]
            found[j, 4] = max(found[j, 4], comm[e])
            found[i, 5] = max(found[i, 5], comm[e])
    return found


@jit
def add_and_cut(values, bias):
    """Add the bias and cut what is below 0, in place."""
    for i in range(values.shape[0]):
        for c in range(bias.size):
            values[i, c] = max(values[i, c] + bias[c], np.float32(0))


@jit
def add_cut_and_add(state, change, bias):
    """Add to the state what the change and its bias have above 0, in place."""
    for i in range(state.shape[0]):
        for c in range(bias.size):
            state[i, c] += max(change[i, c] + bias[c], np.float32(0))


@jit
def normed(state, weight, bias, found):
    """Fill `found` with the layer norm of each row; return its mean over the rows."""
    n, width = state.shape
    mean = np.zeros(width)
    for i in range(n):
        centre = np.float32(0)
        for c in range(width):
            centre += state[i, c]
        centre /= np.float32(width)
        spread = np.float32(0)
        for c in range(width):
            spread += (state[i, c] - centre) ** 2
        scale = np.float32(1) / np.sqrt(spread / np.float32(width) + EPSILON)
        for c in range(width):
            found[i, c] = (state[i, c] - centre) * scale * weight[c] + bias[c]
            mean[c] += found[i, c]
    return (mean / n).astype(np.float32)


@jit
def hear_children(both, ptr, children, weight, edge, heard):
    """Fill the left half of `heard` (n, 2 w) with what each task hears of its children.

    `both` (n, 2 w) holds what each task says to its parents, and to its children.
    """
    n, width = both.shape[0], edge.size
    zero = np.float32(0)
    for i in range(n):
        total = heard[i]
        total[:width] = zero
        for e in range(ptr[i], ptr[i + 1]):
            said, far = both[children[e]], weight[e]
            for c in range(width):
                word = said[c] + far * edge[c]
                total[c] += word if word > zero else zero
        for c in range(width):
            total[c] /= np.sqrt(np.float32(1) + total[c])


@jit
def hear_parents(both, ptr, children, weight, edge, heard):
    """Fill the right half with what each task hears of its parents."""
    n, width = both.shape[0], edge.size
    zero = np.float32(0)
    heard[:, width:] = zero
    for i in range(n):
        said = both[i, width:]
        for e in range(ptr[i], ptr[i + 1]):
            total, far = heard[children[e], width:], weight[e]
            for c in range(width):
                word = said[c] + far * edge[c]
                total[c] += word if word > zero else zero
    for i in range(n):
        total = heard[i, width:]
        for c in range(width):
            total[c] /= np.sqrt(np.float32(1) + total[c])


@jit
def recur(gates, order, first, last, heard):
    """Fill some channels of `heard` (n, w) with a recurrence over the tasks in `order`.

    `gates` (n, 2 w) says for each channel, before the sigmoid, how much is taken over, and of what.
    """
    width = heard.shape[1]
    state = np.zeros(last - first, np.float32)
    one = np.float32(1)
    for i in order:
        row, own = gates[i], heard[i]
        for c in range(first, last):
            at = c - first
            state[at] += (row[width + c] - state[at]) / (one + np.exp(-row[c]))
            own[c] = state[at]


@jit
def decode(outputs, rank, step, topo_index, pred_ptr, guide, few, etc, arrival, preds, links):
    n = rank.size
    priority = np.empty(n)
    weights = guide.weights
    for i in range(n):
        priority[i] = rank[i] + step * outputs[i, 0]
        for k in range(3):
            weights[i, k] = UNITS[k + 1] * outputs[i, k + 1]
        for k in range(guide.codes.shape[0]):
            weights[i, 3 + k] = CODE_UNIT * step * outputs[i, 4 + k]
    order = _kernels.ready_order(priority, topo_index, guide.succs, pred_ptr)
    if few is None:
        return _kernels.insertion_schedule(order, etc, arrival, preds, links, None, None, guide)
    cheap = few.cheap
    if guide.codes.shape[0] > 0:
        cheap = np.empty(few.cheap.shape, np.int64)
        cheapest_machines(etc, cheap, weights, guide.codes)
    own = Few(cheap, few.group, few.members, few.group_ptr, few.wide)
    return candidate_schedule(order, etc, arrival, preds, links, guide, own)


@jit
def values(
    centre,
    changes,
    code_changes,
    rank,
    step,
    topo_index,
    pred_ptr,
    guide,
    few,
    etc,
    arrival,
    preds,
    links,
):
    found = np.empty((changes.shape[0], 2))
    for k in range(changes.shape[0]):
        outputs = centre + changes[k]
        own = _kernels.Guide(
            np.empty(guide.weights.shape),
            guide.codes + code_changes[k],
            guide.through,
            guide.unit,
            guide.least_optimistic,
            guide.least_cost,
            guide.succs,
            guide.mean_comm,
        )
        _, _, aft = decode(
            outputs, rank, step, topo_index, pred_ptr, own, few, etc, arrival, preds, links
        )
        found[k, 0] = aft.max()
        found[k, 1] = (aft - arrival).mean()
    return found


@jit
def uniform(state):
    """Return a number in [0, 1) and advance `state` (1,) uint64: xorshift64*, Vigna (2016)."""
    x = state[0]
    x ^= x >> np.uint64(12)
    x ^= x << np.uint64(25)
    x ^= x >> np.uint64(27)
    state[0] = x
    return ((x * np.uint64(2685821657736338717)) >> np.uint64(11)) * 2.0**-53


@jit
def normal(state):
    """Return a standard normal number (Box and Muller)."""
    radius = np.sqrt(-2.0 * np.log(1.0 - uniform(state)))
    return radius * np.cos(2.0 * np.pi * uniform(state))


@jit
def change(outputs, state):
    """Change outputs in place: those of a few tasks, of all a little, or one for all alike."""
    n, width = outputs.shape
    kind = uniform(state)
    if kind < 0.6:
        # Few or many, alike likely on a logarithmic scale.
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
def climb(
    best,
    value,
    objective,
    steps,
    state,
    rank,
    step,
    topo_index,
    pred_ptr,
    guide,
    few,
    etc,
    arrival,
    preds,
    links,
):
    """Change `best` (n, outputs) again and again, keep what is no worse; return its value, s.

    `guide` holds weights of its own for each thread.
    """
    for _ in range(steps):
        tried = best.copy()
        change(tried, state)
        _, _, aft = decode(
            tried, rank, step, topo_index, pred_ptr, guide, few, etc, arrival, preds, links
        )
        found = (aft - arrival).mean() if objective == 1 else aft.max()
        if found <= value:
            value = found
            best[:] = tried
    return value


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
def rebalance(etc, proc, rounds, work, state):
    """Kick a few tasks to other machines and balance again; keep what is no worse, in place.

    Returns the largest load, s.
    """
    n, p = etc.shape
    load = np.zeros(p)
    for i in range(n):
        load[proc[i]] += etc[i, proc[i]]
    balance(etc, proc, load, work)
    value = load.max()
    for _ in range(rounds):
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
