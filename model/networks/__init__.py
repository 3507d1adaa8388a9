"""The table of networks: one architecture per file."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from baselines.errors import UnknownName
from model.config import NetworkConfig, PaperConfig, parse_config
from model.networks.paper import PaperNetwork
from model.networks.paper_padded import PaddedPaperNetwork

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from torch import nn


@dataclass(frozen=True, kw_only=True, slots=True)
class NetworkEntry:
    """A network's settings and what builds it from them.

    The module's `forward` takes a `Batch` and returns a `Prediction`.
    """

    config: type[NetworkConfig]
    build: Callable[[Any], nn.Module]


def _paper(config: PaperConfig) -> nn.Module:
    return PaperNetwork(config) if config.max_tasks is None else PaddedPaperNetwork(config)


NETWORKS: Mapping[str, NetworkEntry] = MappingProxyType(
    {
        "paper": NetworkEntry(config=PaperConfig, build=_paper),
    }
)


def network_config(name: str, values: Mapping[str, Any], where: str = "network") -> NetworkConfig:
    """Return the checked settings of network `name`; fields left out have their defaults.

    Raises
    ------
    UnknownName
        If there is no such network.
    InvalidInput
        Naming `where` and the fields that are unknown or out of range.
    """
    try:
        entry = NETWORKS[name]
    except KeyError:
        raise UnknownName("network", name, NETWORKS) from None
    return parse_config(entry.config, values, where)


def build_network(name: str, config: Mapping[str, Any] | NetworkConfig | None = None) -> nn.Module:
    """Return a new network with random weights from torch's global generator.

    Raises
    ------
    UnknownName, InvalidInput
        As :func:`network_config`.
    """
    values = config.model_dump() if isinstance(config, NetworkConfig) else (config or {})
    checked = network_config(name, values, f"network {name!r}")
    return NETWORKS[name].build(checked)
