"""How good schedules are and what they cost: the learned scheduler on graphs never seen."""

from __future__ import annotations

import csv
import functools
import io
import json
import math
import time
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np
from rich.console import Console
from rich.table import Table

from deepsched.baselines.atomic import write_text
from deepsched.baselines.generate import GeneratorSpec, generate
from deepsched.baselines.genetic import genetic
from deepsched.baselines.heft import heft
from deepsched.baselines.machines import make_machines
from deepsched.baselines.metrics import lower_bound, makespan, mean_turnaround
from deepsched.baselines.peft import peft
from deepsched.baselines.readers import ReadOptions, read_hcsp_solution, read_problem
from deepsched.baselines.registry import SCHEDULERS, teacher_rng
from deepsched.baselines.schedule import violations
from deepsched.model.networks.deepsched.features import graph_view
from deepsched.model.networks.deepsched.scheduler import DeepSchedScheduler
from deepsched.model.networks.deepsched.search import climb, thread_count
from deepsched.pipeline.common.cli import messages, progress_bar, results
from deepsched.pipeline.common.outputs import check_writable
from deepsched.pipeline.common.provenance import provenance

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from deepsched.baselines.problem import Problem
    from deepsched.baselines.schedule import Schedule

GRID = Path(__file__).with_suffix(".json")
SAMPLES = 32
FEW = "deepsched topk, no guard"
# Of the anytime comparison: s → graphs a cell, in quick runs 2.
BUDGETS = {0.1: 10, 1.0: 4, 10.0: 2}
MOST_ANYTIME = 1_000  # tasks of its problems
MOST_TURNED = 2_000  # tasks; above them the mean turnaround is that of one pass only
CONFIDENCE = 1.96  # standard errors of a 95 % interval
TRACE_MACHINES, TRACE_BANDWIDTHS, TRACE_NOISE = (4, 16), (125e6, 1.25e6), 0.2
TRACE_MANY_MACHINES = (64,)  # on so many HEFT leaves almost nothing: told without a goal
STG_MACHINES = (2, 4, 8, 16)
BEST = "best known"  # the reference where there is an optimum, or the best schedule known
SOLVED_BUDGET = 1.0  # s


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """One problem: each method's makespan or turnaround and its seconds, the reference's too.

    Attributes
    ----------
    cell : the part of the exam it belongs to.
    values : method to the objective, s.
    seconds : method to the time of scheduling, s.
    """

    cell: str
    values: dict[str, float] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)


class Runner:
    """Runs every method on a problem and checks what comes out."""

    def __init__(self, checkpoint: Path | None) -> None:
        self._load: Callable[..., DeepSchedScheduler] = functools.partial(
            DeepSchedScheduler.load, checkpoint
        )
        self._one = self._load(guard=False)
        self._few = self._load(guard=False, decode="topk")
        self._many = self._load(samples=SAMPLES)
        self._zeroed = self._load(samples=SAMPLES).without_network()
        self._search = self._load(samples=SAMPLES, budget=SOLVED_BUDGET)
        self._turnaround = self._load(objective="turnaround")
        self._turnaround_many = self._load(objective="turnaround", samples=SAMPLES)
        self.networks = {
            "makespan": self._one.meta,
            "topk": self._few.meta,
            "turnaround": self._turnaround.meta,
        }

    def warm_up(self) -> None:
        """Run everything once on small problems, so that no time holds a compilation."""
        for family in ("layered", "independent"):
            problem = generate(GeneratorSpec(family=family, tasks=40, machines=4), 0)
            self.run("", problem)
            self.turnaround("", problem)
            self.anytime("", problem, 0.01)

    def run(self, cell: str, problem: Problem) -> Outcome:
        """Schedule a problem by everything."""
        found = Outcome(cell=cell)
        reference = self._timed(found, "heft", problem, heft)
        own = self._timed(found, "deepsched, no guard", problem, self._one)
        self._guarded(found, "deepsched", own, reference)
        self._timed(found, f"deepsched, {SAMPLES} samples", problem, self._many)
        self._timed(found, FEW, problem, self._few)
        self._timed(found, "peft", problem, peft)
        self._timed(found, "min-min", problem, SCHEDULERS["min-min"])
        budget = found.seconds[f"deepsched, {SAMPLES} samples"]
        self._timed(found, f"zeroed, {SAMPLES} samples", problem, self._zeroed)
        self._timed(found, "search, equal time", problem, Search(budget))
        self._timed(found, "ga, equal time", problem, EqualTimeGA(budget))
        found.values["lower bound"] = lower_bound(problem)
        return found

    def turnaround(self, cell: str, problem: Problem) -> Outcome:
        """Do the same for the mean turnaround; one pass guarded, and with samples if small."""
        found = Outcome(cell=cell)
        measure = mean_turnaround
        self._timed(found, "heft", problem, heft, measure)
        self._timed(found, "deepsched", problem, self._turnaround, measure)
        if problem.n_tasks <= MOST_TURNED:
            many = self._turnaround_many
            self._timed(found, f"deepsched, {SAMPLES} samples", problem, many, measure)
        return found

    def large(self, cell: str, problem: Problem) -> Outcome:
        """Compare one pass with HEFT; each is run twice and the second run timed."""
        found = Outcome(cell=cell)
        for _ in range(2):
            self._timed(found, "heft", problem, heft)
            self._timed(found, "deepsched, no guard", problem, self._one)
            self._timed(found, FEW, problem, self._few)
        found.values["lower bound"] = lower_bound(problem)
        return found

    def solved(self, cell: str, problem: Problem, best: float) -> Outcome:
        """Compare with an optimum, or with the best schedule known."""
        found = Outcome(cell=cell)
        found.values[BEST] = best
        for name in ("heft", "min-min", "sufferage"):
            self._timed(found, name, problem, SCHEDULERS[name])
        self._timed(found, "deepsched", problem, self._load())
        self._timed(found, f"deepsched, {SAMPLES} samples", problem, self._many)
        return found

    def solved_in_time(self, cell: str, problem: Problem, best: float) -> Outcome:
        """Do the same, and search for a while."""
        found = self.solved(cell, problem, best)
        self._timed(found, f"deepsched, {SOLVED_BUDGET:g} s", problem, self._search)
        self._timed(found, f"search, {SOLVED_BUDGET:g} s", problem, Search(SOLVED_BUDGET))
        return found

    def anytime(self, cell: str, problem: Problem, budget: float) -> Outcome:
        """Compare search from the network's outputs with search from HEFT at equal time.

        The control `zeroed` is the same search with the network's outputs at 0, samples and pushes
        included; `search` only climbs.
        """
        found = Outcome(cell=cell)
        self._timed(found, "heft", problem, heft)
        own = self._load(samples=SAMPLES, budget=budget)
        self._timed(found, "deepsched", problem, own)
        self._timed(found, "zeroed", problem, own.without_network())
        self._timed(found, "search", problem, Search(budget))
        return found

    def _timed(
        self,
        found: Outcome,
        name: str,
        problem: Problem,
        scheduler: Callable[[Problem, np.random.Generator], Schedule],
        measure: Callable[[Problem, Schedule], float] = makespan,
    ) -> Schedule:
        rng = teacher_rng(0, 0, name)
        begin = time.perf_counter()
        schedule = scheduler(problem, rng)
        found.seconds[name] = time.perf_counter() - begin
        broken = violations(problem, schedule)
        if broken:
            raise RuntimeError(f"{name} made an invalid schedule of {problem.name}: {broken[0]}")
        found.values[name] = measure(problem, schedule)
        return schedule

    def _guarded(self, found: Outcome, name: str, own: Schedule, reference: Schedule) -> None:
        found.values[name] = min(own.makespan, reference.makespan)
        found.seconds[name] = found.seconds["heft"] + found.seconds[f"{name}, no guard"]


class Search:
    """Perturbation search around HEFT: the climb of the network's scheduler without a network."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def __call__(self, problem: Problem, rng: np.random.Generator) -> Schedule:
        """Return the best schedule found in the time given, HEFT's at worst."""
        from deepsched.model.networks.deepsched.decode import OUTPUTS, decode_schedule

        begin = time.perf_counter()
        view = graph_view(problem)
        start = np.zeros((problem.n_tasks, len(OUTPUTS)), np.float32)
        value = heft(problem).makespan
        left = self._seconds - (time.perf_counter() - begin)
        seed = int(rng.integers(2**63))
        best, _ = climb(problem, view, start, value, left, seed, thread_count())
        return decode_schedule(problem, view, best, "search")


class EqualTimeGA:
    """The seeded genetic algorithm with as many generations as fit into a time.

    How many do is measured first, in short runs that count for nothing.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def __call__(self, problem: Problem, rng: np.random.Generator) -> Schedule:
        """Return its schedule; at least one generation is made."""

        def run(generations: int) -> Schedule:
            return genetic(
                problem,
                rng,
                generations=generations,
                fitness="makespan",
                seeded=True,
                mutations=2.0,
                elite=2,
            )

        generations = 4
        for _ in range(2):
            begin = time.perf_counter()
            run(generations)
            share = self._seconds / (time.perf_counter() - begin)
            # The second time drawing the first individuals counts for little.
            generations = max(1, int(generations * min(share, 50.0)))
        return run(generations)


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


def ratios(
    outcomes: list[Outcome],
) -> dict[str, dict[str, tuple[float, float, float]]]:
    """Return method to cell to (mean ratio to the reference, half a 95 % interval, median s).

    The reference is the best known value where there is one, else HEFT.

    The cell "all" weighs every cell the same; its interval follows from theirs.
    """
    reference = BEST if BEST in outcomes[0].values else "heft"
    cells: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        cells.setdefault(outcome.cell, []).append(outcome)
    found: dict[str, dict[str, tuple[float, float, float]]] = {}
    for cell, members in cells.items():
        for method in members[0].values:
            values = np.array([o.values[method] / o.values[reference] for o in members])
            spread = values.std(ddof=1) / math.sqrt(values.size) if values.size > 1 else math.nan
            seconds = float(np.median([o.seconds.get(method, 0.0) for o in members]))
            own = found.setdefault(method, {})
            own[cell] = (float(values.mean()), CONFIDENCE * float(spread), seconds)
    for own in found.values():
        parts = np.array(list(own.values()))
        half = float(np.sqrt((parts[:, 1] ** 2).sum()) / len(parts))
        own["all"] = (float(parts[:, 0].mean()), half, float(np.median(parts[:, 2])))
    return found


def lead(outcomes: list[Outcome], own: str, other: str) -> tuple[float, float]:
    """Return by how much the ratio of one method to HEFT is below another's, and half an interval.

    Differences are taken problem by problem; every cell counts the same.
    """
    cells: dict[str, list[float]] = {}
    for o in outcomes:
        cells.setdefault(o.cell, []).append((o.values[other] - o.values[own]) / o.values["heft"])
    means = [float(np.mean(values)) for values in cells.values()]
    errors = [np.var(values, ddof=1) / len(values) for values in cells.values()]
    return float(np.mean(means)), CONFIDENCE * math.sqrt(sum(errors)) / len(cells)


def table(title: str, outcomes: list[Outcome], *, cells: bool) -> Table:
    """Return the mean ratios to HEFT, a row a method, with the worst cell.

    Where there is a lower bound, the share of HEFT's distance to it that a method closes is shown.
    """
    found = ratios(outcomes)
    bounds = found.get("lower bound")
    shown = Table(title=title)
    shown.add_column("method")
    reference = "best known" if BEST in outcomes[0].values else "HEFT"
    closed = ["gap closed"] if bounds else []
    for column in (f"x {reference}", "±", *closed, "median s", "cells", "worst cell"):
        shown.add_column(column, justify="left" if column == "worst cell" else "right")
    for method, own in found.items():
        mean, half, seconds = own["all"]
        parts = {cell: value[0] for cell, value in own.items() if cell != "all"}
        worst = max(parts, key=lambda cell: parts[cell])
        bound = float(np.mean([bounds[cell][0] for cell in parts])) if bounds else math.nan
        shown.add_row(
            method,
            f"{mean:.4f}",
            f"{half:.4f}",
            *([f"{100 * (1 - mean) / (1 - bound):.1f} %"] if bounds else []),
            f"{seconds:.2g}",
            str(len(parts)),
            f"{parts[worst]:.3f} {worst}" if cells else "",
        )
    return shown


def by_ccr(outcomes: list[Outcome], least: float) -> list[Outcome]:
    """Return those of cells whose communication is at least so heavy."""
    return [o for o in outcomes if float(o.cell.rpartition("CCR ")[2]) >= least]


@click.command(name="quality")
@click.option("--quick", is_flag=True, help="Fewer cells, no 10,000 tasks: at most 20 minutes.")
@click.option("--part", metavar="WORDS", default="", help="Only parts whose name has these words.")
@click.option(
    "--checkpoint",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Network to measure.  [default: the pretrained one]",
)
@click.option(
    "--data",
    metavar="DIR",
    envvar="DEEPSCHED_DATA",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    help="Folder of real inputs.  [default: $DEEPSCHED_DATA; without it they are left out]",
)
@click.option(
    "--json", "json_out", metavar="FILE", type=click.Path(path_type=Path), help="Every ratio, too."
)
@click.option(
    "--html", "html_out", metavar="FILE", type=click.Path(path_type=Path), help="The tables, too."
)
def command(
    quick: bool,
    part: str,
    checkpoint: Path | None,
    data: Path | None,
    json_out: Path | None,
    html_out: Path | None,
) -> None:
    """Compare schedules with HEFT's on an exam that no training and no selection has seen.

    Ratios are paired, problem by problem; every cell counts the same. Quality and time come from
    the same run. The learned scheduler is shown with and without guard; beside it stand its own
    decoder with the network's outputs zeroed, and searches at the time of its 32 samples.
    """
    for option, path in {"--json": json_out, "--html": html_out}.items():
        if path is not None:
            check_writable(path.absolute().parent, f"{option} {path}")
    runner = Runner(checkpoint)
    parts: dict[str, list[Outcome]] = {}
    if data is not None:
        for name in ("wfinstances", "hcsp/512x16", "stg"):
            if not (data / name).is_dir():
                raise click.BadParameter(f"--data {data}: there is no folder {name} in it")
    chosen = [one for one in _parts(quick, data) if part in one[0]]
    if not chosen:
        raise click.BadParameter(f"no part of the exam is called {part!r}")
    runner.warm_up()
    with progress_bar() as bar:
        for name, source, run in chosen:
            task = bar.add_task(name, total=None)
            parts[name] = []
            for case in source:
                parts[name].append(run(runner, *case))
                bar.advance(task)
            # After each part: a long run that is cut off has told something.
            if json_out is not None:
                _write_json(json_out, parts, provenance(quick=quick, networks=runner.networks))
    tables = []
    for name, outcomes in parts.items():
        tables.append(table(name, outcomes, cells=True))
        if name == "generated, makespan":
            heavy = by_ccr(outcomes, 1.0)
            tables.append(table("generated, makespan, CCR >= 1", heavy, cells=False))
    for one in tables:
        results.print(one)
    for name, others in _leads(parts).items():
        for other, (mean, half) in others.items():
            results.print(
                f"{name}: deepsched is ahead of {other} by {100 * mean:.2f} ± {100 * half:.2f} % "
                "of HEFT"
            )
    if data is None:
        messages.print("no real traces: give --data or set DEEPSCHED_DATA")
    if html_out is not None:
        console = Console(record=True, width=150, file=io.StringIO())
        for one in tables:
            console.print(one)
        write_text(html_out, console.export_html())


def _leads(parts: dict[str, list[Outcome]]) -> dict[str, dict[str, tuple[float, float]]]:
    return {
        part: {other: lead(outcomes, "deepsched", other) for other in ("search", "zeroed")}
        for part, outcomes in parts.items()
        if "search" in outcomes[0].values
    }


def _write_json(path: Path, parts: dict[str, list[Outcome]], about: dict[str, Any]) -> None:
    document = {
        "provenance": about,
        "parts": {part: ratios(outcomes) for part, outcomes in parts.items()},
        "ahead": _leads(parts),
    }
    write_text(path, json.dumps(document, indent=1) + "\n")


Part = tuple[str, "Iterator[tuple[Any, ...]]", "Callable[..., Outcome]"]


def _parts(quick: bool, data: Path | None) -> Iterator[Part]:
    yield "generated, makespan", grid_problems(quick), Runner.run
    yield "generated, mean turnaround", grid_problems(quick), Runner.turnaround
    yield "the paper's scale, makespan", _large_problems(), Runner.large
    if data is not None:
        yield "real traces, makespan", trace_problems(data, quick), Runner.run
        if not quick:
            many = trace_problems(data, False, TRACE_MANY_MACHINES)
            yield "real traces, 64 machines, makespan", many, Runner.run
        yield "HCSP, makespan", hcsp_problems(data), Runner.solved_in_time
        for machines in STG_MACHINES[1:2] if quick else STG_MACHINES:
            part = f"STG-50, {machines} machines"
            yield part, stg_problems(data, machines), Runner.solved
            some = islice(stg_problems(data, machines), 0, None, 6)
            yield f"{part}, every sixth graph", some, Runner.solved_in_time
    for budget, graphs in list(BUDGETS.items())[: 2 if quick else None]:
        yield (
            f"anytime, {budget:g} s",
            anytime_problems(2 if quick else graphs),
            functools.partial(Runner.anytime, budget=budget),
        )


def _large_problems() -> Iterator[tuple[str, Problem]]:
    for cell in grid()["large"]:
        yield from cell_problems(cell)


def anytime_problems(graphs: int) -> Iterator[tuple[str, Problem]]:
    """Yield some graphs of each small cell of the quick grid."""
    cells = [cell for cell in grid()["cells"] if cell["quick"] and cell["tasks"] <= MOST_ANYTIME]
    for cell in cells:
        yield from cell_problems({**cell, "graphs": graphs})
