"""The problems of `quality`: a committed grid of generated graphs, real traces, solved ones.

A case makes its problem when it is called: as many as there are can be counted before.
"""

from __future__ import annotations

import csv
import json
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deepsched.baselines.generate import GeneratorSpec, generate
from deepsched.baselines.machines import make_machines
from deepsched.baselines.readers import ReadOptions, read_hcsp_solution, read_problem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from deepsched.baselines.problem import Problem

    # Gives the name of a cell, a problem of it, and maybe the best value that is known.
    Case = Callable[[], tuple[Any, ...]]

GRID = Path(__file__).with_name("quality.json")
# Bounds as JSPLIB states them; some upper ones have been improved since.
JOB_SHOPS = Path(__file__).with_name("job_shops.csv")
MOST_ANYTIME = 1_000  # tasks of the problems of the anytime comparison
TRACE_MACHINES, TRACE_BANDWIDTHS, TRACE_NOISE = (4, 16), (125e6, 1.25e6), 0.2


def grid_problems(quick: bool) -> list[Case]:
    """Return every problem of the grid with the name of its cell."""
    cells = [cell for cell in grid()["cells"] if cell["quick"] or not quick]
    return [case for cell in cells for case in cell_cases(cell)]


def grid() -> dict[str, Any]:
    """Return the committed file."""
    document: dict[str, Any] = json.loads(GRID.read_text(encoding="utf-8"))
    return document


def cell_problems(cell: Mapping[str, Any]) -> Iterator[tuple[str, Problem]]:
    """Yield the problems of one cell of the grid."""
    for case in cell_cases(cell):
        yield case()


def cell_cases(cell: Mapping[str, Any]) -> list[Case]:
    """Return the problems of one cell of the grid, with its name."""
    own = ("first_seed", "graphs", "quick")
    spec = GeneratorSpec(**{key: value for key, value in cell.items() if key not in own})
    name = f"{spec.family} {spec.tasks} x {spec.machines}, CCR {spec.ccr:g}"

    def case(seed: int) -> tuple[str, Problem]:
        return name, generate(spec, seed)

    return [partial(case, cell["first_seed"] + k) for k in range(cell["graphs"])]


def related_problems(data: Path) -> list[Case]:
    """Return the real traces on machines that differ in speed only: one cell a family."""

    def case(path: Path) -> tuple[str, Problem]:
        options = ReadOptions(n_machines=max(TRACE_MACHINES), bandwidth=max(TRACE_BANDWIDTHS))
        return path.parent.name, read_problem(path, options)

    return [partial(case, path) for path in _traces(data)]


def _traces(data: Path) -> list[Path]:
    return sorted((data / "wfinstances").glob("*/*.json.gz"))


def trace_problems(data: Path, quick: bool, counts: tuple[int, ...] = TRACE_MACHINES) -> list[Case]:
    """Return the real traces in the trace setting, on so many machines: one cell a family."""

    def case(path: Path, machines: int, seed: int, bandwidth: float) -> tuple[str, Problem]:
        options = ReadOptions(
            n_machines=machines,
            machine_seed=seed,
            noise=TRACE_NOISE,
            noise_seed=seed,
            bandwidth=bandwidth,
        )
        return path.parent.name, read_problem(path, options)

    return [
        partial(case, path, machines, seed, bandwidth)
        for path in _traces(data)
        for machines in counts
        for seed in range(1 if quick else 3)
        for bandwidth in TRACE_BANDWIDTHS
    ]


def hcsp_problems(data: Path) -> list[Case]:
    """Return the independent-task instances, one cell, and the best makespan known of each."""
    folder = data / "hcsp" / "512x16"

    def case(path: Path, solutions: list[Path]) -> tuple[str, Problem, float]:
        best = min(read_hcsp_solution(found).makespan for found in solutions)
        return "HCSP 512x16", read_problem(path), best

    instances = sorted(path for path in folder.iterdir() if path.suffix != ".sol")
    solved = [(path, list(folder.glob(f"{path.name}_*.sol"))) for path in instances]
    return [partial(case, path, solutions) for path, solutions in solved if solutions]


def stg_problems(data: Path, machines: int) -> list[Case]:
    """Return the STG-50 graphs, one cell a machine count, and their optima."""
    folder = data / "stg"

    def case(name: str, optimum: str) -> tuple[str, Problem, float]:
        equal = ReadOptions(machines=make_machines(machines))
        return f"STG-50, {machines}", read_problem(folder / name, equal), float(optimum)

    with (folder / f"Case50_{machines}_OPT.csv").open(newline="", encoding="utf-8") as file:
        return [partial(case, name, optimum) for name, _, optimum, *_ in csv.reader(file)]


def job_shop_problems(data: Path) -> list[Case]:
    """Return Taillard's job shops of two sizes, a cell each, and the best upper bound known."""

    def case(row: Mapping[str, str]) -> tuple[str, Problem, float]:
        cell = f"Taillard {row['jobs']} x {row['machines']}"
        return cell, read_problem(data / "jsp" / f"{row['name']}.txt"), float(row["upper"])

    with JOB_SHOPS.open(newline="", encoding="utf-8") as file:
        return [partial(case, row) for row in csv.DictReader(file)]


def large_problems() -> list[Case]:
    """Return the problems of the paper's scale with the names of their cells."""
    return [case for cell in grid()["large"] for case in cell_cases(cell)]


def anytime_problems(graphs: int) -> list[Case]:
    """Return some graphs of each small cell of the quick grid."""
    cells = [cell for cell in grid()["cells"] if cell["quick"] and cell["tasks"] <= MOST_ANYTIME]
    return [case for cell in cells for case in cell_cases({**cell, "graphs": graphs})]
