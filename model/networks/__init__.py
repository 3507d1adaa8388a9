"""The table of networks: one folder each, and all that knows a network finds it here."""

from __future__ import annotations

from dataclasses import asdict
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from deepsched.baselines.errors import InvalidInput, known_name
from deepsched.baselines.settings import Settings, parse_settings
from deepsched.model.networks import deepsched, paper

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import nn

    from deepsched.model.network import Network

NETWORKS: Mapping[str, Network] = MappingProxyType(
    {"deepsched": deepsched.NETWORK, "paper": paper.NETWORK}
)


def get_network(name: str) -> Network:
    """Return the row of a network.

    Raises
    ------
    UnknownName
        Listing the known ones.
    """
    return NETWORKS[known_name("network", name, NETWORKS)]


def network_config(name: str, values: Mapping[str, Any], where: str = "network") -> Settings:
    """Return the checked settings of network `name`; fields left out have their defaults.

    Raises
    ------
    UnknownName
        If there is no such network.
    InvalidInput
        Naming `where` and the field that is unknown or out of range.
    """
    network = get_network(name)
    kept = {}
    for key, value in values.items():
        if key not in network.retired:
            kept[key] = value
        elif value != network.retired[key]:
            raise InvalidInput(f"{where}: {key} = {value!r} is of an older version of the network")
    return parse_settings(network.config, kept, where)


def build_network(name: str, config: Mapping[str, Any] | Settings | None = None) -> nn.Module:
    """Return a new network with random weights from torch's global generator.

    Raises
    ------
    UnknownName, InvalidInput
        As :func:`network_config`.
    """
    values = asdict(config) if isinstance(config, Settings) else (config or {})
    return get_network(name).build(network_config(name, values, f"network {name!r}"))
