"""Part `decoders`: ways from a prediction to a schedule, each beside the same without a network."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.table import Table

from deepsched.baselines.list_schedule import append_in_order
from deepsched.baselines.ranks import ready_order, release_order
from deepsched.pipeline.benchmarks.claims import data, memorise
from deepsched.pipeline.benchmarks.claims.cells import Cell, result
from deepsched.pipeline.benchmarks.claims.means import both_means
from deepsched.pipeline.benchmarks.claims.part import Part
from deepsched.pipeline.benchmarks.claims.problems import FEW_MACHINES, small_problems
from deepsched.pipeline.benchmarks.claims.simple import arrival_order, earliest_finish, ratio
from deepsched.pipeline.benchmarks.claims.training import UNSEEN, network_of, training_cell

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from deepsched.baselines.arrays import FloatArray, IntArray
    from deepsched.baselines.problem import Problem
    from deepsched.baselines.schedule import Schedule
    from deepsched.pipeline.benchmarks.claims.part import Extent

    Decoder = Callable[[Problem, FloatArray, IntArray], Schedule]

WIDTH = 4  # machines among which one may be chosen by its finish
SEEN = 20
GROUPS = ("seen", "unseen", "without a network")


def best_scored(problem: Problem, score: FloatArray, order: IntArray) -> Schedule:
    """Give each task its best-scored machine, as the paper does; appending in an order."""
    return append_in_order(problem, order, score.argmax(axis=1), "best-scored")


def finish_among_best(problem: Problem, score: FloatArray, order: IntArray) -> Schedule:
    """Give each task that one of its best-scored machines on which it finishes first."""
    width = min(WIDTH, problem.n_machines)
    allowed = np.zeros(score.shape, dtype=bool)
    best = np.argsort(-score, axis=1, kind="stable")[:, :width]
    np.put_along_axis(allowed, best, True, axis=1)
    return earliest_finish(problem, order, allowed)  # of those that fit one at least is allowed


def finish_among_all(problem: Problem, score: FloatArray, order: IntArray) -> Schedule:
    """Give each task the machine on which it finishes first: only the order is the network's."""
    return earliest_finish(problem, order)


DECODERS: Mapping[str, tuple[Decoder, bool]] = {
    # with whether tasks run by the predicted starts; else by release
    "best-scored machine, by predicted start": (best_scored, True),
    "best-scored machine, by release": (best_scored, False),
    f"earliest finish among the best {WIDTH}, by predicted start": (finish_among_best, True),
    f"earliest finish among the best {WIDTH}, by release": (finish_among_best, False),
    "earliest finish of all, by predicted start": (finish_among_all, True),
}


def _without(problem: Problem, decoder: Decoder, by_start: bool) -> Schedule:
    """Decode what is known without a network: fast machines score high, starts are arrivals."""
    order = arrival_order(problem) if by_start else release_order(problem)
    return decoder(problem, -problem.etc, order)


def _cells(extent: Extent) -> list[Cell]:
    known = {**memorise.trainings(extent), **data.trainings(extent)}
    wanted = [f"memorise-{FEW_MACHINES}-20-residual-0", f"data-{data.COUNTS[-1]}"]
    cells = []
    for name in wanted:
        training = training_cell(name, known[name])
        cells.append(
            Cell(
                name=f"decoders-{name}",
                settings={"training": training.settings, "width": WIDTH},
                make=functools.partial(_measured, training),
            )
        )
    return cells


def _measured(training: Cell, folder: Path) -> dict[str, Any]:
    result(training, folder)
    network = network_of(training.name, folder)
    groups = {
        "seen": small_problems("train", SEEN, FEW_MACHINES),
        "unseen": small_problems("test", UNSEEN, FEW_MACHINES),
    }
    found: dict[str, dict[str, list[float]]] = {}
    for name, (decoder, by_start) in DECODERS.items():
        own: dict[str, list[float]] = {}
        for group, problems in groups.items():
            own[group] = []
            for problem in problems:
                (said,) = network.predict([problem])
                order = ready_order(problem, -said.start) if by_start else release_order(problem)
                own[group].append(ratio(problem, decoder(problem, said.score, order)))
        own[GROUPS[-1]] = [ratio(one, _without(one, decoder, by_start)) for one in groups["unseen"]]
        found[name] = own
    return found


def _tables(extent: Extent, results: Mapping[str, dict[str, Any]]) -> Sequence[Table]:
    tables = []
    for name, found in results.items():
        shown = Table(title=f"decoders of {name.removeprefix('decoders-')}: turnaround / HEFT's")
        shown.add_column("decoder")
        for group in GROUPS:
            shown.add_column(group, justify="right")
            shown.add_column("geom.", justify="right")
        for decoder, own in found.items():
            means = [cell for group in GROUPS for cell in both_means(own[group])]
            shown.add_row(decoder, *means)
        tables.append(shown)
    return tables


DECODING = Part(cells=_cells, tables=_tables)
