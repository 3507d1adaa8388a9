"""A search before it runs: what is searched, checked, and noted for a restart to compare."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deepsched.baselines.errors import InvalidInput
from deepsched.pipeline.dataset.files import open_folder
from deepsched.pipeline.dataset.storage import Dataset
from deepsched.pipeline.training.config import complete
from deepsched.pipeline.training.items import training_sizes
from deepsched.pipeline.tuning.search_space import search_space

if TYPE_CHECKING:
    from deepsched.pipeline.training.config import TrainConfig

FORMAT = "deepsched-tune/1"
NOTE = "tune.json"


@dataclass(frozen=True, kw_only=True, slots=True)
class Search:
    """What is searched, where, and how far.

    Attributes
    ----------
    data, dataset : URI of the dataset and the hash over its parts.
    out : folder of the results; `storage` is where Tune keeps the trials.
    config : settings that all trials share.
    ranges : what varies; see `search_space`.
    trials : how many settings are tried.
    """

    data: str
    dataset: str
    out: Path
    storage: str
    config: TrainConfig
    ranges: dict[str, str]
    trials: int

    def document(self) -> dict[str, Any]:
        """Return what the same search has in common with itself after a restart."""
        return {
            "format": FORMAT,
            "dataset": self.dataset,
            "storage": self.storage,
            "trials": self.trials,
            "search": self.ranges,
            "config": self.config.model_dump(),
        }


def plan_search(
    data: str,
    out: Path,
    config: TrainConfig,
    ranges: dict[str, str],
    trials: int,
    storage: str | None = None,
) -> Search:
    """Check everything that can be checked before Ray starts; nothing is written.

    Raises
    ------
    InvalidInput
        If the settings, the ranges or the dataset are bad, or `out` holds another search.
    """
    config = complete(config, generated=False)
    search_space(config, ranges)
    dataset = Dataset.open(data)
    for split, what in (("train", "training"), ("val", "validation")):
        if not training_sizes(dataset, config, split):
            raise InvalidInput(
                f"{data}: no {what} sample with a schedule of {config.teacher!r}; a search needs "
                "both kinds: label more"
            )
    search = Search(
        data=data if "://" in data else str(Path(data).expanduser().absolute()),
        dataset=dataset.identity({"heft", str(config.teacher)}),
        out=out,
        storage=storage or str((out / "ray").absolute()),
        config=config,
        ranges=ranges,
        trials=trials,
    )
    _check_same(search)
    return search


def note_search(search: Search) -> None:
    """Write down in `search.out` what is searched there, for a restored search to compare."""
    put_text(search.out, NOTE, json.dumps(search.document(), indent=1))


def _check_same(search: Search) -> None:
    path = search.out / NOTE
    if not path.exists():
        return
    document = search.document()
    try:
        there = json.loads(path.read_text(encoding="utf-8"))
        different = [name for name in document if there[name] != document[name]]
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise InvalidInput(f"{path}: cannot be read: {error}") from None
    if different:
        name = different[0]
        raise InvalidInput(
            f"{search.out} holds another search: {name} is {there[name]!r} there, "
            f"{document[name]!r} now; give another --out, or the same options"
        )


def put_text(out: Path, name: str, text: str) -> None:
    """Write a file of a search, whole or not at all."""
    open_folder(str(out)).write(name, (text.rstrip("\n") + "\n").encode())
