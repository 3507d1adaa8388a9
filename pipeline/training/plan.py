"""A training before it runs: checked settings, the folder of its result, and what that holds."""

from __future__ import annotations

import contextlib
import json
import uuid
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from deepsched.baselines.errors import InvalidInput
from deepsched.baselines.text import absolute_path
from deepsched.pipeline.dataset.files import open_folder
from deepsched.pipeline.dataset.storage import Dataset
from deepsched.pipeline.training.checkpoints import Checkpoints
from deepsched.pipeline.training.config import TrainConfig, complete, make_config, merged_config
from deepsched.pipeline.training.history import ended_early
from deepsched.pipeline.training.items import training_sizes

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from deepsched.pipeline.training.history import History

FORMAT = "deepsched-train/3"
NOTE, HISTORY, CHECKPOINT, STATES = "train.json", "history.json", "checkpoint", "states"
CPUS_FOR_TWO = 4  # from there on two training processes by default, where there is no GPU

# A training that goes on keeps these: other values would make the steps so far another training's.
LASTING = (
    *("network", "network_options", "objective", "imitation_steps", "teacher", "turnaround"),
    *("micro_batches", "problems_per_micro_batch", "tasks_per_micro_batch"),
    *("pairs_per_micro_batch", "rollouts", "staleness", "least_tasks", "most_tasks", "seed"),
    *("limit_samples", "precision", "compile"),
)
GENERATED = "training"  # the preset of endless problems


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """A training that is ready to start or to go on.

    Attributes
    ----------
    data : URI of the dataset; None: generated problems.
    dataset : what the problems and the teacher's schedules are, as a hash.
    out : folder of the result.
    storage : a folder or a URI, where states on the way lie, below `run`.
    run : name of the training there; the same name goes on from its newest state.
    n_train, n_val : samples; 0 where there is no end.
    """

    data: str | None
    dataset: str | None
    out: Path
    storage: str
    run: str
    config: TrainConfig
    n_train: int
    n_val: int

    @property
    def states(self) -> str:
        """URI of the folder with the states on the way."""
        return _states(self.storage, self.run)


@dataclass(frozen=True, kw_only=True, slots=True)
class Trained:
    """A finished training."""

    history: History
    checkpoint: Path


def plan_training(
    data: str | None,
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
    data : URI of a dataset; None: generated problems.
    options : settings that were given beside the file, by field of `TrainConfig`; None: not given.
    resume : go on with the training that `out` holds, if it holds one; its settings are the
        defaults then.

    Raises
    ------
    InvalidInput
        If the settings or the dataset are bad, `out` holds a training, finished or not, and
        `resume` is not asked for, it holds the training of something else, or the states are in
        another storage.
    UnknownName
        If there is no such network.
    """
    note = _read_note(out) if resume else None
    if not resume and (out / HISTORY).exists():
        raise InvalidInput(
            f"{out} holds a finished training; give another --out, or --resume with more --steps "
            "or --epochs to train on"
        )
    if not resume:
        _check_unbegun(out)
    base = dict(note["config"]) if note else {}
    config = merged_config(config_file, options or {}, base=base)
    config = complete(config, generated=data is None)
    identity, n_train, n_val = None, 0, config.development
    if data is not None:
        dataset = Dataset.open(data)
        identity = dataset.identity({"heft", str(config.teacher)})
        n_train = len(training_sizes(dataset, config))
        n_val = min(config.development, len(training_sizes(dataset, config, "val")))
        if not n_train:
            raise InvalidInput(_nothing_to_train_on(dataset, str(config.teacher)))
        data = _absolute(data)
    if note:
        _check_same(out, note, data, identity, config)
    plan = Plan(
        data=data,
        dataset=identity,
        out=out,
        storage=_absolute(storage or (note["storage"] if note else str(out / STATES))),
        run=note["run"] if note else f"train-{uuid.uuid4().hex[:12]}",
        config=config,
        n_train=n_train,
        n_val=n_val,
    )
    if note and plan.storage != note["storage"]:
        _check_moved(plan, replace(plan, storage=note["storage"]))
    return plan


def _states(storage: str, run: str) -> str:
    place, query, options = storage.partition("?")
    return f"{place.rstrip('/')}/{run}{query}{options}"


def _check_unbegun(out: Path) -> None:
    """Refuse a folder whose training was broken off: its states would be lost to --resume."""
    steps: list[int] = []
    with contextlib.suppress(InvalidInput):  # a note that cannot be read leads to no states
        note = _read_note(out)
        steps = Checkpoints.at(_states(note["storage"], note["run"])).steps() if note else []
    if not steps:
        return
    raise InvalidInput(
        f"{out} holds a training that was broken off after step {steps[-1]}; --resume goes on with "
        "it, another --out begins a new one"
    )


def finished_training(plan: Plan) -> Trained | None:
    """Return what `plan.out` holds, if that has all the steps already.

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
        last, epoch = int(history[-1]["step"]), float(history[-1]["epoch"])
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise InvalidInput(f"{path}: cannot be read: {error}") from None
    wanted = plan.config
    too_few = last < (wanted.steps or 0) or epoch < (wanted.epochs or 0)
    if too_few and not ended_early(history, wanted.early_stop):
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


def plan_workers(config: TrainConfig, resources: Mapping[str, float]) -> tuple[int, bool]:
    """Return how many training processes to start, or at the least, and whether each gets a GPU."""
    gpus, cpus = int(resources.get("GPU", 0)), int(resources.get("CPU", 0))
    default = gpus or (2 if cpus >= CPUS_FOR_TWO else 1)
    return config.workers or min(default, config.max_workers or default), gpus > 0


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


def _check_same(
    out: Path,
    note: Mapping[str, Any],
    data: str | None,
    identity: str | None,
    config: TrainConfig,
) -> None:
    now = config.model_dump()
    for name in LASTING:
        if now[name] != note["config"][name]:
            raise InvalidInput(
                f"{out} holds a training with {name} {note['config'][name]!r}, not {now[name]!r}; "
                "give another --out, or the same settings"
            )
    if identity != note["dataset"]:
        raise InvalidInput(
            f"{out} holds a training on {note['data'] or 'generated problems'}, which was another "
            f"dataset than {data or 'generated problems'} now; give another --out, or that dataset"
        )


def _check_moved(plan: Plan, before: Plan) -> None:
    """Refuse a storage without the states: the training would begin again in silence."""
    if Checkpoints.at(before.states).steps() and not Checkpoints.at(plan.states).steps():
        new, old = (open_folder(one.states).uri for one in (plan, before))
        raise InvalidInput(f"--storage: the states of this training are at {old}; move it to {new}")


def _absolute(place: str) -> str:
    """Return a path that means the same in every process; a URI as it is."""
    return place if "://" in place else str(absolute_path(place))


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
