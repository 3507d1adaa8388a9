"""The content of `evaluation.json`: what was compared, the numbers, and how to read them."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from deepsched.baselines.comparison import REFERENCE
from deepsched.model.checkpoint_files import WEIGHTS
from deepsched.model.networks.deepsched.scheduler import PRETRAINED
from deepsched.pipeline.common.provenance import provenance
from deepsched.pipeline.common.strict_json import finite
from deepsched.pipeline.evaluation.measure import REPEATS, Row
from deepsched.pipeline.evaluation.summary import seconds_by_size, summarise_group, verdicts

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from deepsched.model.network import NetworkScheduler
    from deepsched.pipeline.dataset.storage import Dataset
    from deepsched.pipeline.evaluation.cases import Group

FORMAT = "deepsched-evaluation/2"
FEW = 10  # samples below which a group is said to be small
RIVALS = ("heft", "ga", "random")  # each gets a sentence of its own
Outcome = tuple[list[Row], dict[str, float] | None]  # the network's fit; None: it refused


@dataclass(frozen=True, kw_only=True)
class EvaluationSpec:
    """What to compare.

    Attributes
    ----------
    data, checkpoint : the dataset's URI, the network's folder; None: the pretrained network.
    schedulers : names beside the network; HEFT is added, everything is measured against it.
    split : of unseen samples.
    unseen : URI of a dataset of another kind, or a preset; None for neither.
    seed : of the problems of a preset.
    history : of the training; None looks beside the checkpoint.
    limit : samples per group, spread evenly over it.
    workers : parallel Ray tasks; 0 runs in this process without Ray, None takes all CPUs.
    command : how to make the report again.
    """

    data: str
    checkpoint: Path | None
    schedulers: tuple[str, ...]
    split: str = "test"
    unseen: str | None = None
    seed: int = 1
    history: Path | None = None
    limit: int = 200
    workers: int | None = None
    command: str = ""


def evaluation_document(
    spec: EvaluationSpec,
    dataset: Dataset,
    network: NetworkScheduler,
    teacher: str,
    groups: Sequence[Group],
    outcomes: Sequence[Outcome],
    history: list[dict[str, Any]],
    search: list[dict[str, Any]],
    charts: list[dict[str, Any]],
) -> dict[str, Any]:
    """Return all numbers of a comparison, ready for JSON, in an order that no worker decides."""
    ordered = in_order(outcomes)
    rows = rows_of(outcomes)
    summaries = []
    for group in groups:
        own = [(found, fit) for found, fit in ordered if found[0].group == group.name]
        numbers = summarise_group(
            [row for found, _ in own for row in found],
            [fit for _, fit in own if fit is not None],
            learned=network.name,
            known_sources=group.known_sources,
        )
        head = {"name": group.name, "title": group.title, "about": group.about}
        said = verdicts(numbers, RIVALS)
        summaries.append({**head, **numbers, "verdicts": said})
    document = {
        "format": FORMAT,
        "title": "DeepSched evaluation",
        "reference": REFERENCE,
        "spec": spec_document(spec),
        "provenance": provenance(
            command=spec.command,
            data=spec.data,
            manifest_sha256=dataset.manifest.digest(),
            checkpoint="pretrained" if spec.checkpoint is None else str(spec.checkpoint),
            checkpoint_sha256=weights_sha256(spec.checkpoint),
            workers=spec.workers,
        ),
        "network": {
            "name": network.name,
            "teacher": teacher,
            "imitates": "teacher" in network.meta,
            "meta": network.meta,
        },
        "groups": summaries,
        "seconds": seconds_by_size(rows),
        "training": history,
        "search": search,
        "charts": charts,
        "notes": _notes(dataset, network, summaries, rows),
        "rows": [asdict(row) for row in rows],
    }
    without: dict[str, Any] = finite(document)
    return without


def in_order(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """Return the outcomes by group and sample, whoever was done first."""
    return sorted(outcomes, key=lambda outcome: (outcome[0][0].group, outcome[0][0].sample_id))


def rows_of(outcomes: Sequence[Outcome]) -> list[Row]:
    """Return the rows of all outcomes, in the order of `in_order`."""
    return [row for found, _ in in_order(outcomes) for row in found]


def spec_document(spec: EvaluationSpec) -> dict[str, Any]:
    """Return what decides the comparison, as JSON gives it back."""
    values = asdict(spec)
    del values["command"], values["workers"]
    document: dict[str, Any] = json.loads(json.dumps(values, default=str))
    return document


def _notes(
    dataset: Dataset,
    network: NetworkScheduler,
    groups: Sequence[Mapping[str, Any]],
    rows: Sequence[Row],
) -> list[str]:
    notes = [
        "Times per machine of measured workflows are modelled: each task was measured on the one "
        "machine that ran it, and its time elsewhere follows from machine speeds drawn at random "
        "and a random factor between task and machine. Results hold for that model.",
        f"Seconds are medians over samples, of {REPEATS} runs each where a run is short, on one "
        "core of a machine that may have been doing other things. Compiling and loading, once a "
        "process, are not in them; reading, features, forward pass and decoding are"
        " all in the network's, ordering and placing in the others'. `deepsched benchmark speed` "
        "measures speed with more care.",
        "Wins and losses are reported in the same words. A sample counts as equal when two "
        "makespans differ by less than one part in 10⁹.",
        "An interval is given only where samples come from at least two graphs. It resamples "
        "graphs, so it says how results may differ on other graphs of the same kind, not on "
        "another kind.",
    ]
    for group in groups:
        if group["samples"] < FEW:
            notes.append(
                f"{group['title']}: {group['samples']} samples only. Means of so few say little, "
                "and their intervals are too narrow; label more, or raise --limit."
            )
        if group["known"] and group["name"] != "seen":
            notes.append(
                f"{group['title']}: {group['known']} of {group['samples']} samples are of a graph "
                "that was also in the training, on other machines. They are unseen as problems, "
                "not as graphs."
            )
        refused = {
            name: found["refused"]
            for name, found in group["schedulers"].items()
            if found["refused"]
        }
        for name, count in refused.items():
            notes.append(
                f"{group['title']}: {name} is not offered for problems as large as {count} of the "
                "samples; its means are over the others."
            )
    if "teacher" not in network.meta:
        where = "" if network.meta.get("data") else " on generated problems: all groups are unseen"
        notes.append(
            f"{network.name} imitates nobody and was trained by its own rollouts{where}. Teacher's "
            f"machine means {REFERENCE}'s."
        )
    trained_by = network.meta.get("train_config", {}).get("teacher")
    own = dataset.identity({REFERENCE, str(trained_by)})
    noted = network.meta.get("dataset") or own
    if noted != own:
        notes.append(
            "The checkpoint was trained on another version of the dataset (SHA-256 "
            f"{noted}): what is called seen and unseen holds only as far as both have the same "
            "samples."
        )
    compared = sum(row.reproduced is not None for row in rows)
    if compared:
        same = sum(row.reproduced is True for row in rows)
        notes.append(
            f"Schedules that the dataset holds are read from it. To time their schedulers, "
            f"{compared} of them were made again; {same} came out the same in every bit."
        )
    return notes


def weights_sha256(checkpoint: Path | None) -> str:
    """Return the hash of a checkpoint's weights; None: of the pretrained ones."""
    return hashlib.sha256(((checkpoint or PRETRAINED) / WEIGHTS).read_bytes()).hexdigest()
