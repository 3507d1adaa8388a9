"""Bytes of edges from the files that tasks write and read, and what such workflows leave unsaid."""

from __future__ import annotations

import warnings
from collections import defaultdict
from typing import TYPE_CHECKING

import numpy as np

from deepsched.baselines.errors import InputWarning, InvalidInput
from deepsched.baselines.readers._values import Rule, column, echo

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from deepsched.baselines.problem import Edges

STACK = 2  # the warning is the reader's
SHOWN = 2  # of what a warning counts
# How a task uses a file that it waits for, and one that others may wait for.
READS = ("input", "inout")
WRITES = ("output", "inout")


class FileUses:
    """Which files each task of a workflow reads and writes, noted use by use.

    Attributes
    ----------
    read, written : (n_tasks,) names of files in the order of use, each once.
    sizes : bytes of each file of a known size, as the source has them.
    """

    def __init__(self, n_tasks: int, sizes: dict[str, float] | None = None) -> None:
        self.read: list[dict[str, None]] = [{} for _ in range(n_tasks)]
        self.written: list[dict[str, None]] = [{} for _ in range(n_tasks)]
        self.sizes = sizes or {}

    def note(self, task: int, name: str, link: object, size: float | None) -> None:
        """Note one use; a `link` of another kind moves nothing between tasks.

        Of several sizes, that of the task that outputs the file counts, as readers may have seen a
        part; before others, the first.
        """
        if link in READS:
            self.read[task][name] = None
        if link in WRITES:
            self.written[task][name] = None
        if size is not None and (link == "output" or name not in self.sizes):
            self.sizes[name] = size


def edge_bytes(
    ids: Sequence[str],
    edges: Sequence[tuple[int, int]],
    written: Sequence[Iterable[str]],
    read: Sequence[Iterable[str]],
    sizes: dict[str, float],
    where: str,
    *,
    missing: str,
) -> Edges:
    """Return the edges with the sum of the files that go along each.

    Files that a task reads and another writes, with no edge between the two, are warned of, and
    so are tasks without any edge.

    Parameters
    ----------
    edges : (parent, child); given twice is one edge.
    written, read : names of files of each task.
    sizes : bytes of each file, as the source has them.
    missing : what to say of a file without a size, with {file}, {child} and {parent}; "" to count
        it as nothing.

    Raises
    ------
    InvalidInput
        If a file without a size goes along an edge, or the sum is beyond all bounds.
    """
    carried: dict[tuple[int, int], float] = dict.fromkeys(edges, 0)
    producers = defaultdict(list)
    for i, files in enumerate(written):
        for name in files:
            producers[name].append(i)
    apart: list[tuple[str, int, int]] = []
    unsized: list[str] = []
    for child, files in enumerate(read):
        for name in files:
            for parent in producers.get(name, ()):
                if parent == child:
                    continue  # a file that it changes
                if (parent, child) not in carried:
                    if (child, parent) not in carried:
                        apart.append((name, parent, child))
                elif name in sizes:
                    carried[parent, child] += sizes[name]
                elif missing:
                    raise InvalidInput(
                        f"{where}: "
                        + missing.format(
                            file=echo(name), child=echo(ids[child]), parent=echo(ids[parent])
                        )
                    )
                else:
                    unsized.append(name)
    if apart:
        _warn_apart(apart, ids, where)
    else:
        warn_of_no_edges(len(ids), len(carried), where)
    if unsized:
        unsized = list(dict.fromkeys(unsized))
        warn(
            f"{where}: {_count(len(unsized), 'file')} without a size ({_some(unsized)}): their "
            "transfers take no time but the latency"
        )
    pairs = np.array(list(carried), dtype=np.int64).reshape(-1, 2)
    size = column(
        list(carried.values()),
        Rule.COST,
        lambda k: f"{where}: bytes from {echo(ids[pairs[k, 0]])} to {echo(ids[pairs[k, 1]])}",
    )
    return pairs[:, 0], pairs[:, 1], size


def _warn_apart(apart: list[tuple[str, int, int]], ids: Sequence[str], where: str) -> None:
    shown = [
        f"{echo(ids[child])} reads {echo(name)} of {echo(ids[parent])}"
        for name, parent, child in apart[:SHOWN]
    ]
    more = ", …" if len(apart) > SHOWN else ""
    warn(
        f"{where}: {_count(len(apart), 'file dependency', 'file dependencies')} without an edge: "
        f"{', '.join(shown)}{more}; no edge makes the reader wait, and nothing is transferred"
    )


def warn_of_no_edges(n_tasks: int, n_edges: int, where: str) -> None:
    """Warn of a workflow in which nothing waits for anything."""
    if n_tasks > 1 and not n_edges:
        warn(f"{where}: {n_tasks} tasks and no edge between them: all may run at once")


def given_runtime(names: Sequence[str], runtime: float | None, where: str, lacking: str) -> float:
    """Return the runtime of tasks that have none, and warn that it is not measured.

    Parameters
    ----------
    names : of the tasks; one at least.
    runtime : s, as the options have it.
    lacking : the place and what is missing there, for the error.

    Raises
    ------
    InvalidInput
        If the options give none.
    """
    if runtime is None:
        raise InvalidInput(f"{where}: {lacking}; --runtime SECONDS gives one to each such task")
    warn(
        f"{where}: {_count(len(names), 'task')} without a runtime ({_some(names)}): each is given "
        f"{runtime:g} s"
    )
    return runtime


def warn(text: str) -> None:
    """Warn of what is read, but may not mean what its author meant."""
    warnings.warn(text, InputWarning, stacklevel=STACK)


def _count(number: int, one: str, many: str | None = None) -> str:
    return f"{number} {one if number == 1 else many or f'{one}s'}"


def _some(names: Sequence[str]) -> str:
    return ", ".join(echo(name) for name in names[:SHOWN]) + (", …" if len(names) > SHOWN else "")
