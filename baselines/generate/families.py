"""Families of task graphs: each a function from a shape and a random stream to edges.

Every edge points from a lower to a higher task number, so that the input order is a topological
one, and none is drawn twice. *Depth* is the number of tasks on the longest path, *width* the
largest number of tasks on one level.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from deepsched.baselines.arrays import IntArray


class Shape(NamedTuple):
    """What a family is asked for; `width` and `depth` are None where the user left them open."""

    tasks: int
    width: int | None
    depth: int | None
    out_degree: float


class Graph(NamedTuple):
    """Tasks 0..n_tasks-1 and edges from `parents[k]` to `children[k]`."""

    n_tasks: int
    parents: IntArray
    children: IntArray


@dataclass(frozen=True, kw_only=True, slots=True)
class Family:
    """One family and what it takes.

    Attributes
    ----------
    graph : draws the edges.
    shaped : whether width or depth may be given.
    out_degree : (least, default, greatest) legal value; None where the family fixes it.
    fewest : the smallest number of tasks it can have.
    exact : whether it has exactly the tasks asked for; else the largest size not above that number.
    """

    graph: Callable[[Shape, np.random.Generator], Graph]
    shaped: bool = False
    out_degree: tuple[float, float, float] | None = None
    fewest: int = 1
    exact: bool = True


def layered(shape: Shape, rng: np.random.Generator) -> Graph:
    """Levels of tasks, edges from each level to the next.

    Width given: every level has that many tasks, the last one what remains. Depth given: that many
    levels, sizes as equal as possible. Neither: width √tasks, rounded. Each task behind the first
    level has at least one parent, so the depth is exact. Beyond that, edges are uniform among all
    pairs of neighbouring levels until the tasks before the last level have `out_degree` children in
    the mean, or all pairs are taken.
    """
    sizes = _level_sizes(shape)
    starts = np.concatenate(([0], np.cumsum(sizes)))
    children = np.arange(sizes[0], shape.tasks)
    level = np.searchsorted(starts, children, side="right") - 1
    options, first = sizes[level - 1], starts[level - 1]
    offsets = np.concatenate(([0], np.cumsum(options)))
    sure = offsets[:-1] + rng.integers(0, options)
    wanted = round(shape.out_degree * (shape.tasks - int(sizes[-1])))
    extra = min(max(wanted, children.size), int(offsets[-1])) - children.size
    pair = np.concatenate((sure, _others(sure, int(offsets[-1]), extra, rng)))
    child = np.searchsorted(offsets, pair, side="right") - 1
    return Graph(shape.tasks, first[child] + pair - offsets[child], children[child])


def fork_join(shape: Shape, rng: np.random.Generator) -> Graph:
    """Stages of parallel tasks between a fork and a join; the join forks the next stage.

    Width given: as few stages as keep every stage at most that wide. Depth given: as many stages as
    keep the longest path, 1 + 2 · stages, within it, but at least one. Neither: width √tasks,
    rounded. Stage sizes differ by one at most; where one is empty, its fork feeds its join.
    """
    n = shape.tasks
    if n == 1:
        return independent(shape, rng)
    if shape.depth is not None:
        stages = max(1, (shape.depth - 1) // 2)
    else:
        stages = math.ceil((n - 1) / (1 + _width(shape)))
    sizes = _equal_parts(n - 1 - stages, stages)
    hubs = np.concatenate(([0], np.cumsum(sizes + 1)))
    inner = np.setdiff1d(np.arange(n), hubs)
    stage = np.repeat(np.arange(stages), sizes)
    empty = np.flatnonzero(sizes == 0)
    return Graph(
        n,
        np.concatenate((hubs[stage], inner, hubs[empty])),
        np.concatenate((inner, hubs[stage + 1], hubs[empty + 1])),
    )


def out_tree(shape: Shape, rng: np.random.Generator) -> Graph:
    """Return a tree in which every task but the root has exactly one parent.

    Tasks get children level by level; their number is drawn from 1 to 2 · out_degree - 1, with mean
    `out_degree`, until all tasks are placed.
    """
    n = shape.tasks
    drawn = 1 + 2 * (shape.out_degree - 1) * rng.random(n)
    children = np.floor(drawn + rng.random(n)).astype(np.int64)  # rounded at random: mean kept
    total = np.minimum(np.cumsum(children), n - 1)
    return Graph(n, np.repeat(np.arange(n), np.diff(total, prepend=0)), np.arange(1, n))


def in_tree(shape: Shape, rng: np.random.Generator) -> Graph:
    """Return an out-tree with every edge turned round: all tasks lead to one last task."""
    n, parents, children = out_tree(shape, rng)
    return Graph(n, n - 1 - children, n - 1 - parents)


def series_parallel(shape: Shape, rng: np.random.Generator) -> Graph:
    """Grow a two-terminal series-parallel graph from one edge.

    Each step takes a random edge u → v and adds a task x: in series (u → x → v instead of the edge)
    or, with probability out_degree - 1, in parallel (u → x → v beside the edge).

    References
    ----------
    Valdes, Tarjan, Lawler (1982), doi:10.1137/0211023, for the class of graphs.
    """
    n = shape.tasks
    if n < 3:
        return Graph(n, np.arange(n - 1), np.arange(1, n))
    tails, heads, after = [0], [1], [1, -1]
    steps = n - 2
    pick = rng.random(steps).tolist()
    beside = (rng.random(steps) < shape.out_degree - 1).tolist()
    for x in range(2, n):
        k = int(pick[x - 2] * len(tails))
        u, v = tails[k], heads[k]
        if beside[x - 2]:
            tails.append(u)
            heads.append(x)
        else:
            heads[k] = x
        tails.append(x)
        heads.append(v)
        # A list of tasks in topological order: x is put right behind u, hence before v.
        after.append(after[u])
        after[u] = x
    number, at = np.empty(n, dtype=np.int64), 0
    for place in range(n):
        number[at] = place
        at = after[at]
    return Graph(n, number[tails], number[heads])


def erdos_renyi(shape: Shape, rng: np.random.Generator) -> Graph:
    """Edges uniform among all pairs i < j: out_degree · tasks of them, or every pair there is.

    References
    ----------
    Erdős, Rényi (1959), doi:10.5486/PMD.1959.6.3-4.12, model G(n, M), made acyclic by the order.
    """
    n = shape.tasks
    offsets = np.arange(n + 1) * np.arange(-1, n) // 2  # task j has j candidates before it
    none = np.empty(0, dtype=np.int64)
    count = min(round(shape.out_degree * n), int(offsets[n]))
    pair = _others(none, int(offsets[n]), count, rng)
    child = np.searchsorted(offsets, pair, side="right") - 1
    return Graph(n, pair - offsets[child], child)


def gaussian_elimination(shape: Shape, rng: np.random.Generator) -> Graph:
    """Gaussian elimination of an m x m matrix: (m² + m - 2) / 2 tasks.

    Step k has a pivot task (k, k) and updates (k, j) of the columns j > k; the pivot feeds its
    updates, and each update the task of its column in the next step.

    References
    ----------
    Topcuoglu, Hariri, Wu (2002), doi:10.1109/71.993206, section 5.4.1.
    """
    m = _largest(lambda size: (size * size + size - 2) // 2, shape.tasks, 2)
    step = np.repeat(np.arange(m - 1), np.arange(m, 1, -1))  # tasks of step k: columns k..m-1
    first = np.concatenate(([0], np.cumsum(np.arange(m, 1, -1))))
    task = np.arange(step.size)
    column = task - first[step] + step
    update = column > step
    goes_on = update & (step < m - 2)
    onward = first[step[goes_on] + 1] + column[goes_on] - step[goes_on] - 1
    return Graph(
        task.size,
        np.concatenate((first[step[update]], task[goes_on])),
        np.concatenate((task[update], onward)),
    )


def fft(shape: Shape, rng: np.random.Generator) -> Graph:
    """Fast Fourier transform of m = 2^k points: 2m - 1 recursive calls and m · k butterflies.

    The calls are a binary out-tree; its m leaves feed k levels of butterflies, where task j of
    level l has the parents j and j with bit l flipped on the level before.

    References
    ----------
    Topcuoglu, Hariri, Wu (2002), doi:10.1109/71.993206, section 5.4.2.
    """
    k = _largest(lambda bits: (bits + 2) * 2**bits - 1, shape.tasks, 1)
    m = 2**k
    calls = np.arange(1, 2 * m - 1)
    butterfly = np.arange(m * k) + 2 * m - 1
    level, point = np.divmod(np.arange(m * k), m)
    before = butterfly - m - point  # the first task of the level before
    partner = before + (point ^ (1 << level))
    return Graph(
        2 * m - 1 + m * k,
        np.concatenate(((calls - 1) // 2, before + point, partner)),
        np.concatenate((calls, butterfly, butterfly)),
    )


def cholesky(shape: Shape, rng: np.random.Generator) -> Graph:
    """Tiled Cholesky factorisation of T x T tiles: T (T + 1) (T + 2) / 6 tasks.

    Step k factors its diagonal tile (POTRF), solves the tiles below it (TRSM) and updates the rest
    (SYRK on the diagonal, GEMM elsewhere); an update waits for the same tile's update of the step
    before and for the one or two solved tiles it reads.

    References
    ----------
    Buttari, Langou, Kurzak, Dongarra (2009), doi:10.1016/j.parco.2008.10.002.
    """
    tiles = _largest(lambda t: t * (t + 1) * (t + 2) // 6, shape.tasks, 1)
    parents: list[IntArray] = []
    children: list[IntArray] = []
    last_write = np.full((tiles, tiles), -1, dtype=np.int64)  # the task that wrote each tile last
    n = 0
    for k in range(tiles):
        rest = tiles - 1 - k
        below = np.arange(k + 1, tiles)
        solve = n + 1 + np.arange(rest)
        row, column = (index + k + 1 for index in np.tril_indices(rest))
        update = n + 1 + rest + np.arange(row.size)
        gemm = row > column
        edges: list[tuple[IntArray, IntArray]] = [
            (np.full(rest, n), solve),
            (solve[row - k - 1], update),
            (solve[column - k - 1][gemm], update[gemm]),
        ]
        if k > 0:
            edges += [
                (last_write[[k], [k]], np.array([n])),
                (last_write[below, k], solve),
                (last_write[row, column], update),
            ]
        last_write[row, column] = update
        parents += [parent for parent, _ in edges]
        children += [child for _, child in edges]
        n += 1 + rest + row.size
    return Graph(n, np.concatenate(parents), np.concatenate(children))


def independent(shape: Shape, rng: np.random.Generator) -> Graph:
    """Tasks without edges."""
    none = np.empty(0, dtype=np.int64)
    return Graph(shape.tasks, none, none)


MANY = 1e6  # no bound on the out-degree but this one, far above what a graph can hold

FAMILIES: Mapping[str, Family] = MappingProxyType(
    {
        "layered": Family(graph=layered, shaped=True, out_degree=(0, 3, MANY)),
        "fork-join": Family(graph=fork_join, shaped=True),
        "in-tree": Family(graph=in_tree, out_degree=(1, 3, MANY)),
        "out-tree": Family(graph=out_tree, out_degree=(1, 3, MANY)),
        "series-parallel": Family(graph=series_parallel, out_degree=(1, 1.5, 2)),
        "erdos-renyi": Family(graph=erdos_renyi, out_degree=(0, 3, MANY)),
        "gaussian-elimination": Family(graph=gaussian_elimination, fewest=2, exact=False),
        "fft": Family(graph=fft, fewest=5, exact=False),
        "cholesky": Family(graph=cholesky, exact=False),
        "independent": Family(graph=independent),
    }
)


def _width(shape: Shape) -> int:
    return shape.width if shape.width is not None else round(math.sqrt(shape.tasks))


def _level_sizes(shape: Shape) -> IntArray:
    if shape.depth is not None:
        return _equal_parts(shape.tasks, shape.depth)
    full, rest = divmod(shape.tasks, _width(shape))
    return np.array([_width(shape)] * full + [rest] * (rest > 0), dtype=np.int64)


def _equal_parts(total: int, parts: int) -> IntArray:
    each, longer = divmod(total, parts)
    return np.repeat([each + 1, each], [longer, parts - longer])


def _largest(count: Callable[[int], int], tasks: int, smallest: int) -> int:
    """Return the largest size whose task count is not above `tasks`."""
    size = smallest
    while count(size + 1) <= tasks:
        size += 1
    return size


def _others(taken: IntArray, population: int, count: int, rng: np.random.Generator) -> IntArray:
    """Draw `count` different numbers below `population`, none in the ascending array `taken`."""
    drawn = rng.choice(population - taken.size, count, replace=False, shuffle=False)
    # The k-th free number is k plus the taken ones that lie before it.
    return drawn + np.searchsorted(taken - np.arange(taken.size), drawn, side="right")
