#!/usr/bin/env python3
"""`deepsched evaluate`: all schedulers side by side on seen and unseen problems, and a report."""

from __future__ import annotations

if __name__ == "__main__":  # run as a file, maybe from a checkout that is not installed
    import importlib
    import sys
    from pathlib import Path

    sys.path[0] = str(Path(__file__).resolve().parent.parent)
    from pipeline.cli import run_command

    # Not this module's own: what Ray pickles must belong to a module that can be imported.
    run_command(importlib.import_module("pipeline.evaluate").command)

import contextlib
import functools
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from baselines.errors import InvalidInput, TooLarge, UnknownName
from baselines.registry import SCHEDULERS, Scheduler
from baselines.writers.atomic import write_text
from model.guided.scheduler import GuidedScheduler
from model.infer import LearnedScheduler
from pipeline.cli import messages, progress_bar, results
from pipeline.dataset.storage import Dataset
from pipeline.evaluation.cases import dataset_groups, other_group
from pipeline.evaluation.document import (
    FORMAT,
    EvaluationSpec,
    Outcome,
    evaluation_document,
    spec_document,
    weights_sha256,
)
from pipeline.evaluation.measure import (
    REFERENCE,
    Case,
    evaluate_case,
    network_fit,
)
from pipeline.evaluation.report import comparison_table, render
from pipeline.label import check_destination
from pipeline.options import CONTEXT_SETTINGS, split_names
from pipeline.outputs import make_folder
from pipeline.ray_session import cluster_cpus, ray_session
from pipeline.ray_tasks import ray_map
from pipeline.schedulers import known_schedulers, load_learned, resolve_scheduler, warm_up

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from rich.progress import Progress

    from pipeline.schedulers import Learned

    Chunk = tuple[Sequence[Case], int]  # cases, and the seed of their group

DOCUMENT, PAGE = "evaluation.json", "report.html"
CHUNK_TASKS, CHUNK_SAMPLES = 4_000, 8  # of one piece of work, whichever is reached first


@click.command(context_settings=CONTEXT_SETTINGS)
@click.option("--data", metavar="URI", required=True, help="Dataset that `deepsched label` made.")
@click.option(
    "--checkpoint",
    metavar="DIR",
    type=click.Path(path_type=Path),
    required=True,
    help="Folder of the trained network.",
)
@click.option(
    "--out",
    metavar="DIR",
    type=click.Path(path_type=Path),
    required=True,
    help="Folder for report.html and evaluation.json.",
)
@click.option(
    "--schedulers",
    metavar="NAMES",
    default=",".join(known_schedulers()),
    show_default=True,
    help="Whom to compare with the network, separated by commas; heft is always there, deepsched "
    "is the pretrained network, or the one of --checkpoint if that is such a network.",
)
@click.option(
    "--split",
    type=click.Choice(["test", "val"]),
    default="test",
    show_default=True,
    help="Samples that count as unseen; the seen ones are of the training split.",
)
@click.option(
    "--unseen",
    metavar="URI|PRESET",
    help="A third group, of another kind: a dataset, or a preset of generated problems.",
)
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=1,
    show_default=True,
    help="Seed of the problems of that preset.",
)
@click.option(
    "--history",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="The training's history.json.  [default: the one beside the checkpoint folder]",
)
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    default=200,
    show_default=True,
    help="Samples per group, spread evenly over it.",
)
@click.option(
    "--workers",
    type=click.IntRange(min=0),
    help="Parallel Ray tasks; 0 runs without Ray.  [default: all CPUs]",
)
@click.option(
    "--address",
    help="Ray cluster to join, whose nodes see the same files.  [default: $RAY_ADDRESS, or a local "
    "Ray]",
)
@click.option(
    "--resume",
    is_flag=True,
    help="Keep what --out holds if it is this very comparison, of the same data and network.",
)
def command(out: Path, schedulers: str, resume: bool, address: str | None, **options: Any) -> None:
    """Compare the network with all schedulers and write report.html.

    Every scheduler gets the same problems: samples that the network was trained on (seen), samples
    of the same dataset that it was not (unseen), and with --unseen problems of another kind.
    Schedules that the dataset holds are read, the others are made now.

    A network that `deepsched improve` made has seen no dataset: it gets no seen group.
    """
    arguments = {"out": out, "schedulers": schedulers, **options}
    words = [f"--{name} {value}" for name, value in arguments.items() if value is not None]
    spec = EvaluationSpec(
        schedulers=tuple(split_names(schedulers)),
        command=" ".join([click.get_current_context().command_path, *words]),
        **options,
    )
    check_destination(str(out))
    make_folder(out, f"--out {out}")
    document = finished_evaluation(out, spec) if resume else None
    if document is None:
        document = evaluate(spec, address)
        write_report(out, document)
    else:
        messages.print(f"{out} holds this comparison already", markup=False)
    print_summary(out, document)


def evaluate(spec: EvaluationSpec, address: str | None = None) -> dict[str, Any]:
    """Compare all schedulers and return the evaluation document, ready for JSON.

    Parameters
    ----------
    address : a Ray cluster to join.

    Raises
    ------
    InvalidInput, UnknownName
        If the dataset, the checkpoint, the history, a scheduler or a preset is not there or bad.
    """
    for name in spec.schedulers:
        if name not in known_schedulers():
            raise UnknownName("scheduler", name, known_schedulers())
    learned = load_learned(spec.checkpoint)
    own = (name for name in known_schedulers() if name in spec.schedulers)
    names = tuple(name for name in dict.fromkeys([REFERENCE, *own]) if name != learned.name)
    if isinstance(learned, GuidedScheduler):
        if spec.history is not None:
            raise InvalidInput(
                f"--history: {spec.checkpoint} imitates no teacher and has no such history"
            )
        history, teacher, trained_on = [], REFERENCE, 0
    else:
        history, teacher = _read_history(spec), str(learned.meta.get("teacher"))
        trained_on = learned.meta.get("train_config", {}).get("limit_samples")
    dataset = Dataset.open(spec.data)
    if teacher not in SCHEDULERS:
        raise InvalidInput(f"{spec.checkpoint}: it does not say which teacher it was trained on")
    groups = dataset_groups(dataset, spec.split, spec.limit, trained_on=trained_on)
    if spec.unseen is not None:
        known = groups[-1].known_sources
        groups.append(other_group(spec.unseen, spec.seed, spec.limit, dataset, known))
    job = Job(schedulers=names, checkpoint=spec.checkpoint.absolute(), teacher=teacher)
    chunks = (chunk for group in groups for chunk in _chunks(group.cases(), group.seed))
    total = sum(group.samples for group in groups)
    with progress_bar() as bar:
        outcomes = list(_advancing(_run(chunks, job, spec.workers, address), bar, total))
    return evaluation_document(spec, dataset, learned, teacher, groups, outcomes, history)


def finished_evaluation(out: Path, spec: EvaluationSpec) -> dict[str, Any] | None:
    """Return the document in `out` if both files are there and nothing it came from has changed."""
    try:
        document: dict[str, Any] = json.loads((out / DOCUMENT).read_text(encoding="utf-8"))
        where, network = document["provenance"], weights_sha256(spec.checkpoint)
        same = document["format"] == FORMAT and document["spec"] == spec_document(spec)
        data = Dataset.open(spec.data).manifest.digest()
        same &= (where["manifest_sha256"], where["checkpoint_sha256"]) == (data, network)
    except (OSError, ValueError, LookupError, TypeError):
        return None
    return document if same and (out / PAGE).exists() else None


def write_report(out: Path, document: Mapping[str, Any]) -> None:
    """Write `evaluation.json` and `report.html` into an existing folder."""
    page = render(document)
    text = json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False)
    write_text(out / DOCUMENT, text + "\n")
    write_text(out / PAGE, page)


def print_summary(out: Path, document: Mapping[str, Any]) -> None:
    """Print the comparison tables, what they say, and where the report lies."""
    for group in document["groups"]:
        results.print(comparison_table(group))
        for sentence in group["verdicts"]:
            results.print(sentence, markup=False)
        results.print()
    results.print(f"report: {(out / PAGE).absolute()}", markup=False)


@dataclass(frozen=True, kw_only=True)
class Job:
    """What a worker needs besides the cases."""

    schedulers: tuple[str, ...]
    checkpoint: Path
    teacher: str


def evaluate_chunk(chunk: Chunk, job: Job) -> list[Outcome]:
    """Evaluate a few cases; the body of a Ray task, and of a run without Ray."""
    cases, seed = chunk
    learned, others = _ready(job.schedulers, job.checkpoint)
    schedulers = {learned.name: learned, **others}
    outcomes: list[Outcome] = []
    for case in cases:
        rows, target = evaluate_case(case, schedulers, job.teacher, seed)
        fit = None
        if isinstance(learned, LearnedScheduler):
            with contextlib.suppress(TooLarge):
                fit = network_fit(learned, case.problem, target)
        outcomes.append((rows, fit))
    return outcomes


@functools.lru_cache(maxsize=1)
def _ready(names: tuple[str, ...], checkpoint: Path) -> tuple[Learned, Mapping[str, Scheduler]]:
    """Return the network and the other schedulers, loaded and compiled, once a process."""
    learned = load_learned(checkpoint)
    schedulers = {name: resolve_scheduler(name) for name in names}
    for scheduler in (learned, *schedulers.values()):
        warm_up(scheduler)
    return learned, schedulers


def _run(
    chunks: Iterable[Chunk], job: Job, workers: int | None, address: str | None
) -> Iterator[list[Outcome]]:
    if workers == 0:
        for chunk in chunks:
            yield evaluate_chunk(chunk, job)
        return
    # Compiled here once: several processes that fill numba's cache at a time disturb each other.
    _ready(job.schedulers, job.checkpoint)
    with ray_session(address=address, num_cpus=workers):
        room = workers or max(1, cluster_cpus())
        yield from ray_map(evaluate_chunk, chunks, job, room=lambda: room)


def _chunks(cases: Iterable[Case], seed: int) -> Iterator[Chunk]:
    chunk: list[Case] = []
    for case in cases:
        chunk.append(case)
        if len(chunk) == CHUNK_SAMPLES or sum(c.problem.n_tasks for c in chunk) >= CHUNK_TASKS:
            yield chunk, seed
            chunk = []
    if chunk:
        yield chunk, seed


def _advancing(done: Iterable[list[Outcome]], bar: Progress, total: int) -> Iterator[Outcome]:
    task = bar.add_task("evaluating", total=total)
    for outcomes in done:
        yield from outcomes
        bar.advance(task, len(outcomes))


def _read_history(spec: EvaluationSpec) -> list[dict[str, Any]]:
    path = spec.history or spec.checkpoint.parent / "history.json"
    if spec.history is None and not path.exists():
        return []
    try:
        history = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InvalidInput(f"{path}: cannot be read as a training history: {error}") from None
    needed = {"epoch", "train_loss", "val_loss", "val_accuracy", "val_chance"}
    if not isinstance(history, list) or not all(
        isinstance(entry, dict) and needed <= entry.keys() for entry in history
    ):
        raise InvalidInput(
            f"{path}: a training history is a list of epochs with {', '.join(sorted(needed))}"
        )
    return history
