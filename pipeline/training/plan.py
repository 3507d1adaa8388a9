"""A training before it runs: checked settings, the folder of its result, and what that holds."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deepsched.baselines.errors import InvalidInput
from deepsched.pipeline.dataset.files import open_folder
from deepsched.pipeline.dataset.storage import Dataset
from deepsched.pipeline.training.config import TrainConfig, complete, make_config, merged_config
from deepsched.pipeline.training.data import count_samples

if TYPE_CHECKING:
    from collections.abc import Mapping

    from deepsched.pipeline.training.state import History

FORMAT = "deepsched-train/1"
NOTE, HISTORY, CHECKPOINT, RAY_FOLDER = "train.json", "history.json", "checkpoint", "ray"
CPUS_FOR_TWO = 4  # from there on two training processes by default, where there is no GPU

# A training that goes on keeps these: other values would make the epochs so far another training's.
LASTING = ("network", "network_options", "teacher", "seed", "limit_samples")


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """A training that is ready to start or to go on.

    Attributes
    ----------
    data : URI of the dataset.
    dataset : the hash over all its parts.
    out : folder of the result.
    storage : where Ray Train keeps the checkpoints of `run` on the way.
    run : name of the Ray Train run; the same name goes on from its last checkpoint.
    n_train, n_val : samples.
    """

    data: str
    dataset: str
    out: Path
    storage: str
    run: str
    config: TrainConfig
    n_train: int
    n_val: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Trained:
    """A finished training."""

    history: History
    checkpoint: Path


def plan_training(
    data: str,
    out: Path,
    *,
    storage: str | None = None,
    config_file: Path | None = None,
    options: Mapping[str, Any] | None = None,
    resume: bool = False,
) -> Plan:
    """Check everything that can be checked before Ray starts; nothing is written.

    Parameters
    ----------
    options : settings that were given beside the file, by field of `TrainConfig`; None: not given.
    resume : go on with the training that `out` holds, if it holds one; its settings are the
        defaults then.

    Raises
    ------
    InvalidInput
        If the settings or the dataset are bad, `out` holds a finished training and `resume` is not
        asked for, or it holds the training of something else.
    UnknownName
        If there is no such network.
    """
    note = _read_note(out) if resume else None
    if not resume and (out / HISTORY).exists():
        raise InvalidInput(
            f"{out} holds a finished training; give another --out, or --resume with more --epochs "
            "to train on"
        )
    config = merged_config(config_file, options or {}, base=note["config"] if note else {})
    config = complete(config)
    dataset = Dataset.open(data)
    if note:
        _check_same(out, note, dataset, config)
    n_train = count_samples(dataset, config.teacher, "train")
    if not n_train:
        raise InvalidInput(_nothing_to_train_on(dataset, config.teacher))
    limit = config.limit_samples or dataset.n_samples
    return Plan(
        data=data if "://" in data else str(Path(data).expanduser().absolute()),
        dataset=dataset.manifest.digest(),
        out=out,
        storage=storage or (note["storage"] if note else str((out / RAY_FOLDER).absolute())),
        run=note["run"] if note else f"train-{uuid.uuid4().hex[:12]}",
        config=config,
        n_train=min(limit, n_train),
        n_val=min(limit, count_samples(dataset, config.teacher, "val")),
    )


def finished_training(plan: Plan) -> Trained | None:
    """Return what `plan.out` holds, if that has all the epochs already.

    Raises
    ------
    InvalidInput
        If its history cannot be read.
    """
    path = plan.out / HISTORY
    if not path.exists():
        return None
    try:
        history = json.loads(path.read_text(encoding="utf-8"))
        last = int(history[-1]["epoch"])
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise InvalidInput(f"{path}: cannot be read: {error}") from None
    if last < plan.config.epochs:
        return None
    return Trained(history=history, checkpoint=plan.out / CHECKPOINT)


def note_training(plan: Plan) -> None:
    """Write down in `plan.out` what runs there, for a resumed training to find."""
    document = {
        "format": FORMAT,
        "run": plan.run,
        "storage": plan.storage,
        "data": plan.data,
        "dataset": plan.dataset,
        "config": plan.config.model_dump(),
    }
    write_json(plan.out, NOTE, document)


def plan_workers(wanted: int | None, resources: Mapping[str, float]) -> tuple[int, bool]:
    """Return how many training processes to start, and whether each gets a GPU."""
    gpus, cpus = int(resources.get("GPU", 0)), int(resources.get("CPU", 0))
    default = gpus or (2 if cpus >= CPUS_FOR_TWO else 1)
    return wanted or default, gpus > 0


def _read_note(out: Path) -> dict[str, Any] | None:
    path = out / NOTE
    if not path.exists():
        return None
    try:
        note = json.loads(path.read_text(encoding="utf-8"))
        if note["format"] != FORMAT:
            raise InvalidInput(f"{path}: format {note['format']!r}; {FORMAT!r} expected")
        make_config(note["config"], where=str(path))
        return {key: note[key] for key in ("run", "storage", "data", "dataset", "config")}
    except InvalidInput:
        raise
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InvalidInput(f"{path}: cannot be read: {error}") from None


def _check_same(out: Path, note: Mapping[str, Any], dataset: Dataset, config: TrainConfig) -> None:
    now = config.model_dump()
    for name in LASTING:
        if now[name] != note["config"][name]:
            raise InvalidInput(
                f"{out} holds a training with {name} {note['config'][name]!r}, not {now[name]!r}; "
                "give another --out, or the same settings"
            )
    if dataset.manifest.digest() != note["dataset"]:
        raise InvalidInput(
            f"{out} holds a training on {note['data']}, which was another dataset than "
            f"{dataset.folder.uri} is now; give another --out, or that dataset"
        )


def _nothing_to_train_on(dataset: Dataset, teacher: str) -> str:
    failures = dataset.failures(teacher)
    what = f"{dataset.folder.uri}: no training sample with a schedule of {teacher!r}"
    if not failures:
        return (
            f"{what}: all {dataset.n_samples} samples are kept for validation and testing (ids "
            "ending in 8 and 9); label more"
        )
    first = min(failures)
    return (
        f"{what}: {len(failures)} of {dataset.n_samples} could not be scheduled, the first of "
        f"them, sample {first}: {failures[first]}"
    )


def write_json(out: Path, name: str, document: Any) -> None:
    """Write a JSON file of a training, whole or not at all."""
    text = json.dumps(document, indent=1, allow_nan=False) + "\n"
    open_folder(str(out)).write(name, text.encode())
