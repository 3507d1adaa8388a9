"""Evaluating: all schedulers on all cases, in parallel on Ray or here, and the two files."""

from __future__ import annotations

import contextlib
import functools
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from deepsched.baselines.atomic import write_text
from deepsched.baselines.comparison import REFERENCE
from deepsched.baselines.errors import InvalidInput, TooLarge, UnknownName
from deepsched.baselines.timing import warm_up
from deepsched.baselines.waiting import waiting
from deepsched.model.load import (
    PRETRAINED,
    known_schedulers,
    load_network,
    network_of,
    resolve_scheduler,
)
from deepsched.pipeline.common.ray_room import check_room
from deepsched.pipeline.common.ray_session import cluster_cpus, ray_session
from deepsched.pipeline.common.ray_tasks import ray_map
from deepsched.pipeline.dataset.storage import Dataset
from deepsched.pipeline.evaluation.cases import dataset_groups, other_group
from deepsched.pipeline.evaluation.document import (
    FORMAT,
    EvaluationSpec,
    Outcome,
    evaluation_document,
    rows_of,
    spec_document,
    weights_sha256,
)
from deepsched.pipeline.evaluation.measure import (
    Case,
    evaluate_case,
)
from deepsched.pipeline.evaluation.report import render
from deepsched.pipeline.evaluation.search_curve import search_curve
from deepsched.pipeline.evaluation.side_by_side import best_and_worst, write_charts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from deepsched.baselines.registry import Scheduler
    from deepsched.model.network import NetworkScheduler

    Chunk = tuple[Sequence[Case], int]  # cases, and the seed of their group

DOCUMENT, PAGE = "evaluation.json", "report.html"
CHUNK_TASKS, CHUNK_SAMPLES = 4_000, 8  # of one piece of work, whichever is reached first


def evaluate(
    spec: EvaluationSpec,
    address: str | None = None,
    *,
    charts: Path | None = None,
    on_done: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Any]:
    """Compare all schedulers and return the evaluation document, ready for JSON.

    Parameters
    ----------
    address : a Ray cluster to join.
    charts : folder below which the charts of the best and worst samples are written; None: none.
    on_done : told how many samples are done, and of how many; first of none.

    Raises
    ------
    InvalidInput, UnknownName
        If the dataset, the checkpoint, the history, a scheduler or a preset is not there or bad.
    """
    for name in spec.schedulers:
        if name not in known_schedulers():
            raise UnknownName("scheduler", name, known_schedulers())
    network = load_network(spec.checkpoint)
    own = (name for name in known_schedulers() if name in spec.schedulers)
    names = tuple(name for name in dict.fromkeys([REFERENCE, *own]) if name != network.name)
    teacher = str(network.meta.get("teacher", REFERENCE))
    if "teacher" not in network.meta and set(network_of(spec.checkpoint).objectives) == {
        "imitation"
    }:
        raise InvalidInput(f"{spec.checkpoint}: it does not say which teacher it was trained on")
    history = _read_history(spec)
    # Without a dataset in its training nothing of this one was seen.
    trained_on = 0
    if "teacher" in network.meta or network.meta.get("data"):
        trained_on = network.meta.get("train_config", {}).get("limit_samples")
    dataset = Dataset.open(spec.data)
    groups = dataset_groups(dataset, spec.split, spec.limit, trained_on=trained_on)
    if spec.unseen is not None:
        known = groups[-1].known_sources
        groups.append(other_group(spec.unseen, spec.seed, spec.limit, dataset, known))
    checkpoint = None if spec.checkpoint is None else spec.checkpoint.absolute()
    job = Job(schedulers=names, checkpoint=checkpoint, teacher=teacher)
    chunks = (chunk for group in groups for chunk in _chunks(group.cases(), group.seed))
    total = sum(group.samples for group in groups)
    outcomes: list[Outcome] = []
    on_done(0, total)
    for found in _run(chunks, job, spec.workers, address):
        outcomes += found
        on_done(len(outcomes), total)
    rows, search = rows_of(outcomes), []
    if PRETRAINED in (network.name, *names):
        waiting("making more of the time: makespan against seconds of search")
        searched = spec.checkpoint if network.name == PRETRAINED else None
        search = search_curve(searched, groups, rows)
    pairs = best_and_worst(rows, network.name) if charts else []
    if charts:
        waiting("drawing the best and the worst samples")
        write_charts(charts, pairs, groups, network)
    return evaluation_document(
        spec, dataset, network, teacher, groups, outcomes, history, search, pairs
    )


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


@dataclass(frozen=True, kw_only=True)
class Job:
    """What a worker needs besides the cases."""

    schedulers: tuple[str, ...]
    checkpoint: Path | None
    teacher: str


def evaluate_chunk(chunk: Chunk, job: Job) -> list[Outcome]:
    """Evaluate a few cases; the body of a Ray task, and of a run without Ray."""
    cases, seed = chunk
    network, others = _ready(job.schedulers, job.checkpoint)
    schedulers = {network.name: network, **others}
    outcomes: list[Outcome] = []
    for case in cases:
        rows, target = evaluate_case(case, schedulers, job.teacher, seed)
        fit = None
        with contextlib.suppress(TooLarge):
            fit = network.agreement(case.problem, target)
        outcomes.append((rows, fit))
    return outcomes


@functools.lru_cache(maxsize=1)
def _ready(
    names: tuple[str, ...], checkpoint: Path | None
) -> tuple[NetworkScheduler, Mapping[str, Scheduler]]:
    """Return the network and the other schedulers, loaded and compiled, once a process."""
    network = load_network(checkpoint)
    schedulers = {name: resolve_scheduler(name) for name in names}
    for scheduler in (network, *schedulers.values()):
        warm_up(scheduler)
    return network, schedulers


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
        check_room("scheduling some samples", {"CPU": 1}, address)
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


def _read_history(spec: EvaluationSpec) -> list[dict[str, Any]]:
    beside = None if spec.checkpoint is None else spec.checkpoint.parent / "history.json"
    path = spec.history or beside
    if path is None or (spec.history is None and not path.exists()):
        return []
    try:
        history = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InvalidInput(f"{path}: cannot be read as a training history: {error}") from None
    needed = {"step", "epoch", "val_makespan", "val_turnaround"}
    if not isinstance(history, list) or not all(
        isinstance(entry, dict) and needed <= entry.keys() for entry in history
    ):
        raise InvalidInput(
            f"{path}: a training history is a list of validations with {', '.join(sorted(needed))}"
        )
    return history
