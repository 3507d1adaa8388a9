"""What a network is to the rest of the program: a row of the table `NETWORKS`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    import numpy as np
    from torch import nn

    from deepsched.baselines.problem import Problem
    from deepsched.baselines.schedule import Schedule
    from deepsched.baselines.settings import Settings
    from deepsched.model.learning import Learner


class NetworkScheduler(Protocol):
    """A trained network and its decoder: a scheduler like any other, for many problems too.

    Attributes
    ----------
    name : of the network.
    meta : what was saved with it, such as teacher, epoch and versions.
    """

    name: str
    meta: dict[str, Any]

    def __call__(self, problem: Problem, rng: np.random.Generator | None = None, /) -> Schedule:
        """Schedule one problem; without `rng` its seed is 0."""
        ...

    def schedule_batch(
        self, problems: Sequence[Problem], rngs: Sequence[np.random.Generator] | None = None, /
    ) -> list[Schedule]:
        """Schedule several problems, in their order; as one by one, up to float32 rounding."""
        ...

    def agreement(self, problem: Problem, target: Schedule, /) -> dict[str, float] | None:
        """Return how far predictions agree with a teacher's schedule; None: it predicts none."""
        ...


class LoadScheduler(Protocol):
    """How `Network.scheduler` is called."""

    def __call__(self, folder: Path | None, *, device: str, **options: Any) -> NetworkScheduler:
        """Read a checkpoint; see `Network.scheduler`."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Network:
    """One network: all that training, tuning, evaluation and serving need to know of it.

    Attributes
    ----------
    config : its settings, kept in each checkpoint.
    build : makes the module from them, with random weights of torch's global generator.
    options : what its scheduler can be asked for.
    scheduler : reads a checkpoint's folder (None: the pretrained one, if there is any) as a
        scheduler with those options, on a device.
    objectives : what it can be trained for, each with what makes its `Learner` from the network's
        settings and those of the training.
    from_module : makes a scheduler of a module, as it is while it trains.
    training : the settings of a training that are other than others' if nothing is said.
    search_space : what a search of hyperparameters varies if nothing else is said: a range or a
        list of values for each setting of the training; `network_options.NAME` is a field of
        `config`.
    wants_batches : whether many problems together take less time than one after the other, so that
        a service gives it processes of its own.
    compile_parts : has the layers of a module compiled, of whatever sizes batches are.
    retired : fields of earlier versions' settings, and the only value with which a checkpoint can
        still be read.
    """

    config: type[Settings]
    build: Callable[[Any], nn.Module]
    options: type[Settings]
    scheduler: LoadScheduler
    objectives: Mapping[str, Callable[..., Learner]]
    from_module: Callable[..., NetworkScheduler]
    training: Mapping[str, Any]
    search_space: Mapping[str, str]
    wants_batches: bool
    compile_parts: Callable[[nn.Module], None]
    retired: Mapping[str, Any]
