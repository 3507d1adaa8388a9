"""The schedulers of one process, and the networks among them: loaded, checked, exchanged."""

from __future__ import annotations

import itertools
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from deepsched.baselines.errors import InputWarning
from deepsched.baselines.registry import SCHEDULERS, Scheduler, get_scheduler
from deepsched.baselines.timing import warm_up
from deepsched.model.checkpoint_files import read_files
from deepsched.model.load import PRETRAINED, known_schedulers, load_network, network_of
from deepsched.model.networks.deepsched.options import DECODES, NAME, OBJECTIVES
from deepsched.model.networks.deepsched.scheduler import DeepSchedScheduler, pretrained_folder
from deepsched.pipeline.serving.refusals import RequestError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from deepsched.model.network import NetworkScheduler

ONE_THREAD = {"threads": 1}  # a process has one CPU and several requests at once
ALL_OF_IT: dict[str, Any] = {"samples": 8, "budget": 0.02}


@dataclass(frozen=True, kw_only=True, slots=True)
class Chosen:
    """Who answers a request.

    Attributes
    ----------
    run : the scheduler, as the request wants it.
    model, version : of the network; None for a heuristic.
    together : whether many problems at once take it less time than one after the other.
    """

    name: str
    run: Scheduler | NetworkScheduler
    model: str | None = None
    version: str | None = None
    together: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Loaded:
    """A network as it was read, and what its checkpoint says of it."""

    scheduler: NetworkScheduler
    version: str  # SHA-256 of the weights, hex
    document: Mapping[str, Any]


def devices_here(device: str) -> tuple[str, ...]:
    """Return the devices to try where no GPU is set aside: `cuda` if asked for and seen, `cpu`."""
    if device == "cpu":
        return (device,)
    import torch

    return (device, "cpu") if torch.cuda.is_available() else ("cpu",)


class Networks:
    """All schedulers by name; `deepsched` is the network of the checkpoint, or the pretrained one.

    Raises
    ------
    InvalidInput
        When made, if the checkpoint cannot be read, or its weights are not what it needs.
    """

    def __init__(self, checkpoint: Path | None, device: str = "cpu") -> None:
        self._checkpoint, self._device = checkpoint, device
        self._loaded: dict[tuple[str | None, str], Loaded] = {}
        self.batches = network_of(checkpoint).wants_batches
        self.default = PRETRAINED
        if checkpoint is not None:
            self.default = read_files(checkpoint)[0]["network"]
        ways: list[tuple[str | None, str]] = [(None, OBJECTIVES[0])]
        if self.default == NAME:
            ways = list(itertools.product((None, *DECODES), OBJECTIVES))
        # All now: a request waits for none, and none is answered by a checkpoint that came later.
        for way in ways:
            self._loaded[way] = self._load(*way)

    @property
    def names(self) -> list[str]:
        """All names a request can give, the default first."""
        return list(dict.fromkeys((self.default, *known_schedulers())))

    def warm_up(self) -> None:
        """Compile or load all that a request may need, so that none waits for it."""
        # A warning would only reach the log; and Python would keep the text of each, for ever.
        warnings.simplefilter("ignore", InputWarning)
        warm_up(SCHEDULERS["heft"])
        for loaded in self._loaded.values():
            ready = loaded.scheduler
            if isinstance(ready, DeepSchedScheduler):
                ready = ready.with_options(**ONE_THREAD, **ALL_OF_IT)
            for _ in range(2):  # what the first run compiles uses up the budget of the search
                warm_up(ready)

    def choose(self, name: str | None, options: Mapping[str, Any]) -> Chosen:
        """Return who answers.

        Raises
        ------
        RequestError
            400, if there are options that nobody would heed.
        """
        name = name or self.default
        ours = name in (self.default, PRETRAINED)
        if options and not (ours and self.default == NAME):
            who = self.default if ours else name
            raise RequestError(
                400, f"query parameter {next(iter(options))}: not for the scheduler {who}"
            )
        if not ours:
            return Chosen(name=name, run=get_scheduler(name))
        given = dict(options)
        loaded = self._loaded[given.pop("decode", None), given.get("objective", OBJECTIVES[0])]
        run = loaded.scheduler
        if isinstance(run, DeepSchedScheduler):
            run = run.with_options(**ONE_THREAD, **given)
        return Chosen(
            name=name,
            run=run,
            model=self.default,
            version=loaded.version,
            together=self.batches,
        )

    def models(self) -> list[dict[str, Any]]:
        """Return each network that answers, as `/v1/models` shows it."""
        found: dict[str, dict[str, Any]] = {}
        for (_, objective), loaded in self._loaded.items():
            found.setdefault(
                loaded.version,
                {
                    "name": self.default,
                    "version": loaded.version,
                    "network": loaded.document["network"],
                    "default": not found,
                    "decode": loaded.document["config"].get("decode"),
                    "objective": objective if self.default == NAME else None,
                    "training": loaded.document["meta"],
                },
            )
        return list(found.values())

    def _load(self, decode: str | None, objective: str) -> Loaded:
        folder = self._checkpoint or pretrained_folder(decode, objective)
        document, _ = read_files(folder)
        if self.default == NAME:
            scheduler: NetworkScheduler = DeepSchedScheduler.load(
                folder, decode=decode, objective=objective
            )
        else:
            scheduler = load_network(folder, device=self._device)
        return Loaded(scheduler=scheduler, version=document["weights_sha256"], document=document)
