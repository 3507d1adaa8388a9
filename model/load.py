"""Every scheduler by name, trained networks included."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from deepsched.baselines.cp_sat import installed
from deepsched.baselines.errors import InvalidInput, UnknownName, extra_for, known_name
from deepsched.baselines.own import OwnScheduler
from deepsched.baselines.registry import (
    OPTIONAL,
    SCHEDULERS,
    Scheduler,
    get_scheduler,
    registered,
)
from deepsched.model.checkpoint_files import read_files
from deepsched.model.networks import NETWORKS, get_network

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from deepsched.model.network import Network, NetworkScheduler

PRETRAINED = "deepsched"  # the network that schedules where no scheduler is named


def known_schedulers() -> tuple[str, ...]:
    """Return the names a user can give, the pretrained network first."""
    optional = (name for name in OPTIONAL if installed())
    return (PRETRAINED, *SCHEDULERS, *optional, *registered())


def resolve_scheduler(
    name: str, checkpoint: Path | None = None, options: Mapping[str, Any] | None = None
) -> Scheduler:
    """Return the scheduler of that name.

    Parameters
    ----------
    name : of the table `SCHEDULERS`, or registered, or `deepsched`; in any case.
    checkpoint : the network that `deepsched` is; None: the pretrained one.
    options : of that network's scheduler, such as `samples`; other schedulers take none.

    Raises
    ------
    UnknownName
        Listing the known ones.
    NotInstalled
        If it needs a package that is missing.
    InvalidInput
        If the checkpoint cannot be read, or an option is unknown, out of range, or given to who
        takes none.
    """
    name = known_name("scheduler", name, [*known_schedulers(), *OPTIONAL])
    if name == PRETRAINED:
        return load_network(checkpoint, **(options or {}))
    if options:
        raise InvalidInput(
            f"{', '.join(options)}: for the network {PRETRAINED}, not for the scheduler {name}"
        )
    run = get_scheduler(name)
    return OwnScheduler(name, run) if name in registered() else run


def load_network(
    checkpoint: Path | None = None, *, device: str = "cpu", **options: Any
) -> NetworkScheduler:
    """Return the network of a checkpoint as a scheduler; None: the pretrained one.

    Raises
    ------
    InvalidInput
        As :func:`resolve_scheduler`, or if the device is not there.
    NotInstalled
        If the network needs PyTorch and it is missing.
    """
    with extra_for(f"the network of {checkpoint}"):
        return network_of(checkpoint).scheduler(checkpoint, device=device, **options)


def network_of(checkpoint: Path | None) -> Network:
    """Return the row of `NETWORKS` that a checkpoint is of; None: that of the pretrained one.

    Raises
    ------
    InvalidInput
        If the checkpoint cannot be read, or is of a network that this version does not have.
    """
    if checkpoint is None:
        return NETWORKS[PRETRAINED]
    name = read_files(checkpoint)[0]["network"]
    try:
        return get_network(name)
    except UnknownName as error:
        raise InvalidInput(f"{checkpoint}: {error}") from None
