"""The groups of problems that an evaluation compares schedulers on: seen, unseen, another kind."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from deepsched.baselines.errors import InvalidInput
from deepsched.baselines.ratios import size_bucket
from deepsched.pipeline.dataset.storage import Dataset, SampleSize
from deepsched.pipeline.evaluation.measure import Case
from deepsched.pipeline.labelling.presets import preset_names, preset_source

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Iterator, Sequence

RETIMED = 5  # stored schedules per group and range of sizes that are made again to be timed


@dataclass(frozen=True, kw_only=True)
class Group:
    """One part of the comparison.

    Attributes
    ----------
    name, title, about : for files, for headings, and what it is.
    samples : how many there are.
    seed : of the random streams of schedulers that draw.
    known_sources : graphs that occur in the training split.
    cases : yields the problems; may be called once more to start over, or with the only sample ids
        that are wanted.
    """

    name: str
    title: str
    about: str
    samples: int
    seed: int
    known_sources: frozenset[str]
    cases: Callable[..., Iterator[Case]]


def dataset_groups(
    dataset: Dataset, split: str, limit: int, *, trained_on: int | None = None
) -> list[Group]:
    """Return the seen group, of the training split, and the unseen one, of `split`.

    Parameters
    ----------
    limit : samples per group.
    trained_on : how many samples of the training split were used, the first; None for all, 0 for a
        network that was trained on something else: there is no seen group then.

    Raises
    ------
    InvalidInput
        If a split is empty.
    """
    uri = dataset.folder.uri
    trained = dataset.sizes("train")[:trained_on]
    known = frozenset(_source(dataset, sample) for sample in trained)
    parts = {"seen": ("train", trained), "unseen": (split, dataset.sizes(split))}
    about = {
        "seen": f"the training split of {uri}, which the network has learned from",
        "unseen": f"the {split} split of {uri}, kept from the training",
    }
    if trained_on == 0:
        del parts["seen"]
        about["unseen"] = f"the {split} split of {uri}, a dataset that no part of the training was"
    return [
        _dataset_group(dataset, name, part, _spread(samples, limit), about[name], known)
        for name, (part, samples) in parts.items()
    ]


def other_group(
    unseen: str, seed: int, limit: int, training: Dataset, known: frozenset[str]
) -> Group:
    """Return the group of another kind: a preset if `unseen` is the name of one, else a dataset.

    Parameters
    ----------
    seed : of a preset's problems.
    training, known : the dataset that was trained on, and the graphs in it.

    Raises
    ------
    InvalidInput
        If there is no such dataset, it is empty, or it is the one that was trained on.
    """
    if unseen not in preset_names():
        dataset = Dataset.open(unseen)
        if dataset.manifest.digest() == training.manifest.digest():
            raise InvalidInput(f"--unseen {unseen} is the dataset of the training itself")
        about = f"all samples of {unseen}, another dataset than the training's"
        chosen = _spread(dataset.sizes("all"), limit)
        return _dataset_group(dataset, "other", "all", chosen, about, known)
    source = preset_source(unseen, seed)
    if source.document().items() <= training.manifest.spec.items():
        raise InvalidInput(
            f"--unseen {unseen} with --seed {seed} gives the very problems of the training; "
            "give another --seed"
        )

    def cases(only: Container[int] = range(limit)) -> Iterator[Case]:
        for k in range(limit):
            if k not in only:
                continue
            label = f"{source.label(k)} #{k}"
            yield Case(group="other", sample_id=k, source=label, problem=source.problem(k))

    return Group(
        name="other",
        title="Other kind",
        about=f"generated problems of the preset {unseen!r}, seed {seed}",
        samples=limit,
        seed=seed,
        known_sources=known,
        cases=cases,
    )


def _dataset_group(
    dataset: Dataset,
    name: str,
    split: str,
    chosen: Sequence[SampleSize],
    about: str,
    known: frozenset[str],
) -> Group:
    if not chosen:
        raise InvalidInput(f"{dataset.folder.uri}: the {split} split has no samples")
    return Group(
        name=name,
        title={"seen": "Seen", "unseen": "Unseen"}.get(name, "Other kind"),
        about=about,
        samples=len(chosen),
        seed=int(dataset.manifest.spec.get("seed", 0)),
        known_sources=known,
        cases=partial(_stored_cases, dataset, name, split, chosen),
    )


def _stored_cases(
    dataset: Dataset,
    group: str,
    split: str,
    chosen: Sequence[SampleSize],
    only: Container[int] | None = None,
) -> Iterator[Case]:
    wanted = {
        sample.sample_id: _source(dataset, sample)
        for sample in chosen
        if only is None or sample.sample_id in only
    }
    retimed = _first_of_each_size(chosen)
    shards = sorted({dataset.shard_of(sample_id) for sample_id in wanted})
    for shard in shards:
        labels: dict[int, dict[str, Any]] = defaultdict(dict)
        for teacher in dataset.teachers:
            for sample_id, schedule in dataset.schedules(teacher, split, shards=[shard]):
                labels[sample_id][teacher] = schedule
        for sample_id, problem in dataset.problems(split, shards=[shard]):
            if sample_id in wanted:
                yield Case(
                    group=group,
                    sample_id=sample_id,
                    source=wanted[sample_id],
                    problem=problem,
                    labels=labels[sample_id],
                    retime=sample_id in retimed,
                )


def _spread(samples: Sequence[SampleSize], limit: int) -> list[SampleSize]:
    """Return at most `limit` samples, evenly spaced."""
    if len(samples) <= limit:
        return list(samples)
    return [samples[k * len(samples) // limit] for k in range(limit)]


def _first_of_each_size(samples: Iterable[SampleSize]) -> set[int]:
    found: dict[str, list[int]] = defaultdict(list)
    for sample in samples:
        found[size_bucket(sample.n_tasks)].append(sample.sample_id)
    return {sample_id for ids in found.values() for sample_id in ids[:RETIMED]}


def _source(dataset: Dataset, sample: SampleSize) -> str:
    # Generated problems are each a graph of their own; their source names only the family.
    generated = "preset" in dataset.manifest.spec
    return f"{sample.source} #{sample.sample_id}" if generated else sample.source
