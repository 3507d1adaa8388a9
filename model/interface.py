"""The functions of `import deepsched`: problems in, schedules out, in one call each."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from deepsched.baselines import readers
from deepsched.baselines.comparison import compare_schedulers
from deepsched.baselines.errors import InvalidProblem
from deepsched.baselines.machines import (
    DEFAULT_BANDWIDTH,
    DEFAULT_LATENCY,
    Machines,
    make_machines,
)
from deepsched.baselines.own import OwnScheduler
from deepsched.baselines.problem import Problem, default_task_ids, make_problem
from deepsched.baselines.readers.choice import read_options
from deepsched.baselines.registry import teacher_rng
from deepsched.model.load import PRETRAINED, load_network, resolve_scheduler

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable
    from pathlib import Path

    import networkx as nx
    from numpy.typing import ArrayLike

    from deepsched.baselines.comparison import Comparison
    from deepsched.baselines.registry import Scheduler
    from deepsched.baselines.schedule import Schedule

    Edge = tuple[int | str, int | str] | tuple[int | str, int | str, float]


def read_problem(
    path: str | os.PathLike[str],
    *,
    machines: int | str | os.PathLike[str] | Machines | None = None,
    machine_seed: int = 0,
    noise: float = 0.0,
    noise_seed: int = 0,
    bandwidth: float | None = None,
    latency: float | None = None,
    format: str | None = None,
    runtime: float | None = None,
    delimiter: str | None = None,
) -> Problem:
    """Return the problem in a workflow file, whose format is found by its content.

    Formats: WfFormat 1.0 to 1.6, deepsched-problem/1, SAGA and node-link JSON, GraphML, GML, DOT,
    Pegasus DAX and YAML, STG, job shops, HCSP ETC matrices, job lists like the paper's, GoCJ, TGFF,
    DSLab, Alibaba 2018; plain, gzip, bz2, xz, or alone in a zip.

    Parameters
    ----------
    machines : for a file that brings none: how many to draw (speeds log-uniform over 0.5 to 2), a
        machines file, "trace" (the nodes that a WfFormat file was recorded on, a slot for each
        core), or the machines themselves; default 16 drawn ones.
    machine_seed : of the drawn speeds.
    noise, noise_seed : sigma of the lognormal factor between each task and machine, and its seed.
    bandwidth, latency : bytes/s and s of every link, in place of what the file says.
    format : name of the format, in place of the one found: what `--format` of the command takes.
    runtime : s, of each task for which the file has none.
    delimiter : one character between the fields of a CSV file, in place of the one found.

    Raises
    ------
    InvalidInput, InvalidProblem
        Naming the file and the place in it, or the value that is out of range.
    NotInstalled
        If the format needs a package of the extra `formats`.

    Warns
    -----
    InputWarning
        Where the file may not mean what its author meant, such as files that one task writes and
        another reads with no edge between the two.

    Examples
    --------
    >>> import deepsched as ds
    >>> ds.read_problem("tests/data/wfformat.json", machines=8, noise=0.2).n_machines
    8
    """
    options = read_options(
        machines,
        machine_seed=machine_seed,
        noise=noise,
        noise_seed=noise_seed,
        bandwidth=bandwidth,
        latency=latency,
        format=format,
        runtime=runtime,
        delimiter=delimiter,
    )
    return readers.read_problem(path, options)


def from_networkx(
    graph: nx.DiGraph,
    *,
    machines: int | str | os.PathLike[str] | Machines | None = None,
    machine_seed: int = 0,
    noise: float = 0.0,
    noise_seed: int = 0,
    bandwidth: float | None = None,
    latency: float | None = None,
) -> Problem:
    """Return the problem of a `networkx.DiGraph`, whose nodes are tasks.

    Nodes have `etc` (seconds a machine, None where the task cannot run) or `work`, and maybe
    `arrival`, `priority` and `memory`; edges have `bytes`; the graph may have `machines`,
    `bandwidth` and `latency`.

    Parameters
    ----------
    machines, machine_seed, noise, noise_seed, bandwidth, latency : as for :func:`read_problem`.

    Raises
    ------
    InvalidInput, InvalidProblem
        Naming the node, edge or attribute.

    Examples
    --------
    >>> import deepsched as ds, networkx as nx
    >>> graph = nx.DiGraph()
    >>> graph.add_node("a", work=3.0)
    >>> graph.add_node("b", work=4.0)
    >>> graph.add_edge("a", "b", bytes=1e6)
    >>> ds.from_networkx(graph, machines=4).task_ids
    ('a', 'b')
    """
    options = read_options(
        machines,
        machine_seed=machine_seed,
        noise=noise,
        noise_seed=noise_seed,
        bandwidth=bandwidth,
        latency=latency,
    )
    return readers.from_networkx(graph, options)


def problem(
    etc: ArrayLike,
    edges: Sequence[Edge] = (),
    *,
    bandwidth: ArrayLike = DEFAULT_BANDWIDTH,
    latency: ArrayLike = DEFAULT_LATENCY,
    task_ids: Sequence[str] | None = None,
    machine_ids: Sequence[str] | None = None,
    arrival: ArrayLike = 0.0,
    priority: ArrayLike = 0.0,
    name: str = "problem",
) -> Problem:
    """Return a problem from arrays.

    Parameters
    ----------
    etc : (n_tasks, n_machines) s, inf or NaN-free; inf where a task cannot run.
    edges : (parent, child) or (parent, child, bytes), tasks by their position, or by their names
        where `task_ids` are given.
    bandwidth, latency : bytes/s and s, one number for all links or (n_machines, n_machines) from
        row to column.
    task_ids, machine_ids : names; default t0, t1, … and m0, m1, ….
    arrival, priority : one number or (n_tasks,); s, and larger is more urgent.

    Raises
    ------
    InvalidProblem
        Naming the task, machine or edge that is wrong.

    Examples
    --------
    >>> import deepsched as ds
    >>> tasks = ds.problem(etc=[[3, 5], [4, 2], [6, 6]], edges=[(0, 1, 1e6), (0, 2)])
    >>> tasks.n_tasks, tasks.n_edges, tasks.n_machines
    (3, 2, 2)
    """
    try:
        times = np.asarray(etc, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InvalidProblem(f"etc is not numeric or not rectangular: {error}") from None
    if times.ndim != 2:
        raise InvalidProblem(f"etc has shape {times.shape}; (n_tasks, n_machines) expected")
    n, p = times.shape
    ids = default_task_ids(n) if task_ids is None else tuple(task_ids)
    places = dict(zip(ids, range(len(ids)), strict=True))
    return make_problem(
        machines=make_machines(p, ids=machine_ids, bandwidth=bandwidth, latency=latency),
        etc=times,
        edges=_edge_columns(edges, places, n),
        task_ids=ids,
        arrival=arrival,
        priority=priority,
        name=name,
    )


def _edge_columns(
    edges: Sequence[Edge], places: Mapping[str, int], n: int
) -> tuple[list[int], list[int], list[float]]:
    columns: tuple[list[int], list[int], list[float]] = ([], [], [])
    for k, edge in enumerate(edges):
        if not isinstance(edge, Sequence | np.ndarray) or len(edge) not in (2, 3):
            raise InvalidProblem(
                f"edges[{k}] is {edge!r}; (parent, child) or (parent, child, bytes) expected"
            )
        for column, end in zip(columns[:2], edge[:2], strict=True):
            place = places.get(end) if isinstance(end, str) else end
            if place is None or int(place) != place or not 0 <= place < n:
                raise InvalidProblem(f"edges[{k}]: there is no task {end!r}")
            column.append(int(place))
        columns[2].append(float(edge[2]) if len(edge) == 3 else 0.0)
    return columns


def schedule(
    problem: Problem,
    scheduler: str | Scheduler = PRETRAINED,
    *,
    checkpoint: Path | str | None = None,
    seed: int = 0,
    **options: Any,
) -> Schedule:
    """Schedule a problem.

    Without a scheduler the network that comes with the package schedules, and HEFT beside it: the
    better of the two schedules is returned.

    Parameters
    ----------
    scheduler : a name that `schedulers()` lists or `register` made known, or a function of a
        problem and a `numpy.random.Generator`.
    checkpoint : folder of a trained network, to schedule in place of the pretrained one.
    seed : of the random stream of schedulers that draw.
    options : of the network: `objective` ("makespan" or "turnaround"), `samples` (schedules decoded
        from one pass), `budget` (seconds for all, with a search), `guard` (False: without HEFT),
        `decode` ("full", "topk" or "argmax"), `threads`.

    Raises
    ------
    UnknownName
        Listing the known schedulers.
    InvalidInput
        If an option is unknown or out of range, or the checkpoint cannot be read.

    Examples
    --------
    >>> import deepsched as ds
    >>> tasks = ds.read_problem("tests/data/topcuoglu.json")
    >>> ds.schedule(tasks, "heft").makespan
    80.0
    >>> best = ds.schedule(tasks, samples=32)
    >>> best.makespan <= 80.0, ds.violations(tasks, best)
    (True, [])
    """
    run: Scheduler
    if callable(scheduler):
        name, run = "custom", OwnScheduler(_called(scheduler), scheduler)
        if options or checkpoint is not None:
            raise TypeError("options and checkpoint are for the network, not for a function")
    elif scheduler == PRETRAINED and checkpoint is None:
        name, run = scheduler, _pretrained(**options)
    else:
        name = scheduler
        run = resolve_scheduler(scheduler, _folder(checkpoint, scheduler), options)
    return run(problem, teacher_rng(seed, 0, name))


def compare(
    problems: Problem | Iterable[Problem],
    schedulers: Iterable[str] | Mapping[str, Scheduler] = (PRETRAINED, "heft", "peft"),
    *,
    seed: int = 0,
    **options: Any,
) -> Comparison:
    """Let several schedulers schedule the same problems; HEFT is always among them.

    Parameters
    ----------
    schedulers : names, or functions by name.
    seed : of schedulers that draw.
    options : of the network, as for :func:`schedule`.

    Returns
    -------
    `rows`, one a problem and scheduler; `summary()`, `to_pandas()`, `to_json()`, `plot()`. In a
    notebook it shows itself as tables.

    Raises
    ------
    UnknownName
        Listing the known schedulers.
    InvalidInput
        If an option is unknown or out of range, or there is no problem.

    Examples
    --------
    >>> import deepsched as ds
    >>> found = ds.compare(ds.read_problem("tests/data/topcuoglu.json"), ["heft", "cpop"])
    >>> [(row.scheduler, row.makespan) for row in found.rows]
    [('heft', 80.0), ('cpop', 86.0)]
    """
    if isinstance(problems, Problem):
        problems = [problems]
    if isinstance(schedulers, str):
        schedulers = [schedulers]
    runs: dict[str, Scheduler] = {}
    if isinstance(schedulers, Mapping):
        runs.update({name: OwnScheduler(name, run) for name, run in schedulers.items()})
    else:
        for name in schedulers:
            own = name.lower() == PRETRAINED
            runs[name] = _pretrained(**options) if own else resolve_scheduler(name)
    return compare_schedulers(problems, runs, seed=seed)


def _called(function: Any) -> str:
    return str(getattr(function, "__name__", type(function).__name__))


def _folder(checkpoint: Path | str | None, scheduler: str) -> Path | None:
    from pathlib import Path

    if checkpoint is not None and scheduler != PRETRAINED:
        raise TypeError(f"checkpoint is for the scheduler {PRETRAINED!r}, not for {scheduler!r}")
    return None if checkpoint is None else Path(checkpoint)


@functools.lru_cache(maxsize=16)
def _pretrained(**options: Any) -> Scheduler:
    return load_network(**options)
