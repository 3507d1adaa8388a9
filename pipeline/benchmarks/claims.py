"""The paper's claims, measured: its network against HEFT and the GA, in turnaround and in time."""

from __future__ import annotations

import json
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import click
import numpy as np
from rich.table import Table

from deepsched.baselines.atomic import write_text
from deepsched.baselines.generate import GeneratorSpec, generate
from deepsched.baselines.heft import heft
from deepsched.baselines.metrics import mean_turnaround
from deepsched.baselines.registry import SCHEDULERS, teacher_rng
from deepsched.model.networks import build_network
from deepsched.model.networks.paper.scheduler import PaperScheduler
from deepsched.pipeline.common.cli import messages, progress_bar, results
from deepsched.pipeline.common.outputs import check_writable
from deepsched.pipeline.common.paper_figures import PAPER_SECONDS
from deepsched.pipeline.common.provenance import provenance
from deepsched.pipeline.dataset.storage import SampleSize
from deepsched.pipeline.labelling.paper_preset import N_MACHINES, PaperSource
from deepsched.pipeline.labelling.sources import stored_bytes
from deepsched.pipeline.training.config import complete, make_config
from deepsched.pipeline.training.items import validation_item
from deepsched.pipeline.training.loop import Course, Reporter, fit
from deepsched.pipeline.training.steps import DatasetSteps

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from deepsched.baselines.problem import Problem
    from deepsched.model.learning import TrainingItem
    from deepsched.pipeline.training.history import Record

LARGEST = 1_000  # tasks of a sample that is trained on: the recurrence runs over them one by one
SIZES = tuple(PAPER_SECONDS["HEFT"])
REPEATS = 3
NETWORK = "paper"


class _Last:
    """A reporter that keeps the newest state of a training."""

    def __init__(self, folder: Path, on_validation: Callable[[], None]) -> None:
        self._parent, self.folder = folder, folder
        self.history: list[Record] = []
        self._on_validation = on_validation

    def step(self, step: int, measures: Mapping[str, float], tasks: int) -> None:
        """Take no note."""

    def wants_checkpoint(self) -> bool:
        """Return False."""
        return False

    def checkpoint(
        self, step: int, record: Record | None, files: Callable[[], dict[str, bytes]]
    ) -> None:
        """Save the network and remember how good it was."""
        if record is None:
            return
        self.history.append(record)
        self.folder = self._parent / f"validation-{len(self.history)}"
        self.folder.mkdir()
        for name, data in files().items():
            (self.folder / name).write_bytes(data)
        self._on_validation()

    def discard(self, after: int) -> None:
        """Leave it: only the newest is looked at."""


class _Listed:
    """Problems in memory, HEFT being their teacher."""

    def __init__(self, seen: list[Problem], unseen: list[Problem]) -> None:
        self._seen = [validation_item(k, problem, heft(problem)) for k, problem in enumerate(seen)]
        self._unseen = [validation_item(k, p, heft(p)) for k, p in enumerate(unseen)]

    def item(self, sample_id: int, *, imitated: bool) -> TrainingItem:
        """Return one that is trained on."""
        return self._seen[sample_id]

    def validation(self) -> list[TrainingItem]:
        """Return the others."""
        return self._unseen

    def sizes(self) -> list[SampleSize]:
        """Return how large those are that are trained on."""
        return [
            SampleSize(
                sample_id=k,
                source="",
                n_tasks=one.problem.n_tasks,
                n_machines=one.problem.n_machines,
                n_edges=one.problem.n_edges,
            )
            for k, one in enumerate(self._seen)
        ]


def train_on(seen: list[Problem], unseen: list[Problem], epochs: int, reporter: Reporter) -> None:
    """Train the paper's network on HEFT's schedules."""
    config = complete(
        make_config({"network": NETWORK, "epochs": epochs}, where="claims"), generated=False
    )
    items = _Listed(seen, unseen)
    sizes = items.sizes()
    steps = DatasetSteps(sizes, [0] * len(sizes), config)
    fit(Course(config=config, items=items, steps=steps), reporter=reporter)


def paper_problems(count: int, *, test: bool, seed: int = 0) -> list[Problem]:
    """Return the first samples of the preset `paper` that are not too large, of one split."""

    most = stored_bytes(LARGEST, N_MACHINES, matrix=False)

    def small() -> Iterator[Problem]:
        source, k = PaperSource(seed=seed), 0
        while True:
            if (k % 10 == 9) == test and source.size(k) <= most:
                yield source.problem(k)
            k += 1

    problems = small()
    return [next(problems) for _ in range(count)]


def turnarounds(
    problems: list[Problem], schedulers: dict[str, Callable[..., Any]]
) -> dict[str, list[float]]:
    """Return scheduler to the mean turnaround, s, of each problem."""
    return {
        name: [
            mean_turnaround(problem, scheduler(problem, teacher_rng(0, k, name)))
            for k, problem in enumerate(problems)
        ]
        for name, scheduler in schedulers.items()
    }


def seconds(run: Callable[[], object], repeats: int = REPEATS) -> float:
    """Return the median time of some runs."""
    found = []
    for _ in range(repeats):
        begin = time.perf_counter()
        run()
        found.append(time.perf_counter() - begin)
    return float(np.median(found))


def padded_seconds(problem: Problem, tasks: int) -> float:
    """Return how long the network takes that is padded to so many tasks, weights as drawn."""
    config = {"max_tasks": tasks, "max_machines": N_MACHINES}
    scheduler = PaperScheduler(build_network(NETWORK, config), NETWORK)
    return seconds(lambda: scheduler(problem), 1)


@click.command(name="claims")
@click.option(
    "--samples",
    default=60,
    show_default=True,
    type=click.IntRange(min=2),
    help="Problems to train on, and as many that are held out.",
)
@click.option(
    "--epochs",
    default=15,
    show_default=True,
    type=click.IntRange(min=1),
    help="Passes over the problems that are trained on.",
)
@click.option(
    "--sizes",
    default=",".join(map(str, SIZES)),
    show_default=True,
    help="Tasks of the problems that are timed, separated by commas; empty: none.",
)
@click.option(
    "--json",
    "json_out",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Write every figure, the training curve and the environment to FILE.",
)
def command(samples: int, epochs: int, sizes: str, json_out: Path | None) -> None:
    """Train the paper's network on HEFT's schedules and hold it against HEFT and the GA.

    The problems are the smaller ones of the preset `paper`: 188 machines, 486 to 1,000 tasks. What
    was trained on is "seen"; of the preset's test split as many are "unseen". Times are those of
    one schedule each, with the network padded to the largest size, as the paper pads it, and
    without.
    """
    if json_out is not None:
        check_writable(json_out.absolute().parent, f"--json {json_out}")
    try:
        counts = [int(size) for size in sizes.split(",") if size]
    except ValueError:
        raise click.BadParameter(f"{sizes!r} is not a list of whole numbers") from None
    if min(counts, default=1) < 1:
        raise click.BadParameter(f"--sizes {sizes}: at least one task each")
    seen, unseen = (paper_problems(samples, test=test) for test in (False, True))
    with TemporaryDirectory() as folder, progress_bar() as bar:
        task = bar.add_task("training", total=epochs)
        reporter = _Last(Path(folder), lambda: bar.advance(task))
        train_on(seen, unseen, epochs, reporter)
        network = PaperScheduler.load(reporter.folder)
    agreement = [network.agreement(problem, heft(problem)) for problem in unseen]
    schedulers: dict[str, Callable[..., Any]] = {
        "heft": heft,
        NETWORK: network,
        "ga": SCHEDULERS["ga"],
    }
    groups = {
        "seen": turnarounds(seen, schedulers),
        "unseen": turnarounds(unseen, schedulers),
    }
    timed = {tasks: _timed(tasks, max(counts)) for tasks in counts}
    results.print(_turnaround_table(groups))
    results.print(
        f"machine found on unseen samples: {100 * _mean(agreement, 'accuracy'):.1f} % "
        f"(chance {100 * _mean(agreement, 'chance'):.1f} %)"
    )
    if timed:
        results.print(_seconds_table(timed))
    if json_out is not None:
        document = {
            "provenance": provenance(samples=samples, epochs=epochs),
            "turnaround": groups,
            "training": reporter.history,
            "seconds": timed,
            "paper": {name: dict(own) for name, own in PAPER_SECONDS.items()},
        }
        write_text(json_out, json.dumps(document, indent=1) + "\n")
        messages.print(f"json written to {json_out}", markup=False)


def _mean(found: list[dict[str, float]], name: str) -> float:
    return float(np.average([one[name] for one in found], weights=[one["tasks"] for one in found]))


def _timed(tasks: int, padded: int) -> dict[str, float]:
    spec = GeneratorSpec(family="layered", tasks=tasks, machines=N_MACHINES)
    problem = generate(spec, 0)
    own = PaperScheduler(build_network(NETWORK, {}), NETWORK)
    heft(problem)
    return {
        "heft": seconds(lambda: heft(problem)),
        "ga": seconds(lambda: SCHEDULERS["ga"](problem, teacher_rng(0, tasks, "ga")), 1),
        f"{NETWORK}, of the problem's size": seconds(lambda: own(problem), 1),
        f"{NETWORK}, padded to {padded:,} tasks": padded_seconds(problem, padded),
    }


def _turnaround_table(groups: dict[str, dict[str, list[float]]]) -> Table:
    shown = Table(title="mean turnaround, s (mean of the ratios to HEFT's)")
    shown.add_column("scheduler")
    for name in groups:
        shown.add_column(name, justify="right")
    for scheduler in next(iter(groups.values())):
        cells = []
        for found in groups.values():
            own, reference = np.array(found[scheduler]), np.array(found["heft"])
            cells.append(f"{own.mean():,.1f} ({(own / reference).mean():.3f})")
        shown.add_row(scheduler, *cells)
    return shown


def _seconds_table(timed: dict[int, dict[str, float]]) -> Table:
    shown = Table(title="seconds to schedule, 188 machines")
    shown.add_column("scheduler")
    for tasks in timed:
        shown.add_column(f"{tasks:,} tasks", justify="right")
    for name in next(iter(timed.values())):
        shown.add_row(name, *(f"{found[name]:.3g}" for found in timed.values()))
    for name, published in PAPER_SECONDS.items():
        row = [f"{published[n]:g}" if n in published else "" for n in timed]
        shown.add_row(f"{name} (published by the paper)", *row)
    return shown
