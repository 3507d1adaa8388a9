"""The problems of `quality`: a committed grid of generated graphs, real traces, solved ones."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deepsched.baselines.generate import GeneratorSpec, generate
from deepsched.baselines.machines import make_machines
from deepsched.baselines.readers import ReadOptions, read_hcsp_solution, read_problem

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from deepsched.baselines.problem import Problem

GRID = Path(__file__).with_name("quality.json")
MOST_ANYTIME = 1_000  # tasks of the problems of the anytime comparison
TRACE_MACHINES, TRACE_BANDWIDTHS, TRACE_NOISE = (4, 16), (125e6, 1.25e6), 0.2


def grid_problems(quick: bool) -> Iterator[tuple[str, Problem]]:
    """Yield every problem of the grid with the name of its cell."""
    for cell in grid()["cells"]:
        if cell["quick"] or not quick:
            yield from cell_problems(cell)


def grid() -> dict[str, Any]:
    """Return the committed file."""
    document: dict[str, Any] = json.loads(GRID.read_text(encoding="utf-8"))
    return document


def cell_problems(cell: Mapping[str, Any]) -> Iterator[tuple[str, Problem]]:
    """Yield the problems of one cell of the grid."""
    own = ("first_seed", "graphs", "quick")
    spec = GeneratorSpec(**{key: value for key, value in cell.items() if key not in own})
    name = f"{spec.family} {spec.tasks} x {spec.machines}, CCR {spec.ccr:g}"
    for k in range(cell["graphs"]):
        yield name, generate(spec, cell["first_seed"] + k)


def trace_problems(
    data: Path, quick: bool, counts: tuple[int, ...] = TRACE_MACHINES
) -> Iterator[tuple[str, Problem]]:
    """Yield the real traces in the trace setting, on so many machines: one cell a family."""
    for path in sorted((data / "wfinstances").glob("*/*.json.gz")):
        for machines in counts:
            for seed in range(1 if quick else 3):
                for bandwidth in TRACE_BANDWIDTHS:
                    options = ReadOptions(
                        n_machines=machines,
                        machine_seed=seed,
                        noise=TRACE_NOISE,
                        noise_seed=seed,
                        bandwidth=bandwidth,
                    )
                    yield path.parent.name, read_problem(path, options)


def hcsp_problems(data: Path) -> Iterator[tuple[str, Problem, float]]:
    """Yield the independent-task instances, one cell, and the best makespan known of each."""
    folder = data / "hcsp" / "512x16"
    for path in sorted(path for path in folder.iterdir() if path.suffix != ".sol"):
        solutions = [read_hcsp_solution(found) for found in folder.glob(f"{path.name}_*.sol")]
        if solutions:
            yield "HCSP 512x16", read_problem(path), min(found.makespan for found in solutions)


def stg_problems(data: Path, machines: int) -> Iterator[tuple[str, Problem, float]]:
    """Yield the STG-50 graphs, one cell a machine count, and their optima."""
    folder = data / "stg"
    with (folder / f"Case50_{machines}_OPT.csv").open(newline="", encoding="utf-8") as file:
        for name, _, optimum, *_ in csv.reader(file):
            equal = ReadOptions(machines=make_machines(machines))
            yield f"STG-50, {machines}", read_problem(folder / name, equal), float(optimum)


def large_problems() -> Iterator[tuple[str, Problem]]:
    """Yield the problems of the paper's scale with the names of their cells."""
    for cell in grid()["large"]:
        yield from cell_problems(cell)


def anytime_problems(graphs: int) -> Iterator[tuple[str, Problem]]:
    """Yield some graphs of each small cell of the quick grid."""
    cells = [cell for cell in grid()["cells"] if cell["quick"] and cell["tasks"] <= MOST_ANYTIME]
    for cell in cells:
        yield from cell_problems({**cell, "graphs": graphs})
