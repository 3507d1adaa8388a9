"""A search before it runs: what is searched, checked, and noted for a restart to compare."""

from __future__ import annotations

import importlib
import json
import uuid
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from deepsched.baselines.errors import InvalidInput
from deepsched.baselines.text import absolute_path
from deepsched.pipeline.dataset.files import open_folder
from deepsched.pipeline.dataset.storage import Dataset
from deepsched.pipeline.training.config import complete
from deepsched.pipeline.training.items import training_sizes
from deepsched.pipeline.tuning.search_space import perturbations, search_space

if TYPE_CHECKING:
    from pathlib import Path

    from deepsched.pipeline.training.config import TrainConfig

FORMAT = "deepsched-tune/2"
NOTE = "tune.json"
SCHEDULERS = ("asha", "pbt", "none")
SEARCHERS = ("random", "optuna")


@dataclass(frozen=True, kw_only=True, slots=True)
class Search:
    """What is searched, where, and how far.

    Attributes
    ----------
    data, dataset : URI of the dataset and the hash over its parts; None: generated problems.
    out : folder of the results.
    storage : a folder or a URI, where the states of the trials lie, below `run`.
    config : settings that all trials share.
    ranges : what varies; see `search_space`.
    trials : how many settings are tried.
    scheduler : who ends trials early or changes them: one of SCHEDULERS.
    searcher : who chooses their settings: one of SEARCHERS.
    """

    data: str | None
    dataset: str | None
    out: Path
    storage: str
    run: str
    config: TrainConfig
    ranges: dict[str, str]
    trials: int
    scheduler: str
    searcher: str

    def place(self, name: str) -> str:
        """Return the URI of a folder where the states lie."""
        place, query, options = self.storage.partition("?")
        return f"{place.rstrip('/')}/{self.run}/{name}".rstrip("/") + query + options

    def document(self) -> dict[str, Any]:
        """Return what the same search has in common with itself after a restart."""
        return {
            "format": FORMAT,
            "dataset": self.dataset,
            "storage": self.storage,
            "trials": self.trials,
            "scheduler": self.scheduler,
            "searcher": self.searcher,
            "search": self.ranges,
            "config": self.config.model_dump(),
        }


def plan_search(
    data: str | None,
    out: Path,
    config: TrainConfig,
    ranges: dict[str, str],
    trials: int,
    storage: str | None = None,
    *,
    scheduler: str = SCHEDULERS[0],
    searcher: str = SEARCHERS[0],
) -> Search:
    """Check everything that can be checked before Ray starts; nothing is written.

    Raises
    ------
    InvalidInput
        If the settings, the ranges or the dataset are bad, do not go with the scheduler or the
        searcher, or `out` holds another search.
    """
    config = complete(config, generated=data is None)
    search_space(config, ranges)
    if scheduler == "pbt":
        perturbations(config, ranges)
        if searcher != "random":
            raise InvalidInput("--scheduler pbt changes settings itself: --searcher random")
    if searcher == "optuna":
        importlib.import_module("optuna")  # says what is missing, before anything starts
    dataset = None
    if data is not None:
        dataset = _checked_dataset(data, config)
        data = data if "://" in data else str(absolute_path(data))
    search = Search(
        data=data,
        dataset=dataset,
        out=out,
        storage=storage or str((out / "ray").absolute()),
        run=f"search-{uuid.uuid4().hex[:12]}",
        config=config,
        ranges=ranges,
        trials=trials,
        scheduler=scheduler,
        searcher=searcher,
    )
    return _as_noted(search)


def note_search(search: Search) -> None:
    """Write down in `search.out` what is searched there, for a restarted search to compare."""
    document = search.document() | {"run": search.run}
    put_text(search.out, NOTE, json.dumps(document, indent=1))


def _checked_dataset(data: str, config: TrainConfig) -> str:
    """Return what its problems and schedules are, as a hash."""
    dataset = Dataset.open(data)
    for split, what in (("train", "training"), ("val", "validation")):
        if not training_sizes(dataset, config, split):
            raise InvalidInput(
                f"{data}: no {what} sample with a schedule of {config.teacher!r}; a search needs "
                "both kinds: label more"
            )
    return dataset.identity({"heft", str(config.teacher)})


def _as_noted(search: Search) -> Search:
    """Return the search under the name that it has in its folder already, if it has one."""
    path = search.out / NOTE
    if not path.exists():
        return search
    document = search.document()
    try:
        there = json.loads(path.read_text(encoding="utf-8"))
        different = [name for name in document if there.get(name) != document[name]]
        run = str(there["run"]) if not different else ""
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise InvalidInput(f"{path}: cannot be read: {error}") from None
    if different:
        name = different[0]
        raise InvalidInput(
            f"{search.out} holds another search: {name} is {there.get(name)!r} there, "
            f"{document[name]!r} now; give another --out, or the same options"
        )
    return replace(search, run=run)


def put_text(out: Path, name: str, text: str) -> None:
    """Write a file of a search, whole or not at all."""
    open_folder(str(out)).write(name, (text.rstrip("\n") + "\n").encode())
